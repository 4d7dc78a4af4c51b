//! Since when a job fails: the states of its branches between a pass and a failure are looked at by halves.
//!
//! Each state is one run of that job alone, at the commits that its branches had then. Verdicts are shared by
//! key, so what changes nothing for the job costs no build.

use super::super::jobs::JobState;
use super::super::{Note, Queue};
use super::{Hunt, JobAt, Look};
use crate::model::action::Decision;
use crate::model::run::{Blame, Move, Probe};
use crate::model::tree::Resolved;
use crate::model::{Action, ItemId, NodeId, Pair, Pipeline, Sha};

impl Hunt {
    /// After how many suspects the branches are to be looked at next; `None` where nothing is left to find.
    pub fn next(&self) -> Option<usize> {
        if self.unknown.is_some() {
            None
        } else if !self.sure {
            Some(0)
        } else if self.bad > self.good + 1 {
            Some(self.good + (self.bad - self.good) / 2)
        } else {
            None
        }
    }

    /// The branches as they were after so many suspects.
    pub fn tips_after(&self, suspects: usize) -> Vec<(Pair, Sha)> {
        let mut tips = self.tips.clone();
        for moved in self.suspects.iter().take(suspects).flatten() {
            if let Some(tip) = tips.iter_mut().find(|(pair, _)| *pair == moved.pair) {
                tip.1 = moved.commit;
            }
        }
        tips
    }

    /// What was found out.
    pub fn blame(&self, job: &JobAt) -> Blame {
        let (_, name, home) = job.clone();
        let found = self.bad.checked_sub(1).and_then(|last| self.suspects.get(last));
        let (moves, why) = match &self.unknown {
            Some(why) => (Vec::new(), why.clone()),
            None => (found.cloned().unwrap_or_default(), "".into()),
        };
        Blame { job: name, home, moves, build: self.shown.build, why }
    }

    /// The state after so many suspects cannot be judged: what comes before it and after it stands together.
    pub fn skip(&mut self, after: usize) {
        if after == 0 || after >= self.bad || after >= self.suspects.len() {
            self.unknown = Some("the state at which it passed can no longer be judged".into());
            return;
        }
        let next = self.suspects.remove(after);
        if let Some(before) = self.suspects.get_mut(after - 1) {
            before.extend(next);
        }
        self.bad -= 1;
    }
}

impl Queue {
    /// What is to be found out about the failures of a run: jobs that passed before, where the pipeline
    /// asks for it.
    pub(super) fn suspicions(&self, run: ItemId) -> Vec<Decision> {
        let Some(stay) = self.state.stay(run) else { return Vec::new() };
        let bisects =
            self.state.policy.as_ref().is_some_and(|policy| policy.pipelines.bisects(&stay.pipeline));
        if !bisects {
            return Vec::new();
        }
        let failed = self.job_states(stay).filter(|(job, state)| job.voting && *state == JobState::Failed);
        let suspicions = failed.filter_map(|(job, _)| {
            let key = (stay.pipeline.clone(), job.name.clone(), job.home.clone());
            let known = self.state.runs.verdicts.get(&key).filter(|known| known.passed)?;
            let reads = |pair: &Pair| job.inputs.iter().find(|input| input.pair == *pair);
            let tips: Vec<(Pair, Sha)> =
                known.tips.iter().filter(|(pair, _)| reads(pair).is_some()).cloned().collect();
            let now: Vec<(Pair, Sha)> =
                job.inputs.iter().map(|input| (input.pair.clone(), input.commit)).collect();
            let moves = self.moves_since(&tips, &now);
            let home_first = tips.first().is_some_and(|(pair, _)| *pair == job.home);
            (home_first && !moves.is_empty() && !self.state.runs.hunts.contains_key(&key)).then(|| {
                let (job, home) = (job.name.clone(), job.home.clone());
                let sure = known.policy_epoch == self.state.policy_epoch;
                Decision::Suspected { run, job, home, tips, moves, sure }
            })
        });
        suspicions.collect()
    }

    /// How branches have moved from `tips` to `now`, in order. What is not known stands first, as one move.
    fn moves_since(&self, tips: &[(Pair, Sha)], now: &[(Pair, Sha)]) -> Vec<Move> {
        let mut found: Vec<(usize, Move)> = Vec::new();
        for (pair, before) in tips {
            let Some((_, commit)) = now.iter().find(|(other, _)| other == pair) else { continue };
            if commit == before {
                continue;
            }
            let own: Vec<(usize, &Move)> =
                (1..).zip(&self.state.runs.moves).filter(|(_, moved)| moved.pair == *pair).collect();
            let last = own.iter().rposition(|(_, moved)| moved.commit == *commit);
            let first =
                last.and_then(|last| own[..=last].iter().rposition(|(_, moved)| moved.before == *before));
            let (Some(first), Some(last)) = (first, last) else {
                let (pair, before, commit) = (pair.clone(), *before, *commit);
                let changes = Vec::new();
                found.push((0, Move { pair, before, commit, changes, others: false, forgotten: true }));
                continue;
            };
            let mut at = *before;
            for (place, moved) in &own[first..=last] {
                // What came in between was not heard of.
                let forgotten = moved.before != at;
                at = moved.commit;
                found.push((*place, Move { forgotten, ..(*moved).clone() }));
            }
        }
        found.sort_by_key(|(place, _)| *place);
        found.into_iter().map(|(_, moved)| moved).collect()
    }

    /// Goes on with each search, and tells of those that are over.
    pub(super) fn plan_hunts(&mut self) {
        let idle = |hunt: &Hunt| hunt.probe.is_none_or(|run| !self.state.runs.under_way.contains_key(&run));
        let jobs: Vec<JobAt> = self.state.runs.hunts.keys().cloned().collect();
        let moot: Vec<JobAt> = jobs.iter().filter(|job| self.is_moot(job)).cloned().collect();
        let next = jobs.iter().filter(|job| !moot.contains(job)).filter_map(|job| {
            let hunt = self.state.runs.hunts.get(job).filter(|hunt| idle(hunt))?;
            let after = hunt.next()?;
            Some((job.clone(), hunt.tips_after(after), after))
        });
        let next: Vec<Look> = next.collect();
        for (pipeline, job, home) in moot {
            self.act(Action::Decision(Decision::Dropped { pipeline, job, home }));
        }
        for ((pipeline, job, home), tips, after) in next {
            self.begin_run(pipeline, tips, Some(Probe { job, home, after }));
        }
        self.tell_found();
    }

    /// Whether nobody wants to know any more: it passes again, or nothing is known of it.
    fn is_moot(&self, job: &JobAt) -> bool {
        let failing = self.state.runs.verdicts.get(job).is_some_and(|known| !known.passed);
        let policy = self.state.policy.as_ref();
        !failing || policy.is_none_or(|policy| !policy.pipelines.bisects(&job.0))
    }

    /// Concludes the searches of each run of which none goes on: what they have found is told together.
    fn tell_found(&mut self) {
        let hunts = &self.state.runs.hunts;
        let origins: std::collections::BTreeSet<ItemId> = hunts.values().map(|hunt| hunt.origin).collect();
        let over = |origin: &ItemId| {
            hunts.values().filter(|hunt| hunt.origin == *origin).all(|hunt| hunt.next().is_none())
        };
        let over: Vec<ItemId> = origins.into_iter().filter(over).collect();
        for run in over {
            let hunts = self.state.runs.hunts.iter().filter(|(_, hunt)| hunt.origin == run);
            let found: Vec<(Pipeline, Blame)> =
                hunts.map(|(job, hunt)| (job.0.clone(), hunt.blame(job))).collect();
            for (pipeline, blame) in found {
                let build = blame.build.map(|build| format!(" (build {build})")).unwrap_or_default();
                let text = format!("{pipeline}: {blame}{build}; revert what broke it, or repair it");
                self.out.notes.push(Note::Said(text));
            }
            self.act(Action::Decision(Decision::Blamed { run }));
        }
    }

    /// Of the jobs at a node of a search only the one that is looked for, and what it needs.
    pub(in crate::queue) fn sought(&self, node: NodeId, outcome: Resolved) -> Resolved {
        let run = self.state.nodes.get(&node).and_then(|node| self.state.runs.under_way.get(&node.item));
        match (run.and_then(|run| run.probe.as_ref()), outcome) {
            (Some(probe), Resolved::Jobs { mut jobs, reads, alters_job_files, noop, unneeded, post }) => {
                let mut wanted = vec![probe.job.clone()];
                let mut at = 0;
                while let Some(name) = wanted.get(at).cloned() {
                    let of = jobs.iter().find(|job| job.name == name && job.home == probe.home);
                    let needs = of.map_or(&[][..], |job| &job.needs);
                    let news: Vec<_> = needs.iter().filter(|need| !wanted.contains(need)).cloned().collect();
                    wanted.extend(news);
                    at += 1;
                }
                jobs.retain(|job| wanted.contains(&job.name) && job.home == probe.home);
                Resolved::Jobs { jobs, reads, alters_job_files, noop, unneeded, post }
            }
            (_, outcome) => outcome,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::item::{JobOutcome, JobResult};

    fn sha(number: usize) -> Sha {
        Sha([u8::try_from(number).unwrap(); 20])
    }

    /// A job that passed at commit 0 of `app`, with as many moves since.
    fn hunt(moves: usize) -> Hunt {
        let pair = Pair::new("app", "main");
        let moved = |at: usize| {
            let (before, commit) = (sha(at), sha(at + 1));
            vec![Move {
                pair: pair.clone(),
                before,
                commit,
                changes: Vec::new(),
                others: false,
                forgotten: false,
            }]
        };
        let shown = JobResult {
            job: "unit".into(),
            home: pair.clone(),
            result: JobOutcome::Failure,
            duration_ms: 0,
            build: None,
            voting: true,
            detail: "".into(),
            needs: Vec::new(),
        };
        Hunt {
            origin: ItemId(1),
            since: Default::default(),
            tips: vec![(pair.clone(), sha(0))],
            suspects: (0..moves).map(moved).collect(),
            sure: true,
            good: 0,
            bad: moves,
            shown,
            unknown: None,
            probe: None,
        }
    }

    /// Looks until nothing is left to find; gives the commit found and how often it looked.
    fn search(mut hunt: Hunt, culprit: usize, untestable: &[usize]) -> (Vec<Sha>, usize) {
        let mut looks = 0;
        while let Some(after) = hunt.next() {
            looks += 1;
            let commit = hunt.tips_after(after)[0].1;
            if untestable.iter().any(|at| sha(*at) == commit) {
                hunt.skip(after);
            } else if commit >= sha(culprit) {
                hunt.bad = after;
            } else {
                hunt.good = after;
            }
        }
        let job = (Pipeline::Post, "unit".into(), Pair::new("app", "main"));
        (hunt.blame(&job).moves.iter().map(|moved| moved.commit).collect(), looks)
    }

    #[test]
    fn the_culprit_is_found_by_halves() {
        for moves in 1..40_usize {
            for culprit in 1..=moves {
                let (found, looks) = search(hunt(moves), culprit, &[]);
                assert_eq!(found, vec![sha(culprit)], "{culprit} of {moves}");
                let bound = usize::try_from(moves.next_power_of_two().ilog2()).unwrap();
                assert!(looks <= bound, "{looks} looks for {culprit} of {moves}");
            }
        }
    }

    #[test]
    fn what_cannot_be_judged_leaves_those_around_it_in_doubt_together() {
        for culprit in [3, 4] {
            assert_eq!(search(hunt(5), culprit, &[3]).0, vec![sha(3), sha(4)]);
        }
        assert_eq!(search(hunt(5), 5, &[3]).0, vec![sha(5)]);
        assert_eq!(search(hunt(5), 1, &[1, 2, 3, 4]).0, (1..=5).map(sha).collect::<Vec<_>>());
    }
}
