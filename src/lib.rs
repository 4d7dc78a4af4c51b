//! Seakeeper: a Gerrit-integrated merge queue and gating daemon.

pub mod executor;
pub mod model;
pub mod port;
