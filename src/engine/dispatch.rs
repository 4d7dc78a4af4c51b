//! Which port does what.

use crate::model::{Effect, EffectKind};
use crate::port::{Executor, Reporter, ReviewHost, TreeStore};

/// The world outside.
pub struct Ports<'a> {
    /// The review host.
    pub host: &'a mut dyn ReviewHost,
    /// Trees and pushes.
    pub trees: &'a mut dyn TreeStore,
    /// Builds.
    pub executor: &'a mut dyn Executor,
    /// Messages.
    pub reporter: &'a mut dyn Reporter,
}

/// Begins an effect at the port that it is for; `again` when it may have been begun before.
pub fn dispatch(ports: &mut Ports<'_>, effect: Effect, again: bool) {
    match effect.kind {
        EffectKind::PrepareNode { .. }
        | EffectKind::ReleaseNode { .. }
        | EffectKind::Land { .. }
        | EffectKind::ObservePush { .. } => ports.trees.begin(effect, again),
        EffectKind::StartBuild { .. } | EffectKind::StopBuild { .. } => ports.executor.begin(effect, again),
        EffectKind::Look { .. }
        | EffectKind::ObserveChange { .. }
        | EffectKind::ObserveCommit { .. }
        | EffectKind::FindReferences { .. }
        | EffectKind::ObserveTip { .. }
        | EffectKind::CloseChange { .. } => ports.host.begin(effect, again),
        EffectKind::Report(_) => ports.reporter.begin(effect, again),
    }
}
