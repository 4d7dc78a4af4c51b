//! Items that write several branches: one push for each, which the review host does not join.
//!
//! All pushes are asked for together, after one look. Where some land and others do not, what is left
//! of the item goes on by itself and is completed; where that comes to nothing, people are told what has
//! landed and how to take it back, and the repositories concerned are stopped.

use std::collections::BTreeSet;

use crate::model::action::Decision;
use crate::model::event::Scope;
use crate::model::policy::QueuePolicy;
use crate::model::report::Says;
use crate::model::view::PauseView;
use crate::model::{
    Action, ChangeNumber, Departure, EffectId, EffectKind, ItemChange, ItemId, Pair, Repository, Sha,
};

use super::Queue;
use super::speak::report;
use super::state::{Item, LandedPart, Stage};

impl Queue {
    /// Takes an item of several branches towards its pushes: nothing undecided ahead meets it.
    pub(super) fn plan_several(&mut self, id: ItemId, queue: &QueuePolicy) {
        let Some(item) = self.state.items.get(&id) else { return };
        let pairs: BTreeSet<Pair> = item.pairs().cloned().collect();
        let busy = self.state.landings.values().any(|landing| pairs.contains(&landing.pair));
        if busy || matches!(item.stage, Stage::Looking(_)) {
            return;
        }
        let stale: Vec<Pair> = pairs
            .iter()
            .filter(|pair| self.state.tips.get(pair).is_some_and(|tip| tip.stale))
            .cloned()
            .collect();
        if !stale.is_empty() {
            stale.into_iter().for_each(|pair| self.observe_tip(pair));
            return;
        }
        let paused = item.look.as_ref().is_some_and(|retry| retry.at > self.state.now);
        if paused || !self.has_voted(id) || self.is_voting(id) {
            return;
        }
        let Some(limits) = self.state.policy.as_ref().map(|policy| policy.limits.clone()) else { return };
        match item.stage {
            Stage::Looked(at) if self.state.now.since_ms(at) <= limits.look_age_ms => {
                let pushes: Option<Vec<_>> =
                    pairs.iter().map(|pair| self.push_of(pair, &[id], queue)).collect();
                for (push, valid_until) in pushes.into_iter().flatten() {
                    self.ask(EffectKind::Land { valid_until, pushes: vec![push] });
                }
            }
            _ => {
                let changes = item.changes.iter();
                let changes: Vec<(ChangeNumber, Repository)> =
                    changes.map(|change| (change.number, change.pair.repository.clone())).collect();
                self.ask(EffectKind::Look { changes });
            }
        }
    }

    /// A push has landed: its items have, unless they write other branches too. Then what has landed of
    /// them is settled once nothing of them is in doubt.
    pub(super) fn conclude_landed(&mut self, effect: EffectId) {
        let Some(landing) = self.state.landings.get(&effect) else { return };
        for id in landing.items.clone() {
            let Some(item) = self.state.items.get(&id) else { continue };
            let own: Vec<_> =
                self.state.landings.values().filter(|other| other.items.contains(&id)).collect();
            if own.iter().any(|other| !other.landed) {
                continue;
            }
            let commits: Vec<(Pair, Sha)> = own.iter().map(|other| (other.pair.clone(), other.new)).collect();
            let whole = item.pairs().all(|pair| commits.iter().any(|(landed, _)| landed == pair));
            if whole {
                self.end(id, Departure::Landed { commits });
            } else {
                self.act(Action::Decision(Decision::Parted { item: id, commits }));
            }
        }
    }

    /// Applies that some branches of an item have landed and others not.
    pub(super) fn apply_parted(&mut self, id: ItemId, commits: &[(Pair, Sha)]) {
        let Some(item) = self.state.items.get(&id).cloned() else { return };
        self.index.remove_item(&item);
        let commit_of =
            |pair: &Pair| commits.iter().find(|(landed, _)| landed == pair).map(|(_, commit)| *commit);
        let (gone, rest): (Vec<ItemChange>, Vec<ItemChange>) =
            item.changes.iter().cloned().partition(|change| commit_of(&change.pair).is_some());
        let mut next = item.clone();
        next.changes = rest;
        for change in &gone {
            let Some(commit) = commit_of(&change.pair) else { continue };
            next.landed.push(LandedPart { change: change.clone(), commit });
            self.settle_landed(change, commit, id);
        }
        (next.node, next.stage, next.look) = (None, Stage::Queued, None);
        next.adopted.clear();
        next.keys.clear();
        self.index.add_item(&next);
        self.state.items.insert(id, next);
        self.leave_landings(id);
        for change in &gone {
            self.touch_children(change);
            self.touch_referrers(change.number, &change.change_id);
            self.forget_closed(change.number);
        }
        self.index.dirty_items.insert(id);
        self.touch_queue_of(id);
    }

    /// The item is in no push any more.
    pub(super) fn leave_landings(&mut self, id: ItemId) {
        let before = self.state.landings.len();
        for landing in self.state.landings.values_mut() {
            landing.items.retain(|other| *other != id);
        }
        self.state.landings.retain(|_, landing| !landing.items.is_empty());
        if self.state.landings.len() < before {
            // Other queues may have waited for it.
            self.index.dirty_queues.extend(self.state.queues.keys().cloned());
        }
    }

    /// Half of an item has landed and the rest has left: people are told what to do, and what is
    /// concerned stands still until they have.
    pub(super) fn tell_half(&mut self, item: &Item, departure: &Departure) {
        if item.landed.is_empty()
            || item.changes.is_empty()
            || matches!(departure, Departure::Landed { .. } | Departure::MergedElsewhere)
        {
            return;
        }
        let Some(by) = self.state.policy.as_ref().map(|policy| policy.account.clone()) else { return };
        let text = half_words(item);
        let landed = item.landed.iter().map(|part| &part.change);
        let all: Vec<ItemChange> = landed.chain(&item.changes).cloned().collect();
        for change in &all {
            self.say_later(
                report(item, change, None, Some(Says::Alarm { text: text.as_str().into() })),
                false,
            );
            let scope = Scope::Repository(change.pair.repository.clone());
            let numbers: Vec<String> = all.iter().map(|change| change.number.to_string()).collect();
            let reason =
                format!("only half of what lands together has landed (changes {})", numbers.join(", "));
            let pause =
                PauseView { scope: scope.clone(), reason: reason.into(), by: by.clone(), at: self.state.now };
            self.state.paused.entry(scope).or_insert(pause);
        }
        self.out.notes.push(super::Note::Said(text));
        self.index.dirty_queues.extend(self.state.queues.keys().cloned());
    }
}

fn half_words(item: &Item) -> String {
    let landed = item.landed.iter().map(|part| {
        let change = &part.change;
        format!("change {} landed in {} as {}", change.number, change.pair, part.commit.short())
    });
    let missing: Vec<String> =
        item.changes.iter().map(|change| format!("change {}", change.number)).collect();
    let reverts = item.landed.iter().map(|part| {
        let main = if part.commit == part.change.revision { "" } else { " -m 1" };
        format!("in {}: `git revert{main} {}`", part.change.pair, part.commit)
    });
    let repositories: BTreeSet<&str> = item
        .landed
        .iter()
        .map(|part| &part.change)
        .chain(&item.changes)
        .map(|change| change.pair.repository.as_str())
        .collect();
    format!(
        "Of changes that were to land together {}, and {} could not follow. Landing in {} is stopped. Either repair what is missing and approve it, or take back what has landed ({}; leave out -m 1 where that is no merge, or press Revert on the change); then say `seakeeper resume` for each repository.",
        landed.collect::<Vec<_>>().join(", "),
        missing.join(", "),
        repositories.into_iter().collect::<Vec<_>>().join(", "),
        reverts.collect::<Vec<_>>().join("; ")
    )
}
