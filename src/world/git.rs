//! Model git: content-addressed commits and trees, ancestry, three-way merges by path.
//!
//! A path's content is one token; whether two edits fit is decided by path. Renames are not
//! modelled.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::model::{ChangeId, Sha};

/// Paths and what stands in them.
pub type Tree = BTreeMap<Arc<str>, Arc<str>>;

/// A commit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Commit {
    /// Its parents, in order.
    pub parents: Vec<Sha>,
    /// Its tree.
    pub tree: Sha,
    /// The Change-Id footer of its message.
    pub change_id: Option<ChangeId>,
    /// The rest of the message, with author and date as far as they matter.
    pub message: Arc<str>,
    /// Longest way to a root: a descendant's is greater than its ancestors'.
    pub generation: u32,
}

impl Commit {
    /// The first line of its message.
    pub fn subject(&self) -> &str {
        self.message.lines().next().unwrap_or_default()
    }

    /// The `Depends-On` footers of its message, as written.
    pub fn depends_on(&self) -> Vec<Arc<str>> {
        let footers = self.message.lines().filter_map(|line| line.split_once(':'));
        let wanted = footers.filter(|(key, _)| key.trim().eq_ignore_ascii_case("depends-on"));
        wanted.map(|(_, value)| value.trim().into()).collect()
    }
}

/// How a patch set differs from the one before it, in Gerrit's terms.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// In nothing that counts.
    NoChange,
    /// In the message only.
    NoCodeChange,
    /// In what it rests on only.
    TrivialRebase,
    /// In what it rests on and in the message.
    TrivialRebaseWithMessageUpdate,
    /// In its content.
    Rework,
}

/// All objects of all repositories; ids do not collide.
#[derive(Clone, Debug, Default)]
pub struct Store {
    commits: BTreeMap<Sha, Commit>,
    trees: BTreeMap<Sha, Arc<Tree>>,
}

/// The id of what the `parts` say, each with its length.
pub fn id_of<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Sha {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let mut id = [0; 20];
    id.copy_from_slice(&hash.finalize()[..20]);
    Sha(id)
}

impl Store {
    /// Keeps a tree and gives its id.
    pub fn add_tree(&mut self, tree: Tree) -> Sha {
        let id = id_of(tree.iter().flat_map(|(path, token)| [path.as_bytes(), token.as_bytes()]));
        self.trees.entry(id).or_insert_with(|| Arc::new(tree));
        id
    }

    /// Keeps a commit and gives its id; the same content gives the same id.
    pub fn add_commit(
        &mut self,
        parents: &[Sha],
        tree: Sha,
        change_id: Option<&ChangeId>,
        message: &str,
    ) -> Sha {
        let mut parts: Vec<&[u8]> = vec![&tree.0, message.as_bytes()];
        parts.push(change_id.map_or(b"", |id| id.as_str().as_bytes()));
        parts.extend(parents.iter().map(|parent| &parent.0[..]));
        let id = id_of(parts);
        let above =
            parents.iter().filter_map(|parent| self.commits.get(parent)).map(|parent| parent.generation);
        let generation = above.max().map_or(0, |generation| generation + 1);
        self.commits.entry(id).or_insert_with(|| Commit {
            parents: parents.to_vec(),
            tree,
            change_id: change_id.cloned(),
            message: message.into(),
            generation,
        });
        id
    }

    /// Keeps a commit of a real repository under its own id. Its parents must be here already, or
    /// count as roots.
    pub fn adopt(&mut self, id: Sha, parents: &[Sha], tree: Sha, change_id: Option<ChangeId>, message: &str) {
        let above =
            parents.iter().filter_map(|parent| self.commits.get(parent)).map(|parent| parent.generation);
        let generation = above.max().map_or(0, |generation| generation + 1);
        self.commits.entry(id).or_insert_with(|| Commit {
            parents: parents.to_vec(),
            tree,
            change_id,
            message: message.into(),
            generation,
        });
    }

    /// How `next` differs from `before`; `rebased` says whether `before`, put onto the parent of `next`,
    /// has the tree of `next`.
    pub fn kind(&self, before: Sha, next: Sha, rebased: impl FnOnce() -> bool) -> Kind {
        let (Some(one), Some(other)) = (self.commits.get(&before), self.commits.get(&next)) else {
            return Kind::Rework;
        };
        let is_same_message = one.message == other.message;
        if one.parents == other.parents {
            return match (one.tree == other.tree, is_same_message) {
                (true, true) => Kind::NoChange,
                (true, false) => Kind::NoCodeChange,
                (false, _) => Kind::Rework,
            };
        }
        let single = one.parents.len() == 1 && other.parents.len() == 1;
        match (single && rebased(), is_same_message) {
            (true, true) => Kind::TrivialRebase,
            (true, false) => Kind::TrivialRebaseWithMessageUpdate,
            (false, _) => Kind::Rework,
        }
    }

    /// The tree of `before` put onto the parent of `next`; `None` where that gives a conflict or one of
    /// them is no commit with a single parent.
    pub fn rebased_tree(&mut self, before: Sha, next: Sha) -> Option<Sha> {
        let parent_of = |id: Sha| match &self.commits.get(&id)?.parents[..] {
            [parent] => Some(*parent),
            _ => None,
        };
        let (base, onto) = (parent_of(before)?, parent_of(next)?);
        let (base, onto, before) = (self.tree_of(base), self.tree_of(onto), self.tree_of(before));
        self.join_trees(&base, &onto, &before).ok()
    }

    /// The commit with this id.
    pub fn commit(&self, id: Sha) -> Option<&Commit> {
        self.commits.get(&id)
    }

    /// The tree of a commit; empty for one that is not known.
    pub fn tree_of(&self, commit: Sha) -> Arc<Tree> {
        let tree = self.commits.get(&commit).and_then(|commit| self.trees.get(&commit.tree));
        tree.cloned().unwrap_or_default()
    }

    /// Whether two commits differ in a file for which `counts` holds; without `old` all files of `new` do.
    pub fn differs(&self, old: Option<Sha>, new: Sha, counts: impl Fn(&str) -> bool) -> bool {
        let old = old.map(|old| self.tree_of(old)).unwrap_or_default();
        let new = self.tree_of(new);
        let mut paths = old.keys().chain(new.keys());
        paths.any(|path| old.get(path) != new.get(path) && counts(path))
    }

    /// The id of a commit's tree; zero for a commit that is not known.
    pub fn tree_id(&self, commit: Sha) -> Sha {
        self.commits.get(&commit).map(|commit| commit.tree).unwrap_or_default()
    }

    /// Whether `ancestor` is `commit` or reachable from it.
    pub fn reaches(&self, commit: Sha, ancestor: Sha) -> bool {
        let Some(floor) = self.commits.get(&ancestor).map(|found| found.generation) else { return false };
        let mut seen = BTreeSet::new();
        let mut todo = vec![commit];
        while let Some(at) = todo.pop() {
            if at == ancestor {
                return true;
            }
            let Some(known) = self.commits.get(&at).filter(|known| known.generation > floor) else {
                continue;
            };
            if seen.insert(at) {
                todo.extend(&known.parents);
            }
        }
        false
    }

    /// What is reachable from `new` but not from `old`, youngest first.
    pub fn between(&self, old: Sha, new: Sha) -> Vec<Sha> {
        let generation = |id: Sha| self.commits.get(&id).map_or(0, |commit| commit.generation);
        // Bit 1: reachable from new; bit 2: reachable from old.
        let mut marks: BTreeMap<(u32, Sha), u8> = BTreeMap::new();
        *marks.entry((generation(new), new)).or_default() |= 1;
        *marks.entry((generation(old), old)).or_default() |= 2;
        let mut found = Vec::new();
        while marks.values().any(|mark| *mark == 1) {
            let Some(((_, id), mark)) = marks.pop_last() else { break };
            if mark == 1 {
                found.push(id);
            }
            for parent in self.commits.get(&id).map_or(&[][..], |commit| &commit.parents) {
                *marks.entry((generation(*parent), *parent)).or_default() |= mark;
            }
        }
        found
    }

    /// The youngest common ancestor; where there are several, always the same one.
    pub fn merge_base(&self, left: Sha, right: Sha) -> Option<Sha> {
        let generation = |id: Sha| self.commits.get(&id).map_or(0, |commit| commit.generation);
        let mut marks: BTreeMap<(u32, Sha), u8> = BTreeMap::new();
        *marks.entry((generation(left), left)).or_default() |= 1;
        *marks.entry((generation(right), right)).or_default() |= 2;
        while let Some(((_, id), mark)) = marks.pop_last() {
            if mark == 3 {
                return Some(id);
            }
            for parent in self.commits.get(&id).map_or(&[][..], |commit| &commit.parents) {
                *marks.entry((generation(*parent), *parent)).or_default() |= mark;
            }
        }
        None
    }

    /// Merges the trees of two commits by path.
    ///
    /// # Errors
    /// The paths that both sides changed otherwise.
    pub fn merge_trees(&mut self, ours: Sha, theirs: Sha) -> Result<Sha, Vec<Arc<str>>> {
        let base = self.merge_base(ours, theirs);
        self.merge_trees_from(base, ours, theirs)
    }

    /// Merges the trees of two commits by path, as seen from the tree of `base`.
    ///
    /// # Errors
    /// The paths that both sides changed otherwise.
    pub fn merge_trees_from(
        &mut self,
        base: Option<Sha>,
        ours: Sha,
        theirs: Sha,
    ) -> Result<Sha, Vec<Arc<str>>> {
        let base = base.map(|base| self.tree_of(base)).unwrap_or_default();
        let (left, right) = (self.tree_of(ours), self.tree_of(theirs));
        self.join_trees(&base, &left, &right)
    }

    fn join_trees(&mut self, base: &Tree, left: &Tree, right: &Tree) -> Result<Sha, Vec<Arc<str>>> {
        let paths: BTreeSet<&Arc<str>> = left.keys().chain(right.keys()).chain(base.keys()).collect();
        let mut merged = Tree::new();
        let mut conflicts = Vec::new();
        for path in paths {
            let (was, ours, theirs) = (base.get(path), left.get(path), right.get(path));
            let token = if ours == theirs || was == theirs {
                ours
            } else if was == ours {
                theirs
            } else {
                conflicts.push(path.clone());
                continue;
            };
            if let Some(token) = token {
                merged.insert(path.clone(), token.clone());
            }
        }
        if conflicts.is_empty() { Ok(self.add_tree(merged)) } else { Err(conflicts) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(text: &str) -> Tree {
        text.split_whitespace()
            .filter_map(|entry| entry.split_once('='))
            .map(|(path, token)| (path.into(), token.into()))
            .collect()
    }

    fn commit(store: &mut Store, parents: &[Sha], text: &str) -> Sha {
        let tree = store.add_tree(tree(text));
        store.add_commit(parents, tree, None, text)
    }

    #[test]
    fn merges_join_edits_of_different_paths_and_refuse_others() {
        for (base, left, right, expected) in [
            ("a=1 b=1", "a=2 b=1", "a=1 b=2", Ok("a=2 b=2")),
            ("a=1", "a=2", "a=3", Err("a")),
            ("a=1", "a=2", "a=2", Ok("a=2")),
            ("a=1 b=1", "b=1", "a=1 b=1 c=1", Ok("b=1 c=1")),
            ("a=1", "", "a=2", Err("a")),
        ] {
            let mut store = Store::default();
            let base = commit(&mut store, &[], base);
            let (left, right) = (commit(&mut store, &[base], left), commit(&mut store, &[base], right));
            let merged = store.merge_trees(left, right);
            let expected =
                expected.map(|text| store.add_tree(tree(text))).map_err(|path| vec![Arc::from(path)]);
            assert_eq!(merged, expected);
        }
    }

    #[test]
    fn ancestry_is_found_over_all_parents() {
        let mut store = Store::default();
        let root = commit(&mut store, &[], "r=1");
        let (a, b) = (commit(&mut store, &[root], "a=1"), commit(&mut store, &[root], "b=1"));
        let merge = commit(&mut store, &[a, b], "m=1");
        let after = commit(&mut store, &[merge], "n=1");
        assert!(store.reaches(after, b) && store.reaches(b, b) && !store.reaches(a, b));
        assert_eq!(store.merge_base(after, b), Some(b));
        assert_eq!(store.merge_base(a, b), Some(root));
        let between: BTreeSet<Sha> = store.between(a, after).into_iter().collect();
        assert_eq!(between, BTreeSet::from([after, merge, b]));
        assert!(store.between(after, a).is_empty());
    }
}
