//! `seakeeper enqueue`: puts a change in its queue.

use clap::Args;

use super::daemon_at::DaemonAt;
use super::failure::Failure;
use super::{change_arg, client};
use crate::model::ChangeNumber;
use crate::model::event::Command;

/// What it takes.
#[derive(Args, Debug)]
pub struct Enqueue {
    /// The change: its number or its address.
    #[arg(value_parser = change_arg::parse)]
    change: ChangeNumber,
    #[command(flatten)]
    at: DaemonAt,
    /// Write the answer as JSON.
    #[arg(long)]
    json: bool,
}

impl Enqueue {
    /// For `--help`.
    pub const EXAMPLES: &str = "\
EXAMPLES:
  seakeeper enqueue 1234
  seakeeper enqueue https://gerrit.example.org/c/core/+/1234

The approval is not looked at now; the last look before landing still asks for everything that
Gerrit asks for.";

    /// Runs it.
    ///
    /// # Errors
    /// As [`client::command`].
    pub fn run(self) -> Result<(), Failure> {
        client::command(&self.at, Command::Enqueue { change: self.change }, self.json)
    }
}
