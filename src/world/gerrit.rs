//! The model of Gerrit itself: changes, votes, branches, and what a push does to them.
//!
//! A push to a branch is a compare-and-swap of its tip. Then Gerrit walks from the old tip to the
//! new one over all parents: a commit that is any patch set of an open change for that branch
//! closes the change at that patch set, and a commit with the Change-Id of an open change closes
//! it with a new patch set. Submit requirements play no part in it. (All of it was seen on 3.13.)

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub use super::change::{Change, Message};
pub use super::labels::{REVIEW, VERIFIED};

use super::change::Patch;
use super::git::{Commit, Kind, Store, Tree};
use super::labels::requirements;
use crate::model::{
    Account, Branch, ChangeId, ChangeNumber, ChangeSnapshot, ChangeStatus, Label, LandingForm, Pair,
    Reference, Repository, Sha, Timestamp,
};

/// A new patch set whose commit is still to be made.
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
    /// What its `Depends-On` footers name.
    pub needs: Vec<Reference>,
}

/// A commit that the store has, received for review.
#[derive(Clone, Debug)]
pub struct Received {
    /// Where it is to land.
    pub pair: Pair,
    /// The Change-Id footer; an open change with it gets a new patch set.
    pub change_id: ChangeId,
    /// The commit.
    pub commit: Sha,
    /// Who uploads.
    pub by: Account,
    /// How it differs from the patch set before it; without meaning for a new change.
    pub kind: Kind,
    /// Whether the change is work in progress from now on; `None` leaves it as it is.
    pub work_in_progress: Option<bool>,
    /// Whether the change is private from now on.
    pub private: Option<bool>,
}

/// Why a commit was not taken for review.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum UploadError {
    /// The change with that Change-Id is closed.
    Closed(ChangeNumber),
    /// The change has that commit already.
    NothingNew,
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
    /// What the `Depends-On` footers of a patch set name, by its commit.
    pub needs: BTreeMap<Sha, Vec<Reference>>,
}

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

    /// Makes a branch of a commit that the store has, or moves it there; `None` removes it.
    pub fn set_branch(&mut self, pair: &Pair, tip: Option<Sha>) {
        match tip {
            Some(tip) => drop(self.branches.insert(pair.clone(), tip)),
            None => drop(self.branches.remove(pair)),
        }
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

    /// Makes a commit and takes it in for review. A change that is closed takes no more.
    pub fn upload(&mut self, at: Timestamp, upload: Upload) -> Option<ChangeNumber> {
        let tree = self.git.add_tree(upload.tree);
        let footer = upload.footer.then_some(&upload.change_id);
        let commit = self.git.add_commit(&upload.parents, tree, footer, &upload.subject);
        let (pair, change_id, by) = (upload.pair, upload.change_id, upload.owner);
        if !upload.needs.is_empty() {
            self.needs.insert(commit, upload.needs);
        }
        let before = self.change_for(&pair, &change_id).map(Change::revision);
        let kind = before.map_or(Kind::Rework, |before| {
            let rebased = self.git.rebased_tree(before, commit);
            self.git.kind(before, commit, || rebased == Some(tree))
        });
        let (work_in_progress, private) = (None, None);
        self.receive(at, Received { pair, change_id, commit, by, kind, work_in_progress, private }).ok()
    }

    /// The change with this Change-Id for this branch.
    pub fn change_for(&self, pair: &Pair, change_id: &ChangeId) -> Option<&Change> {
        let mut known = self.by_change_id.get(change_id).into_iter().flatten();
        known.find_map(|number| self.changes.get(number).filter(|change| change.pair == *pair))
    }

    /// The changes of which a commit is a patch set.
    pub fn changes_with(&self, commit: Sha) -> impl Iterator<Item = &Change> {
        self.by_commit.get(&commit).into_iter().flatten().filter_map(|number| self.changes.get(number))
    }

    /// Takes in a commit for review: a new change, or a new patch set of an open one.
    ///
    /// # Errors
    /// Nothing was taken.
    pub fn receive(&mut self, at: Timestamp, received: Received) -> Result<ChangeNumber, UploadError> {
        let Received { pair, change_id, commit, by, kind, work_in_progress, private } = received;
        let number = match self.change_for(&pair, &change_id) {
            Some(known) if known.patchset_of(commit).is_some() => return Err(UploadError::NothingNew),
            Some(known) if known.status != ChangeStatus::Open => {
                return Err(UploadError::Closed(known.number));
            }
            Some(known) => known.number,
            None => self.create(at, pair, change_id, by.clone()),
        };
        if let Some(change) = self.changes.get_mut(&number) {
            change.add_patch(Patch { commit, by, at }, kind);
            change.work_in_progress = work_in_progress.unwrap_or(change.work_in_progress);
            change.private = private.unwrap_or(change.private);
        }
        self.by_commit.entry(commit).or_default().insert(number);
        self.modified(at, number);
        Ok(number)
    }

    fn create(&mut self, at: Timestamp, pair: Pair, change_id: ChangeId, owner: Account) -> ChangeNumber {
        let number = ChangeNumber(self.changes.keys().last().map_or(1, |last| last.0 + 1));
        self.by_change_id.entry(change_id.clone()).or_default().insert(number);
        self.changes.insert(number, Change::new(number, pair, change_id, owner, at));
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

    /// Gives a vote on a patch set; 0 withdraws. A vote on an old patch set is stored there and does
    /// not count. False where there is no such patch set.
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
        let Some(patchset) = change.patchset_of(revision) else { return false };
        if change.set_vote(at, patchset, label, value, by) {
            change.looked(by, true);
            self.modified(at, number);
        }
        true
    }

    /// Writes a message, once for each tag; true when it was written now.
    pub fn post(&mut self, number: ChangeNumber, message: Message) -> bool {
        self.changes.contains_key(&number)
            && self.tags.insert(message.tag.clone())
            && self.write(number, message)
    }

    /// Writes a message; false where there is no such change.
    pub fn write(&mut self, number: ChangeNumber, message: Message) -> bool {
        let Some(change) = self.changes.get_mut(&number) else { return false };
        let at = message.at;
        change.looked(&message.by, false);
        change.messages.push(message);
        self.modified(at, number);
        true
    }

    /// Notes that an account has looked at a change; nothing where that is known.
    pub fn note_look(&mut self, at: Timestamp, number: ChangeNumber, by: &Account) {
        self.edit(at, number, |change| change.looked(by, false));
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
        Ok(self.land(at, pair, old, new, by))
    }

    /// Moves a branch from `old` to `new`, whoever may do so, and closes what Gerrit closes.
    pub fn land(
        &mut self,
        at: Timestamp,
        pair: &Pair,
        old: Sha,
        new: Sha,
        by: &Account,
    ) -> Vec<(ChangeNumber, Sha)> {
        self.branches.insert(pair.clone(), new);
        let mut closed = Vec::new();
        for commit in self.git.between(old, new).into_iter().rev() {
            closed.extend(self.close_by_commit(at, pair, commit, by));
            closed.extend(self.close_by_change_id(at, pair, commit, by));
        }
        closed
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
        if change.revision() != revision || !change.is_submittable() {
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

    /// A patch set that comes to the branch closes its change, even one that was abandoned.
    fn close_by_commit(
        &mut self,
        at: Timestamp,
        pair: &Pair,
        commit: Sha,
        by: &Account,
    ) -> Vec<(ChangeNumber, Sha)> {
        let numbers: Vec<ChangeNumber> = self.by_commit.get(&commit).into_iter().flatten().copied().collect();
        let mut closed = Vec::new();
        for number in numbers {
            let Some(change) = self.changes.get_mut(&number) else { continue };
            let Some(patchset) = change.patchset_of(commit) else { continue };
            if change.status != ChangeStatus::Merged && change.pair == *pair {
                change.status = ChangeStatus::Merged;
                change.landed = Some((by.clone(), at));
                // The patch set that landed becomes the current one.
                change.go_to(patchset);
                self.modified(at, number);
                closed.push((number, commit));
            }
        }
        closed
    }

    fn close_by_change_id(
        &mut self,
        at: Timestamp,
        pair: &Pair,
        commit: Sha,
        by: &Account,
    ) -> Vec<(ChangeNumber, Sha)> {
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
                change.landed = Some((by.clone(), at));
                change.add_patch(Patch { commit, by: by.clone(), at }, Kind::Rework);
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

    /// The change as `reader` sees it: `None` where it is private and neither owned nor reviewed by them.
    pub fn read(&self, number: ChangeNumber, reader: &Account) -> Option<ChangeSnapshot> {
        let change = self.changes.get(&number)?;
        change.is_visible_to(reader).then(|| self.snapshot(change))
    }

    /// The change as it is.
    pub fn snapshot(&self, change: &Change) -> ChangeSnapshot {
        let revision = change.revision();
        let commit = self.git.commit(revision);
        ChangeSnapshot {
            number: change.number,
            repository: change.pair.repository.clone(),
            branch: change.pair.branch.clone(),
            change_id: change.change_id.clone(),
            status: change.status,
            patchset: change.current,
            revision,
            parents: commit.map(|commit| commit.parents.clone()).unwrap_or_default(),
            form: Some(self.form_of(&change.pair.repository)),
            carries_id: commit.is_some_and(|commit| commit.change_id.is_some()),
            subject: commit.map_or("", |commit| commit.subject()).into(),
            owner: change.owner.clone(),
            work_in_progress: change.work_in_progress,
            private: change.private,
            submittable: change.is_submittable(),
            requirements: requirements(change),
            votes: change.votes.clone(),
            topic: change.topic.clone(),
            hashtags: change.hashtags.iter().cloned().collect(),
            depends_on: commit.map(Commit::depends_on).unwrap_or_default().into(),
            needs: self.needs.get(&revision).map_or_else(|| [].into(), |needs| needs.as_slice().into()),
            meta: Some(change.meta()),
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

#[cfg(test)]
#[path = "gerrit_tests.rs"]
mod tests;
