//! What a queue builds ahead of need: one file for each strategy.
//!
//! A strategy looks at the items of a queue in order and says of each whether its node is made, and
//! whether its builds may claim slots. It decides what is bought, never what lands: it can waste work,
//! and cannot land a wrong tree.

mod adaptive;
mod batch;
mod dependent;
mod ranked;
mod serial;
mod share;
pub(super) mod zuul;

use std::sync::Arc;

use crate::model::ItemId;
use crate::model::policy::{QueuePolicy, StrategyPolicy};

use super::jobs::Standing;
pub(crate) use share::Shares;

/// Why an item's builds claim no slots.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Hold {
    /// It is too far back: so many are built at once.
    Window(u32),
    /// What it meets ahead is to be decided first.
    Turn,
    /// It rests on what is expected to leave.
    Leaving,
    /// Its owner, or its repository, has its share.
    Share {
        /// Whose share, in words.
        of: Arc<str>,
        /// How large it is.
        most: u32,
    },
    /// The builds of this one behind it judge it, too.
    Pooled(ItemId),
    /// This one is being built to find out who is to blame for a failure.
    Doubt(ItemId),
}

/// An item as a strategy sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seat {
    /// Whether it meets an undecided item ahead, where the strategy asks.
    pub meets: bool,
    /// How it stands.
    pub standing: Standing,
}

/// One walk over a queue.
pub(super) trait Walk {
    /// Whether the item at `place` gets no node for now.
    fn is_too_far(&self, place: u32) -> bool;

    /// Why what is too far back gets none.
    fn limit(&self) -> Hold;

    /// Whether it matters what an item meets ahead.
    fn asks_what_it_meets(&self) -> bool {
        false
    }

    /// Why an item that has a node claims no slots; `None` when it may.
    fn holds(&mut self, seat: Seat) -> Option<Hold>;

    /// Counts an item that may claim slots whatever is ahead of it, and stands so. Not asked of walks to which
    /// it matters what an item meets.
    fn count(&mut self, _standing: Standing) {}
}

/// What there is to build in a queue, and on what.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    /// Items that are still to be built.
    pub unbuilt: u32,
    /// Slots.
    pub slots: u32,
    /// The mean chance of such an item to pass.
    pub chance: u64,
}

/// The walk of a queue's strategy; `window` is how far `dependent` goes now, where that changes.
pub(super) fn walk(queue: &QueuePolicy, slots: u32, window: Option<u32>) -> Box<dyn Walk> {
    match queue.strategy {
        StrategyPolicy::Serial => Box::new(serial::Serial),
        StrategyPolicy::Dependent { window: fixed } => {
            Box::new(dependent::Dependent { window: window.unwrap_or(fixed) })
        }
        StrategyPolicy::Zuul => Box::new(dependent::Dependent { window: window.unwrap_or(1) }),
        StrategyPolicy::Ranked | StrategyPolicy::Batch | StrategyPolicy::Adaptive => {
            Box::new(ranked::Ranked::new(ranked_slots(queue, slots)))
        }
    }
}

/// Whether a walk over the same items, in the same window, comes as far as before: `were` is how many of those
/// that it came to had builds to come, `are` how many have now, and `is_all` says that none was too far back.
pub(super) fn reach_stays(queue: &QueuePolicy, slots: u32, is_all: bool, [were, are]: [u32; 2]) -> bool {
    match queue.strategy {
        StrategyPolicy::Dependent { .. } => true,
        StrategyPolicy::Ranked | StrategyPolicy::Batch | StrategyPolicy::Adaptive => {
            were == are || is_all && are < ranked::look_ahead(ranked_slots(queue, slots))
        }
        StrategyPolicy::Serial | StrategyPolicy::Zuul => false,
    }
}

/// On how many items the look ahead of a strategy counts for its slots.
fn ranked_slots(queue: &QueuePolicy, slots: u32) -> u32 {
    slots.saturating_mul(most_pooled(queue))
}

/// How many items may ever be judged as one.
pub(super) fn most_pooled(queue: &QueuePolicy) -> u32 {
    match queue.strategy {
        StrategyPolicy::Batch | StrategyPolicy::Adaptive => queue.tuning.batch_max,
        _ => 1,
    }
}

/// How many items are judged as one, as things stand.
pub(super) fn pool_size(queue: &QueuePolicy, load: Load) -> u32 {
    match queue.strategy {
        StrategyPolicy::Batch => batch::size(load, queue.tuning.batch_max),
        StrategyPolicy::Adaptive => adaptive::size(load, queue.tuning.batch_max),
        _ => 1,
    }
}

/// How many slots alternatives to the likeliest path of a queue may use.
pub(super) fn alternative_slots(queue: &QueuePolicy, slots: u32) -> usize {
    let has_them = matches!(queue.strategy, StrategyPolicy::Ranked | StrategyPolicy::Adaptive);
    let most = if has_them { u64::from(slots) * u64::from(queue.tuning.alternatives) / 100 } else { 0 };
    usize::try_from(most).unwrap_or(usize::MAX)
}

/// Whether a strategy keeps what will probably fail beside the order.
pub(super) fn has_probation(strategy: StrategyPolicy) -> bool {
    matches!(strategy, StrategyPolicy::Ranked | StrategyPolicy::Adaptive)
}

/// Whether an item that stands so has builds to come.
pub(super) fn is_unbuilt(standing: Standing) -> bool {
    matches!(standing, Standing::Unprepared | Standing::Preparing | Standing::Building)
}
