//! `seakeeper flakes`: the jobs that are proven to be flaky.

use clap::Args;

use super::daemon_at::DaemonAt;
use super::failure::Failure;
use super::{client, output};
use crate::model::view::FlakeView;
use crate::web::clean::one_line;
use crate::web::words;

/// What it takes.
#[derive(Args, Debug)]
pub struct Flakes {
    #[command(flatten)]
    at: DaemonAt,
    /// Write them as JSON.
    #[arg(long)]
    json: bool,
}

impl Flakes {
    /// For `--help`.
    pub const EXAMPLES: &str = "\
EXAMPLES:
  seakeeper flakes
  seakeeper flakes --json | jq -r '.[] | select(.proven > 3).job'

A job is proven to be flaky when it has failed and passed with the very same content. A job with
`attempts = \"where-it-pays\"` is tried again while at least one in five of its repeated builds passes.";

    /// Runs it.
    ///
    /// # Errors
    /// When the daemon cannot be reached.
    pub fn run(&self) -> Result<(), Failure> {
        let flakes = client::fetch_view(&self.at)?.flakes;
        if self.json {
            return output::say_json(&flakes);
        }
        if flakes.is_empty() {
            return output::say("no job has failed and passed with the same content");
        }
        output::say(flakes.iter().map(describe).collect::<Vec<_>>().join("\n"))
    }
}

fn describe(flake: &FlakeView) -> String {
    one_line(format_args!(
        "{} in {}: {} (build {} failed, build {} passed)",
        flake.job,
        flake.repository,
        words::flake(flake),
        flake.failed_build,
        flake.passed_build
    ))
}
