//! A change of the model: its patch sets, votes and messages, and how it is seen from outside.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::git::id_of;
use super::labels::{is_copied, requirements};
use crate::model::{
    Account, ChangeId, ChangeNumber, ChangeStatus, Label, Pair, PatchSet, Sha, Timestamp, Vote,
};

use super::git::Kind;

/// A message on a change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Message {
    /// Who wrote it.
    pub by: Account,
    /// The tag, by which the daemon knows its own; may be empty.
    pub tag: Arc<str>,
    /// The patch set that it is about.
    pub patchset: PatchSet,
    /// When.
    pub at: Timestamp,
    /// The text.
    pub text: Arc<str>,
}

/// A patch set.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Patch {
    /// Its commit.
    pub commit: Sha,
    /// Who uploaded it.
    pub by: Account,
    /// When.
    pub at: Timestamp,
}

/// A change, all of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Change {
    /// Its number.
    pub number: ChangeNumber,
    /// Its repository and branch.
    pub pair: Pair,
    /// Its Change-Id.
    pub change_id: ChangeId,
    /// Whether it is open.
    pub status: ChangeStatus,
    /// Its patch sets, in order.
    pub patchsets: Vec<Patch>,
    /// The patch set that counts: the last one, unless an older one has landed.
    pub current: PatchSet,
    /// Who owns it.
    pub owner: Account,
    /// Who has voted on it.
    pub reviewers: BTreeSet<Account>,
    /// Who has only written on it.
    pub onlookers: BTreeSet<Account>,
    /// Marked work in progress.
    pub work_in_progress: bool,
    /// Marked private.
    pub private: bool,
    /// A further submit requirement of the site is not met.
    pub blocked: bool,
    /// Its topic.
    pub topic: Option<Arc<str>>,
    /// Its hashtags.
    pub hashtags: BTreeSet<Arc<str>>,
    /// The votes on the current patch set.
    pub votes: Vec<Vote>,
    /// The votes on other patch sets.
    pub other_votes: BTreeMap<PatchSet, Vec<Vote>>,
    /// What was written on it.
    pub messages: Vec<Message>,
    /// Who landed it, and when.
    pub landed: Option<(Account, Timestamp)>,
    /// Counts modifications.
    pub revisions: u64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last modified.
    pub updated_at: Timestamp,
}

impl Change {
    /// A new change without a patch set.
    pub(super) fn new(
        number: ChangeNumber,
        pair: Pair,
        change_id: ChangeId,
        owner: Account,
        at: Timestamp,
    ) -> Self {
        Self {
            number,
            pair,
            change_id,
            status: ChangeStatus::Open,
            patchsets: Vec::new(),
            current: PatchSet(0),
            owner,
            reviewers: BTreeSet::new(),
            onlookers: BTreeSet::new(),
            work_in_progress: false,
            private: false,
            blocked: false,
            topic: None,
            hashtags: BTreeSet::new(),
            votes: Vec::new(),
            other_votes: BTreeMap::new(),
            messages: Vec::new(),
            landed: None,
            revisions: 0,
            created_at: at,
            updated_at: Timestamp::default(),
        }
    }

    /// The commit of the current patch set.
    pub fn revision(&self) -> Sha {
        self.patch(self.current).map(|patch| patch.commit).unwrap_or_default()
    }

    /// A patch set by its number.
    pub fn patch(&self, number: PatchSet) -> Option<&Patch> {
        self.patchsets.get(usize::try_from(number.0).ok()?.checked_sub(1)?)
    }

    /// The number of the patch set with this commit.
    pub fn patchset_of(&self, commit: Sha) -> Option<PatchSet> {
        let at = self.patchsets.iter().position(|patch| patch.commit == commit)?;
        Some(PatchSet(at as u64 + 1))
    }

    /// The votes on a patch set.
    pub fn votes_on(&self, patchset: PatchSet) -> &[Vote] {
        if patchset == self.current {
            return &self.votes;
        }
        self.other_votes.get(&patchset).map_or(&[][..], Vec::as_slice)
    }

    /// The id of its present state; another one after each modification.
    pub fn meta(&self) -> Sha {
        id_of([&self.number.0.to_be_bytes()[..], &self.revisions.to_be_bytes()])
    }

    /// Whether `reader` may see it: a private change is its owner's and of those who have looked at it.
    pub fn is_visible_to(&self, reader: &Account) -> bool {
        !self.private || self.owner == *reader || self.has_looked(reader)
    }

    /// Whether an account has voted or written on it.
    pub fn has_looked(&self, account: &Account) -> bool {
        self.reviewers.contains(account) || self.onlookers.contains(account)
    }

    /// An account has looked at it, and voted or not.
    pub(super) fn looked(&mut self, account: &Account, has_voted: bool) {
        if has_voted {
            self.onlookers.remove(account);
            self.reviewers.insert(account.clone());
        } else if *account != self.owner && !self.has_looked(account) {
            self.onlookers.insert(account.clone());
        }
    }

    /// Whether all that it must meet is met.
    pub fn is_submittable(&self) -> bool {
        self.status == ChangeStatus::Open
            && !self.work_in_progress
            && requirements(self).iter().all(|requirement| requirement.met)
    }

    /// Adds a patch set and makes it the current one; votes stay where the labels say so.
    pub(super) fn add_patch(&mut self, patch: Patch, kind: Kind) {
        let before = std::mem::take(&mut self.votes);
        self.votes = before.iter().filter(|vote| is_copied(vote, kind)).cloned().collect();
        if self.current.0 > 0 {
            self.other_votes.insert(self.current, before);
        }
        self.patchsets.push(patch);
        self.current = PatchSet(self.patchsets.len() as u64);
    }

    /// Makes the patch set that landed the current one, with its own votes.
    pub(super) fn go_to(&mut self, patchset: PatchSet) {
        if patchset != self.current {
            let votes = self.other_votes.remove(&patchset).unwrap_or_default();
            let before = std::mem::replace(&mut self.votes, votes);
            self.other_votes.insert(self.current, before);
            self.current = patchset;
        }
    }

    /// Sets a vote on a patch set; false when it stood already.
    pub(super) fn set_vote(
        &mut self,
        at: Timestamp,
        patchset: PatchSet,
        label: &Label,
        value: i32,
        by: &Account,
    ) -> bool {
        let votes = if patchset == self.current {
            &mut self.votes
        } else {
            self.other_votes.entry(patchset).or_default()
        };
        let before =
            votes.iter().find(|vote| vote.label == *label && vote.by == *by).map_or(0, |vote| vote.value);
        if before == value {
            return false;
        }
        votes.retain(|vote| !(vote.label == *label && vote.by == *by));
        if value != 0 {
            // Gerrit keeps whole seconds.
            let at = Timestamp(at.0.div_euclid(1000) * 1000);
            votes.push(Vote { label: label.clone(), value, by: by.clone(), at });
        }
        true
    }
}
