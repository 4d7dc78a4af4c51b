//! `seakeeper reload`: the daemon reads its configuration anew.

use clap::Args;

use super::client;
use super::daemon_at::DaemonAt;
use super::failure::Failure;

/// What it takes.
#[derive(Args, Debug)]
pub struct Reload {
    #[command(flatten)]
    at: DaemonAt,
    /// Write the answer as JSON.
    #[arg(long)]
    json: bool,
}

impl Reload {
    /// For `--help`.
    pub const EXAMPLES: &str = "\
EXAMPLES:
  seakeeper reload
  seakeeper reload -c /etc/seakeeper/seakeeper.toml

Builds go on where what they read is unchanged. With a faulty file everything stays as it was, all its
faults are told, and the exit code is 3. A SIGHUP to the daemon does the same; it tells its log.";

    /// Runs it.
    ///
    /// # Errors
    /// When the daemon cannot be reached, or the file has faults.
    pub fn run(&self) -> Result<(), Failure> {
        client::reload(&self.at, self.json)
    }
}
