//! `seakeeper demo`: a real Gerrit, a daemon and a few authors, to see a gate at work before setting
//! one up.

mod author;
mod gate;
mod host;
mod play;
mod watch;

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};
use clap::Args;
use serde::Serialize;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::exit::Exit;
use super::failure::Failure;
use super::output;
use gate::Gate;
use host::Host;

/// What it takes.
#[derive(Args, Debug)]
pub struct Demo {
    /// End when every change has landed or left, instead of serving until Ctrl-C.
    #[arg(long)]
    until_idle: bool,
    /// Write the outcome as one JSON object on standard output, and all else on standard error.
    #[arg(long)]
    json: bool,
}

/// How it went.
#[derive(Serialize)]
struct Outcome {
    /// Changes that landed.
    landed: usize,
    /// Changes that left without landing.
    left: usize,
    /// From the first approval to the last change decided.
    seconds: f64,
    /// The daemon's page.
    url: String,
}

impl Demo {
    /// For `--help`.
    pub const EXAMPLES: &str = "\
EXAMPLES:
  seakeeper demo                      # prints the address of a page to look at
  seakeeper demo --until-idle --json  # ends by itself: {\"landed\":6,\"left\":2,...}

It needs git, python3, a JDK (21 or later) and Maven, and the project's sources, from which it starts a
Gerrit of its own in a temporary folder. All that it starts ends with it.";

    /// Runs it.
    ///
    /// # Errors
    /// When the demonstration cannot be set up, or does not come to its end.
    pub fn run(&self) -> Result<(), Failure> {
        // An error means that a provider is installed already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let told = runtime
            .context("start the demonstration")
            .and_then(|runtime| runtime.block_on(self.show()))
            .map_err(|error| Failure::from_error(Exit::Failed, &error))?;
        match told {
            Some(outcome) if self.json => output::say_json(&outcome),
            _ => Ok(()),
        }
    }

    /// Sets up, plays, and stays; all that was started ends when this returns.
    async fn show(&self) -> Result<Option<Outcome>> {
        let mut stop = Stop::listen()?;
        let folder = TemporaryFolder::new()?;
        self.tell("starting a Gerrit (some ten seconds; the first time it is fetched and set up) ...");
        let Some(host) = Host::start(&folder.0.join("gerrit"), &mut stop).await? else { return Ok(None) };
        self.tell(format_args!("Gerrit answers at {} (REST and git; it has no pages)", host.url));
        tokio::select! {
            outcome = self.show_at(&host, &folder.0) => outcome,
            () = stop.wait() => Ok(None),
        }
    }

    async fn show_at(&self, host: &Host, folder: &Path) -> Result<Option<Outcome>> {
        let plan = play::prepare(host, folder).await?;
        let mut gate = Gate::start(host, &folder.join("daemon")).await?;
        self.tell(format_args!("the daemon is ready: see {}", gate.url));
        let begun = Instant::now();
        let watching = watch::until_decided(&gate, plan.changes.len(), |line| self.tell(line));
        let (approved, counts) = tokio::join!(plan.approve(|line| self.tell(line)), watching);
        approved?;
        let (landed, left) = counts?;
        let seconds = (begun.elapsed().as_secs_f64() * 10.0).round() / 10.0;
        self.tell(format_args!("{landed} landed, {left} left, {seconds} s"));
        if !self.until_idle {
            self.tell(format_args!("the page stays at {} until Ctrl-C", gate.url));
            gate.ended().await?;
        }
        Ok(Some(Outcome { landed, left, seconds, url: gate.url.clone() }))
    }

    /// Progress: on standard output, unless that is for JSON.
    fn tell(&self, line: impl std::fmt::Display) {
        if self.json {
            output::complain(line);
        } else {
            // Nobody reads: the demonstration goes on all the same.
            let _ = output::say(line);
        }
    }
}

/// Ctrl-C and its like.
struct Stop {
    interrupt: Signal,
    terminate: Signal,
}

impl Stop {
    fn listen() -> Result<Self> {
        let listen = |kind| signal(kind).context("listen to signals");
        Ok(Self { interrupt: listen(SignalKind::interrupt())?, terminate: listen(SignalKind::terminate())? })
    }

    async fn wait(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// A folder that goes when it is dropped.
struct TemporaryFolder(std::path::PathBuf);

impl TemporaryFolder {
    fn new() -> Result<Self> {
        let path = std::env::temp_dir().join(format!("seakeeper-demo-{}", std::process::id()));
        std::fs::create_dir(&path).with_context(|| format!("make the folder {}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        // What cannot be removed lies in the system's place for such.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
