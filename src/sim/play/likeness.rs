//! Whether what was said, or how something ended, is what a story means by it.

use std::collections::BTreeSet;

use super::stage::Stage;
use crate::model::{Departure, Reason};

impl Stage {
    /// Whether a departure is what `why` says: its kind, or words of its explanation.
    pub(super) fn is_why(&self, departure: &Departure, why: &str) -> bool {
        let words = super::words_of(departure);
        let kind = format!("{departure:?}");
        let kind = kind.split([' ', '{', '(']).next().unwrap_or_default().to_lowercase();
        let bare = why.trim_matches('"').to_lowercase();
        let squeezed: String = bare.chars().filter(|c| c.is_alphanumeric()).collect();
        if squeezed == kind || self.contains(&words, why) {
            return true;
        }
        let known = kinds(departure);
        if known.iter().any(|(words, so)| *so && words.contains(&&*bare)) {
            return true;
        }
        // `unit failed`, `unit and lint failed`.
        let Departure::Failed { jobs } = departure else { return false };
        let Some(named) = bare.strip_suffix(" failed").or_else(|| bare.strip_suffix(" fails")) else {
            return false;
        };
        let named: BTreeSet<&str> = named
            .split([',', ' '])
            .filter(|word| !["", "and", "the", "job", "jobs", "of", "with"].contains(word))
            .collect();
        !named.is_empty()
            && named.iter().all(|name| jobs.iter().any(|job| job.as_str().eq_ignore_ascii_case(name)))
    }

    /// Whether a text has another in it: case and spaces play no part, `*` is anything, `{A}` is the number
    /// of change A, and so is `change A`.
    pub(super) fn contains(&self, text: &str, wanted: &str) -> bool {
        let mut wanted = plain(wanted.trim_matches('"'));
        for name in &self.names {
            let (number, small) = (self.number(name), name.to_lowercase());
            wanted = wanted.replace(&format!("{{{small}}}"), &number.to_string());
            if let Some(at) = wanted.find(&format!("change {small}")) {
                let end = at + 7 + small.len();
                let is_whole = wanted[end..].chars().next().is_none_or(|c| !c.is_alphanumeric());
                if is_whole {
                    wanted.replace_range(at + 7..end, &number.to_string());
                }
            }
        }
        let text = plain(text);
        let mut rest = &*text;
        wanted.split('*').filter(|part| !part.trim().is_empty()).all(|part| match rest.find(part.trim()) {
            Some(at) => {
                rest = &rest[at + part.trim().len()..];
                true
            }
            None => false,
        })
    }
}

/// What people call an ending, and whether it is this one.
fn kinds(departure: &Departure) -> Vec<(&'static [&'static str], bool)> {
    let held = match departure {
        Departure::Held { reason } => Some(reason),
        _ => None,
    };
    let on_old = matches!(held, Some(Reason::ParentReplaced { .. }));
    let on_abandoned = matches!(held, Some(Reason::ParentAbandoned { .. }));
    vec![
        (
            &["failed", "failure", "it failed", "a job failed", "builds failed"],
            matches!(departure, Departure::Failed { .. }),
        ),
        (
            &["conflict", "a conflict", "merge conflict", "of a conflict", "it conflicts"],
            matches!(departure, Departure::Conflict { .. }),
        ),
        (&["abandoned", "it was abandoned"], matches!(departure, Departure::Abandoned)),
        (
            &["new patch set", "a new patch set", "patch set", "of a new patch set"],
            matches!(departure, Departure::NewPatchSet { .. }),
        ),
        (
            &[
                "vote withdrawn",
                "approval withdrawn",
                "withdrawn",
                "veto",
                "vetoed",
                "a veto",
                "the approval was withdrawn",
            ],
            matches!(departure, Departure::VoteWithdrawn { .. }),
        ),
        (&["dequeued", "an operator"], matches!(departure, Departure::Dequeued { .. })),
        (
            &["dependency", "a dependency", "parent", "its parent left", "dependency left"],
            matches!(departure, Departure::Dependency { .. }) || on_old || on_abandoned,
        ),
        (&["work in progress", "wip"], matches!(departure, Departure::WorkInProgress)),
        (&["private"], matches!(departure, Departure::Private)),
        (&["moved"], matches!(departure, Departure::Moved)),
        (
            &[
                "merged elsewhere",
                "landed by someone else",
                "landed elsewhere",
                "merged by hand",
                "landed by hand",
            ],
            matches!(departure, Departure::MergedElsewhere),
        ),
        (
            &["broken job file", "job file", "its job file", "a broken job file"],
            matches!(departure, Departure::BrokenJobFile { .. }),
        ),
        (&["refused", "gerrit refused"], matches!(departure, Departure::Refused { .. })),
        (
            &["requirement", "a requirement"],
            matches!(departure, Departure::Requirement { .. })
                || matches!(held, Some(Reason::Requirements { .. })),
        ),
        (&["queue removed", "its queue is gone"], matches!(departure, Departure::QueueRemoved)),
        (
            &["closure", "a foreign commit", "foreign commit"],
            matches!(departure, Departure::Closure { .. }) || on_old,
        ),
        (&["old patch set", "an old patch set", "older patch set", "rests on an old patch set"], on_old),
        (&["parent abandoned", "its parent was abandoned"], on_abandoned),
    ]
}

fn plain(text: &str) -> String {
    text.to_lowercase().split_whitespace().collect::<Vec<_>>().join(" ")
}
