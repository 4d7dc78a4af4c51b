//! `seakeeper pause`: stops landing.

use clap::Args;

use super::client;
use super::daemon_at::DaemonAt;
use super::failure::Failure;
use super::scope_arg::ScopeArg;
use crate::model::event::Command;

/// What it takes.
#[derive(Args, Debug)]
pub struct Pause {
    #[command(flatten)]
    scope: ScopeArg,
    /// Why: shown on the page and on everything that waits.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    at: DaemonAt,
    /// Write the answer as JSON.
    #[arg(long)]
    json: bool,
}

impl Pause {
    /// For `--help`.
    pub const EXAMPLES: &str = "\
EXAMPLES:
  seakeeper pause --reason 'release in progress until noon'
  seakeeper pause --queue main --reason 'main is broken, see T123'
  seakeeper pause --repository core --reason 'history is being rewritten'

Tests go on, so that nothing is lost when landing resumes. What is being pushed at this moment may
still land.";

    /// Runs it.
    ///
    /// # Errors
    /// As [`client::command`].
    pub fn run(self) -> Result<(), Failure> {
        let command = Command::Pause { scope: self.scope.into(), reason: self.reason.into() };
        client::command(&self.at, command, self.json)
    }
}
