//! Uploads for review: each new commit becomes a change or a patch set of one.

use std::collections::BTreeSet;

use git2::{Oid, Repository as Git};

use super::accounts::Person;
use super::change_json::subject;
use super::objects;
use super::receive::{Rejected, all_known};
use super::site::{Site, State, now};
use crate::model::{ChangeId, ChangeNumber, ChangeStatus, Pair, Repository, Sha};
use crate::world::{Change, Kind, Received};

/// Most commits in one upload, as at Gerrit's own default order of size.
const COMMITS_MAX: usize = 1_000;

/// What a push has done, for the words at its end.
#[derive(Debug, Default)]
pub struct Counts {
    /// Changes closed with a new patch set.
    pub closed: usize,
    new: usize,
    updated: usize,
    lines: Vec<String>,
}

impl Counts {
    /// The line of progress.
    pub fn progress(&self, refs: usize) -> String {
        let mut line = format!("Processing changes: refs: {refs}");
        for (count, word) in [(self.updated, "updated"), (self.new, "new"), (self.closed, "closed")] {
            if count > 0 {
                line.push_str(&format!(", {word}: {count}"));
            }
        }
        line + ", done    "
    }

    /// The lines that name the changes.
    pub fn summary(&self) -> Vec<String> {
        if self.lines.is_empty() {
            return Vec::new();
        }
        let head = ["", "SUCCESS", ""].map(str::to_owned);
        head.into_iter().chain(self.lines.iter().cloned()).chain([String::new()]).collect()
    }
}

/// What may stand behind `%` in a target, or come as a push option.
#[derive(Debug, Default, PartialEq, Eq)]
struct Marks {
    topic: Option<String>,
    hashtags: Vec<String>,
    wip: Option<bool>,
    private: Option<bool>,
}

impl Marks {
    fn read<'a>(words: impl Iterator<Item = &'a str>) -> Result<Self, Rejected> {
        let mut marks = Self::default();
        for word in words.filter(|word| !word.is_empty()) {
            let (name, value) = word.split_once('=').unwrap_or((word, ""));
            match name {
                "topic" => marks.topic = Some(value.to_owned()),
                "hashtag" | "t" => marks.hashtags.push(value.to_owned()),
                "wip" | "work-in-progress" => marks.wip = Some(true),
                "ready" => marks.wip = Some(false),
                "private" => marks.private = Some(true),
                "remove-private" => marks.private = Some(false),
                // Who is told by mail, and words for it, are of no matter here.
                "notify" | "r" | "reviewer" | "cc" | "m" | "message" => {}
                _ => return Err(Rejected::because(format!("\"--{name}\" is not a valid option"))),
            }
        }
        Ok(marks)
    }
}

/// A commit's name in messages, as long as Gerrit has it.
fn short(commit: Sha) -> String {
    commit.to_string().chars().take(7).collect()
}

/// Fails when the committer of a new commit is somebody else than who pushes.
///
/// # Errors
/// In Gerrit's words.
pub fn check_committers(
    site: &Site,
    state: &State,
    git: &Git,
    who: &Person,
    tip: Sha,
    known: Vec<Oid>,
) -> Result<(), Rejected> {
    for id in objects::new_commits(git, objects::oid(tip), known)? {
        // What is a patch set already has passed this check.
        if state.gerrit.changes_with(objects::sha(id)).next().is_some() {
            continue;
        }
        let commit = git.find_commit(id)?;
        let committer = commit.committer();
        let email = committer.email().unwrap_or_default();
        if email != who.email && !who.is_admin() {
            let short = short(objects::sha(id));
            let said = vec![
                format!(
                    "ERROR: commit {short}: email address {email} is not registered in your account, and you lack 'forge committer' permission."
                ),
                "The following addresses are currently registered:".to_owned(),
                format!("   {}", who.email),
                "To register an email address, visit:".to_owned(),
                format!("{}settings#EmailAddresses", site.url),
                String::new(),
            ];
            return Err(Rejected { reason: format!("commit {short}: invalid committer"), said });
        }
    }
    Ok(())
}

impl Site {
    /// Takes the commits below `tip` for review of the branch in `target`.
    ///
    /// # Errors
    /// In Gerrit's words; nothing was taken then.
    #[expect(clippy::too_many_arguments, reason = "an upload is a tip, a target and someone")]
    pub fn upload(
        &self,
        state: &mut State,
        git: &Git,
        who: &Person,
        repository: &Repository,
        tip: Sha,
        (target, options): (&str, &[String]),
        counts: &mut Counts,
    ) -> Result<(), Rejected> {
        let (branch, marks) = target.split_once('%').unwrap_or((target, ""));
        let branch = branch.strip_prefix("refs/heads/").unwrap_or(branch);
        let marks = Marks::read(marks.split(',').chain(options.iter().map(String::as_str)))?;
        let pair = Pair { repository: repository.clone(), branch: branch.into() };
        if state.gerrit.tip(&pair).is_none() {
            return Err(Rejected::because(format!("branch {branch} not found")));
        }
        let commits = self.fresh_commits(state, git, &pair, tip)?;
        check_committers(self, state, git, who, tip, all_known(state, git, &pair)?)?;
        let planned = self.plan(state, git, &pair, &commits)?;
        objects::adopt(git, &mut state.gerrit.git, objects::oid(tip))?;
        let at = now();
        for (commit, change_id) in planned {
            let before = state.gerrit.change_for(&pair, &change_id).map(Change::revision);
            let kind = before.map_or(Kind::Rework, |before| {
                state.gerrit.git.kind(before, commit, || objects::is_rebased(git, before, commit))
            });
            let received = Received {
                pair: pair.clone(),
                change_id,
                commit,
                by: who.account(),
                kind,
                work_in_progress: marks.wip,
                private: marks.private,
            };
            let words = if kind == Kind::NoCodeChange {
                "Uploaded patch set {}: Commit message was updated."
            } else {
                "Uploaded patch set {}."
            };
            let number = self.take_patch(state, git, who, at, received, words)?;
            if before.is_none() {
                counts.new += 1;
            } else {
                counts.updated += 1;
            }
            self.mark(state, who, number, &marks)?;
            counts.lines.extend(self.summary_line(state, number, before.is_none()));
        }
        Ok(())
    }

    /// The commits that no branch and no change has yet, parents first.
    fn fresh_commits(&self, state: &State, git: &Git, pair: &Pair, tip: Sha) -> Result<Vec<Sha>, Rejected> {
        let tips = state.gerrit.branches().iter().filter(|(known, _)| known.repository == pair.repository);
        let tips: Vec<Oid> = tips.map(|(_, tip)| objects::oid(*tip)).collect();
        let commits = objects::new_commits(git, objects::oid(tip), tips)?;
        if commits.len() > COMMITS_MAX {
            return Err(Rejected::because(
                "the number of pushed changes in a batch exceeds the max limit 1000",
            ));
        }
        let is_fresh = |commit: &Sha| {
            !state.gerrit.changes_with(*commit).any(|change| change.pair.repository == pair.repository)
        };
        let fresh: Vec<Sha> = commits.into_iter().map(objects::sha).filter(is_fresh).collect();
        if fresh.is_empty() { Err(Rejected::because("no new changes")) } else { Ok(fresh) }
    }

    /// The Change-Id of each commit, when all of them can be taken.
    fn plan(
        &self,
        state: &State,
        git: &Git,
        pair: &Pair,
        commits: &[Sha],
    ) -> Result<Vec<(Sha, ChangeId)>, Rejected> {
        let mut seen = BTreeSet::new();
        let mut planned = Vec::new();
        for commit in commits {
            let found = git.find_commit(objects::oid(*commit))?;
            let message = String::from_utf8_lossy(found.message_bytes()).into_owned();
            let Some(change_id) = objects::change_id(&message) else {
                return Err(self.missing_change_id(*commit));
            };
            if !seen.insert(change_id.clone()) {
                let words = "same Change-Id in multiple changes.\nSquash the commits with the same Change-Id or ensure Change-Ids are unique for each commit";
                return Err(Rejected::because(words.replace('\n', " ")));
            }
            if let Some(known) = state.gerrit.change_for(pair, &change_id)
                && known.status != ChangeStatus::Open
            {
                return Err(Rejected::because(format!("change {} closed", self.change_url(known))));
            }
            planned.push((*commit, change_id));
        }
        Ok(planned)
    }

    fn missing_change_id(&self, commit: Sha) -> Rejected {
        let short = short(commit);
        let hook = format!("{}tools/hooks/commit-msg", self.url);
        let said = vec![
            format!("ERROR: commit {short}: missing Change-Id in message footer"),
            String::new(),
            "Hint: to automatically insert a Change-Id, install the hook:".to_owned(),
            format!(
                "  f=\"$(git rev-parse --git-dir)/hooks/commit-msg\"; curl -o \"$f\" {hook} ; chmod +x \"$f\""
            ),
            "and then amend the commit:".to_owned(),
            "  git commit --amend --no-edit".to_owned(),
            "Finally, push your changes again".to_owned(),
            String::new(),
        ];
        Rejected { reason: format!("commit {short}: missing Change-Id in message footer"), said }
    }

    fn mark(
        &self,
        state: &mut State,
        who: &Person,
        number: ChangeNumber,
        marks: &Marks,
    ) -> Result<(), Rejected> {
        if let Some(topic) = &marks.topic {
            self.set_topic_in(state, who, number, topic)?;
        }
        if !marks.hashtags.is_empty() {
            self.set_hashtags_in(state, who, number, &serde_json::json!({ "add": marks.hashtags }))?;
        }
        Ok(())
    }

    /// `  URL/c/p/+/7 Subject [WIP] [NEW]`
    fn summary_line(&self, state: &State, number: ChangeNumber, is_new: bool) -> Option<String> {
        let change = state.gerrit.change(number)?;
        let mut line = format!("  {} {}", self.change_url(change), subject(state, change.revision()));
        for (word, is_set) in
            [("[PRIVATE]", change.private), ("[WIP]", change.work_in_progress), ("[NEW]", is_new)]
        {
            if is_set {
                line.push_str(&format!(" {word}"));
            }
        }
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_read_and_others_refused() {
        let marks = Marks::read("topic=t,wip,hashtag=a,hashtag=b,notify=NONE".split(',')).unwrap();
        assert_eq!((marks.topic.as_deref(), marks.wip, marks.private), (Some("t"), Some(true), None));
        assert_eq!(marks.hashtags, ["a", "b"]);
        assert!(Marks::read("colour=red".split(',')).unwrap_err().reason.contains("colour"));
    }
}
