//! `zuul`: the yardstick of the simulator, as Zuul's dependent pipeline does it. Each item is built on the
//! nearest ones ahead that have not failed; when one of those fails everything behind is built anew,
//! whatever it reads; no verdict is used twice. A configuration cannot name it.

use crate::model::policy::Growth;

/// Zuul's own defaults.
pub(in crate::queue) const WINDOW: Growth = Growth { start: 20, floor: 3, ceiling: 10_000, by: 1 };
