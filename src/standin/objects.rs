//! The repositories: bare ones of git's own format, whose commits the model takes over.

use std::collections::BTreeSet;
use std::path::Path;

use git2::{Oid, Repository, Signature};

use crate::model::{ChangeId, Sha};
use crate::world::Store;

/// A commit's id in git's terms.
pub fn oid(sha: Sha) -> Oid {
    Oid::from_bytes(&sha.0).unwrap_or(Oid::ZERO_SHA1)
}

/// A commit's id in the model's terms.
pub fn sha(oid: Oid) -> Sha {
    Sha::parse(&oid.to_string()).unwrap_or_default()
}

/// Makes a bare repository whose HEAD is `branch`.
///
/// # Errors
/// As git says.
pub fn create(path: &Path, branch: &str) -> Result<Repository, git2::Error> {
    let mut options = git2::RepositoryInitOptions::new();
    options.bare(true).no_reinit(true).external_template(false).mkpath(true).initial_head(branch);
    let repository = Repository::init_opts(path, &options)?;
    let mut config = repository.config()?;
    config.set_bool("http.receivepack", true)?;
    config.set_bool("receive.advertisePushOptions", true)?;
    config.set_str("receive.hideRefs", "refs/changes")?;
    config.set_bool("uploadpack.allowReachableSHA1InWant", true)?;
    config.set_bool("uploadpack.allowFilter", true)?;
    config.set_i32("gc.auto", 0)?;
    Ok(repository)
}

/// Writes the first commit of a repository, without files.
///
/// # Errors
/// As git says.
pub fn first_commit(repository: &Repository, name: &str, email: &str) -> Result<Oid, git2::Error> {
    let tree = repository.find_tree(repository.treebuilder(None)?.write()?)?;
    let who = Signature::now(name, email)?;
    repository.commit(None, &who, &who, "Initial empty repository\n", &tree, &[])
}

/// The Change-Id in the last paragraph of a message; the last one where there are several.
pub fn change_id(message: &str) -> Option<ChangeId> {
    let footer = message.trim_end().rsplit("\n\n").next()?;
    // The subject is no footer.
    let is_whole = footer.len() == message.trim_end().len();
    let mut lines = footer.lines().filter_map(|line| line.strip_prefix("Change-Id:")).map(str::trim);
    let id = lines.rfind(|id| id.strip_prefix('I').is_some_and(|digits| Sha::parse(digits).is_some()))?;
    (!is_whole).then(|| id.into())
}

/// Lets the model know `tip` and all its ancestors that it does not know yet.
///
/// # Errors
/// As git says.
pub fn adopt(repository: &Repository, store: &mut Store, tip: Oid) -> Result<(), git2::Error> {
    let mut todo = vec![(tip, false)];
    while let Some((at, is_ready)) = todo.pop() {
        if store.commit(sha(at)).is_some() {
            continue;
        }
        let commit = repository.find_commit(at)?;
        if !is_ready {
            todo.push((at, true));
            todo.extend(commit.parent_ids().map(|parent| (parent, false)));
            continue;
        }
        let message = String::from_utf8_lossy(commit.message_bytes()).into_owned();
        let parents: Vec<Sha> = commit.parent_ids().map(sha).collect();
        store.adopt(sha(at), &parents, sha(commit.tree_id()), change_id(&message), &message);
    }
    Ok(())
}

/// What is reachable from `tip` and from none of `hidden`, parents first.
///
/// # Errors
/// As git says.
pub fn new_commits(
    repository: &Repository,
    tip: Oid,
    hidden: impl IntoIterator<Item = Oid>,
) -> Result<Vec<Oid>, git2::Error> {
    let mut walk = repository.revwalk()?;
    walk.set_sorting(git2::Sort::TOPOLOGICAL | git2::Sort::REVERSE)?;
    walk.push(tip)?;
    for hidden in hidden.into_iter().collect::<BTreeSet<_>>() {
        walk.hide(hidden)?;
    }
    walk.collect()
}

/// Whether `before`, put onto the parent of `next`, has the tree of `next`.
pub fn is_rebased(repository: &Repository, before: Sha, next: Sha) -> bool {
    let rebased = || {
        let next = repository.find_commit(oid(next))?;
        let tree = replay(repository, before, sha(next.parent_id(0)?))?;
        Ok::<_, git2::Error>(tree == Some(next.tree_id()))
    };
    rebased().unwrap_or(false)
}

/// The tree of a commit put onto another one; `None` where they conflict.
///
/// # Errors
/// As git says.
pub fn replay(repository: &Repository, commit: Sha, onto: Sha) -> Result<Option<Oid>, git2::Error> {
    let (commit, onto) = (repository.find_commit(oid(commit))?, repository.find_commit(oid(onto))?);
    let mut index = repository.cherrypick_commit(&commit, &onto, 0, None)?;
    if index.has_conflicts() { Ok(None) } else { Ok(Some(index.write_tree_to(repository)?)) }
}

/// The tree of a merge of two commits; `None` where they conflict.
///
/// # Errors
/// As git says.
pub fn merge(repository: &Repository, ours: Sha, theirs: Sha) -> Result<Option<Oid>, git2::Error> {
    let (ours, theirs) = (repository.find_commit(oid(ours))?, repository.find_commit(oid(theirs))?);
    let mut index = repository.merge_commits(&ours, &theirs, None)?;
    if index.has_conflicts() { Ok(None) } else { Ok(Some(index.write_tree_to(repository)?)) }
}

/// A file that a commit changes against its first parent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct File {
    /// Its path; the old one where it was deleted.
    pub path: String,
    /// `A`, `D`, `R`, or `M` for a modification.
    pub status: char,
    /// Lines that came.
    pub inserted: usize,
    /// Lines that went.
    pub deleted: usize,
}

/// The files that a commit changes, by path.
///
/// # Errors
/// As git says.
pub fn files(repository: &Repository, commit: Sha) -> Result<Vec<File>, git2::Error> {
    let commit = repository.find_commit(oid(commit))?;
    let parent = commit.parent(0).ok().map(|parent| parent.tree()).transpose()?;
    let mut diff = repository.diff_tree_to_tree(parent.as_ref(), Some(&commit.tree()?), None)?;
    diff.find_similar(None)?;
    let mut files = Vec::new();
    for (at, delta) in diff.deltas().enumerate() {
        let path = delta.new_file().path().or_else(|| delta.old_file().path());
        let path = path.map(|path| path.to_string_lossy().into_owned()).unwrap_or_default();
        let status = match delta.status() {
            git2::Delta::Added => 'A',
            git2::Delta::Deleted => 'D',
            git2::Delta::Renamed => 'R',
            _ => 'M',
        };
        let patch = git2::Patch::from_diff(&diff, at)?;
        let (_, inserted, deleted) = patch.map(|patch| patch.line_stats()).transpose()?.unwrap_or_default();
        files.push(File { path, status, inserted, deleted });
    }
    Ok(files)
}

/// The difference that a commit makes, as text; cut at `max` bytes.
///
/// # Errors
/// As git says.
pub fn patch_text(repository: &Repository, commit: Sha, max: usize) -> Result<String, git2::Error> {
    let commit = repository.find_commit(oid(commit))?;
    let parent = commit.parent(0).ok().map(|parent| parent.tree()).transpose()?;
    let diff = repository.diff_tree_to_tree(parent.as_ref(), Some(&commit.tree()?), None)?;
    let mut text = String::new();
    let printed = diff.print(git2::DiffFormat::Patch, |_, _, line| {
        if matches!(line.origin(), '+' | '-' | ' ') {
            text.push(line.origin());
        }
        text.push_str(&String::from_utf8_lossy(line.content()));
        text.len() < max
    });
    if text.len() < max {
        printed?;
    } else {
        text.push_str("\n(The rest is not shown.)\n");
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_id_is_a_footer_and_not_a_subject() {
        let id = format!("I{}", "a".repeat(40));
        for (message, expected) in [
            (format!("s\n\nChange-Id: {id}\n"), true),
            (format!("s\n\nbody\n\nBug: 1\nChange-Id: {id}\nSigned-off-by: x\n"), true),
            (format!("s\n\nChange-Id: {id}\n\nmore words\n"), false),
            (format!("Change-Id: {id}\n"), false),
            ("s\n\nChange-Id: I123\n".to_owned(), false),
        ] {
            assert_eq!(change_id(&message).is_some(), expected, "{message}");
        }
    }
}
