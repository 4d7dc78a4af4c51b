//! A review host in memory: repositories, branches, commits and changes, with the push semantics of
//! a real Gerrit. One model serves the simulator, its scenarios and the stand-in server.
//!
//! It knows the truth only. What is late, doubled or lost is the business of whoever reads it. Commits
//! are either made here (`Store::add_commit`) or taken over from a real repository with their ids
//! (`Store::adopt`); what closes what is decided by the same rules for both.

pub mod change;
pub mod gerrit;
pub mod git;
pub mod labels;

pub use change::{Change, Message, Patch};
pub use gerrit::{Gerrit, PushError, Received, Upload, UploadError};
pub use git::{Commit, Kind, Store, Tree};
