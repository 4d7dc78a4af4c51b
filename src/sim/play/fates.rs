//! What builds come to: a function of what is in their trees, as the story says it.

use std::collections::{BTreeMap, BTreeSet};

use super::story::{Content, Fate, Name, Truth};
use crate::model::{JobName, ResolvedInput, VerdictKey};
use crate::sim::fakes::site::visible;
use crate::world::Gerrit;

/// How long a build lasts unless the story says otherwise, in milliseconds.
const USUAL_MS: i64 = 10 * 60_000;

/// All that the story says of builds, in its order: of several lines that apply the last one counts.
#[derive(Clone, Debug, Default)]
pub struct Truths {
    said: Vec<(Truth, u32)>,
    attempts: BTreeMap<VerdictKey, u32>,
}

/// What one build will come to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Course {
    /// How long it lasts by itself, in milliseconds.
    pub lasts_ms: i64,
    /// What it comes to.
    pub fate: Fate,
}

/// What a patch set leaves in the files that it edits.
pub fn token(name: &str, round: u32) -> String {
    format!("{name}#{round}")
}

impl Truths {
    /// Adds what a statement says; a name without a patch set means the content as it is now.
    pub fn add(&mut self, mut truth: Truth, rounds: &BTreeMap<Name, u32>) {
        let fix = |content: &mut Content| {
            if content.round.is_none() && !content.any {
                content.round = Some(rounds.get(&content.name).copied().unwrap_or(1));
            }
        };
        truth.with.iter_mut().flatten().for_each(fix);
        truth.without.iter_mut().for_each(fix);
        self.said.push((truth, 0));
    }

    /// What a build that begins now comes to.
    pub fn course(
        &mut self,
        gerrit: &Gerrit,
        job: &JobName,
        inputs: &[ResolvedInput],
        key: Option<VerdictKey>,
    ) -> Course {
        let attempt = key.map_or(1, |key| {
            let count = self.attempts.entry(key).or_default();
            *count += 1;
            *count
        });
        let words = words(gerrit, inputs);
        let home = inputs.first().map(|input| input.pair.repository.as_str()).unwrap_or_default();
        let mut lasts_ms = USUAL_MS;
        let mut chosen = None;
        for (at, (truth, used)) in self.said.iter().enumerate() {
            let applies = truth.job.as_deref().is_none_or(|name| name == job.as_str())
                && truth.home.as_deref().is_none_or(|name| name == home)
                && truth.times.is_none_or(|times| *used < times)
                && truth.attempt.is_none_or(|wanted| wanted == attempt)
                && holds(truth, &words);
            match truth.fate {
                Fate::Takes(ms) if applies => lasts_ms = ms,
                _ if applies => chosen = Some(at),
                _ => {}
            }
        }
        let Some((truth, used)) = chosen.and_then(|at| self.said.get_mut(at)) else {
            return Course { lasts_ms, fate: Fate::Passes };
        };
        *used += 1;
        let lasts_ms = match truth.fate {
            Fate::Fails { after: Some(ms), .. } | Fate::Breaks(Some(ms)) => ms,
            _ => lasts_ms,
        };
        Course { lasts_ms, fate: truth.fate.clone() }
    }
}

fn holds(truth: &Truth, words: &BTreeSet<String>) -> bool {
    let there = |content: &Content| match content.round {
        Some(round) => words.contains(&token(&content.name, round)),
        None => words
            .iter()
            .any(|word| word.strip_prefix(&*content.name).is_some_and(|rest| rest.starts_with('#'))),
    };
    (truth.with.is_empty() || truth.with.iter().any(|all| all.iter().all(there)))
        && !truth.without.iter().any(there)
}

/// All words in the files that the inputs show.
fn words(gerrit: &Gerrit, inputs: &[ResolvedInput]) -> BTreeSet<String> {
    let mut words = BTreeSet::new();
    for input in inputs {
        let tree = gerrit.git.tree_of(input.commit);
        for (_, content) in visible(&tree, &input.paths, &input.ignored_files) {
            words.extend(content.split_whitespace().map(str::to_owned));
        }
    }
    words
}
