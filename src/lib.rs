//! Seakeeper: a Gerrit-integrated merge queue and gating daemon.

pub mod git;
pub mod model;
pub mod port;
pub mod queue;
