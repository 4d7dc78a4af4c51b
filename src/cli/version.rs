//! `seakeeper version`: which version this is, and which one the daemon is.

use clap::Args;
use serde::Serialize;

use super::daemon_at::DaemonAt;
use super::failure::Failure;
use super::{client, output};
use crate::web::clean::one_line;

/// What it takes.
#[derive(Args, Debug)]
pub struct Version {
    /// Ask the running daemon too.
    #[arg(long)]
    daemon: bool,
    #[command(flatten)]
    at: DaemonAt,
    /// Write it as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Versions {
    program: &'static str,
    daemon: Option<String>,
}

impl Version {
    /// For `--help`.
    pub const EXAMPLES: &str = "\
EXAMPLES:
  seakeeper version
  seakeeper version --daemon      # is the running daemon the one that I installed?";

    /// Runs it.
    ///
    /// # Errors
    /// When the daemon is asked for and cannot be reached.
    pub fn run(&self) -> Result<(), Failure> {
        let daemon = if self.daemon { Some(client::fetch_version(&self.at)?) } else { None };
        let versions = Versions { program: env!("CARGO_PKG_VERSION"), daemon };
        if self.json {
            return output::say_json(&versions);
        }
        output::say(format_args!("seakeeper {}", versions.program))?;
        versions.daemon.map_or(Ok(()), |daemon| output::say(format_args!("daemon {}", one_line(daemon))))
    }
}
