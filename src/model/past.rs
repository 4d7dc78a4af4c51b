//! What has happened to an item so far: a short history, for those who ask why it is where it is.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{ChangeNumber, JobName, Timestamp};

/// The most entries that an item keeps; the oldest but the first go.
const PAST_MAX: usize = 40;
/// The most changes that one entry names.
const NAMED_MAX: usize = 8;

/// One entry.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Past {
    /// When.
    pub at: Timestamp,
    /// What.
    pub what: Happened,
}

/// What has happened.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Happened {
    /// It came in.
    Entered,
    /// It was merged onto its branches as they were, with these undecided changes ahead of it.
    Tested {
        /// The nearest of them, in order.
        on: Vec<ChangeNumber>,
        /// How many more there were before those.
        more: usize,
    },
    /// It is built a second time without a change ahead of it.
    Hedged {
        /// That change.
        without: ChangeNumber,
    },
    /// It goes before a change that was ahead of it.
    Overtook {
        /// That change.
        change: ChangeNumber,
    },
    /// A change that was behind it goes first.
    Overtaken {
        /// That change.
        by: ChangeNumber,
    },
    /// A change that it was tested on top of has left.
    Left {
        /// That change.
        change: ChangeNumber,
    },
    /// Verdicts still count after it was merged anew: what these jobs read is unchanged.
    Kept {
        /// The jobs.
        jobs: Vec<JobName>,
    },
    /// A job has a verdict.
    Judged {
        /// The job.
        job: JobName,
        /// Whether it passed.
        passed: bool,
        /// Whether the verdict comes from a build that was not made for this item.
        known: bool,
    },
}

impl Happened {
    /// Merged on top of so many, given from the last one on.
    pub fn tested_on(count: usize, last_first: impl Iterator<Item = ChangeNumber>) -> Self {
        let mut on: Vec<ChangeNumber> = last_first.take(NAMED_MAX).collect();
        on.reverse();
        Self::Tested { more: count.saturating_sub(on.len()), on }
    }

    /// The same with other numbers, for readers who may not see all of them.
    pub fn with_numbers(&self, cover: impl Fn(ChangeNumber) -> ChangeNumber) -> Self {
        match self {
            Self::Tested { on, more } => {
                Self::Tested { on: on.iter().map(|number| cover(*number)).collect(), more: *more }
            }
            Self::Left { change } => Self::Left { change: cover(*change) },
            Self::Hedged { without } => Self::Hedged { without: cover(*without) },
            Self::Overtook { change } => Self::Overtook { change: cover(*change) },
            Self::Overtaken { by } => Self::Overtaken { by: cover(*by) },
            other => other.clone(),
        }
    }
}

/// Adds an entry, unless the last one says the same.
pub fn note(past: &mut Vec<Past>, at: Timestamp, what: Happened) {
    if past.last().is_some_and(|last| last.what == what) {
        return;
    }
    past.push(Past { at, what });
    if past.len() > PAST_MAX {
        past.remove(1);
    }
}

impl fmt::Display for Happened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = |jobs: &[JobName]| jobs.iter().map(JobName::as_str).collect::<Vec<_>>().join(", ");
        match self {
            Self::Entered => write!(f, "came in"),
            Self::Tested { on, .. } if on.is_empty() => write!(f, "merged onto its branch as it is"),
            Self::Tested { on, more } => {
                let named: Vec<String> = on.iter().map(|change| change.named()).collect();
                let before = if *more > 0 { format!("{more} more and ") } else { String::new() };
                write!(f, "merged on top of {before}{}", named.join(", "))
            }
            Self::Hedged { without } => {
                write!(f, "also being built without {}, in case that fails", without.named())
            }
            Self::Overtook { change } => {
                let name = change.named();
                write!(f, "goes before {name}: it passed with and without that, which passes behind it")
            }
            Self::Overtaken { by } => {
                write!(
                    f,
                    "{} goes first: it passed with and without this, which passes behind it",
                    by.named()
                )
            }
            Self::Left { change } => write!(f, "{} left, on top of which it was tested", change.named()),
            Self::Kept { jobs } => {
                write!(f, "still valid, for what they read is unchanged: {}", names(jobs))
            }
            Self::Judged { job, passed, known } => {
                let verdict = if *passed { "passed" } else { "failed" };
                let from = if *known { ", known from an earlier build" } else { "" };
                write!(f, "{job} {verdict}{from}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_history_is_bounded_and_says_nothing_twice() {
        let mut past = Vec::new();
        note(&mut past, Timestamp(1), Happened::Entered);
        for number in 0..100 {
            let what = || Happened::tested_on(1, [ChangeNumber(number / 2)].into_iter());
            note(&mut past, Timestamp(2), what());
        }
        assert_eq!(past.len(), PAST_MAX);
        assert_eq!(past[0].what, Happened::Entered);
        assert_eq!(past[PAST_MAX - 1].what.to_string(), "merged on top of change 49");
    }

    #[test]
    fn the_nearest_changes_are_named() {
        let all: Vec<ChangeNumber> = (1..=10).map(ChangeNumber).collect();
        let words = Happened::tested_on(all.len(), all.iter().rev().copied()).to_string();
        assert!(words.starts_with("merged on top of 2 more and change 3, "), "{words}");
        assert!(words.ends_with("change 10"), "{words}");
    }
}
