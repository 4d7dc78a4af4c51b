//! How pushes end, and what is seen of those of which that is not known.

use std::sync::Arc;

use crate::model::{EffectId, ItemId, NodeId, Outcome, Pair, Sha};

use super::Queue;
use super::state::{Stage, Unknown};
use super::timer::Timer;

impl Queue {
    pub(super) fn push_ended(&mut self, effect: EffectId, pair: &Pair, outcome: Outcome) {
        let Some(landing) = self.state.landings.get_mut(&effect).filter(|landing| landing.pair == *pair)
        else {
            return;
        };
        self.index.dirty_reports = true;
        match outcome {
            Outcome::Applied => self.push_landed(effect),
            Outcome::Unknown(_) if landing.unknown.is_some() || landing.landed => {}
            Outcome::Unknown(_) => {
                let settle = self.state.policy.as_ref().map_or(0, |policy| policy.limits.settle_ms);
                let now = self.state.now;
                landing.unknown =
                    Some(Unknown { until: now.plus_ms(settle), next_look: now, pause_ms: 0, asked: None });
                self.index.dirty_landings.insert(effect);
            }
            Outcome::Failed(why) => self.push_undone(effect, &why),
            Outcome::Gone(why) => {
                let nodes: Vec<NodeId> =
                    landing.items.iter().filter_map(|id| self.state.items.get(id)?.node).collect();
                self.make_anew(&nodes);
                self.push_undone(effect, &why);
            }
            Outcome::Refused(why) => {
                let items = landing.items.clone();
                if let [only] = items.as_slice() {
                    if let Some(item) = self.state.items.get_mut(only) {
                        item.vote_refused = Some(why.clone());
                    }
                    self.state.push_limits.remove(pair);
                } else {
                    // One of several was refused: each is tried alone until one lands or leaves.
                    self.state.push_limits.insert(pair.clone(), 1);
                }
                self.push_undone(effect, &why);
            }
        }
    }

    /// The branch contains what was pushed.
    pub(super) fn push_landed(&mut self, effect: EffectId) {
        let Some(landing) = self.state.landings.get_mut(&effect) else { return };
        landing.landed = true;
        landing.unknown = None;
        let (pair, old, new, job_file) = (landing.pair.clone(), landing.old, landing.new, landing.job_file);
        self.index.dirty_landings.insert(effect);
        self.state.push_limits.remove(&pair);
        let landed = self.landed_by(effect);
        self.tip_landed(pair, old, new, job_file, landed);
    }

    /// The push has not landed and no longer can.
    pub(super) fn push_undone(&mut self, effect: EffectId, why: &Arc<str>) {
        let Some(landing) = self.state.landings.remove(&effect) else { return };
        for id in landing.items {
            let mut others = self.state.landings.iter().filter(|(_, other)| other.items.contains(&id));
            if let Some(other) = others.next().map(|(other, _)| *other) {
                // It writes other branches too, and what becomes of those pushes is waited for.
                if let Some(item) = self.state.items.get_mut(&id) {
                    item.stage = Stage::Landing(other);
                }
                self.news_about(id);
                self.index.dirty_landings.extend(self.state.landings.keys().copied());
                continue;
            }
            self.look_again(id, why.clone());
            let changes = self.state.items.get(&id).map_or(&[][..], |item| &item.changes);
            changes.iter().for_each(|change| self.index.touch_change(change.number));
        }
        self.doubt_tip(&landing.pair);
        // Other queues may have waited for it.
        self.index.dirty_queues.extend(self.state.queues.keys().cloned());
    }

    /// A look at an item, or its push, came to nothing: it is looked at once more, after a pause.
    pub(super) fn look_again(&mut self, id: ItemId, why: Arc<str>) {
        let before = self.state.items.get(&id).and_then(|item| item.look.clone());
        let retry = self.next_retry(before.as_ref(), why);
        self.wake_at(retry.at, Timer::Item(id));
        if let Some(item) = self.state.items.get_mut(&id) {
            item.stage = Stage::Queued;
            item.look = Some(retry);
        }
        self.touch_queue_of(id);
    }

    pub(super) fn push_seen(&mut self, effect: EffectId, pair: &Pair, tip: Option<Sha>, contains: bool) {
        self.state.effects.remove(&effect);
        let found = self.state.landings.iter().find(|(_, landing)| {
            landing.pair == *pair
                && landing.unknown.as_ref().is_some_and(|unknown| unknown.asked == Some(effect))
        });
        let Some((id, landing)) = found else { return };
        // A push expects the old tip; a submit may land on any.
        let (id, old, fenced) = (*id, landing.old, landing.submit.is_none());
        self.index.dirty_landings.insert(id);
        if contains {
            self.push_landed(id);
        } else if fenced && tip != Some(old) {
            self.push_undone(id, &"the branch moved elsewhere".into());
        } else {
            self.watch_on(id);
        }
        if tip != Some(old) {
            self.see_tip(pair.clone(), tip);
        }
    }

    /// The old tip settles nothing before the settle time is over.
    pub(super) fn watch_on(&mut self, id: EffectId) {
        let now = self.state.now;
        let Some(unknown) = self.state.landings.get_mut(&id).and_then(|landing| landing.unknown.as_mut())
        else {
            return;
        };
        if unknown.until <= now {
            self.push_undone(id, &"the push ended without an answer and has not landed".into());
            return;
        }
        unknown.asked = None;
        unknown.pause_ms = Self::next_watch(unknown.pause_ms);
        unknown.next_look = now.plus_ms(unknown.pause_ms).min(unknown.until);
        let at = unknown.next_look;
        self.wake_at(at, Timer::Landing(id));
    }
}
