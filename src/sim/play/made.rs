//! Patch sets come into being on the stage: uploads, rebases, rewordings, pushes beside the queue.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::acts::AUTHOR;
use super::fates::token;
use super::stage::Stage;
use super::story::{Name, Upload};
use crate::gerrit::Addresses;
use crate::model::{Account, ChangeId, ChangeNumber, Pair, Reference, Sha};
use crate::sim::setting::JOB_FILE;
use crate::world::gerrit::Change;
use crate::world::{Tree, Upload as Made};

/// Where the stories' Gerrit is.
const SERVER: &str = "https://gerrit.example.org/";

impl Stage {
    pub(super) fn upload(&mut self, upload: &Upload) {
        let Some(name) = &upload.name else { return };
        let number = self.number(name);
        let known = self.gerrit.change(number).cloned();
        let pair = known.as_ref().map_or_else(|| self.pair_for(upload), |known| known.pair.clone());
        let Some(tip) = self.gerrit.tip(&pair) else {
            self.broken.get_or_insert_with(|| super::judge::Broken::of(format!("there is no branch {pair}")));
            return;
        };
        let below = upload.on.as_ref().and_then(|(below, round)| self.patch_of(below, *round));
        let before = known.as_ref().and_then(|known| self.gerrit.git.commit(known.revision()).cloned());
        let base = below
            .or_else(|| before.as_ref().and_then(|before| before.parents.first().copied()))
            .unwrap_or(tip);
        // A patch set that says nothing of files edits those of the one before it.
        let edits = match (&known, upload.is_silent()) {
            (Some(known), true) => self.files_of(known.revision()),
            (None, true) if upload.merges.is_none() => vec![format!("{name}.txt")],
            _ => upload.edits.clone(),
        };
        let round = self.next_round(name);
        let tree = self.edited(base, upload, &edits, name, round);
        let mut parents = vec![base];
        if let Some(branch) = &upload.merges {
            let from = Pair::new(pair.repository.clone(), branch.as_str());
            if let Some(side) = self.gerrit.tip(&from) {
                parents.push(side);
            }
        }
        let tree = self.with_merged(tree, &parents);
        self.put(name, pair, parents, tree, upload, round);
    }

    fn pair_for(&self, upload: &Upload) -> Pair {
        let below = upload.on.as_ref().and_then(|(below, _)| self.change(below));
        upload.pair.clone().or_else(|| below.map(|below| below.pair.clone())).unwrap_or_else(|| {
            let first = self.setup.all_repositories().into_iter().next();
            first.map_or_else(
                || Pair::new("app", "main"),
                |first| {
                    let branch = first.branches.first().cloned().unwrap_or_else(|| "main".into());
                    Pair::new(first.name, branch)
                },
            )
        })
    }

    fn patch_of(&self, name: &Name, round: Option<u32>) -> Option<Sha> {
        let change = self.change(name)?;
        match round {
            Some(round) => {
                change.patchsets.get(usize::try_from(round).ok()?.checked_sub(1)?).map(|patch| patch.commit)
            }
            None => Some(change.revision()),
        }
    }

    fn next_round(&mut self, name: &Name) -> u32 {
        let round = self.rounds.entry(name.clone()).or_default();
        *round += 1;
        *round
    }

    /// The files in which a commit differs from its first parent.
    fn files_of(&self, commit: Sha) -> Vec<String> {
        let parent = self.gerrit.git.commit(commit).and_then(|commit| commit.parents.first().copied());
        let (new, old) =
            (self.gerrit.git.tree_of(commit), parent.map(|parent| self.gerrit.git.tree_of(parent)));
        let differs = |path: &&Arc<str>| old.as_ref().and_then(|old| old.get(*path)) != new.get(*path);
        new.keys().filter(differs).map(|path| path.to_string()).collect()
    }

    /// The tree of `base` with what an upload says of files.
    fn edited(&self, base: Sha, upload: &Upload, edits: &[String], name: &str, round: u32) -> Tree {
        let mut tree = (*self.gerrit.git.tree_of(base)).clone();
        let word = token(name, round);
        if let Some(reverted) = &upload.reverts {
            self.revert(&mut tree, reverted);
        }
        for path in edits {
            let before = tree.get(path.as_str()).cloned().unwrap_or_else(|| "".into());
            let mark = if path == JOB_FILE { "\n# " } else { " " };
            tree.insert(path.as_str().into(), format!("{before}{mark}{word}").trim().into());
        }
        for path in &upload.deletes {
            tree.remove(path.as_str());
        }
        for (path, text) in &upload.writes {
            // A job file may say anything in a comment: the change is known by that, as by what it edits.
            let text = if path == JOB_FILE { format!("{text}\n# {word}\n") } else { text.clone() };
            tree.insert(path.as_str().into(), text.into());
        }
        for job in &upload.adds_jobs {
            let before = tree.get(JOB_FILE).cloned().unwrap_or_else(|| "".into());
            let text = format!("{before}\n[[job]]\nname = {job:?}\ncommands = [\"make {job}\"]\n# {word}\n");
            tree.insert(JOB_FILE.into(), text.trim_start().into());
        }
        if upload.breaks_jobs {
            tree.insert(JOB_FILE.into(), format!("nonsense {word}").into());
        }
        tree
    }

    /// Takes back what a change or a push has done to files.
    fn revert(&self, tree: &mut Tree, name: &Name) {
        let change = self.change(name).map(Change::revision);
        let Some(commit) = change.or_else(|| self.pushed.get(name).copied()) else { return };
        let parent = self.gerrit.git.commit(commit).and_then(|commit| commit.parents.first().copied());
        let old = parent.map(|parent| self.gerrit.git.tree_of(parent)).unwrap_or_default();
        let new = self.gerrit.git.tree_of(commit);
        let paths: BTreeSet<&Arc<str>> = old.keys().chain(new.keys()).collect();
        for path in paths.into_iter().filter(|path| old.get(*path) != new.get(*path)) {
            match old.get(path) {
                Some(before) => drop(tree.insert(path.clone(), before.clone())),
                None => drop(tree.remove(path)),
            }
        }
    }

    fn with_merged(&mut self, tree: Tree, parents: &[Sha]) -> Tree {
        let [base, side] = parents else { return tree };
        let made = self.gerrit.git.add_tree(tree.clone());
        let ours = self.gerrit.git.add_commit(&[*base], made, None, "the merge's own side");
        match self.gerrit.git.merge_trees(ours, *side) {
            Ok(merged) => {
                let commit = self.gerrit.git.add_commit(&[ours, *side], merged, None, "the merge");
                (*self.gerrit.git.tree_of(commit)).clone()
            }
            Err(_) => tree,
        }
    }

    fn put(&mut self, name: &Name, pair: Pair, parents: Vec<Sha>, tree: Tree, upload: &Upload, round: u32) {
        let message = self.message(name, upload, round);
        let subject = message.join("\n");
        let owner: Account = upload.by.as_deref().unwrap_or(AUTHOR).into();
        let made = Made {
            pair,
            change_id: change_id(name),
            footer: !upload.footerless,
            parents,
            tree,
            needs: needs(&subject),
            subject: subject.into(),
            owner,
        };
        let number = self.number(name);
        let Some(given) = self.gerrit.upload(self.now, made) else {
            self.broken.get_or_insert_with(|| {
                super::judge::Broken::of(format!(
                    "Gerrit takes no patch set of {name}: it is closed, or nothing is new in it"
                ))
            });
            return;
        };
        if given != number {
            self.broken.get_or_insert_with(|| {
                super::judge::Broken::of(format!("{name} got number {given} where {number} was due"))
            });
        }
        self.gerrit.edit(self.now, given, |change| {
            change.work_in_progress |= upload.progress;
            change.private |= upload.private;
            change.hashtags.extend(upload.hashtags.iter().map(|tag| Arc::from(tag.as_str())));
            if let Some(topic) = footer(&message, "topic").or_else(|| upload.topic.clone()) {
                change.topic = Some(topic.into());
            }
            let tags = message.iter().filter_map(|line| footer(std::slice::from_ref(line), "hashtag"));
            change.hashtags.extend(tags.map(Arc::from));
        });
        self.tell_change(given);
    }

    /// The message of a patch set: names of changes in its footers become what Gerrit's readers write.
    fn message(&self, name: &Name, upload: &Upload, round: u32) -> Vec<String> {
        let mut lines = upload.message.clone();
        if lines.is_empty() {
            lines.push(if round == 1 {
                format!("Change {name}")
            } else {
                format!("Change {name}, patch set {round}")
            });
        }
        for line in &mut lines {
            let Some(value) = footer(std::slice::from_ref(line), "depends-on") else { continue };
            let bare = value.trim_start_matches("Change-Id of ");
            if let Some(meant) = self.names.iter().find(|known| &***known == bare) {
                let reference =
                    if bare.len() < value.len() { change_id(meant).to_string() } else { self.url(meant) };
                *line = format!("Depends-On: {reference}");
            }
        }
        if !upload.depends_on.is_empty() {
            lines.push(String::new());
            lines.extend(upload.depends_on.iter().map(|on| format!("Depends-On: {}", self.url(on))));
        }
        lines
    }

    fn url(&self, name: &Name) -> String {
        let pair = self.change(name).map(|change| change.pair.clone());
        let repository = pair.map_or_else(|| "app".to_owned(), |pair| pair.repository.to_string());
        format!("{SERVER}c/{repository}/+/{}", self.number(name))
    }

    pub(super) fn rebase(&mut self, name: &Name, onto: Option<&Name>) {
        let Some(change) = self.change(name).cloned() else { return self.absent(name) };
        let target = onto.map_or_else(|| self.gerrit.tip(&change.pair), |onto| self.patch_of(onto, None));
        let (Some(target), Some(commit)) = (target, self.gerrit.git.commit(change.revision()).cloned())
        else {
            return;
        };
        let base = commit.parents.first().copied();
        match self.gerrit.git.merge_trees_from(base, target, change.revision()) {
            Ok(tree) => {
                let made =
                    self.gerrit.git.add_commit(&[target], tree, commit.change_id.as_ref(), &commit.message);
                let tree = (*self.gerrit.git.tree_of(made)).clone();
                self.again(&change, vec![target], tree, commit.message);
            }
            Err(paths) => {
                let paths = paths.join(", ");
                self.broken.get_or_insert_with(|| {
                    super::judge::Broken::of(format!("{name} cannot be rebased: {paths}"))
                });
            }
        }
    }

    pub(super) fn reword(&mut self, name: &Name, message: &[String]) {
        let Some(change) = self.change(name).cloned() else { return self.absent(name) };
        let Some(commit) = self.gerrit.git.commit(change.revision()).cloned() else { return };
        let upload = Upload { message: message.to_vec(), ..Upload::default() };
        let patch = u32::try_from(change.patchsets.len()).unwrap_or(0) + 1;
        let message = self.message(name, &upload, patch).join("\n");
        let tree = (*self.gerrit.git.tree_of(change.revision())).clone();
        self.again(&change, commit.parents, tree, message.into());
    }

    fn again(&mut self, change: &Change, parents: Vec<Sha>, tree: Tree, message: Arc<str>) {
        let made = Made {
            pair: change.pair.clone(),
            change_id: change.change_id.clone(),
            footer: true,
            parents,
            tree,
            needs: needs(&message),
            subject: message,
            owner: change.owner.clone(),
        };
        if let Some(number) = self.gerrit.upload(self.now, made) {
            self.tell_change(number);
        }
    }

    pub(super) fn push_outside(&mut self, upload: &Upload) {
        let pair = self.pair_for(upload);
        let Some(old) = self.gerrit.tip(&pair) else { return };
        self.moves_by_hand += 1;
        let name: Name = upload.name.clone().unwrap_or_else(|| format!("push-{}", self.moves_by_hand).into());
        let round = self.next_round(&name);
        let edits = if upload.is_silent() { vec![format!("{name}.txt")] } else { upload.edits.clone() };
        let tree = self.edited(old, upload, &edits, &name, round);
        let tree = self.gerrit.git.add_tree(tree);
        let new = self.gerrit.git.add_commit(&[old], tree, None, &format!("push {name} {round}"));
        let by: Account = upload.by.as_deref().unwrap_or("admin").into();
        self.pushed.insert(name, new);
        if let Ok(closed) = self.gerrit.push(self.now, &pair, old, new, &by) {
            let closed: Vec<ChangeNumber> = closed.into_iter().map(|(number, _)| number).collect();
            self.moved(&pair, &closed, &closed);
        }
    }
}

/// What the footers of a message name, read as the daemon reads them.
fn needs(message: &str) -> Vec<Reference> {
    Addresses::new([SERVER]).references(message)
}

/// The Change-Id of a change: made of its name.
fn change_id(name: &str) -> ChangeId {
    let id = crate::world::git::id_of([name.as_bytes()]);
    format!("I{}", id.0.iter().map(|byte| format!("{byte:02x}")).collect::<String>()).into()
}

/// The value of a footer in the lines of a message.
fn footer(lines: &[String], key: &str) -> Option<String> {
    lines.iter().find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.trim().eq_ignore_ascii_case(key).then(|| value.trim().to_owned())
    })
}
