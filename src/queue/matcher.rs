//! File matchers: jobs that run only where an item changes certain files, and the list of those that are
//! spared.
//!
//! What decides lies in branches that the item writes, whose starts belong to its footprint in any case.

use crate::model::tree::Unneeded;
use crate::model::{InputPolicy, JobPolicy, Pair};

use super::resolve::{Resolution, Source, Stop};

/// The most jobs that are listed as spared.
const LISTED_MAX: usize = 100;
/// The most patterns that are named of a job.
const NAMED_MAX: usize = 5;

impl Resolution<'_> {
    /// Whether the item changes one of the job's files in a branch that it could read for `home`, or alters
    /// the job file in which the job stands. Nothing is read but what the item writes.
    pub(super) fn may_be_needed(
        &mut self,
        job: &JobPolicy,
        home: &Pair,
        source: Source<'_>,
    ) -> Result<bool, Stop> {
        let may_read = |pair: &Pair| {
            let named = |input: &InputPolicy| {
                input.repository == pair.repository
                    && input.branch.as_ref().is_none_or(|branch| *branch == pair.branch)
            };
            pair == home || job.inputs.iter().any(named)
        };
        Ok(self.changes(job, may_read)? || self.alters(home, source)?)
    }

    /// Whether the item alters the job file in which a job for `home` stands.
    pub(super) fn alters(&mut self, home: &Pair, source: Source<'_>) -> Result<bool, Stop> {
        let stands_there = matches!(source, Source::Repository(_)) && self.writes.contains(home);
        Ok(stands_there && self.trees.alters_job_file(home)?)
    }

    /// Whether the item changes one of the job's files in the branches for which `reads` holds.
    pub(super) fn changes(&mut self, job: &JobPolicy, reads: impl Fn(&Pair) -> bool) -> Result<bool, Stop> {
        for pair in self.writes.iter().filter(|pair| reads(pair)) {
            if self.trees.alters_files(pair, &job.files)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Notes that the job is spared, if the item would have it without its matcher. That is only shown: what
    /// is looked at for it is no part of the footprint, else nobody would gain from a matcher.
    pub(super) fn spare(&mut self, job: &JobPolicy, home: &Pair) -> Result<(), Stop> {
        let changes_input = |input: &InputPolicy| self.writes.contains(&preferred(input, home));
        let concerned = self.writes.contains(home) || job.inputs.iter().any(changes_input);
        if concerned && self.unneeded.len() < LISTED_MAX && self.trees.commit(home)?.is_some() {
            let spared = Unneeded { job: job.name.clone(), home: home.clone(), why: why(job).into() };
            self.unneeded.insert((job.name.clone(), home.clone()), spared);
        }
        Ok(())
    }
}

/// The branch that an input means for `home`, if it exists.
pub(super) fn preferred(input: &InputPolicy, home: &Pair) -> Pair {
    let branch = input.branch.as_ref().unwrap_or(&home.branch);
    Pair { repository: input.repository.clone(), branch: branch.clone() }
}

fn why(job: &JobPolicy) -> String {
    let patterns = &job.files.0;
    let named: Vec<String> = patterns.iter().take(NAMED_MAX).map(|pattern| format!("`{pattern}`")).collect();
    let more = match patterns.len().saturating_sub(NAMED_MAX) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("none of {}{more} is changed", named.join(", "))
}
