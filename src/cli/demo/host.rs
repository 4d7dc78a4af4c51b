//! The demonstration's Gerrit: the stand-in, or a real one on demand.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::real::{self, Keeper};
use crate::cli::stand_in;
use crate::cli::stop::Stop;
use crate::standin::{ADMIN, BOT, Faults, Options, Standin};

/// What must go on while the server is used.
enum Running {
    StandIn(#[expect(dead_code, reason = "held until it is dropped")] Box<Standin>),
    Real(#[expect(dead_code, reason = "held until it is dropped")] Keeper),
}

/// A running Gerrit; it is stopped when this is dropped.
pub struct Host {
    /// Its address, with a slash at the end.
    pub url: String,
    /// Host and port of its SSH.
    pub ssh: String,
    /// Its line for a known-hosts file.
    pub known_hosts: String,
    /// The daemon's account.
    pub bot: Account,
    /// The bot's private SSH key.
    pub bot_key: PathBuf,
    /// Who may do everything.
    pub admin: Account,
    /// An author.
    pub alice: Account,
    /// A reviewer.
    pub bob: Account,
    running: Running,
}

/// An account and its token.
#[derive(Clone, serde::Deserialize)]
pub struct Account {
    /// The user name.
    pub user: String,
    /// The token.
    pub token: String,
}

impl Host {
    /// Starts the stand-in with its data in `folder`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub async fn stand_in(folder: &Path, http_port: u16) -> Result<Self> {
        std::fs::create_dir_all(folder).context("make a folder for the stand-in")?;
        let folder = folder.to_owned();
        let options = Options { folder, http_port, ssh_port: 0, faults: Faults::default() };
        let standin = stand_in::start_near(&options).await.context("start the stand-in for Gerrit")?;
        let account = |user: &str| {
            let person = standin.person(user).with_context(|| format!("find the account {user}"))?;
            Ok::<_, anyhow::Error>(Account { user: person.user, token: person.token })
        };
        Ok(Self {
            url: standin.url.clone(),
            ssh: format!("127.0.0.1:{}", standin.ssh_port),
            known_hosts: standin.known_hosts(),
            bot: account(BOT)?,
            bot_key: standin.bot_key.clone(),
            admin: account(ADMIN)?,
            alice: account("alice")?,
            bob: account("bob")?,
            running: Running::StandIn(Box::new(standin)),
        })
    }

    /// Starts a real Gerrit with its data in `folder`; `None` when a person asked to stop meanwhile.
    ///
    /// # Errors
    /// When it cannot be started; the words say what is missing.
    pub async fn real(folder: &Path, stop: &mut Stop) -> Result<Option<Self>> {
        let Some((info, keeper)) = real::start(folder, stop).await? else { return Ok(None) };
        Ok(Some(Self {
            ssh: format!("127.0.0.1:{}", info.ssh_port),
            url: info.url,
            known_hosts: info.known_hosts,
            bot: info.bot.account,
            bot_key: info.bot.ssh_key,
            admin: info.admin,
            alice: info.humans.alice,
            bob: info.humans.bob,
            running: Running::Real(keeper),
        }))
    }

    /// Whether it is the stand-in, which has pages.
    pub fn is_stand_in(&self) -> bool {
        matches!(self.running, Running::StandIn(_))
    }
}
