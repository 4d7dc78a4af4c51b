//! A review host in memory: repositories, branches, commits and changes, with the push semantics of
//! a real Gerrit. One model serves the simulator, the scenarios and the stand-in server.
//!
//! It knows the truth only. What is late, doubled or lost is the business of whoever reads it.

pub mod gerrit;
pub mod git;

pub use gerrit::{Gerrit, PushError, Upload};
pub use git::{Commit, Store, Tree};
