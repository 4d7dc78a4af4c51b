//! `seakeeper restore`: a state folder from a back-up, for a daemon that does not run.

use std::path::PathBuf;

use clap::Args;

use super::daemon_at::DaemonAt;
use super::exit::Exit;
use super::failure::Failure;
use super::output;
use crate::daemon::backup::restore;

/// What it takes.
#[derive(Args, Debug)]
pub struct Restore {
    /// The folder that `seakeeper backup` made.
    #[arg(value_name = "FOLDER")]
    from: PathBuf,
    #[command(flatten)]
    at: DaemonAt,
}

impl Restore {
    /// For `--help`.
    pub const EXAMPLES: &str = "\
EXAMPLES:
  seakeeper restore -c /etc/seakeeper/seakeeper.toml /var/backups/seakeeper-2026-11-25

The daemon must not run, and its state folder must be empty or not there: move the old one aside as a
whole. After its start the daemon reads from Gerrit what has happened since, fetches the git objects
again, and runs builds that were in flight once more.";

    /// Runs it.
    ///
    /// # Errors
    /// When there is no back-up, or something is in the state folder.
    pub fn run(&self) -> Result<(), Failure> {
        let state = self.at.state_folder()?;
        restore(&self.from, &state).map_err(|error| Failure::from_error(Exit::Failed, &error))?;
        output::say(format_args!("{} is ready: start the daemon", state.display()))
    }
}
