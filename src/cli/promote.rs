//! `seakeeper promote`: puts changes at the head of their queue.

use clap::Args;

use super::daemon_at::DaemonAt;
use super::failure::Failure;
use super::{change_arg, client};
use crate::model::ChangeNumber;
use crate::model::event::Command;

/// What it takes.
#[derive(Args, Debug)]
pub struct Promote {
    /// The changes, first one first.
    #[arg(required = true, value_parser = change_arg::parse, value_name = "CHANGE")]
    changes: Vec<ChangeNumber>,
    #[command(flatten)]
    at: DaemonAt,
    /// Write the answer as JSON.
    #[arg(long)]
    json: bool,
}

impl Promote {
    /// For `--help`.
    pub const EXAMPLES: &str = "\
EXAMPLES:
  seakeeper promote 1234
  seakeeper promote 1234 1235     # 1234 first

What was tested on top of something else is tested again, as far as its inputs really change.";

    /// Runs it.
    ///
    /// # Errors
    /// As [`client::command`].
    pub fn run(self) -> Result<(), Failure> {
        client::command(&self.at, Command::Promote { changes: self.changes }, self.json)
    }
}
