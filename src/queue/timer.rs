//! Deadlines: what must be looked at again when time has passed and nothing else has happened.

use std::collections::BTreeSet;

use crate::model::{BuildId, ChangeNumber, EffectId, EffectKind, ItemId, Timestamp};

use super::Queue;
use super::pins::oldest_pin;
use super::state::State;

/// What a deadline is about.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Timer {
    /// A start message, or something to be tried again.
    Item(ItemId),
    /// An effect that has not ended.
    Effect(EffectId),
    /// A build that should have ended.
    Build(BuildId),
    /// A push of unknown outcome.
    Landing(EffectId),
    /// A change that waits for something that nobody tells.
    Change(ChangeNumber),
    /// A landed change that should be merged.
    Confirm(ChangeNumber),
    /// Something to say.
    Reports,
    /// What is pinned outside of a queue is old.
    Pins,
    /// Planning was cut short.
    Everything,
}

/// How long nothing that waits to be said is said after a restart, unless the review host is heard before, in
/// milliseconds: it may not be so any more.
const QUIET_MS: i64 = 30_000;

impl Timer {
    /// All deadlines of a state. A deadline too many is harmless: it only makes planning look.
    pub fn all(state: &State) -> BTreeSet<(Timestamp, Self)> {
        let mut timers = BTreeSet::new();
        for stay in state.stays() {
            let retries = stay.lost.values().chain(&stay.prepare).chain(&stay.look);
            timers.extend(retries.map(|retry| (retry.at, Self::Item(stay.id))));
        }
        let start = state.policy.as_ref().and_then(|policy| policy.gate.start_message_after_ms);
        for item in state.items.values() {
            if let (Some(after), false) = (start, item.told_start) {
                timers.insert((item.entered_at.plus_ms(after), Self::Item(item.id)));
            }
        }
        if let Some(policy) = &state.policy {
            let pending = state.effects.iter().filter(|(_, pending)| has_deadline(&pending.effect.kind));
            timers
                .extend(pending.map(|(id, p)| (p.since.plus_ms(policy.limits.effect_ms), Self::Effect(*id))));
        }
        timers.extend(state.retries.values().map(|retry| (retry.at, Self::Everything)));
        timers.extend(oldest_pin(state).map(|at| (at, Self::Pins)));
        timers.extend(state.builds.iter().map(|(id, build)| (build.deadline, Self::Build(*id))));
        let unknown =
            state.landings.iter().filter_map(|(id, landing)| Some((*id, landing.unknown.as_ref()?)));
        timers.extend(unknown.map(|(id, unknown)| (unknown.next_look, Self::Landing(id))));
        let held = state
            .changes
            .iter()
            .filter_map(|(number, change)| Some((change.held.as_ref()?.until?, Self::Change(*number))));
        timers.extend(held);
        timers.extend(state.confirms.iter().map(|(number, confirm)| (confirm.due, Self::Confirm(*number))));
        timers.extend(state.outgoing.iter().map(|outgoing| (outgoing.due, Self::Reports)));
        timers.insert((state.quiet_until, Self::Reports));
        timers
    }
}

/// Builds have deadlines of their own, and what has no answer has none.
pub(crate) fn has_deadline(kind: &EffectKind) -> bool {
    !matches!(
        kind,
        EffectKind::StartBuild { .. } | EffectKind::StopBuild { .. } | EffectKind::ReleaseNode { .. }
    )
}

impl Queue {
    /// After a restart nothing has run out: what is awaited is begun again and has its time anew, and
    /// builds that ended meanwhile have yet to be heard of. Nothing new is said before the news is.
    pub(super) fn restarted(&mut self) {
        let now = self.state.now;
        for pending in self.state.effects.values_mut() {
            pending.since = now;
        }
        let grace = self.state.policy.as_ref().map_or(0, |policy| policy.limits.build_grace_ms);
        for build in self.state.builds.values_mut() {
            build.deadline = build.deadline.max(now.plus_ms(grace));
        }
        self.drop_overtaken();
        self.state.quiet_until = now.plus_ms(QUIET_MS);
        self.index = super::index::Index::of(&self.state);
        self.mark_all();
    }

    /// Asks to be woken at `at` for `timer`.
    pub(super) fn wake_at(&mut self, at: Timestamp, timer: Timer) {
        self.index.timers.insert((at, timer));
    }

    /// Marks what is due.
    pub(super) fn fire_timers(&mut self) {
        while let Some((at, timer)) = self.index.timers.first().copied() {
            if at > self.state.now {
                return;
            }
            self.index.timers.remove(&(at, timer));
            match timer {
                Timer::Item(item) => {
                    self.index.dirty_items.insert(item);
                    // A start message may be due, even if nothing else happens.
                    self.index.dirty_reports = true;
                    self.touch_queue_of(item);
                }
                Timer::Effect(effect) => self.give_up_on(effect),
                Timer::Build(build) => self.overdue(build),
                Timer::Landing(effect) => {
                    self.index.dirty_landings.insert(effect);
                }
                Timer::Change(change) => self.index.touch_change(change),
                Timer::Confirm(change) => {
                    self.index.dirty_confirms.insert(change);
                }
                Timer::Reports => self.index.dirty_reports = true,
                Timer::Pins => self.renew_pins(),
                Timer::Everything => self.mark_all(),
            }
        }
    }
}
