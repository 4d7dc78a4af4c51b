//! `seakeeper simulate --compare`: a table of what each strategy costs on the same seeds.

use std::ops::Range;
use std::thread;

use super::exit::Exit;
use super::failure::Failure;
use super::output;
use crate::sim::compare::{Figures, STRATEGIES, figures};

/// Prints the table.
///
/// # Errors
/// When a seed breaks a promise.
pub(super) fn tell(seeds: &Range<u64>, slots: u32, per_hour: u32) -> Result<(), Failure> {
    let rows: Vec<Result<Figures, String>> = thread::scope(|scope| {
        let run = |strategy| figures(seeds.clone(), strategy, slots, per_hour);
        let running: Vec<_> =
            STRATEGIES.iter().map(|(_, strategy)| scope.spawn(move || run(*strategy))).collect();
        let ended = running.into_iter().map(|row| row.join().unwrap_or_else(|_| Err("it panicked".into())));
        ended.collect()
    });
    output::say(format_args!(
        "seeds {}..{}, {slots} slots, {per_hour} changes an hour",
        seeds.start, seeds.end
    ))?;
    output::say(
        "| strategy | changes landed | builds | builds per landed change | of zuul's | median stay | 95 of 100 |",
    )?;
    output::say("|---|---|---|---|---|---|---|")?;
    let mut yardstick = None;
    for ((name, _), row) in STRATEGIES.iter().zip(rows) {
        let row = row.map_err(|why| Failure::new(Exit::Failed, format_args!("compare: {name}: {why}")))?;
        let cost = row.builds_per_change();
        let yardstick = *yardstick.get_or_insert(cost);
        let share = (cost * 100).checked_div(yardstick).unwrap_or_default();
        output::say(format_args!(
            "| {name} | {} | {} | {} | {} | {} min | {} min |",
            row.landed,
            row.builds,
            hundredths(cost / 10),
            hundredths(share),
            row.stay_ms(50) / 60_000,
            row.stay_ms(95) / 60_000,
        ))?;
    }
    Ok(())
}

/// A number of hundredths with its point.
fn hundredths(number: u64) -> String {
    format!("{}.{:02}", number / 100, number % 100)
}
