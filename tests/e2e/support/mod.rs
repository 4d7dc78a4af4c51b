//! What the tests are written with.

pub mod daemon;
pub mod ending;
pub mod latch;
pub mod people;
pub mod project;
pub mod proxy;
pub mod runner;
pub mod server;
pub mod setup;
pub mod story;
pub mod witness;

use std::time::{Duration, Instant};

/// How long a test waits for anything before it fails: far beyond what a loaded machine needs.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Waits for a state by asking for it, and returns it.
///
/// # Panics
/// When it is not there within [`PATIENCE`]; `what` says which.
pub fn wait_for<T>(what: &str, ask: impl FnMut() -> Option<T>) -> T {
    wait_within(PATIENCE, what, ask)
}

/// As [`wait_for`], with a limit of its own.
pub fn wait_within<T>(limit: Duration, what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = ask() {
            return found;
        }
        assert!(begun.elapsed() < limit, "waited {limit:?} in vain for {what}");
        std::thread::sleep(Duration::from_millis(25));
    }
}
