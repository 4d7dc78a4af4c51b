//! Runs seeds against a core with a planted bug: ends with 1 at the first that notices.
//!
//! The arguments: the bug's number, 0 for none; how many seeds.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1).filter_map(|text| text.parse().ok());
    let (Some(bug), Some(seeds)) = (arguments.next(), arguments.next()) else {
        println!("two numbers are needed: the bug's and that of the seeds");
        return ExitCode::FAILURE;
    };
    seakeeper::planted::choose(bug);
    for seed in 0..seeds {
        let seed = seed as u64;
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
