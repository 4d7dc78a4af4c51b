//! A merge pushed for trial: what Gerrit and its plug-ins really say to the landing push.
//!
//! It goes the way of a landing (a merge commit by the daemon's committer, signed off where that is
//! asked for, sent by the same request), but to a branch of its own that was made for it.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use super::land::outcome_of;
use super::layout;
use super::receive::{self, Move};
use super::shared::Shared;
use super::store::{Store, oid, sha};
use super::{GitError, Settings};
use crate::model::{Branch, Outcome, Pair, Policy, Sha};
use crate::port::Inbox;

/// The file that the trial's side commit changes.
const FILE: &str = "seakeeper-trial";

/// Pushes merges for trial.
pub struct Trial {
    shared: Shared,
}

impl Trial {
    /// A trial with the settings of a daemon; objects go into the settings' folder.
    ///
    /// # Errors
    /// As of [`super::Git::start`].
    pub fn new(settings: Settings, policy: Arc<Policy>) -> Result<Self, GitError> {
        super::process::check_version()?;
        Ok(Self { shared: Shared::new(settings, Inbox::new(|_| ()), policy)? })
    }

    /// Pushes a merge onto the branch, which must exist. Blocks: not for an async task.
    ///
    /// # Errors
    /// In words for the operator, when nothing could be pushed.
    pub fn push(&self, pair: &Pair) -> Result<Outcome, String> {
        let store = self.shared.store(&pair.repository)?;
        let branch: &Branch = &pair.branch;
        let tip = self.shared.read_tip(&store, branch)?;
        let tip = tip.ok_or_else(|| format!("push a merge: {pair} does not exist"))?;
        let merge = self.merge(&store, pair, tip)?;
        let reference = layout::head_ref(branch);
        let moves = [Move { reference: reference.clone(), old: tip, new: merge }];
        let body = receive::request(&store, &moves)?;
        Ok(outcome_of(&receive::send(&self.shared, &store, body), &reference))
    }

    fn merge(&self, store: &Store, pair: &Pair, tip: Sha) -> Result<Sha, String> {
        let failed = |error: git2::Error| store.failed("make a merge commit", &error);
        let settings = &self.shared.settings;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let when = git2::Time::new(i64::try_from(now).unwrap_or(i64::MAX), 0);
        let (name, email) = (settings.committer_name.as_str(), settings.committer_email.as_str());
        let who = git2::Signature::new(name, email, &when).map_err(failed)?;
        let signed = match (settings.sign_off)(&pair.repository) {
            true => format!("\nSigned-off-by: {name} <{email}>\n"),
            false => String::new(),
        };
        let handle = store.handle()?;
        let below = handle.find_commit(oid(tip)).map_err(failed)?;
        let mut update = git2::build::TreeUpdateBuilder::new();
        let blob = handle.blob(now.to_string().as_bytes()).map_err(failed)?;
        update.upsert(FILE, blob, git2::FileMode::Blob);
        let tree = update.create_updated(&handle, &below.tree().map_err(failed)?).map_err(failed)?;
        let tree = handle.find_tree(tree).map_err(failed)?;
        let side = format!("A trial\n\nPushed by `seakeeper doctor`, to be removed at once.\n{signed}");
        let side = handle.commit(None, &who, &who, &side, &tree, &[&below]).map_err(failed)?;
        let side = handle.find_commit(side).map_err(failed)?;
        let message =
            format!("Merge \"A trial\"\n\nPushed by `seakeeper doctor`, to be removed at once.\n{signed}");
        handle.commit(None, &who, &who, &message, &tree, &[&below, &side]).map(sha).map_err(failed)
    }
}
