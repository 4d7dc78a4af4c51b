//! Where the daemon's control socket is: the options that all commands to a daemon share.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Deserialize;

use super::exit::Exit;
use super::failure::Failure;
use crate::web::wire::SOCKET_NAME;

/// Which daemon is meant.
#[derive(Args, Debug, Clone)]
pub struct DaemonAt {
    /// The daemon's configuration file, whose state folder holds the socket [default: the
    /// variable SEAKEEPER_CONFIG, else seakeeper.toml].
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The control socket itself, instead of a configuration file.
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
}

/// The only part of the configuration that a client reads, so that a file which a newer daemon
/// understands better does not keep operators from stopping it.
#[derive(Deserialize)]
struct Part {
    #[serde(default)]
    state: StatePart,
}

#[derive(Deserialize, Default)]
struct StatePart {
    folder: Option<PathBuf>,
}

impl DaemonAt {
    /// The daemon whose state folder this is.
    pub fn in_folder(folder: &Path) -> Self {
        Self { config: None, socket: Some(folder.join(SOCKET_NAME)) }
    }

    /// The state folder: the socket lies in it.
    ///
    /// # Errors
    /// As [`DaemonAt::socket_path`].
    pub fn state_folder(&self) -> Result<PathBuf, Failure> {
        let socket = self.socket_path()?;
        let folder = socket.parent().filter(|folder| !folder.as_os_str().is_empty());
        Ok(folder.unwrap_or(Path::new(".")).to_owned())
    }

    /// The configuration file.
    pub fn config_file(&self) -> PathBuf {
        let from_environment = || std::env::var_os("SEAKEEPER_CONFIG").map(PathBuf::from);
        self.config.clone().or_else(from_environment).unwrap_or_else(|| "seakeeper.toml".into())
    }

    /// The socket's path.
    ///
    /// # Errors
    /// When it is to be found through a configuration file that cannot be read.
    pub fn socket_path(&self) -> Result<PathBuf, Failure> {
        if let Some(path) = &self.socket {
            return Ok(path.clone());
        }
        let file = self.config_file();
        let name = file.display();
        let text = std::fs::read_to_string(&file).map_err(|error| {
            Failure::new(Exit::Configuration, format_args!("read {name}: {error}"))
                .hint("name the daemon's configuration with -c FILE, or its socket with --socket PATH")
        })?;
        socket_in(&file, &text).map_err(|error| {
            Failure::new(Exit::Configuration, format_args!("read {name}: {error}"))
                .hint("`seakeeper check-config` shows all faults of a configuration")
        })
    }
}

/// The socket of the daemon whose configuration `file` has the content `text`.
fn socket_in(file: &Path, text: &str) -> Result<PathBuf, toml::de::Error> {
    let part: Part = toml::from_str(text)?;
    let state = part.state.folder.unwrap_or_else(|| "state".into());
    Ok(file.parent().unwrap_or(Path::new("")).join(state).join(SOCKET_NAME))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_folder_is_relative_to_the_configuration() {
        for (file, text, expected) in [
            ("etc/s.toml", "[state]\nfolder = \"run\"\n[other]\nx = 1", "etc/run/control.sock"),
            ("etc/s.toml", "[state]\nfolder = \"/var/s\"", "/var/s/control.sock"),
            ("s.toml", "", "state/control.sock"),
        ] {
            assert_eq!(socket_in(Path::new(file), text).ok(), Some(PathBuf::from(expected)));
        }
    }
}
