//! End-to-end tests: the built binary against a real Gerrit, seen only as its users see it (git,
//! Gerrit's REST API, the daemon's own page and exit codes).
//!
//! One Gerrit serves the whole run; each test has repositories, a bot account and a state folder of
//! its own, so that a few tests run at once. After each test the outcome on the server is judged as
//! a whole (`support/ending.rs`), whatever the test itself looked at.
//!
//! Environment:
//!   SEAKEEPER_GERRIT_DIR   a folder in which `tests/servers/gerrit start` runs already: used, not stopped
//!   SEAKEEPER_E2E_JOBS     how many tests run at once (default 2)
//!   SEAKEEPER_E2E_ROUNDS   rounds of the kill test (default 10; `tests/soak` uses 100)
//!   SEAKEEPER_E2E_SEED     seed of the kill test's moments (default: the time)
//!   CI                     when set, a test that cannot be run counts as failed

mod cases;
mod support;

fn main() -> std::process::ExitCode {
    support::runner::run(&cases::all())
}
