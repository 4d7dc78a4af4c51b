//! Landing: the last checks, one push per repository, and what its answer means.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use super::closure::{self, WalkError};
use super::layout;
use super::prepare::merge_base;
use super::receive::{self, Answer, Move};
use super::shared::{Counters, Shared};
use super::store::Store;
use super::submit;
use crate::model::action::Push;
use crate::model::{EffectId, Event, Outcome, Pair, Repository, Sha, Timestamp};

/// Lands on a thread of its own: no merge or fetch may stand before a landing.
pub(super) fn begin(shared: &Arc<Shared>, effect: EffectId, valid_until: Timestamp, pushes: Vec<Push>) {
    let landing = shared.clone();
    let asked = pushes.clone();
    let run = move || {
        let landed = catch_unwind(AssertUnwindSafe(|| match asked.as_slice() {
            [Push { submit: Some(submit), .. }] => {
                submit::land(&landing, effect, valid_until, &asked[0], submit)
            }
            pushes => land(&landing, effect, valid_until, pushes),
        }));
        let broken = |_| ended(effect, &asked, &Outcome::Unknown("the push broke off; see the log".into()));
        landing.inbox.deliver(vec![landed.unwrap_or_else(broken)]);
    };
    if let Err(error) = std::thread::Builder::new().name("git-land".into()).spawn(run) {
        let why = format!("push: no thread could be started: {error}; raise the limit of processes");
        shared.inbox.deliver(vec![ended(effect, &pushes, &Outcome::Failed(why.into()))]);
    }
}

/// The same end for each push.
pub(super) fn ended(effect: EffectId, pushes: &[Push], outcome: &Outcome) -> Event {
    let pushes = pushes.iter().map(|push| (push.pair.clone(), outcome.clone())).collect();
    Event::PushEnded { effect, pushes }
}

/// Pushes; the answer has one entry per push asked for, in the same order.
fn land(shared: &Shared, effect: EffectId, valid_until: Timestamp, pushes: &[Push]) -> Event {
    let mut groups: BTreeMap<&Repository, Vec<&Push>> = BTreeMap::new();
    for push in pushes {
        groups.entry(&push.pair.repository).or_default().push(push);
    }
    let ends: BTreeMap<Pair, Outcome> = std::thread::scope(|scope| {
        let run =
            |(repository, group): (&Repository, Vec<&Push>)| land_in(shared, repository, valid_until, &group);
        let mut groups = groups.into_iter();
        let first = groups.next();
        let others: Vec<_> = groups.map(|group| scope.spawn(move || run(group))).collect();
        let mut ends = first.map(run).unwrap_or_default();
        ends.extend(others.into_iter().flat_map(|other| other.join().unwrap_or_default()));
        ends.into_iter().collect()
    });
    let lost = || Outcome::Unknown("the push broke off".into());
    let end_of = |push: &Push| (push.pair.clone(), ends.get(&push.pair).cloned().unwrap_or_else(lost));
    Event::PushEnded { effect, pushes: pushes.iter().map(end_of).collect() }
}

/// The pushes of one repository, in one request.
fn land_in(
    shared: &Shared,
    repository: &Repository,
    valid_until: Timestamp,
    group: &[&Push],
) -> Vec<(Pair, Outcome)> {
    let mut ends = Vec::new();
    let store = match shared.store(repository) {
        Ok(store) => store,
        Err(why) => return all(group, &Outcome::Failed(why.into())),
    };
    let mut good = Vec::new();
    for push in group {
        match check(&store, push) {
            Ok(()) => good.push(*push),
            Err(outcome) => ends.push((push.pair.clone(), outcome)),
        }
    }
    if good.is_empty() {
        return ends;
    }
    let moves: Vec<Move> = good
        .iter()
        .map(|push| Move { reference: layout::head_ref(&push.pair.branch), old: push.old, new: push.new })
        .collect();
    let body = match receive::request(&store, &moves) {
        Ok(body) => body,
        Err(why) => {
            ends.extend(all(&good, &Outcome::Failed(why.into())));
            return ends;
        }
    };
    if shared.settings.clock.now() > valid_until {
        ends.extend(all(&good, &Outcome::Failed("push: the last look is too old".into())));
        return ends;
    }
    let began = Instant::now();
    let answer = receive::send(shared, &store, body);
    Counters::add(&shared.counters.pushes, 1);
    Counters::add(
        &shared.counters.push_micros,
        u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX),
    );
    for push in good {
        let outcome = outcome_of(&answer, &layout::head_ref(&push.pair.branch));
        if outcome == Outcome::Applied {
            shared.note_tip(&push.pair, Some(push.new), false);
        }
        ends.push((push.pair.clone(), outcome));
    }
    ends
}

fn all(group: &[&Push], outcome: &Outcome) -> Vec<(Pair, Outcome)> {
    group.iter().map(|push| (push.pair.clone(), outcome.clone())).collect()
}

/// Nothing goes out that the core has not judged, and no branch is ever moved back.
pub(super) fn check(store: &Store, push: &Push) -> Result<(), Outcome> {
    let failed = |why: String| Outcome::Failed(why.into());
    if !git2::Reference::is_valid_name(&layout::head_ref(&push.pair.branch))
        || push.old.is_zero()
        || push.new.is_zero()
    {
        return Err(Outcome::Refused(
            format!("{} cannot be pushed: it is no ordinary branch", push.pair).into(),
        ));
    }
    if let Some(missing) = [push.new, push.old].into_iter().find(|commit| !store.has(*commit)) {
        let why = format!(
            "{} is no longer in the store of {}: it is prepared again",
            missing.short(),
            push.pair.repository
        );
        return Err(Outcome::Gone(why.into()));
    }
    if push.old == push.new || merge_base(store, push.old, push.new).map_err(failed)? != Some(push.old) {
        let why = format!(
            "{} does not follow from {} in {}: it is prepared again",
            push.new.short(),
            push.old.short(),
            push.pair
        );
        return Err(Outcome::Failed(why.into()));
    }
    let judged: BTreeSet<Sha> =
        push.changes.iter().map(|(_, _, revision)| *revision).chain(push.judged.iter().copied()).collect();
    match closure::strangers(store, push.old, push.new, &judged, &[]) {
        Ok(strangers) if strangers.is_empty() => Ok(()),
        Ok(strangers) => {
            let why = format!(
                "the push would bring in {}, which was not judged: land its change first, or rebase onto the branch",
                strangers[0].commit.short()
            );
            Err(Outcome::Refused(why.into()))
        }
        Err(WalkError::TooLong) => {
            Err(Outcome::Refused("the push holds more than 10,000 commits: merge in smaller steps".into()))
        }
        Err(WalkError::Unreadable(why)) => Err(failed(why)),
    }
}

/// What an answer says about one ref.
pub(super) fn outcome_of(answer: &Answer, reference: &str) -> Outcome {
    match answer {
        Answer::Refused(why) => Outcome::Refused(why.as_str().into()),
        Answer::NotSent(why) => Outcome::Failed(why.as_str().into()),
        Answer::Unknown(why) => Outcome::Unknown(why.as_str().into()),
        Answer::Report { refs, said } => match refs.get(reference) {
            None => Outcome::Unknown("Gerrit's report does not name the branch".into()),
            Some(Ok(())) => Outcome::Applied,
            Some(Err(why)) => refusal(why, said),
        },
    }
}

/// What a ref's refusal means. The words are those of Gerrit 3.12 to 3.14, JGit and git.
fn refusal(why: &str, said: &str) -> Outcome {
    let text = if said.is_empty() { why.to_owned() } else { format!("{why} ({said})") };
    let lower = why.to_lowercase();
    let has = |signs: &[&str]| signs.iter().any(|sign| lower.contains(sign));
    if has(&[
        "failed to lock",
        "lock",
        "invalid old id",
        "stale",
        "non-fast",
        "fetch first",
        "failed to update ref",
        "already exists",
    ]) {
        return Outcome::Failed(format!("the branch moved: {text}").into());
    }
    if has(&["internal", "timeout", "cancelled", "canceled"]) {
        return Outcome::Unknown(format!("Gerrit stopped within the push: {text}").into());
    }
    let remedy = if has(&["not permitted", "prohibited"]) {
        "; grant the daemon's account Push on refs/heads/* and Push Merge Commit on refs/for/refs/heads/*"
    } else if has(&["invalid author"]) {
        "; grant the daemon's account Forge Author on refs/heads/*: the authors of rebased and cherry-picked commits are kept"
    } else if has(&["signed-off-by"]) {
        "; let the daemon's account read refs/meta/config, so that it sees that the project wants commits signed off"
    } else if has(&["committer"]) {
        "; set the daemon's committer to an address that its Gerrit account has registered, or grant it Forge Committer"
    } else {
        ""
    };
    Outcome::Refused(format!("Gerrit refused the push: {text}{remedy}").into())
}

/// Whether a pushed commit has landed.
pub(super) fn observe(shared: &Shared, effect: EffectId, pair: &Pair, new: Sha) -> Event {
    let seen = shared.store(&pair.repository).and_then(|store| {
        let tip = shared.read_tip(&store, &pair.branch)?;
        let contains = match tip {
            Some(tip) if tip == new => true,
            Some(tip) if store.has(new) => merge_base(&store, tip, new)? == Some(new),
            _ => false,
        };
        Ok((tip, contains))
    });
    match seen {
        Ok((tip, contains)) => Event::PushSeen { effect, pair: pair.clone(), tip, contains },
        Err(why) => Event::EffectEnded { effect, outcome: Outcome::Failed(why.into()) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_told_apart() {
        for (why, expected) in [
            ("failed to lock", "failed"),
            ("invalid old id sent", "failed"),
            ("non-fast forward", "failed"),
            ("prohibited by Gerrit: not permitted: update", "refused"),
            ("invalid committer", "refused"),
            ("internal error", "unknown"),
        ] {
            let found = match refusal(why, "") {
                Outcome::Applied => "applied",
                Outcome::Refused(_) => "refused",
                Outcome::Failed(_) | Outcome::Gone(_) => "failed",
                Outcome::Unknown(_) => "unknown",
            };
            assert_eq!(found, expected, "{why}");
        }
    }
}
