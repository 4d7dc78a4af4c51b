//! Putting one patch set on top of a branch, in the form that its project asks for.
//!
//! A copy of a commit (rebase, cherry-pick) is a merge of three trees: the branch's, the commit's,
//! and that of the commit's parent as their base. git up to 2.39 takes no base from outside, so
//! where it would find another one, the branch's tree is merged as a commit on that parent.

use std::collections::BTreeSet;
use std::sync::Arc;

use git2::{ObjectType, Oid};

use super::merge::Merged;
use super::prepare::{failed, merge_base};
use super::shared::{Counters, Shared};
use super::store::{Handle, Own, Store, oid, sha};
use crate::model::action::Merge;
use crate::model::tree::Prepared;
use crate::model::{LandingForm, Reason, Sha, Timestamp};

/// Most files named in a conflict.
const MOST_PATHS: usize = 20;

/// One patch set that is put onto a commit.
pub(super) struct Joining<'a> {
    pub shared: &'a Shared,
    pub store: &'a Store,
    pub merge: &'a Merge,
    pub onto: Sha,
    pub date: Timestamp,
    /// Whether it is to land: then what keeps it from that counts.
    pub gate: bool,
}

impl Joining<'_> {
    /// The commit that the branch gets, made here; `None` where that is the patch set itself.
    pub fn join(&self) -> Result<Option<Own>, Prepared> {
        let (pair, revision) = (&self.merge.change.pair, self.merge.change.revision);
        let Some(form) = self.merge.form else {
            return Err(failed(format!("read how {} wants changes to land", pair.repository)));
        };
        if self.gate && (self.shared.settings.read_only)(&pair.repository) {
            return Err(Prepared::Held { reason: Reason::ReadOnly { repository: pair.repository.clone() } });
        }
        let base = merge_base(self.store, self.onto, revision).map_err(failed)?;
        if base == Some(revision) {
            let why = format!(
                "nothing to land: {} is already in the branch {}; abandon the change, or upload what is still missing",
                revision.short(),
                pair.branch
            );
            return Err(Prepared::Unfit { why: why.into() });
        }
        let parents = self.parents().map_err(failed)?;
        let forward = base == Some(self.onto);
        match form {
            LandingForm::MergeAlways => self.merged(base).map(Some),
            LandingForm::MergeIfNecessary | LandingForm::RebaseIfNecessary if forward => Ok(None),
            LandingForm::FastForwardOnly if forward => Ok(None),
            // A check judges what a rebase would give.
            LandingForm::FastForwardOnly if self.gate => {
                Err(Prepared::Held { reason: Reason::Rebase { pair: pair.clone() } })
            }
            _ if form.rewrites(parents.len()) => self.copied(form, &parents, base).map(Some),
            LandingForm::RebaseAlways | LandingForm::CherryPick if forward => Ok(None),
            _ => self.merged(base).map(Some),
        }
    }

    fn parents(&self) -> Result<Vec<Sha>, String> {
        let handle = self.store.handle()?;
        let commit = handle.find_commit(oid(self.merge.change.revision));
        let commit = commit.map_err(|error| self.store.failed("read a commit", &error))?;
        Ok(commit.parent_ids().map(sha).collect())
    }

    /// The merge commit: the same for the same node.
    fn merged(&self, base: Option<Sha>) -> Result<Own, Prepared> {
        let base = base.ok_or_else(unrelated)?;
        let tree = self.merged_tree(base, self.onto)?;
        let commit = self.merge_commit(tree).map_err(failed)?;
        Ok(Own { commit, stands_for: None })
    }

    /// A copy of the patch set's commit: the same for the same node.
    fn copied(&self, form: LandingForm, parents: &[Sha], base: Option<Sha>) -> Result<Own, Prepared> {
        let revision = self.merge.change.revision;
        let parent = *parents.first().ok_or_else(unrelated)?;
        let [before, after, here] =
            [parent, revision, self.onto].map(|commit| self.tree_of(commit).map_err(failed));
        let (before, after, here) = (before?, after?, here?);
        let tree = if before == here {
            after
        } else if base == Some(parent) {
            self.merged_tree(parent, self.onto)?
        } else {
            let stand_in = self.stand_in(here, parent).map_err(failed)?;
            self.merged_tree(parent, stand_in)?
        };
        let commit = self.copy(form, tree).map_err(failed)?;
        Ok(Own { commit, stands_for: Some(revision) })
    }

    /// The patch set's tree merged onto that of `onto`; `base` is their merge base.
    fn merged_tree(&self, base: Sha, onto: Sha) -> Result<Sha, Prepared> {
        let (pair, revision) = (&self.merge.change.pair, self.merge.change.revision);
        if !(self.shared.settings.content_merge)(&pair.repository) {
            let paths = self.on_both_sides(base, onto).map_err(failed)?;
            if !paths.is_empty() {
                return Err(Prepared::Conflict { pair: pair.clone(), paths });
            }
        }
        Counters::add(&self.shared.counters.merges, 1);
        let merged = self.shared.mergers.merge(&self.store.repository, &self.store.path, onto, revision);
        match merged.map_err(failed)? {
            Merged::Tree(tree) => Ok(tree),
            Merged::Conflict(paths) => Err(Prepared::Conflict { pair: pair.clone(), paths }),
            Merged::Unrelated => Err(unrelated()),
        }
    }

    /// Files that both sides have changed since `base`, and not to the same content.
    fn on_both_sides(&self, base: Sha, onto: Sha) -> Result<Vec<Arc<str>>, String> {
        let handle = self.store.handle()?;
        let failed = |error: git2::Error| self.store.failed("compare trees", &error);
        let ours = changed(&handle, base, onto).map_err(failed)?;
        let theirs = changed(&handle, base, self.merge.change.revision).map_err(failed)?;
        let paths: BTreeSet<&Vec<u8>> =
            ours.difference(&theirs).map(|(path, _)| path).filter(|path| touches(&theirs, path)).collect();
        Ok(paths.into_iter().take(MOST_PATHS).map(|path| String::from_utf8_lossy(path).into()).collect())
    }

    fn tree_of(&self, commit: Sha) -> Result<Sha, String> {
        let handle = self.store.handle()?;
        let found = handle.find_commit(oid(commit)).map(|commit| sha(commit.tree_id()));
        found.map_err(|error| self.store.failed("read a commit", &error))
    }

    /// A commit with the branch's tree on `parent`, for a merge alone: no ref ever names it.
    fn stand_in(&self, tree: Sha, parent: Sha) -> Result<Sha, String> {
        let text = format!("tree {tree}\nparent {parent}\n");
        let who = "seakeeper <seakeeper> 0 +0000";
        self.write(format!("{text}author {who}\ncommitter {who}\n\nbase of a merge\n").as_bytes())
    }

    fn write(&self, commit: &[u8]) -> Result<Sha, String> {
        let handle = self.store.handle()?;
        let written = handle.odb().and_then(|odb| odb.write(ObjectType::Commit, commit));
        written.map(sha).map_err(|error| self.store.failed("write a commit", &error))
    }

    fn committer(&self) -> (&str, &str) {
        let settings = &self.shared.settings;
        (&settings.committer_name, &settings.committer_email)
    }

    fn signs_off(&self) -> bool {
        (self.shared.settings.sign_off)(&self.merge.change.pair.repository)
    }

    /// Byte for byte the patch set's commit but for its place, its committer, and footers at the
    /// end; a signature would no longer hold and is left out.
    fn copy(&self, form: LandingForm, tree: Sha) -> Result<Sha, String> {
        let handle = self.store.handle()?;
        let failed = |error: git2::Error| self.store.failed("read a commit", &error);
        let original = handle.find_commit(oid(self.merge.change.revision)).map_err(failed)?;
        let header = original.raw_header_bytes();
        let line = |key: &str| {
            let mut lines = header.split(|byte| *byte == b'\n');
            lines.find(|line| line.starts_with(key.as_bytes())).map(<[u8]>::to_vec)
        };
        let author = line("author ").ok_or("read a commit: it has no author")?;
        let (name, email) = self.committer();
        let mut commit = format!("tree {tree}\nparent {}\n", self.onto).into_bytes();
        commit.extend(author);
        let date = self.date.0.div_euclid(1000);
        commit.extend(format!("\ncommitter {name} <{email}> {date} +0000\n").into_bytes());
        if let Some(encoding) = line("encoding ") {
            commit.extend(encoding);
            commit.push(b'\n');
        }
        commit.push(b'\n');
        let message = original.message_raw_bytes();
        commit.extend(message.trim_ascii_end());
        commit.extend(self.footers(form, &String::from_utf8_lossy(message)).into_bytes());
        self.write(&commit)
    }

    /// What follows the message, from the end of its last line on.
    fn footers(&self, form: LandingForm, message: &str) -> String {
        let mut footers = Vec::new();
        if self.signs_off() {
            let (name, email) = self.committer();
            footers.push(format!("Signed-off-by: {name} <{email}>"));
        }
        if matches!(form, LandingForm::RebaseAlways | LandingForm::CherryPick) {
            let change = &self.merge.change;
            let address = self.shared.change_address(&change.pair.repository, change.number);
            footers.push(format!("Reviewed-on: {address}"));
        }
        footers.retain(|footer| !message.lines().any(|line| line.trim_end() == footer));
        if footers.is_empty() {
            return "\n".into();
        }
        let paragraph = crate::model::ChangeId::in_message(message).is_none();
        format!("{}{}\n", if paragraph { "\n\n" } else { "\n" }, footers.join("\n"))
    }

    fn merge_commit(&self, tree: Sha) -> Result<Sha, String> {
        let failed = |error: git2::Error| self.store.failed("make a merge commit", &error);
        let handle = self.store.handle()?;
        let (name, email) = self.committer();
        let when = git2::Time::new(self.date.0.div_euclid(1000), 0);
        let who = git2::Signature::new(name, email, &when).map_err(failed)?;
        let tree = handle.find_tree(oid(tree)).map_err(failed)?;
        let first = handle.find_commit(oid(self.onto)).map_err(failed)?;
        let second = handle.find_commit(oid(self.merge.change.revision)).map_err(failed)?;
        let message = message(self.merge, self.signs_off().then_some((name, email)));
        handle.commit(None, &who, &who, &message, &tree, &[&first, &second]).map(sha).map_err(failed)
    }
}

fn unrelated() -> Prepared {
    let why = "it has no history in common with its branch: rebase it onto the branch";
    Prepared::Unfit { why: why.into() }
}

/// A file that differs, with what it has become: mode and content, nothing where it was deleted.
type Changed = (Vec<u8>, Option<(Oid, u32)>);

/// The files that differ between two commits.
fn changed(handle: &Handle<'_>, old: Sha, new: Sha) -> Result<BTreeSet<Changed>, git2::Error> {
    let old = handle.find_commit(oid(old))?.tree()?;
    let new = handle.find_commit(oid(new))?.tree()?;
    let diff = handle.diff_tree_to_tree(Some(&old), Some(&new), None)?;
    let files = diff.deltas().filter_map(|delta| {
        let (before, after) = (delta.old_file(), delta.new_file());
        let path = after.path_bytes().or(before.path_bytes())?.to_vec();
        let now = (delta.status() != git2::Delta::Deleted).then(|| (after.id(), after.mode().into()));
        Some((path, now))
    });
    Ok(files.collect())
}

/// Whether `path`, a folder above it or a file below it is among the files.
fn touches(files: &BTreeSet<Changed>, path: &[u8]) -> bool {
    let below = |inner: &[u8], outer: &[u8]| {
        inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
    };
    files.iter().any(|(other, _)| below(path, other) || below(other, path))
}

/// The merge commit's message. It holds no Change-Id: Gerrit would make it a patch set.
fn message(merge: &Merge, signed: Option<(&str, &str)>) -> String {
    let change = &merge.change;
    let subject: String = change.subject.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let branch = &change.pair.branch;
    let into =
        if matches!(branch.as_str(), "master" | "main") { String::new() } else { format!(" into {branch}") };
    let mut text = format!(
        "Merge \"{}\"{into}\n\nChange {}, patch set {}, merged by Seakeeper.\n",
        subject.trim(),
        change.number,
        change.patchset
    );
    if let Some((name, email)) = signed {
        text.push_str(&format!("\nSigned-off-by: {name} <{email}>\n"));
    }
    text
}
