//! What a command holds that runs until a person stops it: the signals, and a folder that goes with it.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Ctrl-C and its like.
pub struct Stop {
    interrupt: Signal,
    terminate: Signal,
}

impl Stop {
    /// Listens from now on.
    pub fn listen() -> Result<Self> {
        let listen = |kind| signal(kind).context("listen to signals");
        Ok(Self { interrupt: listen(SignalKind::interrupt())?, terminate: listen(SignalKind::terminate())? })
    }

    /// Waits for one.
    pub async fn wait(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// A folder that goes when it is dropped.
pub struct TemporaryFolder(PathBuf);

impl TemporaryFolder {
    /// Makes one whose name says what it is for.
    pub fn new(what: &str) -> Result<Self> {
        let path = std::env::temp_dir().join(format!("seakeeper-{what}-{}", std::process::id()));
        std::fs::create_dir(&path).with_context(|| format!("make the folder {}", path.display()))?;
        Ok(Self(path))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        // What cannot be removed lies in the system's place for such.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
