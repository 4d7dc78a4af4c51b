//! A push, when its objects are there: each command is judged, carried out and answered by itself.

use git2::{Oid, Repository as Git};

use super::accounts::Person;
use super::objects;
use super::pkt::{self, Command, Push};
use super::refusal::Refusal;
use super::site::{Site, State, now};
use super::upload::{self, Counts};
use crate::model::{Pair, Repository, Sha};

/// Most refs in one push; far more than anybody sends.
const COMMANDS_MAX: usize = 1_000;

/// Why a command was not carried out: the short reason, and what else is said.
#[derive(Debug, Default)]
pub struct Rejected {
    /// What stands behind the ref in git's report.
    pub reason: String,
    /// Lines for the person.
    pub said: Vec<String>,
}

impl Rejected {
    /// A reason without further words.
    pub fn because(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), said: Vec::new() }
    }
}

impl From<Refusal> for Rejected {
    fn from(refusal: Refusal) -> Self {
        Self::because(refusal.words)
    }
}

impl From<git2::Error> for Rejected {
    fn from(error: git2::Error) -> Self {
        Self::because(format!("internal error: {}", error.message()))
    }
}

/// The answer to a push whose pack could not be taken.
pub fn broken_pack(push: &Push<'_>, why: &str) -> Vec<u8> {
    let report = [pkt::line(format!("unpack {why}\n").as_bytes()), b"0000".to_vec()].concat();
    answer(push, &[], report)
}

fn answer(push: &Push<'_>, said: &[String], report: Vec<u8>) -> Vec<u8> {
    if !push.has_side_band {
        return report;
    }
    let words: String = said.iter().map(|line| format!("{line}\n")).collect();
    [pkt::banded(2, words.as_bytes()), pkt::banded(1, &report), b"0000".to_vec()].concat()
}

impl Site {
    /// Carries out a push whose objects the repository has, and gives the answer.
    pub fn receive(&self, who: &Person, repository: &Repository, push: &Push<'_>) -> Vec<u8> {
        let mut state = self.lock();
        let git = match state.git(repository) {
            Ok(git) => git,
            Err(refusal) => return broken_pack(push, &refusal.words),
        };
        let (mut said, mut counts) = (Vec::new(), Counts::default());
        let mut report = pkt::line(b"unpack ok\n");
        for command in push.commands.iter().take(COMMANDS_MAX) {
            let done = self.carry_out(&mut state, &git, who, repository, command, &push.options, &mut counts);
            let line = match done {
                Ok(()) => format!("ok {}\n", command.name),
                Err(rejected) => {
                    said.extend(rejected.said);
                    format!("ng {} {}\n", command.name, rejected.reason)
                }
            };
            report.extend(pkt::line(line.as_bytes()));
        }
        report.extend(b"0000");
        let mut words = vec![String::new(), counts.progress(push.commands.len())];
        words.extend(said);
        words.extend(counts.summary());
        answer(push, &words, report)
    }

    #[expect(clippy::too_many_arguments, reason = "one command and all that it meets")]
    fn carry_out(
        &self,
        state: &mut State,
        git: &Git,
        who: &Person,
        repository: &Repository,
        command: &Command,
        options: &[String],
        counts: &mut Counts,
    ) -> Result<(), Rejected> {
        let parse = |text: &str| Sha::parse(text).ok_or_else(|| Rejected::because("invalid object id"));
        let (old, new) = (parse(&command.old)?, parse(&command.new)?);
        if !new.is_zero() && git.find_commit(objects::oid(new)).is_err() {
            return Err(Rejected::because("bad pack"));
        }
        if let Some(target) = command.name.strip_prefix("refs/for/") {
            return self.upload(state, git, who, repository, new, (target, options), counts);
        }
        let Some(branch) = command.name.strip_prefix("refs/heads/") else {
            return Err(not_permitted(who, &command.name, "create"));
        };
        let pair = Pair { repository: repository.clone(), branch: branch.into() };
        self.move_branch(state, git, who, &pair, old, new, counts)
    }

    #[expect(clippy::too_many_arguments, reason = "a move is a branch and two tips")]
    fn move_branch(
        &self,
        state: &mut State,
        git: &Git,
        who: &Person,
        pair: &Pair,
        old: Sha,
        new: Sha,
        counts: &mut Counts,
    ) -> Result<(), Rejected> {
        let name = format!("refs/heads/{}", pair.branch);
        if !git2::Reference::is_valid_name(&name) {
            return Err(Rejected::because("funny refname"));
        }
        let tip = state.gerrit.tip(pair);
        if new.is_zero() {
            return Err(not_permitted(who, &name, "delete"));
        }
        if !who.may_push() {
            let what = if tip.is_none() { "create" } else { "update" };
            return Err(not_permitted(who, &name, what));
        }
        if tip.unwrap_or_default() != old {
            return Err(Rejected::because("failed to lock"));
        }
        if !old.is_zero() && !git.graph_descendant_of(objects::oid(new), objects::oid(old))? {
            return Err(not_permitted(who, &name, "force update"));
        }
        let hidden = all_known(state, git, pair)?;
        upload::check_committers(self, state, git, who, new, hidden)?;
        objects::adopt(git, &mut state.gerrit.git, objects::oid(new))?;
        let at = now();
        if old.is_zero() {
            state.gerrit.set_branch(pair, Some(new));
            state.write_branch(pair, git)?;
            self.tell_branch(at, who, pair, old, new);
        } else {
            let patches: usize = state.gerrit.changes().map(|change| change.patchsets.len()).sum();
            self.land(state, git, who, at, pair, old, new)?;
            let after: usize = state.gerrit.changes().map(|change| change.patchsets.len()).sum();
            counts.closed += after - patches;
        }
        Ok(())
    }
}

/// The commits that the repository's branches and changes have already.
pub fn all_known(state: &State, git: &Git, pair: &Pair) -> Result<Vec<Oid>, git2::Error> {
    let tips = state.gerrit.branches().iter().filter(|(known, _)| known.repository == pair.repository);
    let mut known: Vec<Oid> = tips.map(|(_, tip)| objects::oid(*tip)).collect();
    for name in git.references_glob("refs/changes/*")?.names() {
        known.extend(git.refname_to_id(name?).ok());
    }
    Ok(known)
}

/// What Gerrit says when a right is missing.
fn not_permitted(who: &Person, name: &str, what: &str) -> Rejected {
    let hint = match what {
        "update" => "Push to refs/for/master to create a review, or get 'Push' rights to update the branch.",
        "create" => "You need 'Create' rights to create new references.",
        "force update" => "You need 'Push' rights with 'Force' flag set to do a non-fastforward push.",
        _ => {
            "You need 'Delete Reference' rights or 'Push' rights with the \n'Force Push' flag set to delete references."
        }
    };
    Rejected {
        reason: format!("prohibited by Gerrit: not permitted: {what}"),
        said: vec![
            format!("error: branch {name}:"),
            hint.to_owned(),
            format!("User: {}", who.user),
            "Contact an administrator to fix the permissions".to_owned(),
            String::new(),
        ],
    }
}
