//! Runs seeds against a core with a planted bug: ends with 1 at the first that notices.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

fn main() -> ExitCode {
    let seeds = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(1_000_u64);
    for seed in 0..seeds {
        match catch_unwind(AssertUnwindSafe(|| seakeeper::sim::run_without(seed, &BTreeSet::new(), false))) {
            Ok(Ok(_)) => {}
            Ok(Err(violation)) => {
                println!("{violation}");
                return ExitCode::FAILURE;
            }
            Err(_) => {
                println!("seed {seed}: crash");
                return ExitCode::FAILURE;
            }
        }
    }
    println!("{seeds} seeds keep all promises");
    ExitCode::SUCCESS
}
