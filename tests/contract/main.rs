//! The contract: what Seakeeper relies on at Gerrit, as cases that run against the stand-in and against a
//! real Gerrit. Whatever passes on one must pass on the other; known differences are in
//! `docs/standin.md`.
//!
//! One server of each kind serves all cases; each case has a repository of its own. Arguments choose
//! cases by a part of their names, `stand-in` and `real` choose a server.
//!
//! Environment:
//!   SEAKEEPER_GERRIT_DIR   a folder in which `tests/servers/gerrit start` runs already: used, not stopped
//!   CI                     when set, a missing real server fails the run

mod cases;
mod support;

fn main() -> std::process::ExitCode {
    support::runner::run(&cases::all())
}
