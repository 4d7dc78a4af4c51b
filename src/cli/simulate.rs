//! `seakeeper simulate`: runs the core against faked worlds full of faults, and checks it.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use clap::Args;

use super::exit::Exit;
use super::failure::Failure;
use super::output;
use crate::sim::shrink::shrink;
use crate::sim::workload;
use crate::sim::{Class, Regression, Report, Violation, run_without};
use crate::sim::{setting::Setting, workload::Step};

/// What it takes.
#[derive(Args, Debug)]
pub struct Simulate {
    /// The seeds, as in 0..1000 (the last one is not run).
    #[arg(long, value_name = "A..B", value_parser = parse_seeds)]
    #[arg(required_unless_present_any = ["trace", "shrink", "replay"])]
    seeds: Option<Range<u64>>,
    /// Run the seeds under each strategy, without faults, and show what each costs.
    #[arg(long, requires = "seeds", conflicts_with = "all")]
    compare: bool,
    /// Builds at once, where strategies are compared.
    #[arg(long, value_name = "N", default_value = "16", requires = "compare")]
    slots: std::num::NonZeroU32,
    /// Changes approved in an hour, where strategies are compared.
    #[arg(long, value_name = "N", default_value = "60", requires = "compare")]
    per_hour: std::num::NonZeroU32,
    /// How many seeds run at once [default: one per core].
    #[arg(long, value_name = "N")]
    threads: Option<std::num::NonZeroUsize>,
    /// Go on after a violation, and list all of them.
    #[arg(long)]
    all: bool,
    /// Run this one seed, and tell each event and action.
    #[arg(long, value_name = "SEED", conflicts_with = "seeds")]
    trace: Option<u64>,
    /// Make this failing seed small, and write what is left as a regression.
    #[arg(long, value_name = "SEED", conflicts_with_all = ["seeds", "trace"])]
    shrink: Option<u64>,
    /// Run a stored regression, and tell each event and action.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["seeds", "trace", "shrink"])]
    replay: Option<PathBuf>,
}

/// What many seeds were like.
#[derive(Default)]
struct Summary {
    seeds: u64,
    events: u64,
    decided: u64,
    landed: u64,
    crashes: u64,
    violations: Vec<Violation>,
}

impl Simulate {
    /// For `--help`.
    pub const EXAMPLES: &str = "\
EXAMPLES:
  seakeeper simulate --seeds 0..1000
  seakeeper simulate --compare --seeds 0..100 --slots 4
  seakeeper simulate --trace 417      # the whole story of a seed that failed
  seakeeper simulate --shrink 417 > simulations/regressions/late-push.txt

The same seed gives the same run on every machine. A violation ends with code 1.";

    /// Runs it.
    ///
    /// # Errors
    /// When a seed violates what must hold.
    pub fn run(self) -> Result<(), Failure> {
        if let Some(seed) = self.trace {
            return tell(seed, &BTreeSet::new());
        }
        if let Some(seed) = self.shrink {
            return make_small(seed);
        }
        if let Some(path) = &self.replay {
            let shown = path.display();
            let read = |error: &dyn std::fmt::Display| {
                Failure::new(Exit::Failed, format_args!("read {shown}: {error}"))
            };
            let text = fs::read_to_string(path).map_err(|error| read(&error))?;
            let regression = Regression::parse(&text).map_err(|error| read(&error))?;
            return tell(regression.seed, &regression.disabled);
        }
        if self.compare {
            let (seeds, per_hour) = (self.seeds.unwrap_or_default(), self.per_hour.get());
            return super::compare::tell(&seeds, self.slots.get(), per_hour);
        }
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = self.threads.map_or(cores, usize::from);
        run_all(self.seeds.unwrap_or_default(), threads, self.all)
    }
}

/// Runs one seed; a panic is a violation of the class *crash*.
fn run_one(seed: u64, disabled: &BTreeSet<usize>, whole_trace: bool) -> Result<Report, Box<Violation>> {
    catch_unwind(AssertUnwindSafe(|| run_without(seed, disabled, whole_trace))).unwrap_or_else(|cause| {
        let text = cause.downcast_ref::<String>().cloned();
        let text = text.or_else(|| cause.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        let what = text.unwrap_or_else(|| "it panicked".into());
        Err(Box::new(Violation {
            seed,
            class: Class::Crash,
            invariant: "panic".into(),
            what,
            trace: Vec::new(),
        }))
    })
}

fn run_all(seeds: Range<u64>, threads: usize, all: bool) -> Result<(), Failure> {
    let began = Instant::now();
    let next = AtomicU64::new(seeds.start);
    let summary = Mutex::new(Summary::default());
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    let outcome = run_one(seed, &BTreeSet::new(), false);
                    if outcome.is_err() && !all {
                        next.store(seeds.end, Ordering::Relaxed);
                    }
                    if let Ok(mut summary) = summary.lock() {
                        summary.add(outcome);
                    }
                }
            });
        }
    });
    let Ok(summary) = summary.into_inner() else {
        return Err(Failure::new(Exit::Failed, "add up the runs"));
    };
    summary.tell(began.elapsed().as_millis())
}

impl Summary {
    fn add(&mut self, outcome: Result<Report, Box<Violation>>) {
        self.seeds += 1;
        match outcome {
            Ok(report) => {
                self.events += report.events;
                self.decided += u64::from(report.decided);
                self.landed += u64::from(report.landed);
                self.crashes += report.crashes;
            }
            Err(violation) => self.violations.push(*violation),
        }
    }

    fn tell(mut self, millis: u128) -> Result<(), Failure> {
        output::say(format_args!(
            "{} seeds in {millis} ms: {} events, {} items decided, {} changes landed, {} deaths survived",
            self.seeds, self.events, self.decided, self.landed, self.crashes
        ))?;
        self.violations.sort_by_key(|violation| violation.seed);
        let Some(first) = self.violations.first() else { return Ok(()) };
        for violation in &self.violations {
            output::complain(violation);
        }
        output::complain(format_args!("the last of what happened in seed {}:", first.seed));
        first.trace.iter().for_each(output::complain);
        let error = format!(
            "keep {} of {} seeds within their promises; the first: {first}",
            self.violations.len(),
            self.seeds
        );
        let hint = format!("seakeeper simulate --trace {} tells the whole story", first.seed);
        Err(Failure::new(Exit::Failed, error).hint(hint))
    }
}

fn tell(seed: u64, disabled: &BTreeSet<usize>) -> Result<(), Failure> {
    match run_one(seed, disabled, true) {
        Ok(report) => {
            report.trace.iter().try_for_each(output::say)?;
            output::say(format_args!("seed {seed} keeps all promises; digest {}", report.digest))
        }
        Err(violation) => {
            violation.trace.iter().try_for_each(output::say)?;
            Err(Failure::new(Exit::Failed, format_args!("keep the promises: {violation}")))
        }
    }
}

fn make_small(seed: u64) -> Result<(), Failure> {
    let Err(first) = run_one(seed, &BTreeSet::new(), false) else {
        return output::say(format_args!("seed {seed} keeps all promises: there is nothing to make small"));
    };
    let steps: Vec<Step> = workload::draw(&Setting::draw(seed));
    let disabled =
        shrink(steps.len(), &first, |disabled| run_one(seed, disabled, false).err().map(|found| *found));
    let mut note = format!("{}: {}\nWhat people still do:\n", first.invariant, first.what);
    for (_, step) in steps.iter().enumerate().filter(|(at, _)| !disabled.contains(at)) {
        // Writing to a string cannot fail.
        let _ = writeln!(note, "{step}");
    }
    output::say(Regression { note, seed, disabled }.text().trim_end())
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
