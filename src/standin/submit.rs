//! Submitting: which changes go together, whether they may, and the commit that lands them.

use git2::{Repository as Git, Signature};
use serde_json::json;

use super::accounts::Person;
use super::event_json::about_patch;
use super::objects;
use super::refusal::Refusal;
use super::review::patchset;
use super::site::{Site, State, now};
use crate::model::{ChangeNumber, ChangeStatus, Sha, Timestamp};
use crate::world::labels::requirements;
use crate::world::{Change, Gerrit};

/// What lands with a change, itself last: the open changes that it rests on.
fn stack(gerrit: &Gerrit, change: &Change) -> Vec<ChangeNumber> {
    let Some(tip) = gerrit.tip(&change.pair) else { return vec![change.number] };
    let commits = gerrit.git.between(tip, change.revision());
    let mut numbers = Vec::new();
    for commit in commits.into_iter().rev() {
        let below = gerrit.changes_with(commit);
        let below = below.filter(|below| below.status == ChangeStatus::Open && below.pair == change.pair);
        numbers.extend(below.map(|below| below.number));
    }
    numbers
}

/// Why a change may not be submitted.
fn hindrance(change: &Change) -> Option<String> {
    if change.work_in_progress {
        return Some("is marked work in progress".into());
    }
    let unmet = requirements(change).into_iter().rev().find(|requirement| !requirement.met)?;
    Some(format!("is not ready: submit requirement '{}' is unsatisfied.", unmet.name))
}

fn check(gerrit: &Gerrit, top: &Change, stack: &[ChangeNumber]) -> Result<(), Refusal> {
    let mut problems = Vec::new();
    for number in stack {
        let Some(why) = gerrit.change(*number).and_then(hindrance) else { continue };
        problems.push(if *number == top.number {
            format!("Change {number}: Change {number} {why}")
        } else {
            format!(
                "Change {number}: Change {} must be submitted with change {number} but {number} {why}",
                top.number
            )
        });
    }
    // Gerrit stops at the first that is not ready.
    problems.truncate(1);
    if problems.is_empty() { Ok(()) } else { Err(Refusal::conflict(failed(stack.len(), &problems[0]))) }
}

fn failed(count: usize, problem: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("Failed to submit {count} change{plural} due to the following problems:\n{problem}")
}

impl Site {
    /// Submits a change with all that it rests on; `asked` names the patch set, if any was named.
    ///
    /// # Errors
    /// In Gerrit's words.
    pub fn submit(&self, who: &Person, number: ChangeNumber, asked: Option<&str>) -> Result<(), Refusal> {
        let mut state = self.lock();
        let change = state.change(number, Some(who), &number.to_string())?.clone();
        match change.status {
            ChangeStatus::Open => {}
            ChangeStatus::Merged => return Err(Refusal::conflict("change is merged")),
            ChangeStatus::Abandoned => return Err(Refusal::conflict("change is abandoned")),
        }
        if let Some(asked) = asked
            && patchset(&change, asked)? != change.current
        {
            return Err(Refusal::conflict(format!("revision {asked} is not current revision")));
        }
        let stack = stack(&state.gerrit, &change);
        check(&state.gerrit, &change, &stack)?;
        let git = state.git(&change.pair.repository)?;
        let Some(tip) = state.gerrit.tip(&change.pair) else {
            return Err(Refusal::conflict(format!(
                "destination branch \"{}\" not found.",
                change.pair.branch
            )));
        };
        let new = landing_commit(&state, &git, who, &change, tip, &stack)?;
        objects::adopt(&git, &mut state.gerrit.git, objects::oid(new))
            .map_err(|error| Refusal::broken(&error))?;
        self.land(&mut state, &git, who, now(), &change.pair, tip, new)?;
        Ok(())
    }

    /// Moves a branch and tells what that closes; the numbers of the changes closed.
    ///
    /// # Errors
    /// When the repository cannot be written.
    #[expect(clippy::too_many_arguments, reason = "a move is a branch, two tips, a time and someone")]
    pub fn land(
        &self,
        state: &mut State,
        git: &Git,
        who: &Person,
        at: Timestamp,
        pair: &crate::model::Pair,
        old: Sha,
        new: Sha,
    ) -> Result<Vec<ChangeNumber>, Refusal> {
        let before: Vec<(ChangeNumber, Sha, usize)> = state
            .gerrit
            .changes()
            .map(|change| (change.number, change.meta(), change.patchsets.len()))
            .collect();
        let before = |number: ChangeNumber| before.iter().find(|(known, ..)| *known == number).copied();
        let closed = state.gerrit.land(at, pair, old, new, &who.account());
        state.write_branch(pair, git)?;
        self.tell_branch(at, who, pair, old, new);
        let changes = || closed.iter().filter_map(|(number, _)| state.gerrit.change(*number));
        let is_new =
            |change: &Change| before(change.number).is_some_and(|(.., count)| count < change.patchsets.len());
        for change in changes() {
            state.write_patch_ref(change, git)?;
            if is_new(change) {
                self.tell_patch_ref(at, who, change, change.current);
            }
        }
        for change in changes() {
            self.tell_meta(at, who, change, before(change.number).map(|(_, meta, _)| meta));
        }
        for change in changes() {
            let about = |kind: &str, fields| {
                about_patch(self, state, git, kind, at, (change, change.current), fields)
            };
            if is_new(change) {
                let fields = json!({ "uploader": who.in_event() });
                self.tell_of(change, about("patchset-created", fields));
            }
            let fields = json!({ "submitter": who.in_event(), "newRev": new.to_string() });
            self.tell_of(change, about("change-merged", fields));
        }
        Ok(closed.into_iter().map(|(number, _)| number).collect())
    }

    /// Whether git can merge the current patch set into its branch.
    ///
    /// # Errors
    /// 404 or 500.
    pub fn is_mergeable(&self, state: &State, change: &Change) -> Result<bool, Refusal> {
        let git = state.git(&change.pair.repository)?;
        let Some(tip) = state.gerrit.tip(&change.pair) else { return Ok(false) };
        let merged = objects::merge(&git, tip, change.revision());
        Ok(merged.map_err(|error| Refusal::broken(&error))?.is_some())
    }
}

/// The patch set itself where the branch can go on to it, else a merge as Gerrit makes it.
fn landing_commit(
    state: &State,
    git: &Git,
    who: &Person,
    change: &Change,
    tip: Sha,
    stack: &[ChangeNumber],
) -> Result<Sha, Refusal> {
    let revision = change.revision();
    if state.gerrit.git.reaches(revision, tip) {
        return Ok(revision);
    }
    let broken = |error: git2::Error| Refusal::broken(&error);
    let Some(tree) = objects::merge(git, tip, revision).map_err(broken)? else {
        let words = "Change could not be merged due to a path conflict. Please rebase the change locally and upload the rebased commit for review.";
        return Err(Refusal::conflict(failed(stack.len(), &format!("Change {}: {words}", change.number))));
    };
    let author = Signature::now(&who.name, &who.email).map_err(broken)?;
    let committer = Signature::now("Gerrit Code Review", "gerrit@localhost").map_err(broken)?;
    let find = |sha: Sha| git.find_commit(objects::oid(sha)).map_err(broken);
    let (tree, ours, theirs) = (git.find_tree(tree).map_err(broken)?, find(tip)?, find(revision)?);
    let made =
        git.commit(None, &author, &committer, &merge_message(state, change, stack), &tree, &[&ours, &theirs]);
    Ok(objects::sha(made.map_err(broken)?))
}

fn merge_message(state: &State, change: &Change, stack: &[ChangeNumber]) -> String {
    let subject = |number: &ChangeNumber| {
        let commit = state.gerrit.change(*number).map(Change::revision).unwrap_or_default();
        super::change_json::subject(state, commit)
    };
    if stack.len() == 1 {
        return format!("Merge \"{}\"\n", subject(&change.number));
    }
    let ids = stack.iter().rev().filter_map(|number| state.gerrit.change(*number));
    let ids: Vec<String> = ids.map(|change| change.change_id.as_str().chars().take(9).collect()).collect();
    let subjects: Vec<String> = stack.iter().rev().map(|number| format!("  {}", subject(number))).collect();
    format!("Merge changes {}\n\n* changes:\n{}\n", ids.join(","), subjects.join("\n"))
}
