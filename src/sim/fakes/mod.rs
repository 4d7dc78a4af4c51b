//! Stand-ins for what the daemon reaches through its ports, on the model world and in virtual time.
//!
//! They hold what the real adapters and servers would hold between calls; when they are called, and
//! what goes wrong on the way, is decided by the run.

pub mod executor;
pub mod host;
pub mod journal;
pub mod site;
pub mod told;
pub mod trees;
