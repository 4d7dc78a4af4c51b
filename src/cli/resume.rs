//! `seakeeper resume`: lets landing go on.

use clap::Args;

use super::client;
use super::daemon_at::DaemonAt;
use super::failure::Failure;
use super::scope_arg::ScopeArg;
use crate::model::event::Command;

/// What it takes.
#[derive(Args, Debug)]
pub struct Resume {
    #[command(flatten)]
    scope: ScopeArg,
    /// Why: the journal keeps it.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    at: DaemonAt,
    /// Write the answer as JSON.
    #[arg(long)]
    json: bool,
}

impl Resume {
    /// For `--help`.
    pub const EXAMPLES: &str = "\
EXAMPLES:
  seakeeper resume --reason 'release is out'
  seakeeper resume --queue main --reason 'main is repaired by 1234'

The place must be named as it was when it was stopped; `seakeeper status` shows it.";

    /// Runs it.
    ///
    /// # Errors
    /// As [`client::command`].
    pub fn run(self) -> Result<(), Failure> {
        let command = Command::Resume { scope: self.scope.into(), reason: self.reason.into() };
        client::command(&self.at, command, self.json)
    }
}
