//! Changes and tips as the review host shows them.

use std::sync::Arc;

use crate::model::{
    Branch, ChangeNumber, ChangeSnapshot, ChangeStatus, EffectId, EffectKind, ItemId, Pair, QueueName,
    Reason, Reference, Repository, Sha, Timestamp, Vote,
};

use super::Queue;
use super::foreign::commit_name;
use super::runs::Landed;
use super::state::{Change, Stage};

/// Earlier tips of a branch that are remembered.
const TIPS_REMEMBERED: usize = 16;

/// Closed changes that are remembered; those with the lowest numbers are forgotten first.
pub(super) const CLOSED_MAX: usize = 1_000;

/// Answers about commits that are remembered.
const COMMITS_MAX: usize = 10_000;

impl Queue {
    /// Takes in a change. `fresh` says that it was read after it was asked for; otherwise an older
    /// state than the one known is late news and is dropped.
    pub(super) fn see_change(&mut self, mut snapshot: ChangeSnapshot, fresh: bool) {
        let number = snapshot.number;
        let known = self.state.changes.get(&number);
        let last = match known {
            Some(known) => Some(known.snapshot.updated_at),
            None => self.state.closed.get(&number).copied(),
        };
        let late = last.is_some_and(|last| snapshot.updated_at < last);
        if late && !fresh {
            return;
        }
        let is_known = known.is_some();
        self.note_given_up(&snapshot);
        if !is_known && snapshot.status != ChangeStatus::Open {
            self.note_target(&snapshot);
            self.touch_referrers(number, &snapshot.change_id);
            return;
        }
        if snapshot.status == ChangeStatus::Merged {
            self.state.confirms.remove(&number);
        } else if self.state.confirms.contains_key(&number) {
            // It has landed; the review host just has not noticed yet.
            snapshot.status = ChangeStatus::Merged;
        }
        let forced = self.state.expected.remove(&number).map(|_| snapshot.revision);
        let revision = snapshot.revision;
        let is_voted_anew = self.is_voted_anew(&snapshot);
        let (is_news, needed) = self.replace_snapshot(snapshot);
        if let Some(change) = self.state.changes.get_mut(&number) {
            change.forced = forced.or(change.forced);
            let votes = &change.snapshot.votes;
            change.used.retain(|(by, at)| votes.iter().any(|vote| vote.by == *by && vote.at == *at));
            if is_voted_anew {
                change.failed = None;
            }
            change.demanded.retain(|_, asked| *asked == revision);
        }
        self.reroot(number, &revision);
        if is_news {
            self.news_of(number, needed.as_deref().unwrap_or_default());
        }
        self.index.touch_change(number);
        if let Some(item) = self.index.gate_of.get(&number).copied()
            && !self.is_landing(item)
        {
            self.touch_queue_of(item);
        }
        self.forget_closed(number);
    }

    /// Whether a change has an approving vote that it did not have before: people want it tried again.
    fn is_voted_anew(&self, seen: &ChangeSnapshot) -> bool {
        let failed = self.state.changes.get(&seen.number).filter(|known| known.failed.is_some());
        let (Some(known), Some(policy)) = (failed, &self.state.policy) else { return false };
        let needs = &policy.gate.approval;
        let approving =
            |vote: &&Vote| needs.iter().any(|need| need.label == vote.label && vote.value >= need.min);
        let mut votes = seen.votes.iter().filter(approving);
        votes.any(|vote| !known.snapshot.votes.iter().any(|old| old.by == vote.by && old.at == vote.at))
    }

    /// Puts a change as it is now in the place of what was known of it. Says whether it is another one, and
    /// what its footers named before.
    fn replace_snapshot(&mut self, snapshot: ChangeSnapshot) -> (bool, Option<Arc<[Reference]>>) {
        let number = snapshot.number;
        let policy = self.state.policy.as_ref();
        let reads_messages = || policy.is_some_and(|policy| policy.jobs.iter().any(|job| job.history));
        let Some(change) = self.state.changes.get_mut(&number) else {
            self.index.add_change(&snapshot);
            self.state.changes.insert(number, Box::new(Change::new(snapshot)));
            return (true, None);
        };
        let before = std::mem::replace(&mut change.snapshot, snapshot);
        let now = &change.snapshot;
        let is_news = before != *now;
        let is_made_otherwise = before.form != now.form || before.needs != now.needs;
        let revision = now.revision;
        // A vote that was copied to it vouches for what its jobs read before.
        if before.revision != revision && (before.needs != now.needs || reads_messages()) {
            change.recheck = Some(revision);
        }
        self.index.remove_change(&before);
        self.index.add_change(now);
        if is_news {
            if before.revision != revision {
                self.note_replaced(number, before.revision, &revision);
                self.outdate_check(number, before.revision);
            }
            self.touch_resting_on(&before.revision);
            self.touch_topic(before.topic.as_ref());
        }
        if is_made_otherwise {
            self.drop_nodes_of(number);
        }
        (is_news, Some(before.needs))
    }

    /// Whether an item is being pushed: nothing is planned for it until the end of that is known.
    fn is_landing(&self, id: ItemId) -> bool {
        self.state.items.get(&id).is_some_and(|item| matches!(item.stage, Stage::Landing(_)))
    }

    fn touch_resting_on(&mut self, revision: &Sha) {
        let children: Vec<ChangeNumber> =
            self.index.children.get(revision).into_iter().flatten().copied().collect();
        self.touch_all(&children);
    }

    /// A change is gone, or hidden from the daemon.
    pub(super) fn lose_change(&mut self, number: ChangeNumber) {
        self.state.expected.remove(&number);
        let Some(change) = self.state.changes.remove(&number) else { return };
        self.index.remove_change(&change.snapshot);
        self.touch_resting_on(&change.snapshot.revision);
        self.lose_target(number);
        self.touch_topic(change.snapshot.topic.as_ref());
        self.touch_referrers(number, &change.snapshot.change_id);
        self.forget_references(&change.snapshot.needs);
        self.state.confirms.remove(&number);
        self.index.touch_change(number);
    }

    /// Takes in a branch's tip as it was read.
    pub(super) fn see_tip(&mut self, pair: Pair, commit: Option<Sha>) {
        let reading = self.state.effects.values().any(
            |pending| matches!(&pending.effect.kind, EffectKind::ObserveTip { pair: other } if *other == pair),
        );
        let pushed = self
            .state
            .landings
            .iter()
            .find(|(_, landing)| landing.pair == pair && Some(landing.new) == commit);
        let pushed = pushed.map(|(id, landing)| (*id, landing.unknown.is_some()));
        let tip = self.state.tips.entry(pair.clone()).or_default();
        if tip.commit == commit && (commit.is_some() || tip.epoch > 0) {
            tip.stale &= !reading;
            self.touch_queues_at(&pair);
            return;
        }
        if commit.is_some_and(|commit| tip.before.contains(&commit)) && !(tip.stale && reading) {
            // Late news, or a branch that was set back: it is read again before it is believed.
            self.doubt_tip(&pair);
            return;
        }
        let is_first = tip.epoch == 0 && commit.is_some();
        match pushed {
            Some((id, true)) => self.push_landed(id),
            Some((_, false)) => {}
            None => {
                if is_first {
                    self.welcome_repository(&pair.repository);
                }
                self.move_tip(pair, commit, None, None);
            }
        }
    }

    /// A repository that was not there before and is one of a site's: from now on jobs read it, and its own
    /// apply, which no node has looked for.
    fn welcome_repository(&mut self, repository: &Repository) {
        let Some(policy) = &self.state.policy else { return };
        let is_read = policy.sites.iter().any(|site| site.inputs && site.has(repository));
        let first = Pair { repository: repository.clone(), branch: Branch::new("") };
        let mut tips = self.state.tips.range(first..).take_while(|(pair, _)| pair.repository == *repository);
        if is_read && !tips.any(|(_, tip)| tip.epoch > 0) {
            self.state.policy_epoch += 1;
            self.mark_all();
        }
    }

    /// Records a new tip, with its job file where that is known, and what the daemon has landed there.
    pub(super) fn move_tip(
        &mut self,
        pair: Pair,
        commit: Option<Sha>,
        job_file: Option<Option<Sha>>,
        landed: Option<Landed>,
    ) {
        self.state.tip_epoch += 1;
        let epoch = self.state.tip_epoch;
        self.index.prints.note_tip(&pair, commit);
        let tip = self.state.tips.entry(pair.clone()).or_default();
        let before = tip.commit;
        let appears = before.is_none();
        if let Some(old) = before {
            tip.before.push_back(old);
            if tip.before.len() > TIPS_REMEMBERED {
                tip.before.pop_front();
            }
        }
        if job_file.is_none() || job_file != tip.job_file {
            tip.epoch = epoch;
        }
        tip.commit = commit;
        tip.job_file = job_file;
        tip.stale = false;
        if let Some(commit) = commit {
            self.state.given_up.remove(&commit);
        }
        self.branch_moved(&pair, before, commit, landed);
        self.touch_queues_at(&pair);
        self.index.dirty_queues.extend(self.state.queues.keys().cloned());
        let waiting = self.state.changes.values().filter(|change| {
            let waits = change.jobless.is_some() || change.failed.is_some() || change.held.is_some();
            let held = change.held.as_ref().map(|held| &held.reason);
            let reads = matches!(held, Some(Reason::JobFile { pair: other, .. }) if *other == pair);
            (waits || appears) && change.snapshot.pair() == pair || reads
        });
        let waiting: Vec<ChangeNumber> = waiting.map(|change| change.snapshot.number).collect();
        self.touch_all(&waiting);
    }

    /// The daemon's own push moved the tip from `old` to `new`.
    pub(super) fn tip_landed(
        &mut self,
        pair: Pair,
        old: Sha,
        new: Sha,
        job_file: Option<Sha>,
        landed: Option<Landed>,
    ) {
        let Some(tip) = self.state.tips.get_mut(&pair) else { return };
        if tip.commit == Some(old) {
            self.move_tip(pair, Some(new), Some(job_file), landed);
        } else if tip.commit != Some(new) {
            tip.before.push_back(new);
            self.doubt_tip(&pair);
            if let Some(landed) = landed {
                self.tell_apart(&pair, old, landed);
            }
        }
    }

    pub(super) fn touch_queues_at(&mut self, pair: &Pair) {
        let queue =
            self.state.policy.as_ref().and_then(|policy| policy.queue_of(pair).map(|queue| queue.name));
        self.index.dirty_queues.extend::<Option<QueueName>>(queue);
        let checks: Vec<ItemId> = self
            .state
            .checks
            .iter()
            .copied()
            .filter(|id| self.state.items.get(id).is_some_and(|item| item.node.is_none()))
            .collect();
        self.index.dirty_items.extend(checks);
    }

    /// Takes in a last look.
    pub(super) fn looked(
        &mut self,
        effect: EffectId,
        at: Timestamp,
        changes: Vec<ChangeSnapshot>,
        gone: &[ChangeNumber],
    ) {
        if self.state.effects.remove(&effect).is_none() {
            return;
        }
        let seen: Vec<(ChangeNumber, Sha, bool, Option<Arc<str>>)> = changes
            .iter()
            .map(|change| (change.number, change.revision, change.submittable, first_unmet(change)))
            .collect();
        // What only the daemon's own vote is missing for is not the change's fault: it votes again.
        let unvoted: Vec<ChangeNumber> =
            changes.iter().filter(|change| self.lacks_own_vote(change)).map(|change| change.number).collect();
        for snapshot in changes {
            self.see_change(snapshot, true);
        }
        for number in gone {
            self.lose_change(*number);
        }
        for id in self.looking(effect) {
            let Some(item) = self.state.items.get_mut(&id) else { continue };
            let mut complete = true;
            for change in &item.changes {
                let found = seen
                    .iter()
                    .find(|(number, revision, ..)| *number == change.number && *revision == change.revision);
                match found {
                    Some((_, _, true, _)) => {}
                    Some((number, ..)) if unvoted.contains(number) => complete = false,
                    Some((_, _, false, unmet)) => {
                        complete = false;
                        item.unmet =
                            Some(unmet.clone().unwrap_or_else(|| "(not named by the review host)".into()));
                    }
                    None => complete = false,
                }
            }
            item.stage = if complete { Stage::Looked(at) } else { Stage::Queued };
            for change in &item.changes {
                self.index.touch_change(change.number);
            }
            self.touch_queue_of(id);
        }
    }

    pub(super) fn looking(&self, effect: EffectId) -> Vec<ItemId> {
        let items = self.state.items.values().filter(|item| item.stage == Stage::Looking(effect));
        items.map(|item| item.id).collect()
    }

    /// Takes in which changes a commit would close.
    pub(super) fn commit_seen(&mut self, effect: EffectId, commit: Sha, changes: Vec<ChangeSnapshot>) {
        if self.state.effects.remove(&effect).is_none() {
            return;
        }
        let numbers = changes.iter().map(|change| change.number).collect();
        for change in changes {
            self.see_change(change, true);
        }
        if self.state.commits.len() >= COMMITS_MAX {
            self.state.commits.clear();
        }
        self.state.commits.insert(commit, numbers);
        self.state.retries.remove(&commit_name(commit));
        self.index.dirty_queues.extend(self.state.queues.keys().cloned());
    }
}

fn first_unmet(change: &ChangeSnapshot) -> Option<Arc<str>> {
    change
        .requirements
        .iter()
        .find(|requirement| !requirement.met)
        .map(|requirement| requirement.name.clone())
}
