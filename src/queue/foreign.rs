//! The closure check: what a push would bring in beside the items' own patch sets.
//!
//! Gerrit closes every open change that a pushed commit belongs to, by commit or by Change-Id. So a
//! commit that nobody approved here keeps its item from landing, whatever the tests say.

use crate::model::tree::Foreign;
use crate::model::{ChangeNumber, Departure, EffectKind, ItemId, Pair, Reason, Sha};

use super::Queue;
use super::ahead::Ahead;
use super::jobs::Standing;

/// What one foreign commit means.
enum Meaning {
    /// It comes from a branch that may be merged from, and closes nothing here.
    Harmless,
    /// The review host must be asked which changes it would close.
    Unknown,
    /// It is the patch set of a change that is in the queue, but not ahead in good standing.
    Queued,
    /// It is the current patch set of an open change that is in no queue.
    Parent(ChangeNumber),
    /// It must not come in.
    Fault(Departure),
}

impl Queue {
    /// Judges what the item's node brings in. `None` when nothing stands against it; `Some(true)`
    /// when the item has left, `Some(false)` when it has to wait or is expected to leave.
    pub(super) fn judge_foreign(&mut self, id: ItemId, ahead: &mut Ahead) -> Option<bool> {
        let item = self.state.items.get(&id)?;
        let foreign = self.node_of(item)?.merged.as_ref()?.foreign.clone();
        let mut waiting = false;
        for commit in &foreign {
            match self.meaning(id, commit) {
                Meaning::Harmless => {}
                Meaning::Unknown => {
                    self.observe_commit(commit);
                    waiting = true;
                }
                Meaning::Queued => {
                    self.carry(id, Standing::Bad, ahead);
                    return Some(false);
                }
                Meaning::Parent(change) => {
                    self.end(id, Departure::Dependency { change, culprit: None });
                    return Some(true);
                }
                Meaning::Fault(departure) => {
                    // That its parent has a newer patch set is so whatever becomes of those ahead.
                    let is_held = matches!(departure, Departure::Held { .. });
                    if (is_held || self.settled(id, ahead)) && !self.counts_landed(id) {
                        self.end(id, departure);
                        return Some(true);
                    }
                    self.carry(id, Standing::Bad, ahead);
                    return Some(false);
                }
            }
        }
        if waiting {
            // It may well be harmless: those behind are judged on top of it meanwhile.
            self.carry(id, Standing::Building, ahead);
            return Some(false);
        }
        None
    }

    /// Whether all foreign commits of the item's node were judged harmless.
    pub(super) fn closure_is_clean(&self, id: ItemId) -> bool {
        let node = self.state.items.get(&id).and_then(|item| self.node_of(item));
        let foreign = node.and_then(|node| node.merged.as_ref()).map_or(&[][..], |merged| &merged.foreign);
        foreign.iter().all(|commit| matches!(self.meaning(id, commit), Meaning::Harmless))
    }

    /// Whether the review host is still to say what a foreign commit of the item's node would close.
    pub(super) fn closure_is_asked(&self, id: ItemId) -> bool {
        let node = self.state.items.get(&id).and_then(|item| self.node_of(item));
        let foreign = node.and_then(|node| node.merged.as_ref()).map_or(&[][..], |merged| &merged.foreign);
        foreign.iter().any(|commit| matches!(self.meaning(id, commit), Meaning::Unknown))
    }

    /// Whether what stands against the item's node may only be what has landed since it was asked for: its
    /// branch has moved, and a store that was restarted no longer knows that it made those commits.
    pub(super) fn counts_landed(&self, id: ItemId) -> bool {
        let Some(node) = self.state.items.get(&id).and_then(|item| self.node_of(item)) else { return false };
        let moved = |pair: &Pair| {
            let tip = self.state.tips.get(pair).and_then(|tip| tip.commit);
            node.counted_from.iter().any(|(other, from)| other == pair && Some(*from) != tip)
        };
        let foreign = node.merged.as_ref().map_or(&[][..], |merged| &merged.foreign);
        if foreign.is_empty() {
            return false;
        }
        let faulty = |commit: &Foreign| matches!(self.meaning(id, commit), Meaning::Fault(_));
        foreign.iter().any(|commit| moved(&commit.pair) && faulty(commit))
    }

    fn meaning(&self, id: ItemId, foreign: &Foreign) -> Meaning {
        let owner = self.index.by_revision.get(&foreign.commit);
        if let Some(number) = owner {
            let same_branch = self.pair_of(*number).is_some_and(|pair| pair == foreign.pair);
            return match self.index.gate_of.get(number) {
                Some(other) if same_branch && *other != id => Meaning::Queued,
                _ if same_branch => Meaning::Parent(*number),
                _ => {
                    let why =
                        format!("it is a patch set of change {number}, which is open on another branch");
                    Meaning::Fault(fault(foreign, Some(*number), why))
                }
            };
        }
        let closes = foreign.change_id.as_ref().and_then(|change_id| {
            let numbers = self.index.by_change_id.get(change_id)?;
            numbers.iter().find(|number| self.pair_of(**number).is_some_and(|pair| pair == foreign.pair))
        });
        if let Some(number) = closes {
            if self.index.gate_of.get(number) != Some(&id) {
                return Meaning::Fault(Departure::Held {
                    reason: Reason::ParentReplaced { change: *number },
                });
            }
            let why = format!(
                "it is not the current patch set of change {number}, which would be closed with this content"
            );
            return Meaning::Fault(fault(foreign, Some(*number), why));
        }
        match self.state.commits.get(&foreign.commit) {
            None => Meaning::Unknown,
            Some(_) if foreign.merged_from => Meaning::Harmless,
            Some(_) => {
                let named = foreign.change_id.as_ref().map(|id| format!(" ({id})")).unwrap_or_default();
                Meaning::Fault(fault(
                    foreign,
                    None,
                    format!("it{named} was not reviewed for {}", foreign.pair),
                ))
            }
        }
    }

    fn pair_of(&self, number: ChangeNumber) -> Option<Pair> {
        self.state.changes.get(&number).map(|change| change.snapshot.pair())
    }

    fn observe_commit(&mut self, foreign: &Foreign) {
        let asked = self.state.effects.values().any(|pending| {
            matches!(&pending.effect.kind, EffectKind::ObserveCommit { commit, .. } if *commit == foreign.commit)
        });
        let paused = self
            .state
            .retries
            .get(&commit_name(foreign.commit))
            .is_some_and(|retry| retry.at > self.state.now);
        if !asked && !paused {
            let (pair, commit, change_id) = (foreign.pair.clone(), foreign.commit, foreign.change_id.clone());
            self.ask(EffectKind::ObserveCommit { pair, commit, change_id });
        }
    }
}

fn fault(foreign: &Foreign, change: Option<ChangeNumber>, why: String) -> Departure {
    Departure::Closure { commit: foreign.commit, change, why: why.into() }
}

/// Under which name failures to learn about a commit are counted.
pub(super) fn commit_name(commit: Sha) -> String {
    format!("commit {commit}")
}
