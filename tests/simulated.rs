//! The core and the engine on faked worlds: many seeds, the same seed twice, and what once went wrong.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use seakeeper::sim::{Regression, run_seed, run_without};

/// Seeds of a test run; `seakeeper simulate --seeds` runs as many as there is time for.
const SEEDS: u64 = 200;

#[test]
fn seeds_keep_all_promises() {
    let (mut landed, mut on_demand, mut pinned) = (0, 0, 0);
    for seed in 0..SEEDS {
        match run_seed(seed) {
            Ok(report) => {
                landed += report.landed;
                on_demand += report.on_demand;
                pinned += report.pinned;
            }
            Err(violation) => panic!("{violation}\n{}", violation.trace.join("\n")),
        }
    }
    assert!(landed > 1_000, "only {landed} changes landed: the runs prove little");
    assert!(on_demand > 20, "only {on_demand} runs were asked for in comments");
    assert!(pinned > 500, "only {pinned} nodes were given what is pinned");
}

#[test]
fn a_seed_gives_the_same_run_again() {
    for seed in [1, 7, 42, 99] {
        let run = || run_without(seed, &BTreeSet::new(), true).map_err(|violation| violation.to_string());
        let (first, second) = (run(), run());
        assert!(first.is_ok(), "{first:?}");
        assert_eq!(first, second, "seed {seed}");
    }
}

#[test]
fn what_once_went_wrong_does_not_again() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("simulations/regressions");
    let mut files: Vec<_> = fs::read_dir(folder)
        .expect("the folder of regressions is there")
        .map(|entry| entry.expect("an entry can be read").path())
        .collect();
    files.sort();
    assert!(!files.is_empty());
    for path in files {
        let text = fs::read_to_string(&path).expect("a regression can be read");
        let regression = Regression::parse(&text).unwrap_or_else(|why| panic!("{}: {why}", path.display()));
        if let Err(violation) = run_without(regression.seed, &regression.disabled, false) {
            panic!("{}: {violation}\n{}", path.display(), violation.trace.join("\n"));
        }
    }
}
