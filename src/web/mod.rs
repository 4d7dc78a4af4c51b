//! What people and machines see of the daemon: status page, JSON, health, metrics, logs of builds,
//! and the server side of the control socket. Floor 5: it reads views and hands over commands, and
//! decides nothing.

mod api;
mod assets;
mod chain;
pub mod clean;
pub mod control;
mod explain;
mod figures;
mod flaky;
pub mod history;
mod html;
mod listener;
mod live;
mod log;
pub mod mask;
pub mod mentioned;
pub mod metrics;
mod outlook;
mod page;
mod picture;
mod pieces;
mod plot;
mod router;
mod rows;
mod search;
mod state;
mod stream;
pub mod veil;
pub mod wire;
pub mod words;

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

pub use api::paths as api_paths;
pub use explain::Explanation;
pub use history::History;
pub use metrics::Metrics;
pub use router::{Options, router, serve};

use crate::model::cost::{CostOf, Costs};
use crate::model::event::Command;
use crate::model::view::View;
use crate::model::{Account, BuildId};

/// The answer to a command, when it comes.
pub type Asked = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// What becomes of another configuration, when it is known.
pub type Reloading = Pin<Box<dyn Future<Output = Reloaded> + Send>>;

/// What changes cost, when it is counted; an error is in words with the remedy.
pub type Costing = Pin<Box<dyn Future<Output = Result<Costs, String>> + Send>>;

/// What the face needs of the daemon. The daemon implements it; nothing here blocks.
pub trait Desk: Send + Sync + 'static {
    /// The latest published view as readers may see it: what they may not read is not in it.
    fn view(&self) -> Arc<View>;

    /// All of it, for the operators on the control socket.
    fn whole_view(&self) -> Arc<View>;

    /// The last day, and what was learnt of jobs.
    fn history(&self) -> &History;

    /// The figures, for what the face itself counts.
    fn figures(&self) -> &Metrics;

    /// Bumps whenever the view changes.
    fn changed(&self) -> watch::Receiver<u64>;

    /// Hands a command to the core in the name of `by`. The implementer applies a deadline.
    fn ask(&self, by: Account, command: Command) -> Asked;

    /// Reads the configuration anew in the name of `by`.
    fn reload(&self, by: Account) -> Reloading;

    /// Counts the builds that changes to these branches cause; to one branch of each gated repository where
    /// none is named.
    fn costs(&self, asked: Vec<CostOf>) -> Costing;

    /// Whether the daemon lives and can do its work.
    fn health(&self) -> Health;

    /// All metrics in the OpenMetrics text format.
    fn metrics(&self) -> String;

    /// Where the log of a build is, if there ever was such a build and readers may see all changes whose
    /// content it could show.
    fn log_path(&self, build: BuildId) -> Option<PathBuf>;
}

/// What the core said to a command.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    /// Whether it is done.
    pub accepted: bool,
    /// In words: what is done, or why not.
    pub text: String,
}

/// What became of another configuration.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Reloaded {
    /// In a word.
    pub verdict: Verdict,
    /// In words, one matter a line: all problems, or what is in force and what is not yet.
    pub lines: Vec<String>,
}

/// Whether another configuration counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Verdict {
    /// It is in force.
    InForce,
    /// It has faults; the one before stays in force.
    Faulty,
    /// It was not read; the one before stays in force.
    NotNow,
}

/// How the daemon is.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Health {
    /// Its loop turns; a daemon that is not live should be restarted.
    pub live: bool,
    /// It can gate; one that is not ready wants a person, or time.
    pub ready: bool,
    /// What is wrong, each with its remedy; some of it may not keep it from gating.
    pub problems: Vec<String>,
}
