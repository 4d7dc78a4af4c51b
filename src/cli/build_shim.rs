//! `seakeeper build-shim`: runs one build and writes down its end. The daemon starts it, people do
//! not; being a process of its own it outlives a restart of the daemon.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

/// What it takes.
#[derive(Args, Debug)]
pub struct BuildShim {
    /// The build's folder.
    folder: PathBuf,
}

impl BuildShim {
    /// Runs it; the build's end is written into its folder.
    pub fn run(&self) -> ExitCode {
        crate::executor::local::shim_main(&self.folder)
    }
}
