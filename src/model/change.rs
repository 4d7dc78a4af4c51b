//! A change as the review host shows it at one moment.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    Account, Branch, ChangeId, ChangeNumber, Label, LandingForm, Pair, PatchSet, Reference, Repository, Sha,
    Timestamp,
};

/// Where a change stands on the review host.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum ChangeStatus {
    /// It can still land.
    Open,
    /// It has landed.
    Merged,
    /// Its owner gave it up; it may be restored.
    Abandoned,
}

/// One vote that stands on the current patch set.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Vote {
    /// The label voted on.
    pub label: Label,
    /// The value, never 0 (a vote of 0 is no vote).
    pub value: i32,
    /// Who voted.
    pub by: Account,
    /// When the vote was given; Gerrit keeps whole seconds.
    pub at: Timestamp,
}

/// A submit requirement that applies to the change.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Requirement {
    /// Its name on the review host.
    pub name: Arc<str>,
    /// Whether it is met (satisfied, overridden, or bypassed for good).
    pub met: bool,
    /// The labels that its expression names.
    pub labels: Vec<Label>,
}

/// A whole observation of a change: what is not in it is not so.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ChangeSnapshot {
    /// The change's number.
    pub number: ChangeNumber,
    /// Its repository.
    pub repository: Repository,
    /// Its target branch.
    pub branch: Branch,
    /// Its Change-Id.
    pub change_id: ChangeId,
    /// Whether it is open.
    pub status: ChangeStatus,
    /// The current patch set's number.
    pub patchset: PatchSet,
    /// The current patch set's commit.
    pub revision: Sha,
    /// That commit's parents, in order.
    pub parents: Vec<Sha>,
    /// The form in which it would land; `None` where the review host does not say, or in a form that
    /// this version does not know.
    #[serde(default)]
    pub form: Option<LandingForm>,
    /// Whether its commit message carries the Change-Id: only then does a rewritten commit close it.
    #[serde(default)]
    pub carries_id: bool,
    /// The first line of its commit message.
    pub subject: Arc<str>,
    /// Who owns the change.
    pub owner: Account,
    /// Marked work in progress.
    pub work_in_progress: bool,
    /// Marked private.
    pub private: bool,
    /// The review host's own word that nothing stands against submitting.
    pub submittable: bool,
    /// The submit requirements that apply.
    pub requirements: Vec<Requirement>,
    /// The votes on the current patch set.
    pub votes: Vec<Vote>,
    /// The topic, if any.
    pub topic: Option<Arc<str>>,
    /// The hashtags, sorted.
    pub hashtags: Vec<Arc<str>>,
    /// `Depends-On` footers of the commit message, as written.
    pub depends_on: Arc<[Arc<str>]>,
    /// What these footers name; empty where an older version read them.
    #[serde(default, skip_serializing_if = "is_empty")]
    pub needs: Arc<[Reference]>,
    /// The freshness token (`meta_rev_id` in Gerrit).
    pub meta: Option<Sha>,
    /// When the change was last modified, by the review host's clock.
    pub updated_at: Timestamp,
}

fn is_empty(references: &[Reference]) -> bool {
    references.is_empty()
}

impl ChangeSnapshot {
    /// The branch that the change would land in.
    pub fn pair(&self) -> Pair {
        Pair { repository: self.repository.clone(), branch: self.branch.clone() }
    }

    /// The vote of `by` on `label`, or 0.
    pub fn vote_of(&self, label: &Label, by: &Account) -> i32 {
        let found = self.votes.iter().find(|vote| vote.label == *label && vote.by == *by);
        found.map_or(0, |vote| vote.value)
    }

    /// Whether anyone but `except` holds a negative vote on `label`.
    pub fn vetoed_by(&self, label: &Label, except: &Account) -> Option<&Vote> {
        self.votes.iter().find(|vote| vote.label == *label && vote.value < 0 && vote.by != *except)
    }
}
