//! The labels of the model's site, what they need to be met, and what becomes of a vote when a new
//! patch set comes.

use super::change::Change;
use super::git::Kind;
use crate::model::{Requirement, Vote};

/// The label of review.
pub const REVIEW: &str = "Code-Review";
/// The label that the daemon votes on.
pub const VERIFIED: &str = "Verified";
/// A requirement of the site that no vote meets.
pub const LEGAL: &str = "Legal";

/// A label as data.
#[derive(Debug)]
pub struct LabelRule {
    /// Its name.
    pub name: &'static str,
    /// Its values with what they say, lowest first.
    pub values: &'static [(i32, &'static str)],
    /// When a vote stays on the next patch set, in Gerrit's language.
    pub copy_condition: &'static str,
}

/// All labels.
pub const LABELS: &[LabelRule] = &[
    LabelRule {
        name: REVIEW,
        values: &[
            (-2, "This shall not be submitted"),
            (-1, "I would prefer this is not submitted as is"),
            (0, "No score"),
            (1, "Looks good to me, but someone else must approve"),
            (2, "Looks good to me, approved"),
        ],
        copy_condition: "changekind:NO_CHANGE OR changekind:TRIVIAL_REBASE OR is:MIN",
    },
    LabelRule {
        name: VERIFIED,
        values: &[(-1, "Fails"), (0, "No score"), (1, "Verified")],
        copy_condition: "changekind:NO_CODE_CHANGE",
    },
];

/// The label of this name.
pub fn label(name: &str) -> Option<&'static LabelRule> {
    LABELS.iter().find(|rule| rule.name == name)
}

impl LabelRule {
    /// The lowest value.
    pub fn min(&self) -> i32 {
        self.values.first().map_or(0, |(value, _)| *value)
    }

    /// The highest value.
    pub fn max(&self) -> i32 {
        self.values.last().map_or(0, |(value, _)| *value)
    }

    /// The requirement that this label makes, as Gerrit writes it.
    pub fn expression(&self) -> String {
        format!("label:{name}=MAX AND -label:{name}=MIN", name = self.name)
    }
}

/// Whether a vote stays when a patch set of this kind comes.
pub fn is_copied(vote: &Vote, kind: Kind) -> bool {
    if kind == Kind::NoChange {
        return true;
    }
    match vote.label.as_str() {
        REVIEW => kind == Kind::TrivialRebase || label(REVIEW).is_some_and(|rule| vote.value <= rule.min()),
        VERIFIED => kind == Kind::NoCodeChange,
        _ => false,
    }
}

/// What a change must meet to be submittable, and whether it does.
pub fn requirements(change: &Change) -> Vec<Requirement> {
    let of_label = |rule: &LabelRule| {
        let votes = || change.votes.iter().filter(|vote| vote.label.as_str() == rule.name);
        let met =
            votes().any(|vote| vote.value >= rule.max()) && !votes().any(|vote| vote.value <= rule.min());
        Requirement { name: rule.name.into(), met, labels: vec![rule.name.into()] }
    };
    let mut all: Vec<Requirement> = LABELS.iter().map(of_label).collect();
    all.push(Requirement { name: LEGAL.into(), met: !change.blocked, labels: Vec::new() });
    all
}
