//! `batch`: ordered prefixes are judged as one, each by the builds of its last item. They grow with the
//! load and are halved when it falls; one that fails is split into prefixes, never into disjoint halves,
//! so that each state that is built is one that may land.

use super::Load;

/// How many items one batch has: so many that all that is to be built fits on the slots.
pub(super) fn size(load: Load, most: u32) -> u32 {
    let each = load.unbuilt.div_ceil(load.slots.max(1)).max(1);
    let size = each.checked_next_power_of_two().unwrap_or(most);
    size.min(most).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_grow_with_the_load() {
        let of = |unbuilt| size(Load { unbuilt, slots: 4, chance: 0 }, 8);
        assert_eq!([0, 4, 5, 8, 9, 17, 1_000].map(of), [1, 1, 2, 2, 4, 8, 8]);
    }
}
