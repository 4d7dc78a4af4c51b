//! Seakeeper: a Gerrit-integrated merge queue and gating daemon.
//!
//! A change enters as an event at the top of the floors, is decided on at the bottom, and leaves as
//! an effect at the top again:
//!
//! ```text
//! 7  cli        one file per sub-command
//! 6  daemon     wires the real adapters to the engine
//! 5  web  sim  standin   pages, socket, metrics; worlds to simulate in; a Gerrit to play with
//! 4  gerrit  git  executor  store  report  config  world
//! 3  engine     journal first, then effects
//! 2  port       what lies outside, as traits
//! 1  queue      the core: pure and total
//! 0  model      plain values
//! ```
//!
//! A module imports only from lower floors, and modules of one floor do not know each other.

pub mod cli;
pub mod config;
pub mod daemon;
pub mod engine;
pub mod executor;
pub mod gerrit;
pub mod git;
pub mod model;
pub mod port;
pub mod queue;
pub mod report;
pub mod sim;
pub mod standin;
pub mod store;
pub mod web;
pub mod world;
