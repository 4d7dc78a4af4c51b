//! How many items of a queue stand how, as a pass over it counts them.

use super::jobs::Standing;
use super::strategy::is_unbuilt;

/// How many items of a queue are asked for their chances.
const CHANCES_MAX: u32 = 64;

/// How many items of a queue stand how.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(crate) struct Tally {
    /// Those with builds to come, known or not.
    pub to_come: u32,
    /// Those that are still to be built.
    pub unbuilt: Unbuilt,
    /// Those of them that are not begun, so that they may be judged by what is behind them.
    pub unbegun: u32,
    /// Those that have passed.
    pub passed: u32,
}

/// The items of a queue that are still to be built.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(crate) struct Unbuilt {
    pub count: u32,
    /// The sum of the chances of the first of them to pass.
    chances: u64,
}

impl Tally {
    /// Counts an item, in order. `is_to_begin` says whether it is begun by its own builds, and is not yet.
    #[inline]
    pub fn add(
        &mut self,
        standing: Standing,
        is_to_begin: impl FnOnce() -> bool,
        chance: impl FnOnce() -> u64,
    ) {
        self.to_come += u32::from(is_unbuilt(standing));
        self.passed += u32::from(standing == Standing::Passed);
        if standing == Standing::Building {
            self.unbegun += u32::from(is_to_begin());
            self.unbuilt.add(chance);
        }
    }

    /// Takes away an item that was counted so.
    pub fn take(&mut self, standing: Standing, is_to_begin: bool, chance: impl FnOnce() -> u64) {
        self.to_come -= u32::from(is_unbuilt(standing));
        self.passed -= u32::from(standing == Standing::Passed);
        if standing == Standing::Building {
            self.unbegun -= u32::from(is_to_begin);
            self.unbuilt.count -= 1;
            self.unbuilt.chances = self.unbuilt.chances.saturating_sub(chance());
        }
    }
}

impl Unbuilt {
    /// Counts an item, in order, with its chance to pass.
    pub fn add(&mut self, chance: impl FnOnce() -> u64) {
        if self.count < CHANCES_MAX {
            self.chances += chance();
        }
        self.count = self.count.saturating_add(1);
    }

    /// The mean chance of an item to pass: the next ones stand for all.
    pub fn chance(&self) -> u64 {
        self.chances.checked_div(u64::from(self.count.min(CHANCES_MAX))).unwrap_or_default()
    }

    /// Whether each of them was asked for its chance, and would be with so many more, so that it does not matter in
    /// what order.
    pub fn are_all_asked(&self, more: usize) -> bool {
        usize::try_from(self.count).is_ok_and(|count| count + more <= CHANCES_MAX as usize)
    }
}
