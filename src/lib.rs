//! Seakeeper: a Gerrit-integrated merge queue and gating daemon.

pub mod config;
pub mod model;
pub mod port;
pub mod store;
