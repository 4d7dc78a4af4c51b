//! `seakeeper build-shim`: runs one build and writes down its end. The daemon starts it, people do
//! not; being a process of its own it outlives a restart of the daemon.

use std::path::PathBuf;

use clap::Args;

use super::exit::Exit;
use super::failure::Failure;

/// What it takes.
#[derive(Args, Debug)]
pub struct BuildShim {
    /// The build's folder.
    folder: PathBuf,
}

impl BuildShim {
    /// Runs it.
    ///
    /// # Errors
    /// When the build's folder cannot be used; how the build ended is written there.
    pub fn run(&self) -> Result<(), Failure> {
        crate::executor::local::run_shim(&self.folder).map_err(|error| Failure::new(Exit::Failed, error))
    }
}
