//! How long effects take, from being asked for to their end: git's times and Gerrit's, for monitoring.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::model::event::Outcome;
use crate::model::tree::{Prepared, Resolved};
use crate::model::{Effect, EffectId, EffectKind, Event};
use crate::web::Metrics;
use crate::web::metrics::Ended;

/// Effects that are timed at once; those beyond go untimed.
const EFFECTS_MAX: usize = 10_000;

/// Effects under way.
#[derive(Default)]
pub struct Timing {
    begun: BTreeMap<EffectId, (Instant, &'static str)>,
}

impl Timing {
    /// An effect begins.
    pub fn begin(&mut self, effect: &Effect) {
        if let Some(kind) = kind(&effect.kind).filter(|_| self.begun.len() < EFFECTS_MAX) {
            self.begun.insert(effect.id, (Instant::now(), kind));
        }
    }

    /// Something happened; perhaps an effect ended with it.
    pub fn note(&mut self, event: &Event, metrics: &Metrics) {
        let Some((effect, ended)) = end(event) else { return };
        if let Some((at, kind)) = self.begun.remove(&effect) {
            metrics.effect(kind, at.elapsed(), ended);
        }
    }
}

/// What effects of a kind are called; none for those whose end is not told.
fn kind(effect: &EffectKind) -> Option<&'static str> {
    Some(match effect {
        EffectKind::PrepareNode { .. } => "prepare",
        EffectKind::Look { .. } => "look",
        EffectKind::Land { .. } => "land",
        EffectKind::ObservePush { .. } => "observe_push",
        EffectKind::ObserveChange { .. } => "observe_change",
        EffectKind::ObserveCommit { .. } => "observe_commit",
        EffectKind::FindReferences { .. } => "find_references",
        EffectKind::ObserveTip { .. } => "observe_tip",
        EffectKind::CloseChange { .. } => "close_change",
        EffectKind::Report(_) => "report",
        EffectKind::ReleaseNode { .. } | EffectKind::StartBuild { .. } | EffectKind::StopBuild { .. } => {
            return None;
        }
    })
}

/// The effect that an event ends, and how.
fn end(event: &Event) -> Option<(EffectId, Ended)> {
    let judge = |outcome: &Outcome| match outcome {
        Outcome::Applied => Ended::Well,
        Outcome::Refused(_) => Ended::Refused,
        Outcome::Failed(_) | Outcome::Gone(_) | Outcome::Unknown(_) => Ended::Failed,
    };
    Some(match event {
        Event::NodePrepared { outcome: Prepared::Merged { .. }, .. } => return None,
        Event::NodePrepared { effect, outcome: Prepared::Failed { .. }, .. }
        | Event::JobsResolved { effect, outcome: Resolved::Failed { .. }, .. } => (*effect, Ended::Failed),
        Event::NodePrepared { effect, .. } => (*effect, Ended::Refused),
        Event::JobsResolved { effect, .. }
        | Event::Looked { effect, .. }
        | Event::CommitSeen { effect, .. }
        | Event::PushSeen { effect, .. } => (*effect, Ended::Well),
        Event::PushEnded { effect, pushes } => {
            let worst = pushes.iter().map(|(_, outcome)| judge(outcome)).find(|ended| *ended != Ended::Well);
            (*effect, worst.unwrap_or(Ended::Well))
        }
        Event::EffectEnded { effect, outcome } => (*effect, judge(outcome)),
        _ => return None,
    })
}
