//! `seakeeper dequeue`: takes a change out of its queue.

use clap::Args;

use super::daemon_at::DaemonAt;
use super::failure::Failure;
use super::{change_arg, client};
use crate::model::ChangeNumber;
use crate::model::event::Command;

/// What it takes.
#[derive(Args, Debug)]
pub struct Dequeue {
    /// The change: its number or its address.
    #[arg(value_parser = change_arg::parse)]
    change: ChangeNumber,
    /// Why: the author is told, and the journal keeps it.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    at: DaemonAt,
    /// Write the answer as JSON.
    #[arg(long)]
    json: bool,
}

impl Dequeue {
    /// For `--help`.
    pub const EXAMPLES: &str = "\
EXAMPLES:
  seakeeper dequeue 1234 --reason 'hangs the integration tests, see T123'";

    /// Runs it.
    ///
    /// # Errors
    /// As [`client::command`].
    pub fn run(self) -> Result<(), Failure> {
        let command = Command::Dequeue { change: self.change, reason: self.reason.into() };
        client::command(&self.at, command, self.json)
    }
}
