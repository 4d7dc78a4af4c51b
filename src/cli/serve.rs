//! `seakeeper serve`: the daemon itself.

use std::path::PathBuf;

use clap::Args;

use super::check_config::load;
use super::exit::Exit;
use super::failure::Failure;

/// What it takes.
#[derive(Args, Debug)]
pub struct Serve {
    /// The configuration file.
    #[arg(short, long, value_name = "FILE")]
    config: PathBuf,
}

impl Serve {
    /// For `--help`.
    pub const EXAMPLES: &str = "\
EXAMPLES:
  seakeeper serve -c /etc/seakeeper/seakeeper.toml
  RUST_LOG=seakeeper=debug seakeeper serve -c seakeeper.toml

It stops in order on SIGTERM or SIGINT. It may also be killed at any moment: nothing is lost.";

    /// Runs it until it is told to stop.
    ///
    /// # Errors
    /// When the configuration cannot be used, or the daemon cannot begin or go on.
    pub fn run(&self) -> Result<(), Failure> {
        let config = load(&self.config)?;
        crate::daemon::serve(config).map_err(|error| Failure::from_error(Exit::Failed, &error))
    }
}
