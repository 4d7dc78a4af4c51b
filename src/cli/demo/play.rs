//! The story: eight changes in two repositories, of which one fails, one conflicts, and two are a
//! stack whose upper half is approved first.

use std::fmt::Display;
use std::path::Path;

use anyhow::Result;

use super::author::{Clone, Person, Uploaded};
use super::host::Host;

/// The repositories.
pub const APP: &str = "demo-app";
const LIBRARY: &str = "demo-lib";

/// What is uploaded and waits for approval.
pub struct Plan {
    /// In the order in which they are approved.
    pub changes: Vec<Uploaded>,
    reviewer: Person,
}

/// Makes the repositories and uploads the changes.
pub async fn prepare(host: &Host, folder: &Path) -> Result<Plan> {
    let (admin, author) = (Person::at(host, &host.admin)?, Person::at(host, &host.alice)?);
    for repository in [APP, LIBRARY] {
        admin.create_repository(repository).await?;
    }
    let clones = folder.join("clones");
    let app = Clone::make(&author, APP, &clones).await?;
    let library = Clone::make(&author, LIBRARY, &clones).await?;
    let parent = library.upload("Add a cache", ("cache", "a cache\n"), None).await?;
    let child = library.upload("Use the cache", ("lookup", "uses the cache\n"), Some(&parent)).await?;
    let changes = vec![
        app.upload("Add a greeting", ("greeting", "hello\n"), None).await?,
        library.upload("Add a parser", ("parser", "parses\n"), None).await?,
        app.upload("Describe it one way", ("README", "It is big.\n"), None).await?,
        app.upload("Add a test that fails", ("broken.test", "exit 1\n"), None).await?,
        child,
        app.upload("Describe it another way", ("README", "It is small.\n"), None).await?,
        app.upload("Add a farewell", ("farewell", "good-bye\n"), None).await?,
        parent,
    ];
    Ok(Plan { changes, reviewer: Person::at(host, &host.bob)? })
}

impl Plan {
    /// Approves the changes one after another.
    pub async fn approve(&self, tell: impl Fn(&dyn Display)) -> Result<()> {
        for change in &self.changes {
            self.reviewer.approve(change).await?;
            tell(&format_args!(
                "bob approves {} in {}: {}",
                change.number, change.repository, change.subject
            ));
        }
        Ok(())
    }
}
