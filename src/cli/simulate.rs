//! `seakeeper simulate`: runs the core against faked worlds full of faults, and checks it.

use std::ops::Range;

use clap::Args;

use super::exit::Exit;
use super::failure::Failure;
use super::output;

/// What it takes.
#[derive(Args, Debug)]
pub struct Simulate {
    /// The seeds, as in 0..1000 (the last one is not run).
    #[arg(long, value_name = "A..B", value_parser = parse_seeds, required_unless_present = "trace")]
    seeds: Option<Range<u64>>,
    /// How many seeds run at once [default: one per core].
    #[arg(long, value_name = "N")]
    threads: Option<std::num::NonZeroUsize>,
    /// Run this one seed, and tell each event and action.
    #[arg(long, value_name = "SEED", conflicts_with = "seeds")]
    trace: Option<u64>,
}

impl Simulate {
    /// For `--help`.
    pub const EXAMPLES: &str = "\
EXAMPLES:
  seakeeper simulate --seeds 0..1000
  seakeeper simulate --trace 417      # the whole story of a seed that failed

The same seed gives the same run on every machine. A violation ends with code 1.";

    /// Runs it.
    ///
    /// # Errors
    /// When a seed violates what must hold.
    pub fn run(self) -> Result<(), Failure> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = self.threads.map_or(cores, usize::from);
        let told = match (self.trace, self.seeds) {
            (Some(seed), _) => crate::sim::trace(seed),
            (None, seeds) => crate::sim::run_seeds(seeds.unwrap_or_default(), threads),
        };
        match told {
            Ok(summary) => output::say(summary),
            Err(violation) => Err(Failure::new(Exit::Failed, violation)),
        }
    }
}

/// Reads `A..B`.
///
/// # Errors
/// When it is no range, or an empty one.
fn parse_seeds(text: &str) -> Result<Range<u64>, String> {
    let range = text.split_once("..").and_then(|(from, to)| Some(from.parse().ok()?..to.parse().ok()?));
    range
        .filter(|range| !range.is_empty())
        .ok_or_else(|| "seeds are a range of numbers that is not empty, as in 0..1000".into())
}
