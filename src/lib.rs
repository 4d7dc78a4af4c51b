//! Seakeeper: a Gerrit-integrated merge queue and gating daemon.

pub mod cli;
pub mod model;
pub mod port;
pub mod web;
