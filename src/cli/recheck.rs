//! `seakeeper recheck`: has a change checked once more, or another pipeline run on it.

use clap::Args;

use super::daemon_at::DaemonAt;
use super::failure::Failure;
use super::{change_arg, client};
use crate::model::ChangeNumber;
use crate::model::event::Command;

/// What it takes.
#[derive(Args, Debug)]
pub struct Recheck {
    /// The change: its number or its address.
    #[arg(value_parser = change_arg::parse)]
    change: ChangeNumber,
    /// Run this on-demand pipeline instead of the check.
    #[arg(long, value_name = "NAME")]
    pipeline: Option<String>,
    #[command(flatten)]
    at: DaemonAt,
    /// Write the answer as JSON.
    #[arg(long)]
    json: bool,
}

impl Recheck {
    /// For `--help`.
    pub const EXAMPLES: &str = "\
EXAMPLES:
  seakeeper recheck 1234
  seakeeper recheck https://gerrit.example.org/c/core/+/1234
  seakeeper recheck 1234 --pipeline perf

What failed is built anew; what passed counts as far as nothing that it read has changed. A comment
with the line `recheck` alone on the change does the same. With --pipeline, an on-demand pipeline of the
configuration runs on the change.";

    /// Runs it.
    ///
    /// # Errors
    /// As [`client::command`].
    pub fn run(self) -> Result<(), Failure> {
        let pipeline = self.pipeline.map(Into::into);
        client::command(&self.at, Command::Recheck { change: self.change, pipeline }, self.json)
    }
}
