//! The world of one test: a folder, a bot account and repositories of its own at the shared Gerrit.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::people::{Person, encode};
use super::project::Project;
use super::server::Server;

/// One test's world. Its folder goes when it is dropped, unless the test failed.
pub struct Story<'s> {
    /// The server.
    pub server: &'s Server,
    /// Prefix of the names of its repositories, and of nobody else's.
    pub name: String,
    /// For configuration, state and clones.
    pub folder: PathBuf,
    /// The daemon's account, this test's own: votes and tokens of other daemons do not meet it.
    pub bot: Person,
}

impl<'s> Story<'s> {
    /// Begins a story; `name` is a short word for the names at Gerrit.
    pub fn begin(server: &'s Server, name: &str) -> Self {
        let name = format!("{name}-{}", stamp());
        let folder = fresh_folder(&name);
        let user = format!("bot-{name}");
        let key =
            std::fs::read_to_string(server.bot_key.with_extension("pub")).expect("the bots' key is there");
        let account = json!({
            "name": user, "email": format!("{user}@example.com"),
            "ssh_key": key.trim(), "groups": ["Service Users"],
        });
        server.admin.put(&format!("/accounts/{user}"), &account);
        let token = server.admin.put(&format!("/accounts/{user}/tokens/tests"), &json!({}));
        let token = token["token"].as_str().expect("a token").to_owned();
        let bot = Person::new(server.http_port, user, token);
        Self { server, name, folder, bot }
    }

    /// A new repository; its name is the story's and `name`.
    pub fn repository(&self, name: &str) -> Project {
        self.repository_with(name, &json!({}))
    }

    /// A new repository with further input for its creation, as `{"submit_type": "REBASE_ALWAYS"}`.
    pub fn repository_with(&self, name: &str, more: &Value) -> Project {
        let full = format!("{}-{name}", self.name);
        let mut input = json!({ "create_empty_commit": true, "branches": ["master"] });
        let fields = more.as_object().into_iter().flatten().map(|(key, value)| (key.clone(), value.clone()));
        input.as_object_mut().expect("an object").extend(fields);
        self.server.admin.put(&format!("/projects/{}", encode(&full)), &input);
        Project::open(&self.folder, &full, &self.server.alice)
    }

    /// A human of the server.
    pub fn alice(&self) -> &Person {
        &self.server.alice
    }

    /// Another one.
    pub fn bob(&self) -> &Person {
        &self.server.bob
    }
}

impl Drop for Story<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("kept for looking at: {}", self.folder.display());
        } else {
            // What cannot be removed is in the way of nobody.
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}

/// A word that no other run and no other call has had.
pub fn stamp() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970").as_millis();
    format!("{:x}{:x}", now & 0xff_ffff_ffff, COUNT.fetch_add(1, Ordering::Relaxed))
}

/// A new empty folder in the system's place for such. Its path is short: there are sockets in it.
pub fn fresh_folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("seakeeper-{}-{name}", std::process::id()));
    std::fs::create_dir(&folder).expect("nobody else makes a folder of this name");
    folder
}
