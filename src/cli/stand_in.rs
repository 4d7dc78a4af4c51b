//! `seakeeper stand-in`: a Gerrit to play with and to test against, without a daemon.

use anyhow::{Context, Result};
use clap::Args;

use super::exit::Exit;
use super::failure::Failure;
use super::output;
use super::stop::{Stop, TemporaryFolder};
use crate::standin::{Faults, Options, Standin, StartError};

/// The port that is tried first.
pub const HTTP_PORT: u16 = 8088;
/// How many ports after the first are tried.
const PORTS: u16 = 20;

/// What it takes.
#[derive(Args, Debug)]
pub struct StandIn {
    /// The port of its pages, REST and git; the next ones are tried where it is taken, 0 is any.
    #[arg(long, default_value_t = HTTP_PORT, value_name = "PORT")]
    port: u16,
    /// The port of SSH; 0 is any.
    #[arg(long, default_value_t = 0, value_name = "PORT")]
    ssh_port: u16,
    /// Of a thousand events, so many are lost.
    #[arg(long, default_value_t = 0, value_name = "N")]
    lose: u32,
    /// Of a thousand events, so many come twice.
    #[arg(long, default_value_t = 0, value_name = "N")]
    double: u32,
    /// Of a thousand events, so many come two seconds late.
    #[arg(long, default_value_t = 0, value_name = "N")]
    delay: u32,
    /// Of a thousand events, so many are overtaken by the next one.
    #[arg(long, default_value_t = 0, value_name = "N")]
    reorder: u32,
    /// Draws which events suffer; the same seed draws the same.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

impl StandIn {
    /// For `--help`.
    pub const EXAMPLES: &str = "\
EXAMPLES:
  seakeeper stand-in                          # prints how to reach it
  seakeeper stand-in --lose 100 --double 100  # a tenth of the events lost, a tenth doubled

It keeps nothing: what was in it is gone when it ends. Its accounts have tokens that everybody knows, so
it listens on this machine only.";

    /// Runs it until Ctrl-C.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn run(&self) -> Result<(), Failure> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let ran = runtime.context("start the stand-in").and_then(|runtime| runtime.block_on(self.serve()));
        ran.map_err(|error| Failure::from_error(Exit::Failed, &error))
    }

    async fn serve(&self) -> Result<()> {
        let mut stop = Stop::listen()?;
        let folder = TemporaryFolder::new("stand-in")?;
        let options = Options {
            folder: folder.path().to_owned(),
            http_port: self.port,
            ssh_port: self.ssh_port,
            faults: Faults {
                lost: self.lose,
                doubled: self.double,
                delayed: self.delay,
                reordered: self.reorder,
                seed: self.seed,
            },
        };
        let standin = start_near(&options).await.context("start the stand-in")?;
        for line in lines(&standin) {
            // Nobody reads: it serves all the same.
            let _ = output::say(line);
        }
        stop.wait().await;
        Ok(())
    }
}

/// How to reach it.
fn lines(standin: &Standin) -> Vec<String> {
    let mut lines = vec![
        format!("pages, REST and git: {}", standin.url),
        format!("SSH: 127.0.0.1:{}, for bot with the key {}", standin.ssh_port, standin.bot_key.display()),
        format!("known hosts: {}", standin.known_hosts()),
    ];
    let people = standin.people();
    lines.extend(people.iter().map(|person| format!("account {}: token {}", person.user, person.token)));
    lines.push("it stays until Ctrl-C".to_owned());
    lines
}

/// Starts a stand-in at the port asked for, or at one of the next ones where that is taken.
///
/// # Errors
/// When none of them can be had.
pub async fn start_near(options: &Options) -> Result<Standin, StartError> {
    let mut options = options.clone();
    let last = options.http_port.saturating_add(PORTS);
    loop {
        match Standin::start(&options).await {
            Err(StartError::Port { port, error })
                if port == options.http_port
                    && (1..last).contains(&port)
                    && error.kind() == std::io::ErrorKind::AddrInUse =>
            {
                options.http_port += 1;
            }
            started => return started,
        }
    }
}
