//! `seakeeper demo`: a daemon with made-up changes, to see what it does before setting anything up.

use clap::Args;

use super::exit::Exit;
use super::failure::Failure;

/// What it takes.
#[derive(Args, Debug)]
pub struct Demo {
    /// End when nothing is left to do, instead of serving until stopped.
    #[arg(long)]
    until_idle: bool,
    /// Write what happened as JSON.
    #[arg(long)]
    json: bool,
}

impl Demo {
    /// For `--help`.
    pub const EXAMPLES: &str = "\
EXAMPLES:
  seakeeper demo                      # prints the address of a page to look at
  seakeeper demo --until-idle --json";

    /// Runs it.
    ///
    /// # Errors
    /// When the demonstration cannot be set up.
    pub fn run(&self) -> Result<(), Failure> {
        crate::daemon::demo(self.until_idle, self.json)
            .map_err(|error| Failure::from_error(Exit::Failed, &error))
    }
}
