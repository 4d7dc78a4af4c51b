//! Where a change stands in its queue, and when it will probably land: from the builds that are still to
//! end, else from how fast the queue landed lately. An estimate, and said to be one.

use std::collections::BTreeMap;

use super::history::MINUTE_MS;
use super::html::Html;
use super::picture::{Picture, Row};
use super::pieces::Frame;
use super::state::State;
use crate::model::item::{JobOutcome, JobResult};
use crate::model::time::in_words;
use crate::model::{ChangeNumber, ItemId, JobName, Pair, QueueName, Timestamp};

/// Minutes over which landings are counted.
const MINUTES: i64 = 60;
/// Fewer landings than this say nothing of a rate.
const LANDINGS_MIN: u32 = 3;

/// When an item will probably land.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outlook {
    /// When the builds end on which it rests, if all of them pass: probably, and between what times.
    Builds {
        /// Half of what was recorded lies before this.
        likely: Timestamp,
        /// A tenth does.
        earliest: Timestamp,
        /// Nine tenths do.
        latest: Timestamp,
    },
    /// At the pace of so many landings in the last hour, after so many milliseconds.
    Pace(u32, i64),
    /// Not as things stand: it fails or is held.
    Stuck,
    /// Nothing is known that would tell.
    Unknown,
}

impl Outlook {
    /// In words, as of `now`.
    pub fn words(self, now: Timestamp) -> String {
        match self {
            Self::Builds { likely, .. } if likely <= now => "If all passes, it lands any moment now.".into(),
            Self::Builds { likely, earliest, latest } => {
                let range = range(earliest, latest, now);
                format!("If all passes, it lands in about {}{range}.", in_words(likely.since_ms(now)))
            }
            Self::Pace(landings, ms) => format!(
                "At the pace of the last hour ({landings} landings) its turn comes in about {}.",
                in_words(ms)
            ),
            Self::Stuck => {
                "It does not land as things stand: the reason for its wait says what keeps it.".into()
            }
            Self::Unknown => "When it lands cannot be told yet: too little is known of its jobs.".into(),
        }
    }
}

/// Between what times most lie, where that is known; as of `now`.
fn range(earliest: Timestamp, latest: Timestamp, now: Timestamp) -> String {
    if earliest == latest {
        return String::new();
    }
    let [earliest, latest] = [earliest, latest].map(|at| in_words(at.since_ms(now)));
    format!(" (mostly between {earliest} and {latest})")
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
            // The page counts down.
            Outlook::Builds { likely, earliest, latest } if likely > picture.view.at => html
                .element("If all passes, it lands in about <span data-until=\"", likely.0, "\">")
                .element("", in_words(likely.since_ms(frame.now)), "</span>")
                .text(range(earliest, latest, frame.now))
                .raw("."),
            other => html.text(other.words(picture.view.at)),
        };
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
    let rows: Vec<&Row> = ahead.chain([row]).collect();
    let end = |which: Which| {
        let ends: Option<Vec<Timestamp>> = rows.iter().map(|row| end_of(picture, row, which)).collect();
        ends.and_then(|ends| ends.into_iter().max())
    };
    if let (Some(likely), Some(earliest), Some(latest)) =
        (end(Which::Likely), end(Which::Earliest), end(Which::Latest))
    {
        return Outlook::Builds { likely, earliest, latest };
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

/// Which of the recorded durations counts.
#[derive(Clone, Copy)]
enum Which {
    Likely,
    Earliest,
    Latest,
}

/// When an item's builds have probably ended; `None` when that cannot be told.
fn end_of(picture: &Picture, row: &Row, which: Which) -> Option<Timestamp> {
    let now = picture.view.at;
    if State::of(&row.item) == State::Good {
        return Some(now);
    }
    let voting: Vec<&JobResult> = row.item.jobs.iter().filter(|job| job.voting).collect();
    let mut ends: BTreeMap<(&JobName, &Pair), Timestamp> = BTreeMap::new();
    // A build begins when those end that its job needs.
    while ends.len() < voting.len() {
        let known = ends.len();
        for job in &voting {
            let mut needs = job.needs.iter().map(|need| ends.get(&(need, &job.home)).copied());
            let begin = needs.try_fold(now, |begin, end| Some(begin.max(end?)));
            if let Some(begin) = begin {
                ends.insert((&job.job, &job.home), end_of_job(picture, job, begin, which)?);
            }
        }
        if ends.len() == known {
            return None;
        }
    }
    ends.into_values().max()
}

/// When a job ends whose build cannot begin before `begin`.
fn end_of_job(picture: &Picture, job: &JobResult, begin: Timestamp, which: Which) -> Option<Timestamp> {
    let now = picture.view.at;
    let range = picture.times.ranges.get(&job.job);
    let estimate = match which {
        Which::Likely => picture.times.estimates.get(&job.job).copied(),
        Which::Earliest => range.map(|(earliest, _)| *earliest),
        Which::Latest => range.map(|(_, latest)| *latest),
    };
    match job.result {
        JobOutcome::Waiting => Some(begin.plus_ms(estimate?)),
        JobOutcome::Running => {
            let started = job.build.and_then(|build| picture.times.started.get(&build))?;
            Some(started.plus_ms(estimate?).max(now))
        }
        JobOutcome::Success
        | JobOutcome::Failure
        | JobOutcome::Error
        | JobOutcome::Aborted
        | JobOutcome::Skipped => Some(now),
    }
}
