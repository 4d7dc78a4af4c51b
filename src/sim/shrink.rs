//! Makes a failing seed small: leaves out what people did as long as it still fails the same way.

use std::collections::BTreeSet;

use super::Violation;

/// Runs that making one seed small may cost.
const RUNS_MAX: u32 = 2_000;

/// The steps that can be left out of a run of `steps` steps such that `fails` still gives the same
/// broken promise; greedy, in halves of halves and then one by one.
pub fn shrink(
    steps: usize,
    first: &Violation,
    mut fails: impl FnMut(&BTreeSet<usize>) -> Option<Violation>,
) -> BTreeSet<usize> {
    let mut disabled = BTreeSet::new();
    let mut runs = 0;
    let mut width = steps.div_ceil(2).max(1);
    loop {
        let mut gained = false;
        let mut at = 0;
        while at < steps {
            let mut tried = disabled.clone();
            tried.extend(at..(at + width).min(steps));
            at += width;
            if tried.len() == disabled.len() {
                continue;
            }
            runs += 1;
            if runs > RUNS_MAX {
                return disabled;
            }
            if fails(&tried).is_some_and(|found| found.invariant == first.invariant) {
                disabled = tried;
                gained = true;
            }
        }
        if width == 1 && !gained {
            return disabled;
        }
        width = if width == 1 { 1 } else { width.div_ceil(2) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::Class;

    #[test]
    fn only_what_matters_is_left() {
        let violation = Violation {
            seed: 1,
            class: Class::Correctness,
            invariant: "x".into(),
            what: String::new(),
            trace: Vec::new(),
        };
        let needed = [3, 17];
        let fails = |disabled: &BTreeSet<usize>| {
            needed.iter().all(|step| !disabled.contains(step)).then(|| violation.clone())
        };
        let disabled = shrink(30, &violation, fails);
        let left: Vec<usize> = (0..30).filter(|step| !disabled.contains(step)).collect();
        assert_eq!(left, needed);
    }
}
