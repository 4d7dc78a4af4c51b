//! Which of the planted bugs is run.

use std::sync::atomic::{AtomicUsize, Ordering};

static NUMBER: AtomicUsize = AtomicUsize::new(0);

/// The row of the table whose bug is run, counted from one; 0 is none.
pub fn number() -> usize {
    NUMBER.load(Ordering::Relaxed)
}

/// Chooses the bug for the rest of the process.
pub fn choose(number: usize) {
    NUMBER.store(number, Ordering::Relaxed);
}
