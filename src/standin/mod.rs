//! A stand-in for Gerrit: what the daemon and people need of one, over the model of `world`.
//!
//! ```text
//! http ──> rest ────┐
//!   │  └─> smart ───┼─> site (model, repositories, accounts) ──> bus ──> ssh (stream-events)
//!   └────> page ────┘
//! ```
//!
//! The model decides; this folder only carries its answers over Gerrit's protocols, with real commits in
//! real bare repositories. It is a thing to play with and to test with: it listens on loopback, keeps
//! nothing, and its accounts have tokens that everybody knows. Floor 5.

mod accounts;
mod bus;
mod change_json;
mod event_json;
mod hook;
mod http;
mod labels_json;
mod objects;
mod operate;
mod page;
mod pkt;
mod projects;
mod query;
mod receive;
mod refusal;
mod rest;
mod review;
mod rights;
mod site;
mod smart;
mod ssh;
mod submit;
mod upload;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;

pub use accounts::{ADMIN, BOT, Person};
pub use bus::Faults;

use accounts::Accounts;
use site::{Shared, Site};

/// What a stand-in is started with.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where its repositories and keys lie; must exist.
    pub folder: PathBuf,
    /// Port of REST, git and the pages; 0 for any.
    pub http_port: u16,
    /// Port of SSH; 0 for any.
    pub ssh_port: u16,
    /// What goes wrong with its events.
    pub faults: Faults,
}

/// Why there is no stand-in.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A port cannot be had.
    #[error("listen on 127.0.0.1:{port}: {error}; choose another port, or 0 for any that is free")]
    Port {
        /// The port.
        port: u16,
        /// The system's words.
        error: std::io::Error,
    },
    /// The folder cannot be used.
    #[error("use the folder {folder}: {why}; give one that exists and can be written to")]
    Folder {
        /// The folder.
        folder: String,
        /// What is wrong.
        why: String,
    },
}

/// A running stand-in; it ends when this is dropped.
pub struct Standin {
    site: Shared,
    /// Its address, with a slash at the end.
    pub url: String,
    /// The port of SSH on 127.0.0.1.
    pub ssh_port: u16,
    /// `TYPE KEY`, as in a known-hosts file.
    pub host_key: String,
    /// The bot's private SSH key.
    pub bot_key: PathBuf,
    tasks: Vec<JoinHandle<()>>,
}

impl Standin {
    /// Starts one on loopback, within the current runtime.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn start(options: &Options) -> Result<Self, StartError> {
        let listen = async |port: u16| {
            let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], port))).await;
            listener.map_err(|error| StartError::Port { port, error })
        };
        let (http, ssh) = (listen(options.http_port).await?, listen(options.ssh_port).await?);
        let port_of = |listener: &TcpListener| listener.local_addr().map_or(0, |address| address.port());
        let (http_port, ssh_port) = (port_of(&http), port_of(&ssh));
        let folder = |error: &dyn std::fmt::Display| StartError::Folder {
            folder: options.folder.display().to_string(),
            why: error.to_string(),
        };
        let host_key = ssh::new_key().map_err(|error| folder(&error))?;
        let bot_key = options.folder.join("bot_key");
        let bot = ssh::write_key(&bot_key).map_err(|error| folder(&error))?;
        let mut accounts = Accounts::standard();
        accounts.add_key(BOT, bot);
        let url = format!("http://127.0.0.1:{http_port}/");
        let repositories = options.folder.join("repositories");
        std::fs::create_dir_all(&repositories).map_err(|error| folder(&error))?;
        let site = Arc::new(Site::new(url.clone(), repositories, accounts, options.faults));
        let public = ssh::public_line(&host_key).map_err(|error| folder(&error))?;
        let tasks = vec![
            tokio::spawn(http::serve(http, site.clone())),
            tokio::spawn(ssh::serve(ssh, site.clone(), host_key)),
        ];
        Ok(Self { site, url, ssh_port, host_key: public, bot_key, tasks })
    }

    /// Its people, each with the token.
    pub fn people(&self) -> Vec<Person> {
        self.site.people()
    }

    /// The line for a known-hosts file.
    pub fn known_hosts(&self) -> String {
        format!("[127.0.0.1]:{} {}", self.ssh_port, self.host_key)
    }

    /// One of its people.
    pub fn person(&self, user: &str) -> Option<Person> {
        self.site.accounts.find(user).cloned()
    }
}

/// The token of one of a stand-in's accounts; the same at each, for they are no secret.
pub fn token_of(user: &str) -> Option<String> {
    Accounts::standard().find(user).map(|person| person.token.clone())
}

impl Drop for Standin {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}
