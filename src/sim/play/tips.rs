//! Runs at the tips of branches in stories: how sentences about them are read and judged, and what the
//! transcript tells of them.

use super::book::{RunPage, place};
use super::reader::Reader;
use super::stage::Stage;
use super::story::{Amount, Claim, Name};
use super::words::Read;
use crate::model::action::Decision;
use crate::model::run::{Blame, RunOutcome};
use crate::model::view::RunView;
use crate::model::{ItemId, Pair};

/// What can be said of runs, for complaints.
const SAMPLES: &str = "write for example `the post run of app passed`, `the post run of app failed because unit failed`, `the nightly run of app is under way`, `the post run of app blames A` or `2 post runs of app`";

/// Runs of a pipeline, at a branch or anywhere.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Meant {
    /// The pipeline.
    pub pipeline: String,
    /// The branch; any where none is named.
    pub pair: Option<Pair>,
}

/// What is said of the last run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RunClaim {
    /// It passed.
    Passed,
    /// It failed, because of this job where one is named.
    Failed(Option<String>),
    /// It goes on.
    UnderWay,
    /// It was stopped, with these words.
    Stopped(Vec<String>),
    /// Since this change a job fails.
    Blames(Name),
    /// Since a push beside the queue a job fails.
    BlamesPush,
}

impl Reader<'_> {
    /// `post run of app`, where the next words are of that kind.
    pub fn maybe_runs(&mut self) -> Read<Option<Meant>> {
        let before = self.line.clone();
        self.line.skip(&["a", "the", "last", "one", "any"]);
        let pipeline = self.line.peek().map(|word| word.text.clone()).unwrap_or_default();
        let run = self.line.peek_at(1).is_some_and(|word| ["run", "runs"].contains(&&*word.small));
        if !run || !self.known.pipelines.contains(&pipeline) {
            self.line = before;
            return Ok(None);
        }
        self.line.next();
        self.line.next();
        let pair = if self.line.eat(&["of", "at", "on"]) { Some(self.pair()?) } else { None };
        Ok(Some(Meant { pipeline, pair }))
    }

    /// `the post run of app passed`.
    pub fn claim_of_run(&mut self) -> Read<Option<Claim>> {
        let Some(meant) = self.maybe_runs()? else { return Ok(None) };
        self.line.skip(&["has", "have", "is", "was", "does", "did", "been"]);
        let so = !self.line.eat(&["not", "never"]);
        self.line.skip(&["been"]);
        let what = if self.line.eat(&["passed", "pass", "passes"]) {
            RunClaim::Passed
        } else if self.line.eat(&["failed", "fail", "fails"]) {
            self.line.skip(&["because", "as", "since"]);
            let job = self.maybe_job();
            self.line.skip(&["failed", "fails"]);
            RunClaim::Failed(job)
        } else if self.line.phrase(&["under way", "running", "building", "on"]) {
            RunClaim::UnderWay
        } else if self.line.eat(&["stopped", "stop", "ended"]) {
            self.line.skip(&["because", "as", "since"]);
            RunClaim::Stopped(if self.line.is_over() { Vec::new() } else { vec![self.line.take_rest()] })
        } else if self.line.eat(&["blames", "blame", "blamed"]) {
            if self.line.phrase(&["a push", "the push", "somebody's push"]) {
                RunClaim::BlamesPush
            } else {
                RunClaim::Blames(self.change()?)
            }
        } else {
            return self.fault("is nothing that can be said of a run", SAMPLES);
        };
        Ok(Some(Claim::Run(meant, what, so)))
    }

    /// Names of pipelines for a job: `post`, `periodic nightly`, `check and gate`.
    pub fn pipelines(&mut self) -> Read<Vec<String>> {
        let mut names = Vec::new();
        loop {
            self.line.skip(&["only", "the", "pipeline", "pipelines", "periodic", "on-demand", "and"]);
            let name = self.line.need("the pipeline", "job slow in post")?;
            let more =
                name.comma && self.names_pipeline(0) || self.line.is(&["and"]) && self.names_pipeline(1);
            names.push(name.text);
            if !more {
                return Ok(names);
            }
        }
    }

    /// Whether the word so far ahead stands for pipelines.
    pub fn names_pipeline(&self, ahead: usize) -> bool {
        const WORDS: [&str; 4] = ["pipeline", "pipelines", "periodic", "on-demand"];
        self.line
            .peek_at(ahead)
            .is_some_and(|word| WORDS.contains(&&*word.small) || self.known.pipelines.contains(&word.text))
    }
}

impl Meant {
    fn fits(&self, pipeline: &str, pair: &Pair) -> bool {
        self.pipeline == pipeline && self.pair.as_ref().is_none_or(|meant| meant == pair)
    }

    fn words(&self) -> String {
        let of = self.pair.as_ref().map(|pair| format!(" of {}", place(pair))).unwrap_or_default();
        format!("{} run{of}", self.pipeline)
    }
}

impl Stage {
    /// Whether so many runs have begun; what looks for culprits does not count.
    pub fn runs_counted(&self, amount: Amount, meant: &Meant) -> Result<(), String> {
        let runs = self.book.runs.values().filter(|run| !run.probes && meant.fits(&run.pipeline, &run.pair));
        let count = runs.count();
        if amount.fits(count) { Ok(()) } else { Err(format!("{count} times a {}", meant.words())) }
    }

    /// Whether the last run is so.
    pub fn run_is(&self, meant: &Meant, what: &RunClaim, so: bool) -> Result<(), String> {
        let runs: Vec<RunView> = self
            .view()
            .map(|view| view.runs)
            .unwrap_or_default()
            .into_iter()
            .filter(|run| run.probes.is_none() && meant.fits(run.pipeline.name(), &run.pair))
            .collect();
        let ended = runs.iter().filter_map(|run| Some((run, run.outcome.as_ref()?)));
        let holds = match what {
            RunClaim::UnderWay => runs.iter().any(|run| run.outcome.is_none()),
            RunClaim::Passed => ended.clone().any(|(_, outcome)| *outcome == RunOutcome::Passed),
            RunClaim::Failed(job) => ended.clone().any(|(_, outcome)| match outcome {
                RunOutcome::Failed { jobs } => {
                    job.as_ref().is_none_or(|job| jobs.iter().any(|name| name.as_str() == job))
                }
                _ => false,
            }),
            RunClaim::Stopped(texts) => ended.clone().any(|(run, outcome)| {
                matches!(outcome, RunOutcome::Stopped { .. } | RunOutcome::NoVerdict { .. })
                    && texts.iter().all(|text| self.contains(&run.words, text))
            }),
            RunClaim::Blames(name) => {
                let number = self.number(name);
                let is_it = |blame: &Blame| blame.change().is_some_and(|(_, change)| change.number == number);
                runs.iter().flat_map(|run| &run.blames).any(is_it)
            }
            RunClaim::BlamesPush => {
                let is_it = |blame: &Blame| matches!(blame.moves.as_slice(), [only] if only.others && only.changes.is_empty());
                runs.iter().flat_map(|run| &run.blames).any(is_it)
            }
        };
        if holds == so {
            return Ok(());
        }
        let shown: Vec<String> = runs
            .iter()
            .map(|run| {
                let blames: Vec<String> = run.blames.iter().map(ToString::to_string).collect();
                let state = if run.outcome.is_some() { "" } else { "under way: " };
                format!(
                    "{} run of {} {state}{} {}",
                    run.pipeline,
                    place(&run.pair),
                    run.words,
                    blames.join("; ")
                )
            })
            .collect();
        if shown.is_empty() {
            return Err(format!("there was no {}", meant.words()));
        }
        Err(self.with_names(shown.join(", ").trim_end()))
    }

    /// Writes down what was decided about runs.
    pub fn write_down_run(&mut self, decision: &Decision) {
        match decision {
            Decision::RunBegun { run, pipeline, tips, probe } => {
                let Some((pair, _)) = tips.first() else { return };
                let page =
                    RunPage { pipeline: pipeline.to_string(), pair: pair.clone(), probes: probe.is_some() };
                self.book.runs.insert(*run, page);
                self.say(match probe {
                    None => format!("the {pipeline} run of {} begins", place(pair)),
                    Some(probe) => format!(
                        "since when {} fails on {} is looked for: after {} of what came in",
                        probe.job,
                        place(&probe.home),
                        probe.after
                    ),
                });
            }
            Decision::RunEnded { run, pipeline, pair, outcome } if !self.is_probe(*run) => {
                self.say(format!("the {pipeline} run of {} {outcome}", place(pair)));
            }
            _ => {}
        }
    }

    fn is_probe(&self, run: ItemId) -> bool {
        self.book.runs.get(&run).is_some_and(|page| page.probes)
    }
}
