//! What comments ask for: it runs, once at a time, says the truth, and lands nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Audit, Checked, Remaining, fault};
use crate::model::report::Says;
use crate::model::{
    BuildId, ChangeNumber, ChangeSnapshot, ChangeStatus, Departure, ItemChange, ItemId, JobName, Pipeline,
    PipelineName, Policy, QueueName, Sha, Timestamp, Verdict, VerdictKey,
};
use crate::sim::fakes::site::failing;
use crate::sim::setting::{BOT, Setting};
use crate::world::Gerrit;

/// What was asked for: a pipeline, or the check where none is named, and the change.
type Asked = (ChangeNumber, Option<PipelineName>);

/// What is written down of what people ask for.
#[derive(Debug, Default)]
pub struct DemandBooks {
    /// All that was ever asked for, with the patch sets that it may have meant.
    asked: BTreeSet<(Asked, Sha)>,
    /// What has yet to begin, for which patch set.
    due: BTreeMap<Asked, Sha>,
    /// When each build ended.
    ended_at: BTreeMap<BuildId, Timestamp>,
    /// When the last build of a key failed.
    failed_at: BTreeMap<VerdictKey, Timestamp>,
    /// Keys of which some stay uses a pass.
    in_use: BTreeSet<VerdictKey>,
    /// What the builds of a key could touch.
    trusts: BTreeMap<VerdictKey, Arc<str>>,
    /// Commands that the daemon has heard.
    pub heard: u32,
    /// Runs of pipelines on demand.
    pub begun: u32,
}

impl Audit {
    /// Somebody asks for a pipeline: it is due where the change is open and nothing else answers.
    pub(super) fn asked(&mut self, number: ChangeNumber, pipeline: Option<&PipelineName>) {
        self.demands.heard += 1;
        let Some(policy) = self.policy.clone() else { return };
        let key = (number, pipeline.cloned());
        let (known, latest) = (self.known.get(&number), self.latest.get(&number));
        for seen in [known, latest].into_iter().flatten() {
            self.demands.asked.insert((key.clone(), seen.revision));
        }
        // Of a change that was forgotten, older news may be all that is known.
        let certain = known.filter(|known| latest.is_some_and(|latest| latest.revision == known.revision));
        let Some(known) = certain.filter(|known| self.may_run(known, &policy)) else { return };
        let is_under_way = self.items.values().any(|book| {
            let answers = pipeline_of(&book.pipeline) == Some(key.1.as_ref())
                || pipeline.is_none() && book.queue.is_some();
            answers && book.ended.is_none() && book.changes.iter().any(|change| change.number == number)
        });
        if is_configured(&policy, pipeline) && !is_under_way {
            self.demands.due.insert(key, known.revision);
        }
    }

    fn may_run(&self, known: &ChangeSnapshot, policy: &Policy) -> bool {
        let is_open = known.status == ChangeStatus::Open && !known.private;
        is_open && !self.gone.contains(&known.number) && policy.queue_of(&known.pair()).is_some()
    }

    /// News of a change: what was asked for is void once it is closed or has another patch set.
    pub(super) fn demands_after(&mut self, seen: &ChangeSnapshot) {
        let is_open = seen.status == ChangeStatus::Open;
        self.demands
            .due
            .retain(|(number, _), revision| *number != seen.number || is_open && *revision == seen.revision);
    }

    /// A change that the daemon no longer sees is forgotten, with all that was asked for it.
    pub(super) fn demands_forgotten(&mut self, gone: ChangeNumber) {
        self.demands.due.retain(|(number, _), _| *number != gone);
    }

    /// Under another configuration nobody waits for what it does not have.
    pub(super) fn demands_configured(&mut self, policy: &Policy) {
        self.demands.due.retain(|(_, name), _| is_configured(policy, name.as_ref()));
    }

    /// A check or a run on demand begins: only one at a time, and the latter only where it was asked for.
    pub(super) fn demand_begins(
        &mut self,
        pipeline: &Pipeline,
        queue: Option<&QueueName>,
        changes: &[ItemChange],
    ) -> Checked {
        let Some(name) = pipeline_of(pipeline) else {
            // What the gate judges needs no check of its own.
            for change in changes {
                self.demands.due.remove(&(change.number, None));
            }
            return Ok(());
        };
        let ([change], None) = (changes, queue) else {
            return fault("on demand", format!("a run of {pipeline} is of {} changes", changes.len()));
        };
        let number = change.number;
        let twin = self.items.iter().find(|(_, book)| {
            let is_same = book.pipeline == *pipeline && book.ended.is_none();
            is_same && book.changes.iter().any(|other| other.number == number)
        });
        if let Some((other, _)) = twin {
            return fault(
                "one run at a time",
                format!("{pipeline} of change {number} runs already: {other}"),
            );
        }
        let key = (number, name.cloned());
        if name.is_some() {
            self.demands.begun += 1;
            if !self.demands.asked.contains(&(key.clone(), change.revision)) {
                return fault("on demand", format!("nobody asked for {pipeline} of change {number}"));
            }
        }
        if self.demands.due.get(&key) == Some(&change.revision) {
            self.demands.due.remove(&key);
        }
        Ok(())
    }

    /// Writes down a verdict as it is first heard of.
    pub(super) fn demand_verdict(&mut self, at: Timestamp, build: BuildId, verdict: &Verdict) {
        let Some((key, _)) = self.builds.get(&build) else { return };
        let first = *self.demands.ended_at.entry(build).or_insert(at);
        if matches!(verdict, Verdict::Fail { .. }) {
            let last = self.demands.failed_at.entry(*key).or_insert(first);
            *last = (*last).max(first);
        }
    }

    /// A verdict is used: by jobs of one trust domain alone, and a failure from before a check or a run on
    /// demand does not count for it.
    pub(super) fn demand_adopts(&mut self, id: ItemId, key: VerdictKey, passed: bool) -> Checked {
        self.check_trust(id, key)?;
        if passed {
            self.demands.in_use.insert(key);
        }
        let Some(book) = self.items.get(&id) else { return Ok(()) };
        let failed_at = self.demands.failed_at.get(&key);
        if pipeline_of(&book.pipeline).is_some()
            && !passed
            && failed_at.is_none_or(|failed_at| *failed_at < book.entered_at)
        {
            return fault(
                "what failed is built anew",
                format!("item {id} of {} uses a failure from before it began", book.pipeline),
            );
        }
        Ok(())
    }

    /// A build is bought for a run on demand: no pass is known that counts for it.
    pub(super) fn demand_buys(&mut self, id: ItemId, key: VerdictKey) -> Checked {
        self.check_trust(id, key)?;
        let Some(book) = self.items.get(&id) else { return Ok(()) };
        let node = book.node.and_then(|node| self.nodes.get(&node));
        let counts =
            node.is_some_and(|node| node.jobs().iter().any(|job| job.key == key && job.reuse_ms.is_none()));
        let flaky = self.tallies.get(&key).is_some_and(|tally| tally.failures > 0);
        if matches!(book.pipeline, Pipeline::OnDemand(_))
            && counts
            && !flaky
            && self.demands.in_use.contains(&key)
        {
            return fault("what passed counts", format!("item {id} buys a build that has passed already"));
        }
        Ok(())
    }

    fn check_trust(&mut self, id: ItemId, key: VerdictKey) -> Checked {
        let node = self.items.get(&id).and_then(|book| self.nodes.get(&book.node?));
        let job = node.and_then(|node| node.jobs().iter().find(|job| job.key == key));
        let Some(trust) = job.map(|job| job.spec.trust.clone()) else { return Ok(()) };
        let first = self.demands.trusts.entry(key).or_insert_with(|| trust.clone());
        if *first == trust {
            return Ok(());
        }
        fault("trust domains", format!("item {id} of trust domain {trust} uses a verdict of {first}"))
    }

    /// A check or a run on demand ends: for a reason that it may have, and as its jobs are in truth.
    pub(super) fn demand_ends(
        &self,
        id: ItemId,
        departure: &Departure,
        gerrit: &Gerrit,
        setting: &Setting,
    ) -> Checked {
        let (Some(book), Some(policy)) = (self.items.get(&id), &self.policy) else { return Ok(()) };
        let Some(name) = pipeline_of(&book.pipeline) else { return Ok(()) };
        let goes_on = matches!(
            departure,
            Departure::Superseded
                | Departure::WorkInProgress
                | Departure::VoteWithdrawn { .. }
                | Departure::Requirement { .. }
                | Departure::Landed { .. }
        );
        if name.is_some() && goes_on {
            return fault("on demand", format!("item {id}, which was asked for, ends as {departure:?}"));
        }
        let Departure::Checked { passed } = departure else { return Ok(()) };
        let Some(node) = book.node.and_then(|node| self.nodes.get(&node)) else {
            return fault("on demand", format!("item {id} is checked at no node"));
        };
        for job in node.jobs() {
            let own = policy.jobs.iter().find(|known| known.name == job.name);
            if own.map_or(name.is_some(), |own| !own.pipelines.has(&book.pipeline)) {
                let what = format!("item {id} of {} runs {}, which is not in it", book.pipeline, job.name);
                return fault("on demand", what);
            }
        }
        let voting = || node.jobs().iter().filter(|job| job.voting);
        let known: Vec<Option<bool>> = voting().map(|job| book.adopted.get(&job.key).copied()).collect();
        let failed: Vec<JobName> = failing(gerrit, &setting.poison, node.jobs());
        let so = match passed {
            true => known.iter().all(|known| *known == Some(true)) && failed.is_empty(),
            // Infrastructure that failed too often is no verdict, and counts as a failure.
            false => !failed.is_empty() || known.iter().any(|known| *known != Some(true)),
        };
        if self.deterministic && !so {
            let what = format!("item {id} ends as {departure:?}, in truth {failed:?} fail");
            return fault("checks say the truth", what);
        }
        Ok(())
    }

    /// Once nothing moves, all that was asked for has begun, and whoever asked was told how it ended.
    pub(super) fn check_demands(&self, rest: &Remaining<'_>) -> Checked {
        let bot = BOT.into();
        for ((number, name), revision) in &self.demands.due {
            let Some(seen) = rest.gerrit.read(*number, &bot) else { continue };
            let is_queued = rest
                .view
                .queues
                .iter()
                .flat_map(|queue| &queue.items)
                .any(|item| item.changes.iter().any(|change| change.number == *number));
            let runs = self.policy.as_ref().is_some_and(|policy| self.may_run(&seen, policy));
            if runs && seen.revision == *revision && (name.is_some() || !is_queued) {
                let what = name.as_ref().map_or("a check", |name| name.as_str());
                return fault("liveness", format!("{what} of change {number} was asked for and never ran"));
            }
        }
        for (id, book) in &self.items {
            let (Some(name), Some(ended)) = (pipeline_of(&book.pipeline), &book.ended) else { continue };
            let is_told = match ended {
                Departure::Checked { .. } | Departure::Conflict { .. } | Departure::BrokenJobFile { .. } => {
                    true
                }
                Departure::Unfit { .. }
                | Departure::NewPatchSet { .. }
                | Departure::QueueRemoved
                | Departure::MergedElsewhere
                | Departure::Abandoned => name.is_some(),
                _ => false,
            };
            let said = self.said.iter().filter(|((item, _), _)| item == id).flat_map(|(_, said)| said);
            let ends = said.filter(|report| matches!(report.says, Some(Says::Ended { .. }))).count();
            let hidden = book.changes.iter().any(|change| rest.gerrit.read(change.number, &bot).is_none());
            let is_said_anew = name.is_none() && self.is_said_anew(*id, book);
            if is_told && ends == 0 && !hidden && !rest.refused.contains(id) && !is_said_anew {
                return fault(
                    "one final report",
                    format!("item {id} ended as {ended:?} and nobody was told"),
                );
            }
        }
        Ok(())
    }
}

/// What a pipeline is asked for as, if it judges changes and lands nothing: by its name, or as the check.
fn pipeline_of(pipeline: &Pipeline) -> Option<Option<&PipelineName>> {
    match pipeline {
        Pipeline::Check => Some(None),
        Pipeline::OnDemand(name) => Some(Some(name)),
        Pipeline::Gate | Pipeline::Post | Pipeline::Periodic(_) => None,
    }
}

fn is_configured(policy: &Policy, name: Option<&PipelineName>) -> bool {
    name.map_or(policy.check.enabled, |name| policy.pipelines.on_demand(name).is_some())
}
