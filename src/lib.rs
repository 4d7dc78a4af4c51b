//! Seakeeper: a Gerrit-integrated merge queue and gating daemon.

pub mod gerrit;
pub mod model;
pub mod port;
pub mod report;
