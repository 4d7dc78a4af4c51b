//! Seakeeper: a Gerrit-integrated merge queue and gating daemon.

pub mod cli;
pub mod config;
pub mod engine;
pub mod executor;
pub mod git;
pub mod model;
pub mod port;
pub mod queue;
pub mod store;
pub mod web;
