//! Where a change stands in its queue, and when it will probably land: from the builds that are still to
//! end, else from how fast the queue landed lately. An estimate, and said to be one.

use super::history::MINUTE_MS;
use super::html::Html;
use super::picture::{Picture, Row};
use super::pieces::Frame;
use super::state::State;
use crate::model::item::{JobOutcome, JobResult};
use crate::model::time::in_words;
use crate::model::{ChangeNumber, ItemId, QueueName, Timestamp};

/// Minutes over which landings are counted.
const MINUTES: i64 = 60;
/// Fewer landings than this say nothing of a rate.
const LANDINGS_MIN: u32 = 3;

/// When an item will probably land.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outlook {
    /// When the builds end on which it rests, if all of them pass.
    Builds(Timestamp),
    /// At the pace of so many landings in the last hour, after so many milliseconds.
    Pace(u32, i64),
    /// Not as things stand: it fails or is held.
    Stuck,
    /// Nothing is known that would tell.
    Unknown,
}

/// Writes the places of a change in its queues.
pub fn write(html: &mut Html, picture: &Picture, number: ChangeNumber, frame: &Frame<'_>) {
    for (queue, rows) in picture.view.queues.iter().zip(&picture.queues) {
        let holds = |row: &Row| row.item.changes.iter().any(|change| change.number == number);
        let Some(at) = rows.iter().position(holds) else { continue };
        html.element("<p class=\"place\"><b>Place ", at + 1, "").element(" of ", rows.len(), "</b>").element(
            " in queue ",
            &queue.name,
            ". ",
        );
        match outlook(picture, &queue.name, rows, at) {
            Outlook::Builds(end) if end <= picture.view.at => {
                html.raw("If all passes, it lands any moment now.");
            }
            Outlook::Builds(end) => {
                html.element("If all passes, it lands in about <span data-until=\"", end.0, "\">").element(
                    "",
                    in_words(end.since_ms(frame.now)),
                    "</span>.",
                );
            }
            Outlook::Pace(landings, ms) => {
                html.element("At the pace of the last hour (", landings, " landings) its turn comes ")
                    .element("in about ", in_words(ms), ".");
            }
            Outlook::Stuck => {
                html.raw("It does not land as things stand: what keeps it is said below.");
            }
            Outlook::Unknown => {
                html.raw("When it lands cannot be told yet: too little is known of its jobs.");
            }
        }
        html.raw("</p>");
    }
}

/// When the item at place `at` (from 0) of a queue will probably land.
pub fn outlook(picture: &Picture, queue: &QueueName, rows: &[Row], at: usize) -> Outlook {
    let Some(row) = rows.get(at) else { return Outlook::Unknown };
    if matches!(State::of(&row.item), State::Bad | State::Held) {
        return Outlook::Stuck;
    }
    let rests_on = |id: &ItemId| row.item.contains.contains(id);
    let ahead = rows[..at].iter().filter(|ahead| rests_on(&ahead.item.item));
    let ends: Option<Vec<Timestamp>> = ahead.chain([row]).map(|row| end_of(picture, row)).collect();
    if let Some(end) = ends.and_then(|ends| ends.into_iter().max()) {
        return Outlook::Builds(end);
    }
    let since = picture.view.at.0.div_euclid(MINUTE_MS) - MINUTES;
    let recent = picture.minutes.iter().filter(|minute| minute.at > since);
    let landed: u32 = recent.filter_map(|minute| minute.queues.get(queue)).map(|sample| sample.landed).sum();
    if landed < LANDINGS_MIN {
        return Outlook::Unknown;
    }
    let place = i64::try_from(at + 1).unwrap_or(i64::MAX);
    Outlook::Pace(landed, place.saturating_mul(MINUTES * MINUTE_MS) / i64::from(landed))
}

/// When an item's builds have probably ended; `None` when that cannot be told.
fn end_of(picture: &Picture, row: &Row) -> Option<Timestamp> {
    let now = picture.view.at;
    if State::of(&row.item) == State::Good {
        return Some(now);
    }
    let voting = row.item.jobs.iter().filter(|job| job.voting);
    let ends: Vec<Timestamp> = voting.map(|job| end_of_job(picture, job, now)).collect::<Option<_>>()?;
    ends.into_iter().max()
}

fn end_of_job(picture: &Picture, job: &JobResult, now: Timestamp) -> Option<Timestamp> {
    let estimate = picture.times.estimates.get(&job.job).copied();
    match job.result {
        JobOutcome::Waiting => Some(now.plus_ms(estimate?)),
        JobOutcome::Running => {
            let started = job.build.and_then(|build| picture.times.started.get(&build))?;
            Some(started.plus_ms(estimate?).max(now))
        }
        JobOutcome::Success | JobOutcome::Failure | JobOutcome::Error | JobOutcome::Aborted => Some(now),
    }
}
