//! `seakeeper demo`: a Gerrit to play with, a daemon and a few authors, to see a gate at work before
//! setting one up.

mod author;
mod gate;
mod host;
mod play;
mod real;
mod teach;
mod vote;
mod watch;

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};
use clap::{Args, Subcommand, ValueEnum};
use serde::Serialize;

use super::exit::Exit;
use super::failure::Failure;
use super::output;
use super::stand_in::HTTP_PORT;
use super::stop::{Stop, TemporaryFolder};
use gate::Gate;
use host::Host;

/// What it takes.
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Demo {
    #[command(subcommand)]
    then: Option<Then>,
    /// Which Gerrit to gate: the one within this program, or a real one.
    #[arg(long, value_enum, default_value_t = Which::StandIn)]
    gerrit: Which,
    /// The port of the stand-in's pages, REST and git; the next ones are tried where it is taken.
    #[arg(long, default_value_t = HTTP_PORT, value_name = "PORT")]
    port: u16,
    /// End when every change has landed or left, instead of serving until Ctrl-C.
    #[arg(long)]
    until_idle: bool,
    /// Write the outcome as one JSON object on standard output, and all else on standard error.
    #[arg(long)]
    json: bool,
}

/// A server to gate.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Which {
    /// The stand-in, which is part of this program.
    StandIn,
    /// A real Gerrit, fetched with Maven.
    Real,
}

/// What can be done to a demonstration that runs.
#[derive(Subcommand, Debug)]
enum Then {
    /// Vote on a change of a running demonstration.
    #[command(after_help = vote::Vote::EXAMPLES)]
    Vote(vote::Vote),
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
  seakeeper demo                      # prints two pages to look at, and how to take part
  seakeeper demo vote 9 +2            # in another terminal: approve change 9
  seakeeper demo --until-idle --json  # ends by itself: {\"landed\":6,\"left\":2,...}
  seakeeper demo --gerrit real        # the same on a real Gerrit

It needs git and nothing else. With `--gerrit real` it needs python3, a JDK (21 or later) and Maven as well,
and the project's sources. All that it starts ends with it.";

    /// Runs it.
    ///
    /// # Errors
    /// When the demonstration cannot be set up, or does not come to its end.
    pub fn run(&self) -> Result<(), Failure> {
        // An error means that a provider is installed already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        if let Some(Then::Vote(vote)) = &self.then {
            return vote.run();
        }
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
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
        let folder = TemporaryFolder::new("demo")?;
        let place = folder.path().join("gerrit");
        let host = match self.gerrit {
            Which::StandIn => Some(Host::stand_in(&place, self.port).await?),
            Which::Real => {
                self.tell(
                    "starting a Gerrit (some ten seconds; the first time it is fetched and set up) ...",
                );
                Host::real(&place, &mut stop).await?
            }
        };
        let Some(host) = host else { return Ok(None) };
        let what = if host.is_stand_in() { "pages, REST and git" } else { "REST and git; it has no pages" };
        self.tell(format_args!("Gerrit answers at {} ({what})", host.url));
        tokio::select! {
            outcome = self.show_at(&host, folder.path()) => outcome,
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
            for line in teach::lines(host, &gate.url) {
                self.tell(line);
            }
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
