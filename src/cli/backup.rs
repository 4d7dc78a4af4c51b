//! `seakeeper backup`: a copy of the state, also while the daemon runs.

use std::path::PathBuf;

use clap::Args;

use super::daemon_at::DaemonAt;
use super::exit::Exit;
use super::failure::Failure;
use super::output;
use crate::daemon::backup::back_up;

/// What it takes.
#[derive(Args, Debug)]
pub struct Backup {
    /// The folder to make; it must not be there yet.
    #[arg(value_name = "FOLDER")]
    to: PathBuf,
    #[command(flatten)]
    at: DaemonAt,
}

impl Backup {
    /// For `--help`.
    pub const EXAMPLES: &str = "\
EXAMPLES:
  seakeeper backup /var/backups/seakeeper-2026-11-25
  sudo -u seakeeper seakeeper backup -c /etc/seakeeper/seakeeper.toml /var/backups/seakeeper/today

It holds the journal: queues, verdicts, pushes under way, pauses. Git objects are fetched again from
Gerrit after `seakeeper restore`; logs of builds, the configuration, the token and the key are not in it.";

    /// Runs it.
    ///
    /// # Errors
    /// When the state cannot be read or the folder cannot be written.
    pub fn run(&self) -> Result<(), Failure> {
        let state = self.at.state_folder()?;
        back_up(&state, &self.to).map_err(|error| Failure::from_error(Exit::Failed, &error))?;
        output::say(format_args!("{} is a back-up of {}", self.to.display(), state.display()))
    }
}
