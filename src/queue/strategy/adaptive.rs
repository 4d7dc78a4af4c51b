//! `adaptive`: `ranked` while slots suffice, and batches of the size that lands most for each build where
//! they do not.

use super::{Load, batch};
use crate::queue::predict::{SURE, both};

/// How many items one batch has; 1 means that each is built for itself.
pub(super) fn size(load: Load, most: u32) -> u32 {
    let wanted = batch::size(load, most);
    let mut best = (1, SURE);
    let mut size = 2;
    while size <= wanted {
        let cost = cost(size, load.chance);
        if cost < best.1 {
            best = (size, cost);
        }
        size *= 2;
    }
    best.0
}

/// The builds that a change costs in batches of `size`, a power of two, when each change passes with
/// this chance and batches that fail are halved: `[1 + 2·Σ 2^d (1 − p^(size/2^d))] / size` over the
/// depths d above single changes.
fn cost(size: u32, chance: u64) -> u64 {
    let mut sum = SURE;
    let (mut members, mut batches) = (size, 1);
    while members > 1 {
        let passes = (0..members).fold(SURE, |all, _| both(all, chance));
        sum += 2 * batches * (SURE - passes);
        members /= 2;
        batches *= 2;
    }
    sum / u64::from(size)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(unbuilt: u32, chance: u64) -> u32 {
        size(Load { unbuilt, slots: 2, chance }, 8)
    }

    #[test]
    fn batches_only_where_slots_are_scarce_and_failures_are_few() {
        assert_eq!(of(2, SURE * 99 / 100), 1, "there are slots for each");
        assert_eq!(of(16, SURE * 99 / 100), 8);
        assert_eq!(of(16, SURE * 60 / 100), 1, "most batches would fail");
        assert!(of(16, SURE * 90 / 100) < 8);
    }

    #[test]
    fn a_batch_that_always_passes_costs_one_build() {
        assert_eq!(cost(8, SURE), SURE / 8);
        assert_eq!(cost(1, SURE / 2), SURE);
    }
}
