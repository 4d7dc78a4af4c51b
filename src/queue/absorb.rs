//! Events become facts here, and mark what they touch; nothing is decided.

use crate::model::event::BuildPhase;
use crate::model::tree::{Prepared, Resolved};
use crate::model::{
    BuildId, ChangeNumber, EffectId, EffectKind, Event, ItemId, JobName, NodeId, Policy, QueueName,
    Timestamp, Verdict, VerdictKey,
};

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Queue;
use super::state::{Merged, Record, Retry};
use super::timer::Timer;

/// Verdicts that are remembered; beyond it the oldest are forgotten.
const RECORDS_MAX: usize = 20_000;

impl Queue {
    /// Folds one event into the state.
    pub(super) fn absorb(&mut self, event: Event) {
        match event {
            Event::PolicyChanged { policy } => self.new_policy(policy),
            Event::ChangeSeen { snapshot } => self.see_change(snapshot, false),
            Event::ChangeGone { number } => self.lose_change(number),
            Event::TipSeen { pair, commit } => self.see_tip(pair, commit),
            Event::NodePrepared { effect, node, outcome } => self.node_prepared(effect, node, outcome),
            Event::JobsResolved { effect, node, outcome } => self.jobs_resolved(effect, node, outcome),
            Event::BuildSeen { build, phase } => self.build_seen(build, phase),
            Event::BuildsListed { asked_at, known } => self.builds_listed(asked_at, &known),
            Event::HostSeen { whole_topics } => self.see_host(whole_topics),
            Event::HostBack => self.host_is_back(),
            Event::CapabilitiesSeen { unable } => {
                self.state.unable = unable;
                self.index.dirty_builds = true;
            }
            Event::Looked { effect, at, changes, gone } => self.looked(effect, at, changes, &gone),
            Event::CommitSeen { effect, commit, changes, .. } => self.commit_seen(effect, commit, changes),
            Event::ReferencesFound { effect, found } => self.references_found(effect, found),
            Event::PushEnded { effect, pushes } => {
                self.state.effects.remove(&effect);
                for (pair, outcome) in pushes {
                    self.push_ended(effect, &pair, outcome);
                }
            }
            Event::Submitted { effect, pair, tip, commit, same_tree } => {
                self.submitted(effect, &pair, tip, commit, same_tree);
            }
            Event::PushSeen { effect, pair, tip, contains } => self.push_seen(effect, &pair, tip, contains),
            Event::EffectEnded { effect, outcome } => self.effect_ended(effect, outcome),
            Event::Due { pipeline, at } => self.heed_due(pipeline, at),
            Event::Operator { request, by, command } => self.operator(request, by, command),
            Event::Restarted | Event::Wake => {}
        }
    }

    fn new_policy(&mut self, policy: Arc<Policy>) {
        if self.state.policy.as_ref() == Some(&policy) {
            return;
        }
        for queue in policy.queues.iter().filter(|queue| !queue.per_branch) {
            self.state.queues.entry(queue.name.clone()).or_default();
        }
        if self.state.policy.as_ref().is_none_or(|before| !before.finds_the_same_jobs(&policy)) {
            self.state.policy_epoch += 1;
        }
        self.change_queues(&policy);
        self.configure_runs(&policy);
        self.keep_pins(&policy);
        self.state.policy = Some(policy);
        self.index.timers.extend(Timer::all(&self.state));
        self.mark_all();
    }

    /// Items whose branches another queue gates from now on go on there, behind those that it has: a
    /// queue that was renamed costs nobody a build. Items that no queue gates leave when they are planned.
    fn change_queues(&mut self, policy: &Policy) {
        let orders: Vec<Vec<ItemId>> = self.state.queues.values().cloned().collect();
        for id in orders.into_iter().flatten() {
            let Some(item) = self.state.items.get_mut(&id) else { continue };
            let names = item.changes.iter().map(|change| Some(policy.queue_of(&change.pair)?.name));
            let mut names = names.collect::<Vec<Option<QueueName>>>().into_iter();
            let Some(Some(to)) = names.next() else { continue };
            if item.queue.as_ref() == Some(&to) || names.any(|other| other.as_ref() != Some(&to)) {
                continue;
            }
            self.index.rounds.take(item);
            let from = item.queue.replace(to.clone());
            self.index.rounds.add(item);
            if let Some(order) = from.and_then(|name| self.state.queues.get_mut(&name)) {
                order.retain(|other| *other != id);
            }
            self.state.queues.entry(to).or_default().push(id);
        }
    }

    fn node_prepared(&mut self, effect: EffectId, node: NodeId, outcome: Prepared) {
        let merged = matches!(outcome, Prepared::Merged { .. });
        if !self.state.effects.contains_key(&effect) {
            return;
        }
        if !merged {
            self.state.effects.remove(&effect);
        }
        self.index.merging.remove(&node);
        let Some(known) = self.state.nodes.get_mut(&node) else { return };
        let item = known.item;
        let sources = match &outcome {
            Prepared::NoParent => known.sources(),
            _ => Vec::new(),
        };
        let repeat = match &outcome {
            Prepared::Failed { why } => Some(why.clone()),
            Prepared::NoParent => Some("what it rests on could not be merged".into()),
            _ => None,
        };
        match outcome {
            Prepared::Merged { writes, foreign } => known.merged = Some(Merged { writes, foreign }),
            bad => known.bad = Some(bad),
        }
        self.news_about(item);
        self.index.dirty_runs |= self.state.runs.under_way.contains_key(&item);
        if let Some(why) = repeat {
            self.prepare_again(item, why);
        }
        // One that came to nothing explains it; otherwise they were there and are gone.
        let is_there = |id: &NodeId| self.state.nodes.get(id).is_some_and(|node| node.merged.is_some());
        if sources.iter().all(is_there) {
            self.make_anew(&sources);
        }
        self.index.dirty_items.insert(item);
    }

    /// Nodes whose commits are gone, though they were made once: their items get new ones.
    pub(super) fn make_anew(&mut self, nodes: &[NodeId]) {
        if !nodes.is_empty() {
            // Others rest on them.
            self.index.memos.clear();
        }
        for id in nodes {
            let Some(node) = self.state.nodes.get_mut(id).filter(|node| node.merged.is_some()) else {
                continue;
            };
            node.merged = None;
            node.resolved = None;
            node.bad = Some(Prepared::NoParent);
            self.index.note_node(node, &self.state.tips);
            let item = node.item;
            self.index.dirty_items.insert(item);
            self.touch_queue_of(item);
        }
    }

    fn prepare_again(&mut self, id: ItemId, why: Arc<str>) {
        let Some(item) = self.state.stay(id) else { return };
        let retry = self.next_retry(item.prepare.as_ref(), why);
        self.wake_at(retry.at, Timer::Item(id));
        if let Some(item) = self.state.stay_mut(id) {
            item.prepare = Some(retry);
        }
    }

    /// The next attempt after one that failed: the first at once, then after doubling pauses.
    pub(super) fn next_retry(&self, before: Option<&Retry>, why: Arc<str>) -> Retry {
        let (first, longest) = self
            .state
            .policy
            .as_ref()
            .map_or((1_000, 300_000), |policy| (policy.limits.retry_ms, policy.limits.retry_max_ms));
        let count = before.map_or(0, |retry| retry.count) + 1;
        let doubled = first.saturating_mul(1_i64 << (count - 1).min(20));
        let pause_ms = if count == 1 { 0 } else { doubled.min(longest) };
        Retry { count, at: self.state.now.plus_ms(pause_ms), why }
    }

    fn jobs_resolved(&mut self, effect: EffectId, node: NodeId, outcome: Resolved) {
        if self.state.effects.remove(&effect).is_none() {
            return;
        }
        let outcome = self.sought(node, self.keyed(node, outcome));
        let Some(known) = self.state.nodes.get_mut(&node) else { return };
        let (id, epoch) = (known.item, known.asked_epoch);
        let found = known.resolved.insert(outcome);
        let jobs = match found {
            Resolved::Failed { why } => Err(Some(why.clone())),
            Resolved::Broken { .. } => Err(None),
            Resolved::Jobs { jobs, noop, unneeded, .. } => {
                let spared = if jobs.is_empty() && !*noop { Some(&unneeded[..]) } else { None };
                let spared = spared.map(|spared| spared.iter().map(|spared| spared.job.clone()).collect());
                let mut keys = BTreeSet::new();
                keys.extend(jobs.iter().map(|job| job.key));
                Ok((keys, spared))
            }
        };
        self.index.note_node(known, &self.state.tips);
        let current = self.state.stay(id).is_some_and(|item| item.node == Some(node));
        let is_run = self.state.runs.under_way.contains_key(&id);
        let is_beside = is_run || self.is_alternative(id);
        self.index.dirty_runs |= is_run;
        self.index.dirty_items.insert(id);
        self.touch_queue_of(id);
        match jobs {
            Err(why) => why.into_iter().for_each(|why| self.prepare_again(id, why)),
            Ok((keys, spared)) => {
                if !is_beside {
                    self.learn_tips(node);
                    self.learn_pins(node);
                }
                if current {
                    self.take_keys(id, keys);
                    self.note_kept(id);
                    spared.into_iter().for_each(|spared| self.note_jobless(id, epoch, spared));
                }
            }
        }
    }

    fn take_keys(&mut self, id: ItemId, keys: BTreeSet<VerdictKey>) {
        let Some(item) = self.state.stay_mut(id) else { return };
        item.prepare = None;
        for key in keys.iter().filter(|key| !item.keys.contains(key)) {
            self.index.needs.entry(*key).or_default().insert(id);
        }
        for key in item.keys.iter().filter(|key| !keys.contains(key)) {
            self.index.forget_need(*key, id);
        }
        item.keys = keys;
    }

    fn note_jobless(&mut self, id: ItemId, epoch: u64, spared: Vec<JobName>) {
        let policy_epoch = self.state.policy_epoch;
        // Other pipelines may well have no job: that says nothing about the gate.
        let Some(item) = self.state.items.get(&id).filter(|item| item.pipeline.lands()) else { return };
        for change in &item.changes {
            if let Some(known) = self.state.changes.get_mut(&change.number) {
                known.jobless = Some((change.revision, policy_epoch, epoch));
                known.spared.clone_from(&spared);
            }
        }
    }

    fn build_seen(&mut self, id: BuildId, phase: BuildPhase) {
        let Some(build) = self.state.builds.get_mut(&id) else { return };
        let key = build.key;
        match phase {
            BuildPhase::Running => build.seen = true,
            BuildPhase::Failing { .. } => {
                build.seen = true;
                build.failing = true;
                let needing: Vec<ItemId> =
                    self.index.needs.get(&key).into_iter().flatten().copied().collect();
                self.index.dirty_items.extend(needing);
            }
            BuildPhase::Finished { verdict, duration_ms } => self.build_ended(id, verdict, duration_ms),
        }
    }

    /// Frees the slot and records what the build says.
    pub(super) fn build_ended(&mut self, id: BuildId, verdict: Verdict, duration_ms: i64) {
        let Some(build) = self.state.builds.remove(&id) else { return };
        self.state.effects.remove(&build.effect);
        if build.stopping {
            let stops = |kind: &EffectKind| matches!(kind, EffectKind::StopBuild { build } if *build == id);
            self.state.effects.retain(|_, pending| !stops(&pending.effect.kind));
        }
        if self.index.running.get(&build.key) == Some(&id) {
            self.index.running.remove(&build.key);
        }
        self.index.dirty_builds = true;
        let needing: Vec<ItemId> = self.index.needs.get(&build.key).into_iter().flatten().copied().collect();
        self.index.dirty_items.extend(&needing);
        if let Verdict::NoVerdict { why } = verdict {
            for item in needing {
                // A build that was stopped because its item has failed was not lost.
                let gave_way = build.stopping && self.is_alternative(item);
                if !gave_way && !self.gives_up(item) {
                    self.build_lost(item, build.key, why.clone());
                }
            }
            return;
        }
        let failed = matches!(verdict, Verdict::Fail { .. });
        if !self.state.runs.under_way.contains_key(&build.item) {
            self.count_outcome(build.job.clone(), build.home.repository.clone(), !failed);
        }
        if failed {
            for item in self.stays_concerned(&needing) {
                if let Some(item) = self.state.stay_mut(item) {
                    *item.failures.entry(build.key).or_default() += 1;
                }
            }
        }
        self.note_repeat(id, &build, failed);
        let before =
            self.state.records.get(&build.key).map_or((0, 0), |record| (record.passes, record.failures));
        let record = Record {
            passes: before.0 + u32::from(!failed),
            failures: before.1 + u32::from(failed),
            verdict,
            build: id,
            item: build.item,
            at: self.state.now,
            duration_ms,
        };
        self.state.records.insert(build.key, record);
        self.forget_old_records();
    }

    fn build_lost(&mut self, id: ItemId, key: VerdictKey, why: Arc<str>) {
        let before = self.state.stay(id).and_then(|item| item.lost.get(&key));
        let retry = self.next_retry(before, why);
        self.wake_at(retry.at, Timer::Item(id));
        if let Some(item) = self.state.stay_mut(id) {
            item.lost.insert(key, retry);
        }
    }

    fn forget_old_records(&mut self) {
        if self.state.records.len() <= RECORDS_MAX {
            return;
        }
        let mut by_age: Vec<(Timestamp, VerdictKey)> =
            self.state.records.iter().map(|(key, record)| (record.at, *key)).collect();
        by_age.select_nth_unstable(RECORDS_MAX / 4);
        for (_, key) in by_age.into_iter().take(RECORDS_MAX / 4) {
            if !self.index.needs.contains_key(&key) {
                self.state.records.remove(&key);
            }
        }
    }

    fn builds_listed(&mut self, asked_at: Timestamp, known: &[BuildId]) {
        let lost: Vec<BuildId> = self
            .state
            .builds
            .iter()
            .filter(|(id, build)| build.started_at < asked_at && !known.contains(id))
            .map(|(id, _)| *id)
            .collect();
        for id in lost {
            self.build_ended(
                id,
                Verdict::NoVerdict { why: "the executor no longer knows the build".into() },
                0,
            );
        }
    }

    /// A build has outlived its deadline: it is told to stop, and after that counts as gone.
    pub(super) fn overdue(&mut self, id: BuildId) {
        let Some(build) = self.state.builds.get(&id) else { return };
        if build.deadline > self.state.now {
            let at = build.deadline;
            self.wake_at(at, Timer::Build(id));
        } else if build.stopping {
            self.build_ended(
                id,
                Verdict::NoVerdict { why: "the executor did not report the build's end".into() },
                0,
            );
        } else {
            self.index.dirty_keys.insert(build.key);
        }
    }

    /// Changes that an operator or a look has brought to attention.
    pub(super) fn touch_all(&mut self, numbers: &[ChangeNumber]) {
        for number in numbers {
            self.index.touch_change(*number);
        }
    }
}
