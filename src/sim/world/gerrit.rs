//! The model of Gerrit itself: changes, votes, branches, and what a push does to them.
//!
//! A push to a branch is a compare-and-swap of its tip. Then Gerrit walks from the old tip to the
//! new one over all parents: a commit that is any patch set of an open change for that branch
//! closes the change at that patch set, and a commit with the Change-Id of an open change closes
//! it with a new patch set. Submit requirements play no part in it. (All of it was seen on 3.13.)

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::git::{Store, Tree, id_of};
use crate::model::{
    Account, Branch, ChangeId, ChangeNumber, ChangeSnapshot, ChangeStatus, Label, LandingForm, Pair,
    PatchSet, Repository, Requirement, Sha, Timestamp, Vote,
};

/// A message on a change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Message {
    /// Who wrote it.
    pub by: Account,
    /// The tag, by which the daemon knows its own.
    pub tag: Arc<str>,
    /// The patch set that it is about.
    pub patchset: PatchSet,
    /// When.
    pub at: Timestamp,
    /// The text.
    pub text: Arc<str>,
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
    /// The commits of its patch sets, in order.
    pub patchsets: Vec<Sha>,
    /// Who owns it.
    pub owner: Account,
    /// Marked work in progress.
    pub work_in_progress: bool,
    /// Marked private.
    pub private: bool,
    /// A further submit requirement of the site is not met.
    pub blocked: bool,
    /// The votes on the current patch set.
    pub votes: Vec<Vote>,
    /// What was written on it.
    pub messages: Vec<Message>,
    /// Counts modifications.
    pub revisions: u64,
    /// When it was last modified.
    pub updated_at: Timestamp,
}

/// A new patch set.
#[derive(Clone, Debug)]
pub struct Upload {
    /// Where it is to land.
    pub pair: Pair,
    /// The Change-Id; an open change with it gets a new patch set.
    pub change_id: ChangeId,
    /// Whether the commit message carries it; Gerrit gives a change without one an id of its own.
    pub footer: bool,
    /// The commit's parents.
    pub parents: Vec<Sha>,
    /// The commit's tree.
    pub tree: Tree,
    /// The first line of the message.
    pub subject: Arc<str>,
    /// Who uploads.
    pub owner: Account,
}

/// Why a push was not accepted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PushError {
    /// The branch does not have the expected tip.
    Stale,
    /// The new tip does not descend from the old one.
    NotFastForward,
    /// The account may not push there.
    NotPermitted,
    /// The branch already has that tip.
    NothingNew,
}

/// The whole server.
#[derive(Clone, Debug, Default)]
pub struct Gerrit {
    /// All objects.
    pub git: Store,
    branches: BTreeMap<Pair, Sha>,
    changes: BTreeMap<ChangeNumber, Change>,
    by_commit: BTreeMap<Sha, BTreeSet<ChangeNumber>>,
    by_change_id: BTreeMap<ChangeId, BTreeSet<ChangeNumber>>,
    /// How repositories land changes; those not named by merge commits.
    pub forms: BTreeMap<Repository, LandingForm>,
    /// Accounts that may not push to branches.
    pub push_forbidden: BTreeSet<Account>,
    tags: BTreeSet<Arc<str>>,
}

/// The label of review.
pub const REVIEW: &str = "Code-Review";
/// The label that the daemon votes on.
pub const VERIFIED: &str = "Verified";

impl Gerrit {
    /// Makes a branch that starts with `tree`, or moves it there.
    pub fn create_branch(&mut self, pair: &Pair, tree: Tree) -> Sha {
        let tree = self.git.add_tree(tree);
        let tip = self.git.add_commit(&[], tree, None, &format!("start of {pair}"));
        self.branches.insert(pair.clone(), tip);
        tip
    }

    /// How a repository lands changes.
    pub fn form_of(&self, repository: &Repository) -> LandingForm {
        self.forms.get(repository).copied().unwrap_or(LandingForm::MergeAlways)
    }

    /// The tip of a branch.
    pub fn tip(&self, pair: &Pair) -> Option<Sha> {
        self.branches.get(pair).copied()
    }

    /// All branches with their tips.
    pub fn branches(&self) -> &BTreeMap<Pair, Sha> {
        &self.branches
    }

    /// The repositories, sorted.
    pub fn repositories(&self) -> Vec<Repository> {
        let all: BTreeSet<&Repository> = self.branches.keys().map(|pair| &pair.repository).collect();
        all.into_iter().cloned().collect()
    }

    /// All changes in order of their numbers.
    pub fn changes(&self) -> impl Iterator<Item = &Change> {
        self.changes.values()
    }

    /// A change.
    pub fn change(&self, number: ChangeNumber) -> Option<&Change> {
        self.changes.get(&number)
    }

    /// Takes in a commit for review: a new change, or a new patch set of an open one. A change that
    /// is closed takes no more.
    pub fn upload(&mut self, at: Timestamp, upload: Upload) -> Option<ChangeNumber> {
        let tree = self.git.add_tree(upload.tree);
        let footer = upload.footer.then_some(&upload.change_id);
        let commit = self.git.add_commit(&upload.parents, tree, footer, &upload.subject);
        let known = self.by_change_id.get(&upload.change_id).into_iter().flatten();
        let known = known
            .copied()
            .find(|number| self.changes.get(number).is_some_and(|change| change.pair == upload.pair));
        let number = match known {
            Some(number) => {
                let change = self.changes.get_mut(&number)?;
                if change.status != ChangeStatus::Open || change.patchsets.contains(&commit) {
                    return None;
                }
                change.patchsets.push(commit);
                // Code-Review and Verified are not copied over a rework.
                change.votes.clear();
                number
            }
            None => self.create(upload.pair, upload.change_id, commit, upload.owner),
        };
        self.by_commit.entry(commit).or_default().insert(number);
        self.modified(at, number);
        Some(number)
    }

    fn create(&mut self, pair: Pair, change_id: ChangeId, commit: Sha, owner: Account) -> ChangeNumber {
        let number = ChangeNumber(self.changes.keys().last().map_or(1, |last| last.0 + 1));
        self.by_change_id.entry(change_id.clone()).or_default().insert(number);
        let change = Change {
            number,
            pair,
            change_id,
            status: ChangeStatus::Open,
            patchsets: vec![commit],
            owner,
            work_in_progress: false,
            private: false,
            blocked: false,
            votes: Vec::new(),
            messages: Vec::new(),
            revisions: 0,
            updated_at: Timestamp::default(),
        };
        self.changes.insert(number, change);
        number
    }

    fn modified(&mut self, at: Timestamp, number: ChangeNumber) {
        if let Some(change) = self.changes.get_mut(&number) {
            change.revisions += 1;
            change.updated_at = at.max(change.updated_at.plus_ms(1));
        }
    }

    /// Changes a field of a change that is not closed for good; false where nothing was changed.
    pub fn edit(&mut self, at: Timestamp, number: ChangeNumber, edit: impl FnOnce(&mut Change)) -> bool {
        let Some(change) = self.changes.get_mut(&number) else { return false };
        if change.status == ChangeStatus::Merged {
            return false;
        }
        let before = change.clone();
        edit(change);
        let changed = *change != before;
        if changed {
            self.modified(at, number);
        }
        changed
    }

    /// Gives a vote on a patch set; 0 withdraws. A vote on an old patch set is stored there and
    /// changes nothing that can be seen. False where there is no such patch set.
    pub fn vote(
        &mut self,
        at: Timestamp,
        number: ChangeNumber,
        revision: Sha,
        label: &Label,
        value: i32,
        by: &Account,
    ) -> bool {
        let Some(change) = self.changes.get_mut(&number) else { return false };
        if !change.patchsets.contains(&revision) {
            return false;
        }
        if change.patchsets.last() == Some(&revision) {
            let before = change.votes.iter().find(|vote| vote.label == *label && vote.by == *by);
            if before.is_some_and(|vote| vote.value == value) {
                return true;
            }
            change.votes.retain(|vote| !(vote.label == *label && vote.by == *by));
            if value != 0 {
                let at = Timestamp(at.0.div_euclid(1000) * 1000);
                change.votes.push(Vote { label: label.clone(), value, by: by.clone(), at });
            }
        }
        self.modified(at, number);
        true
    }

    /// Writes a message, once for each tag; true when it was written now.
    pub fn post(&mut self, number: ChangeNumber, message: Message) -> bool {
        if !self.changes.contains_key(&number) || !self.tags.insert(message.tag.clone()) {
            return false;
        }
        let at = message.at;
        if let Some(change) = self.changes.get_mut(&number) {
            change.messages.push(message);
        }
        self.modified(at, number);
        true
    }

    /// Whether a message with this tag was written.
    pub fn has_tag(&self, tag: &str) -> bool {
        self.tags.contains(tag)
    }

    /// Moves a branch and closes what Gerrit closes. Gives the changes closed, each with the
    /// commit as which it counts as landed.
    ///
    /// # Errors
    /// Nothing has moved.
    pub fn push(
        &mut self,
        at: Timestamp,
        pair: &Pair,
        old: Sha,
        new: Sha,
        by: &Account,
    ) -> Result<Vec<(ChangeNumber, Sha)>, PushError> {
        if self.push_forbidden.contains(by) {
            return Err(PushError::NotPermitted);
        }
        if self.tip(pair) != Some(old) {
            return Err(PushError::Stale);
        }
        if old == new {
            return Err(PushError::NothingNew);
        }
        if !self.git.reaches(new, old) {
            return Err(PushError::NotFastForward);
        }
        self.branches.insert(pair.clone(), new);
        let mut closed = Vec::new();
        for commit in self.git.between(old, new).into_iter().rev() {
            closed.extend(self.close_by_commit(at, pair, commit));
            closed.extend(self.close_by_change_id(at, pair, commit));
        }
        Ok(closed)
    }

    /// Lands a change as Gerrit's own submit does, onto whatever the tip is, in a commit of its own.
    ///
    /// # Errors
    /// Nothing has moved: the change is not ready, or does not fit.
    pub fn submit(
        &mut self,
        at: Timestamp,
        number: ChangeNumber,
        revision: Sha,
    ) -> Result<Vec<(ChangeNumber, Sha)>, PushError> {
        let change = self.changes.get(&number).cloned().ok_or(PushError::NotPermitted)?;
        if change.patchsets.last() != Some(&revision) || !self.snapshot(&change).submittable {
            return Err(PushError::NotPermitted);
        }
        let tip = self.tip(&change.pair).ok_or(PushError::Stale)?;
        let way = self.git.between(tip, revision);
        let brings_others = self.form_of(&change.pair.repository) != LandingForm::CherryPick
            && way
                .iter()
                .any(|commit| *commit != revision && !self.closable(&change.pair, *commit, None).is_empty());
        if way.is_empty() || brings_others {
            return Err(PushError::NotPermitted);
        }
        let new = self.submitted_as(at, &change, tip, revision).ok_or(PushError::NotPermitted)?;
        self.push(at, &change.pair, tip, new, &"gerrit".into())
    }

    fn submitted_as(&mut self, at: Timestamp, change: &Change, tip: Sha, revision: Sha) -> Option<Sha> {
        let form = self.form_of(&change.pair.repository);
        let parents = self.git.commit(revision)?.parents.clone();
        let forward = self.git.reaches(revision, tip);
        let copies = form.rewrites(parents.len()) && !(form == LandingForm::RebaseIfNecessary && forward);
        if copies {
            let tree = self.git.merge_trees_from(parents.first().copied(), tip, revision).ok()?;
            let message = format!("Gerrit's copy at {at}");
            return Some(self.git.add_commit(&[tip], tree, Some(&change.change_id), &message));
        }
        if forward && form != LandingForm::MergeAlways {
            return Some(revision);
        }
        if form == LandingForm::FastForwardOnly {
            return None;
        }
        let tree = self.git.merge_trees(tip, revision).ok()?;
        Some(self.git.add_commit(&[tip, revision], tree, None, &format!("Gerrit's merge at {at}")))
    }

    fn close_by_commit(&mut self, at: Timestamp, pair: &Pair, commit: Sha) -> Vec<(ChangeNumber, Sha)> {
        let numbers: Vec<ChangeNumber> = self.by_commit.get(&commit).into_iter().flatten().copied().collect();
        let open = |number: &ChangeNumber| {
            self.changes
                .get(number)
                .is_some_and(|change| change.status == ChangeStatus::Open && change.pair == *pair)
        };
        let numbers: Vec<ChangeNumber> = numbers.into_iter().filter(open).collect();
        for number in &numbers {
            if let Some(change) = self.changes.get_mut(number) {
                change.status = ChangeStatus::Merged;
                // The patch set that landed becomes the current one.
                if change.patchsets.last() != Some(&commit) {
                    change.votes.clear();
                    change.patchsets.push(commit);
                }
            }
            self.modified(at, *number);
        }
        numbers.into_iter().map(|number| (number, commit)).collect()
    }

    fn close_by_change_id(&mut self, at: Timestamp, pair: &Pair, commit: Sha) -> Vec<(ChangeNumber, Sha)> {
        let Some(change_id) = self.git.commit(commit).and_then(|commit| commit.change_id.clone()) else {
            return Vec::new();
        };
        let numbers: Vec<ChangeNumber> =
            self.by_change_id.get(&change_id).into_iter().flatten().copied().collect();
        let mut closed = Vec::new();
        for number in numbers {
            let Some(change) = self.changes.get_mut(&number) else { continue };
            if change.status == ChangeStatus::Open && change.pair == *pair {
                change.status = ChangeStatus::Merged;
                change.patchsets.push(commit);
                change.votes.clear();
                self.by_commit.entry(commit).or_default().insert(number);
                self.modified(at, number);
                closed.push((number, commit));
            }
        }
        closed
    }

    /// Open changes for `pair` that `commit` would close.
    pub fn closable(&self, pair: &Pair, commit: Sha, change_id: Option<&ChangeId>) -> Vec<ChangeNumber> {
        let by_commit = self.by_commit.get(&commit).into_iter().flatten();
        let by_id = change_id.and_then(|id| self.by_change_id.get(id)).into_iter().flatten();
        let all: BTreeSet<ChangeNumber> = by_commit.chain(by_id).copied().collect();
        let open = |number: &ChangeNumber| {
            self.changes
                .get(number)
                .is_some_and(|change| change.status == ChangeStatus::Open && change.pair == *pair)
        };
        all.into_iter().filter(open).collect()
    }

    /// The change as `reader` sees it: `None` where it is private and not the reader's own.
    pub fn read(&self, number: ChangeNumber, reader: &Account) -> Option<ChangeSnapshot> {
        let change = self.changes.get(&number)?;
        let visible = !change.private || change.owner == *reader;
        visible.then(|| self.snapshot(change))
    }

    /// The change as it is.
    pub fn snapshot(&self, change: &Change) -> ChangeSnapshot {
        let revision = change.patchsets.last().copied().unwrap_or_default();
        let commit = self.git.commit(revision);
        let requirements = requirements(change);
        let submittable = change.status == ChangeStatus::Open
            && !change.work_in_progress
            && requirements.iter().all(|requirement| requirement.met);
        ChangeSnapshot {
            number: change.number,
            repository: change.pair.repository.clone(),
            branch: change.pair.branch.clone(),
            change_id: change.change_id.clone(),
            status: change.status,
            patchset: PatchSet(change.patchsets.len() as u64),
            revision,
            parents: commit.map(|commit| commit.parents.clone()).unwrap_or_default(),
            form: Some(self.form_of(&change.pair.repository)),
            carries_id: commit.is_some_and(|commit| commit.change_id.is_some()),
            subject: commit.map(|commit| commit.message.clone()).unwrap_or_else(|| "".into()),
            owner: change.owner.clone(),
            work_in_progress: change.work_in_progress,
            private: change.private,
            submittable,
            requirements,
            votes: change.votes.clone(),
            topic: None,
            hashtags: Vec::new(),
            depends_on: Vec::new(),
            meta: Some(id_of([&change.number.0.to_be_bytes()[..], &change.revisions.to_be_bytes()])),
            updated_at: change.updated_at,
        }
    }

    /// The default branch of a repository: `main` where it has one, else its first.
    pub fn default_branch(&self, repository: &Repository) -> Option<Branch> {
        let mut own =
            self.branches.keys().filter(|pair| pair.repository == *repository).map(|pair| &pair.branch);
        let first = own.clone().next();
        own.find(|branch| branch.as_str() == "main").or(first).cloned()
    }
}

fn requirements(change: &Change) -> Vec<Requirement> {
    let met = |label: &str, max: i32| {
        let votes = || change.votes.iter().filter(|vote| vote.label.as_str() == label).map(|vote| vote.value);
        votes().any(|value| value >= max) && !votes().any(|value| value <= -max)
    };
    vec![
        Requirement { name: REVIEW.into(), met: met(REVIEW, 2), labels: vec![REVIEW.into()] },
        Requirement { name: VERIFIED.into(), met: met(VERIFIED, 1), labels: vec![VERIFIED.into()] },
        Requirement { name: "Legal".into(), met: !change.blocked, labels: Vec::new() },
    ]
}

#[cfg(test)]
#[path = "gerrit_tests.rs"]
mod tests;
