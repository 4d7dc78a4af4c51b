//! Preparing a node: the merges, what they bring in, and the item's jobs there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::closure::{self, WalkError};
use super::fetch::Want;
use super::join::Joining;
use super::shared::{Counters, Shared};
use super::store::{Own, Store, is_damage, oid, sha};
use super::trees::{Change, NodeTrees, job_file_blob};
use crate::model::action::{Merge, Onto};
use crate::model::tree::{Foreign, Prepared, Written};
use crate::model::{EffectId, Event, NodeId, Pair, Pipeline, Sha, Timestamp};
use crate::queue::resolve::resolve;

/// How many foreign commits are told of; a change that brings more is refused.
const MOST_FOREIGN: usize = 100;

/// What is to be prepared.
pub(super) struct Preparation {
    pub effect: EffectId,
    pub node: NodeId,
    pub date: Timestamp,
    pub pipeline: Pipeline,
    pub merges: Vec<Merge>,
    pub overlay: Vec<(Pair, NodeId)>,
    pub depends: Vec<Pair>,
    pub tips: Vec<(Pair, Sha)>,
    pub pins: Vec<(Pair, Option<Sha>)>,
}

/// A branch as far as it is merged.
struct Branching {
    store: Arc<Store>,
    change: Change,
    tip: Sha,
    own: Vec<Own>,
    allowed: BTreeSet<Sha>,
    merge_from: BTreeSet<crate::model::Branch>,
}

/// Why there is nothing: it is told as it is.
pub(super) fn failed(why: String) -> Prepared {
    Prepared::Failed { why: why.into() }
}

impl Preparation {
    /// What this preparation needs from the review host, per merge and tip.
    pub fn wants(&self) -> impl Iterator<Item = (&Pair, Want)> {
        let tips = self.tips.iter().map(|(pair, commit)| (pair, Want::tip(&pair.branch, Some(*commit))));
        tips.chain(self.merges.iter().flat_map(|merge| {
            let change = &merge.change;
            let pair = &change.pair;
            let onto = if let Onto::Commit(commit) = merge.onto { commit } else { merge.tip };
            [
                (pair, Want::change(change.number, change.patchset, change.revision)),
                (pair, Want::tip(&pair.branch, Some(onto))),
                (pair, Want::tip(&pair.branch, Some(merge.tip))),
            ]
        }))
    }

    /// Does it; gives the events that answer. `ahead` is what those behind need too.
    pub fn run(&self, shared: &Shared, ahead: &[(Pair, Want)]) -> Vec<Event> {
        let (effect, node) = (self.effect, self.node);
        let began = std::time::Instant::now();
        let mut writes = BTreeMap::new();
        let outcome = if self.tips.is_empty() {
            self.merge_all(shared, ahead, &mut writes)
        } else {
            self.find_tips(shared, ahead, &mut writes)
        };
        let prepared = outcome.unwrap_or_else(|prepared| prepared);
        if let Prepared::Failed { why } = &prepared {
            self.mend(shared, why);
        }
        let merged = matches!(prepared, Prepared::Merged { .. });
        let mut events = vec![Event::NodePrepared { effect, node, outcome: prepared }];
        if merged {
            let item = self.judged();
            let overlay = self.overlay.iter().cloned().collect();
            let pins = self.pins.iter().cloned().collect();
            let changed = BTreeMap::new();
            let mut trees = NodeTrees { shared, writes: &writes, overlay, pins, changed };
            let outcome = resolve(&shared.policy(), &self.pipeline, &item, &self.depends, &mut trees);
            events.push(Event::JobsResolved { effect, node, outcome });
        }
        let micros = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
        Counters::add(&shared.counters.nodes, 1);
        Counters::add(&shared.counters.prepare_micros, micros);
        events
    }

    /// The branches of what is judged: but in the gate, all merges but the last are only looked through.
    fn judged(&self) -> Vec<Pair> {
        let all: BTreeSet<&Pair> = self.merges.iter().map(|merge| &merge.change.pair).collect();
        match (self.pipeline.lands(), self.merges.last(), self.tips.first()) {
            (_, _, Some((pair, _))) => vec![pair.clone()],
            (false, Some(last), _) => vec![last.change.pair.clone()],
            _ => all.into_iter().cloned().collect(),
        }
    }

    /// A damaged store is fetched anew: the core tries again.
    fn mend(&self, shared: &Shared, why: &str) {
        if !is_damage(why) {
            return;
        }
        let merged = self.merges.iter().map(|merge| &merge.change.pair);
        for pair in merged.chain(self.tips.iter().map(|(pair, _)| pair)) {
            let repository = &pair.repository;
            shared.mergers.end(repository);
            let mended = shared.store(repository).and_then(|store| store.set_aside());
            if let Err(why) = mended {
                tracing::error!(%why, "a damaged store could not be made anew");
            }
        }
    }

    fn merge_all(
        &self,
        shared: &Shared,
        ahead: &[(Pair, Want)],
        merged: &mut BTreeMap<Pair, Change>,
    ) -> Result<Prepared, Prepared> {
        self.fetch(shared, ahead).map_err(failed)?;
        let mut branches: BTreeMap<Pair, Branching> = BTreeMap::new();
        for merge in &self.merges {
            let pair = &merge.change.pair;
            if !branches.contains_key(pair) {
                branches.insert(pair.clone(), self.branching(shared, merge)?);
            }
            let Some(branching) = branches.get_mut(pair) else { continue };
            branching.allowed.extend(&merge.allowed);
            branching.allowed.insert(merge.change.revision);
            branching.merge_from.extend(merge.merge_from.iter().cloned());
            self.merge(shared, merge, branching)?;
        }
        let (mut writes, mut foreign) = (Vec::new(), Vec::new());
        for (pair, branching) in branches.iter() {
            foreign.extend(strangers(shared, pair, branching)?);
            writes.push(written(&branching.store, pair, &branching.change).map_err(failed)?);
        }
        if foreign.len() > MOST_FOREIGN {
            let why = format!(
                "it brings in more than {MOST_FOREIGN} commits that are not its own, the first {}: land them first, or merge in smaller steps",
                foreign[0].commit.short()
            );
            return Err(Prepared::Unfit { why: why.into() });
        }
        for (pair, branching) in branches.iter() {
            let commit = branching.change.commit;
            branching.store.keep_node(self.node, &pair.branch, commit, &branching.own).map_err(failed)?;
        }
        merged.extend(branches.into_iter().map(|(pair, branching)| (pair, branching.change)));
        Ok(Prepared::Merged { writes, foreign })
    }

    /// The node of a run at tips: their commits as they are. Only the first branch is what is judged.
    fn find_tips(
        &self,
        shared: &Shared,
        ahead: &[(Pair, Want)],
        found: &mut BTreeMap<Pair, Change>,
    ) -> Result<Prepared, Prepared> {
        self.fetch(shared, ahead).map_err(failed)?;
        let mut writes = Vec::new();
        for (pair, commit) in &self.tips {
            let store = shared.store(&pair.repository).map_err(failed)?;
            if !store.has(*commit) {
                return Err(failed(format!(
                    "find the commit {} of {pair}: the review host has it no more",
                    commit.short()
                )));
            }
            let change = Change { onto: *commit, commit: *commit, revisions: Vec::new() };
            if writes.is_empty() {
                writes.push(written(&store, pair, &change).map_err(failed)?);
            }
            store.keep_node(self.node, &pair.branch, *commit, &[]).map_err(failed)?;
            found.insert(pair.clone(), change);
        }
        Ok(Prepared::Merged { writes, foreign: Vec::new() })
    }

    /// One fetch per repository, with what the preparations behind this one need there too.
    fn fetch(&self, shared: &Shared, ahead: &[(Pair, Want)]) -> Result<(), String> {
        let mut wants: BTreeMap<&crate::model::Repository, Vec<Want>> = BTreeMap::new();
        for (pair, want) in self.wants() {
            wants.entry(&pair.repository).or_default().push(want);
        }
        for (repository, own) in wants {
            let store = shared.store(repository)?;
            if own.iter().all(|want| want.commit.is_some_and(|commit| store.has(commit))) {
                continue;
            }
            let behind = ahead.iter().filter(|(pair, _)| pair.repository == *repository);
            let all: Vec<Want> = own.into_iter().chain(behind.map(|(_, want)| want.clone())).collect();
            shared.fetch(&store, &all)?;
        }
        Ok(())
    }

    /// Where the first merge in a branch starts.
    fn branching(&self, shared: &Shared, merge: &Merge) -> Result<Branching, Prepared> {
        let pair = &merge.change.pair;
        let store = shared.store(&pair.repository).map_err(failed)?;
        let onto = match merge.onto {
            Onto::Commit(commit) => commit,
            Onto::Node(node) => store.node(node, &pair.branch).map_err(failed)?.ok_or(Prepared::NoParent)?,
        };
        for (what, commit) in [("commit", onto), ("tip", merge.tip)] {
            if !store.has(commit) {
                return Err(failed(format!(
                    "find the {what} {} of {pair}: the review host has it no more",
                    commit.short()
                )));
            }
        }
        Ok(Branching {
            store,
            change: Change { onto, commit: onto, revisions: Vec::new() },
            tip: merge.tip,
            own: Vec::new(),
            allowed: BTreeSet::new(),
            merge_from: BTreeSet::new(),
        })
    }

    /// Puts one patch set on top of a branch.
    fn merge(&self, shared: &Shared, merge: &Merge, branching: &mut Branching) -> Result<(), Prepared> {
        let store = branching.store.clone();
        let (onto, revision) = (branching.change.commit, merge.change.revision);
        if !store.has(revision) {
            let (number, patchset) = (merge.change.number, merge.change.patchset);
            return Err(failed(format!(
                "find patch set {patchset} of change {number}: the review host does not give it"
            )));
        }
        branching.change.revisions.push(revision);
        let (date, gate) = (self.date, self.pipeline.lands());
        match (Joining { shared, store: &store, merge, onto, date, gate }).join()? {
            None => branching.change.commit = revision,
            Some(made) => {
                branching.own.push(made);
                branching.change.commit = made.commit;
            }
        }
        Ok(())
    }
}

pub(super) fn merge_base(store: &Store, one: Sha, two: Sha) -> Result<Option<Sha>, String> {
    let handle = store.handle()?;
    match handle.merge_base(oid(one), oid(two)) {
        Ok(base) => Ok(Some(sha(base))),
        Err(error) if error.code() == git2::ErrorCode::NotFound => Ok(None),
        Err(error) => Err(store.failed("find a merge base", &error)),
    }
}

fn written(store: &Store, pair: &Pair, change: &Change) -> Result<Written, String> {
    let Change { onto, commit, .. } = *change;
    let handle = store.handle()?;
    let tree = handle.find_commit(oid(commit)).map(|commit| sha(commit.tree_id()));
    let tree = tree.map_err(|error| store.failed("read a commit", &error))?;
    let job_file = job_file_blob(store, commit)?;
    Ok(Written { pair: pair.clone(), commit, tree, onto, job_file })
}

fn strangers(shared: &Shared, pair: &Pair, branching: &Branching) -> Result<Vec<Foreign>, Prepared> {
    let store = &branching.store;
    let commit = branching.change.commit;
    let found = match closure::strangers(store, branching.tip, commit, &branching.allowed, &branching.own) {
        Ok(found) => found,
        Err(WalkError::Unreadable(why)) => return Err(failed(why)),
        Err(WalkError::TooLong) => {
            let why = "it brings in more than 10,000 commits: merge in smaller steps";
            return Err(Prepared::Unfit { why: why.into() });
        }
    };
    let mut foreign = Vec::new();
    for stranger in found.into_iter().take(MOST_FOREIGN + 1) {
        let mut merged_from = false;
        for branch in &branching.merge_from {
            if let Some(tip) = shared.tip(store, branch).map_err(failed)? {
                merged_from |=
                    merge_base(store, tip, stranger.commit).map_err(failed)? == Some(stranger.commit);
            }
        }
        let (commit, change_id) = (stranger.commit, stranger.change_id);
        foreign.push(Foreign { pair: pair.clone(), commit, change_id, merged_from });
    }
    Ok(foreign)
}
