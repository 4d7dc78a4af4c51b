//! Which changes and repositories a view names.

use std::collections::BTreeSet;

use crate::model::event::Scope;
use crate::model::view::View;
use crate::model::{ChangeNumber, Departure, Reason, Repository};

/// Every change that a view names anywhere, but in free text.
pub fn mentioned(view: &View) -> BTreeSet<ChangeNumber> {
    let mut found = BTreeSet::new();
    let items = view.queues.iter().flat_map(|queue| &queue.items).chain(&view.checks);
    for item in items {
        found.extend(item.changes.iter().map(|change| change.number));
        found.extend(&item.on_top_of);
        found.extend(named_by(&item.reason));
    }
    for entry in &view.waiting {
        found.insert(entry.change.number);
        found.extend(named_by(&entry.reason));
    }
    for entry in &view.departed {
        found.extend(entry.changes.iter().map(|change| change.number));
        match &entry.departure {
            Departure::Dependency { change, culprit } => {
                found.insert(*change);
                found.extend(culprit);
            }
            Departure::Closure { change: Some(change), .. } => {
                found.insert(*change);
            }
            Departure::Regrouped { change } => {
                found.insert(*change);
            }
            Departure::Conflict { with, .. } => found.extend(with),
            Departure::Held { reason } => found.extend(named_by(reason)),
            _ => {}
        }
    }
    let moves = view.runs.iter().flat_map(|run| &run.blames).flat_map(|blame| &blame.moves);
    found.extend(moves.flat_map(|moved| &moved.changes).map(|change| change.number));
    found.remove(&ChangeNumber::UNSEEN);
    found
}

/// The repositories that a view names outside running text.
pub fn mentioned_repositories(view: &View) -> BTreeSet<Repository> {
    let scopes = view.paused.iter().filter_map(|entry| match &entry.scope {
        Scope::Repository(repository) => Some(repository),
        Scope::Everything | Scope::Queue(_) => None,
    });
    let items = view.queues.iter().flat_map(|queue| &queue.items).chain(&view.checks);
    let changes = items.clone().flat_map(|item| &item.changes);
    let changes = changes.chain(view.waiting.iter().map(|entry| &entry.change));
    let changes = changes.chain(view.departed.iter().flat_map(|entry| &entry.changes));
    let spared = items.clone().flat_map(|item| &item.unneeded);
    let spared = spared.chain(view.departed.iter().flat_map(|entry| &entry.unneeded));
    let jobs = items.flat_map(|item| &item.jobs).chain(view.departed.iter().flat_map(|entry| &entry.jobs));
    let jobs = jobs.chain(view.runs.iter().flat_map(|run| &run.jobs));
    let homes = jobs.map(|job| &job.home).chain(spared.map(|spared| &spared.home));
    let runs = view.runs.iter().map(|run| &run.pair);
    let moves = view.runs.iter().flat_map(|run| &run.blames).flat_map(|blame| &blame.moves);
    let runs = runs.chain(moves.map(|moved| &moved.pair));
    let pairs = changes.map(|change| &change.pair).chain(homes).chain(runs);
    let flaky = view.flakes.iter().map(|flake| &flake.repository);
    pairs.map(|pair| &pair.repository).chain(scopes).chain(flaky).cloned().collect()
}

fn named_by(reason: &Reason) -> Vec<ChangeNumber> {
    match reason {
        Reason::ConflictAhead { changes, .. } | Reason::JobFileAhead { changes, .. } => changes.clone(),
        Reason::Parent { change, .. }
        | Reason::Turn { change }
        | Reason::Ahead { change, .. }
        | Reason::Depends { change }
        | Reason::DependsElsewhere { change, .. }
        | Reason::DependsOnAbandoned { change }
        | Reason::ParentReplaced { change }
        | Reason::ParentAbandoned { change }
        | Reason::ParentElsewhere { change }
        | Reason::Together { change }
        | Reason::Apart { change }
        | Reason::DependencyFails { change }
        | Reason::Doubt { change }
        | Reason::Pooled { with: change } => vec![*change],
        _ => Vec::new(),
    }
}
