//! What the review host answers, as it stands at the moment of the answer.

use super::trees::landed_as;
use crate::model::action::Submit;
use crate::model::{
    ChangeNumber, ChangeStatus, EffectId, EffectKind, Event, Outcome, Pair, Reference, Repository, Target,
    Timestamp,
};
use crate::sim::setting::BOT;
use crate::world::Gerrit;
use crate::world::gerrit::Change;

/// The answer to a look.
pub fn look(gerrit: &Gerrit, at: Timestamp, effect: EffectId, asked: &[(ChangeNumber, Repository)]) -> Event {
    let mut changes = Vec::new();
    let mut gone = Vec::new();
    for (number, _) in asked {
        match gerrit.read(*number, &BOT.into()) {
            Some(change) => changes.push(change),
            None => gone.push(*number),
        }
    }
    Event::Looked { effect, at, changes, gone }
}

/// A change as the daemon may see it.
pub fn seen(gerrit: &Gerrit, number: ChangeNumber) -> Event {
    match gerrit.read(number, &BOT.into()) {
        Some(snapshot) => Event::ChangeSeen { snapshot },
        None => Event::ChangeGone { number },
    }
}

/// The answer to an effect that observes, or that closes a change; nothing for other effects.
pub fn observe(gerrit: &Gerrit, effect: EffectId, kind: &EffectKind) -> Vec<Event> {
    let applied = Event::EffectEnded { effect, outcome: Outcome::Applied };
    match kind {
        EffectKind::ObserveChange { change, .. } => vec![seen(gerrit, *change), applied],
        EffectKind::ObserveTip { pair } => {
            vec![Event::TipSeen { pair: pair.clone(), commit: gerrit.tip(pair) }, applied]
        }
        EffectKind::ObserveCommit { pair, commit, change_id } => {
            let numbers = gerrit.closable(pair, *commit, change_id.as_ref());
            let changes = numbers.iter().filter_map(|number| gerrit.read(*number, &BOT.into())).collect();
            vec![Event::CommitSeen { effect, commit: *commit, change_id: change_id.clone(), changes }]
        }
        EffectKind::FindReferences { references } => {
            let found = references.iter().map(|reference| find(gerrit, reference)).collect();
            vec![Event::ReferencesFound { effect, found }]
        }
        EffectKind::ObservePush { pair, submit: Some(submit), .. } => {
            let tip = gerrit.tip(pair);
            let unseen = Event::PushSeen { effect, pair: pair.clone(), tip, contains: false };
            vec![submitted(gerrit, effect, pair, submit).unwrap_or(unseen)]
        }
        EffectKind::ObservePush { pair, new, submit: None } => {
            let tip = gerrit.tip(pair);
            let contains = tip.is_some_and(|tip| gerrit.git.reaches(tip, *new));
            vec![Event::PushSeen { effect, pair: pair.clone(), tip, contains }]
        }
        EffectKind::CloseChange { change, .. } => {
            let merged = gerrit.change(*change).is_some_and(|change| change.status == ChangeStatus::Merged);
            let outcome = if merged { Outcome::Applied } else { Outcome::Refused("409 not ready".into()) };
            vec![Event::EffectEnded { effect, outcome }]
        }
        _ => Vec::new(),
    }
}

/// What the review host has for a reference, as far as the daemon may see it.
fn find(gerrit: &Gerrit, reference: &Reference) -> (Reference, Vec<Target>) {
    let is_meant = |change: &&Change| match reference {
        Reference::Number(number) => change.number == *number,
        Reference::Id(id) => change.change_id == *id,
        Reference::Wrong { .. } => false,
    };
    let seen = gerrit.changes().filter(is_meant).filter(|change| change.is_visible_to(&BOT.into()));
    (reference.clone(), seen.map(|change| Target::of(&gerrit.snapshot(change))).collect())
}

/// What became of a change that the review host was to submit, if it has landed.
pub fn submitted(gerrit: &Gerrit, effect: EffectId, pair: &Pair, submit: &Submit) -> Option<Event> {
    let tip = gerrit.tip(pair)?;
    let commit = landed_as(gerrit, tip, submit.old, submit.revision, &submit.change_id)?;
    let same_tree = gerrit.git.tree_id(commit) == submit.tree;
    Some(Event::Submitted { effect, pair: pair.clone(), tip, commit, same_tree })
}
