//! Catch-up and polling: what events may have missed is found here, however it was missed.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::Value;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, timeout};

use super::asked;
use super::host::read_tip;
use super::ledger::Taken;
use super::reader::{BATCH, by_number, read_one};
use super::rest::{RestError, encode};
use super::stats::Stats;
use super::wire::{options, sha};
use super::{OpenPatchSet, Rules, Shared};
use crate::model::{ChangeNumber, ChangeSnapshot, Event, Pair, Sha, Timestamp};

/// Changes or projects in one page.
const PAGE: usize = 200;
/// Open changes whose patch sets are fetched before they are needed.
const OPEN_MAX: usize = 200;
/// Pages read at most of one query.
const PAGES_MAX: usize = 100;
/// How far a catch-up reaches back before the newest modification seen.
const OVERLAP_MS: i64 = 120_000;
/// Branch names asked for in one poll.
const BRANCHES_MAX: usize = 100;
/// Vanished branches looked at singly in one poll.
const VANISHED_MAX: usize = 20;
/// A difference of the clocks beyond which the machine has slept or been set.
const JUMP_MS: i64 = 20_000;
/// Longest pause before a failed catch-up is tried again.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// The task. Ends only when it is dropped.
pub(super) async fn run(shared: Arc<Shared>) {
    let mut rules = shared.rules.subscribe();
    let (mut tips, mut sweep) = timers(&rules.borrow_and_update());
    let mut clock = rhythm(Duration::from_secs(5));
    let (start, start_ms) = (Instant::now(), (shared.wall)());
    let mut offset = 0;
    loop {
        tokio::select! {
            () = shared.catch_up.notified() => catch_up(&shared).await,
            // The sender lives as long as `shared`.
            _ = rules.changed() => (tips, sweep) = timers(&rules.borrow_and_update()),
            _ = sweep.tick() => catch_up(&shared).await,
            () = shared.poll_tips.notified() => poll_tips(&shared).await,
            // Without a stream all news comes from here.
            _ = tips.tick() => match shared.stats.streaming.load(Relaxed) {
                true => poll_tips(&shared).await,
                false => catch_up(&shared).await,
            },
            _ = clock.tick() => {
                let steady = i64::try_from(start.elapsed().as_millis()).unwrap_or(i64::MAX);
                let now = ((shared.wall)() - start_ms).saturating_sub(steady);
                if (now - offset).abs() > JUMP_MS {
                    offset = now;
                    catch_up(&shared).await;
                }
            }
        }
    }
}

/// When the tips are polled, and when everything is swept.
fn timers(rules: &Rules) -> (Interval, Interval) {
    (
        rhythm(Duration::from_millis(rules.tips_poll_ms.max(100))),
        rhythm(Duration::from_millis(rules.sweep_ms.max(1_000))),
    )
}

/// A rhythm that begins after one period; what takes longer than that puts the next beat off and is not made up for.
pub fn rhythm(every: Duration) -> Interval {
    let mut rhythm = interval(every);
    rhythm.set_missed_tick_behavior(MissedTickBehavior::Delay);
    rhythm.reset();
    rhythm
}

/// Reads all that may have changed unseen; tried until it succeeds. That the server answers again is told: what
/// failed meanwhile need not wait for its next attempt any longer, and all news is told before it.
async fn catch_up(shared: &Arc<Shared>) {
    let mut pause = Duration::from_secs(1);
    loop {
        let connection = connection(shared);
        let (topics, tips, changes) = tokio::join!(topics(shared), tips(shared), changes(shared));
        match topics.and(tips).and(changes) {
            Ok(()) => {
                Stats::count(&shared.stats.catch_ups);
                let covered = connection.is_some() && connection == self::connection(shared);
                shared.stats.caught_up.store(covered, Relaxed);
                if covered {
                    shared.caught_up.notify_waiters();
                    shared.hints.release();
                }
                if !shared.stats.heard.swap(true, Relaxed) {
                    shared.ledger.deliver(vec![Event::HostBack]);
                }
                return;
            }
            Err(error) => {
                shared.stats.heard.store(false, Relaxed);
                tracing::warn!("failed to {error}; the catch-up is tried again");
            }
        }
        // A stream that has opened says that the server is there again.
        let _ = timeout(pause, shared.opened.notified()).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// Reads what Gerrit does with topics.
async fn topics(shared: &Shared) -> Result<(), RestError> {
    let info = shared.rest.get("config/server/info").await?;
    shared.ledger.host(whole_topics(&info));
    Ok(())
}

/// Whether Gerrit submits all of a topic, by its answer about itself.
pub(super) fn whole_topics(info: &Value) -> bool {
    info.pointer("/change/submit_whole_topic").and_then(Value::as_bool).unwrap_or(false)
}

/// Which connection of the stream is up, if one is.
fn connection(shared: &Shared) -> Option<u64> {
    shared.stats.streaming.load(Relaxed).then(|| shared.stats.reconnects.load(Relaxed))
}

async fn poll_tips(shared: &Shared) {
    if let Err(error) = tips(shared).await {
        let pause = shared.rules().tips_poll_ms;
        tracing::warn!("failed to {error}; the tips are polled again in {pause} ms");
        shared.stats.heard.store(false, Relaxed);
    } else if !shared.stats.heard.load(Relaxed) {
        shared.catch_up.notify_one();
    }
}

async fn changes(shared: &Arc<Shared>) -> Result<(), RestError> {
    let asked_at = Instant::now();
    let since = shared.ledger.high_water().max(shared.since);
    let mut queries = Vec::new();
    let rules = shared.rules();
    if !rules.approval.is_empty() {
        let votes = rules.approval.iter().map(|(label, min)| format!("label:{label}>={min}"));
        queries.push(format!("status:open {}", votes.collect::<Vec<_>>().join(" ")));
    }
    let after = since.plus_ms(-OVERLAP_MS);
    if since > Timestamp::default() {
        queries.push(format!("after:\"{}\"", gerrit_time(after)));
    }
    let (mut seen, mut found, mut asks) = (HashSet::new(), Vec::new(), Vec::new());
    for query in queries {
        let more = if query.starts_with("after:") && !rules.asks.is_empty() { "&o=MESSAGES" } else { "" };
        for value in all_pages(shared, &format!("changes/?q={}&{}{more}", encode(&query), options())).await? {
            let Some(snapshot) = shared.rest.change(&value) else { continue };
            if shared.ledger.gates(&snapshot.pair()) {
                // What was said before this process began was heard by the one before it.
                let since = after.max(shared.since);
                asks.extend(asked::in_messages(&value, &snapshot, since, &shared.user, &rules.asks));
            }
            if seen.insert(snapshot.number) {
                found.push(snapshot);
            }
        }
    }
    // What vanished from the answers is asked for by number, and singly if that gives nothing.
    let unseen: Vec<_> =
        shared.ledger.tracked().into_iter().filter(|(number, _)| !seen.contains(number)).collect();
    for chunk in unseen.chunks(BATCH) {
        let numbers: Vec<ChangeNumber> = chunk.iter().map(|(number, _)| *number).collect();
        let path = by_number(&numbers);
        let answer = shared.rest.get(&path).await?;
        let changes = answer.as_array().map_or(&[][..], Vec::as_slice);
        let read = changes.iter().filter_map(|value| shared.rest.change(value));
        found.extend(read.filter(|snapshot| seen.insert(snapshot.number)));
    }
    settle_doubts(shared, &mut found).await?;
    found.sort_by_key(|snapshot| (approved_at(snapshot, &rules.approval), snapshot.number));
    let numbers: Vec<_> =
        found.iter().map(|snapshot| (snapshot.number, snapshot.repository.clone())).collect();
    let taken = shared.ledger.offer(found, asked_at, false);
    for ((number, repository), taken) in numbers.into_iter().zip(taken) {
        if taken == Taken::Stale {
            shared.hints.push(number, repository, None);
        }
    }
    for (number, repository) in unseen {
        if !seen.contains(&number) {
            shared.hints.push(number, repository, None);
        }
    }
    asked::heed(shared, asks);
    Ok(())
}

/// The open changes that were modified last, in gated branches and with their patch sets.
///
/// # Errors
/// As the server says.
pub(super) async fn open_changes(shared: &Shared) -> Result<Vec<OpenPatchSet>, RestError> {
    let path = format!("changes/?q=status:open&n={OPEN_MAX}&o=CURRENT_REVISION&o=SKIP_DIFFSTAT");
    let answer = shared.rest.get(&path).await?;
    let changes = answer.as_array().map_or(&[][..], Vec::as_slice);
    let open = changes.iter().filter_map(|value| shared.rest.change(value)).filter(|seen| !seen.private);
    let open = open.filter(|seen| shared.ledger.gates(&seen.pair()));
    Ok(open.map(|seen| (seen.repository, seen.number, seen.patchset, seen.revision)).collect())
}

/// Reads again, each from its own ref, what the index may have in an older state than was seen.
async fn settle_doubts(shared: &Shared, found: &mut Vec<ChangeSnapshot>) -> Result<(), RestError> {
    let (doubtful, mut settled): (Vec<_>, Vec<_>) =
        std::mem::take(found).into_iter().partition(|snapshot| shared.ledger.doubts(snapshot));
    let readings = doubtful.iter().map(|seen| read_one(&shared.rest, seen.number, &seen.repository));
    for (seen, reading) in doubtful.iter().zip(join_all(readings).await) {
        match reading {
            Ok(fresh) => settled.push(fresh),
            Err(RestError::NotFound(_)) => shared.ledger.gone(seen.number, false),
            Err(error) => return Err(error),
        }
    }
    *found = settled;
    Ok(())
}

/// When the last of the votes came that make it approved; changes without them come last.
fn approved_at(snapshot: &ChangeSnapshot, approval: &[(String, i32)]) -> Timestamp {
    let needed = approval.iter().map(|(label, min)| {
        let votes = snapshot.votes.iter().filter(|vote| vote.label.as_str() == label && vote.value >= *min);
        votes.map(|vote| vote.at).min()
    });
    let all: Option<Vec<Timestamp>> = needed.collect();
    all.and_then(|times| times.into_iter().max()).unwrap_or(Timestamp(i64::MAX))
}

/// All rows of a query. A page's own word that it is the last is not believed, for invisible
/// changes can shorten it; only an empty one ends the reading.
async fn all_pages(shared: &Shared, path: &str) -> Result<Vec<Value>, RestError> {
    let mut rows = Vec::new();
    for page in 0..PAGES_MAX {
        let answer = shared.rest.get(&format!("{path}&n={PAGE}&S={}", page * PAGE)).await?;
        let Value::Array(found) = answer else {
            return Err(RestError::Malformed("a query's answer is no list".into()));
        };
        if found.is_empty() {
            break;
        }
        rows.extend(found);
    }
    Ok(rows)
}

/// Reads the tips of all branches of interest in all repositories; few requests, however many.
async fn tips(shared: &Shared) -> Result<(), RestError> {
    let began = Instant::now();
    let existing = shared.ledger.existing_tips();
    let rules = shared.rules();
    let mut branches: BTreeSet<&str> = rules.branches.iter().map(String::as_str).collect();
    branches.extend(existing.iter().map(|pair| pair.branch.as_str()));
    let terms: Vec<String> =
        branches.into_iter().take(BRANCHES_MAX).map(|branch| format!("b={}", encode(branch))).collect();
    if terms.is_empty() {
        return Ok(());
    }
    let mut seen: HashSet<Pair> = HashSet::new();
    for page in 0..PAGES_MAX {
        let skip = page * PAGE;
        let answer = shared.rest.get(&format!("projects/?{}&n={PAGE}&S={skip}", terms.join("&"))).await?;
        let Value::Object(projects) = answer else {
            return Err(RestError::Malformed("the list of projects is none".into()));
        };
        if projects.is_empty() {
            break;
        }
        for (pair, commit) in projects.iter().flat_map(|(name, project)| tips_of(name, project)) {
            seen.insert(pair.clone());
            shared.ledger.tip(pair, Some(commit), began, false);
        }
        let more = projects.values().any(|project| project.get("_more_projects").is_some());
        if !more && projects.len() < PAGE {
            break;
        }
    }
    for pair in existing.into_iter().filter(|pair| !seen.contains(pair)).take(VANISHED_MAX) {
        let began = Instant::now();
        let commit = read_tip(&shared.rest, &pair).await?;
        shared.ledger.tip(pair, commit, began, false);
    }
    Ok(())
}

fn tips_of(name: &str, project: &Value) -> Vec<(Pair, Sha)> {
    let Some(branches) = project.get("branches") else { return Vec::new() };
    let names = branches.as_object().into_iter().flat_map(|branches| branches.keys());
    names.filter_map(|branch| Some((Pair::new(name, branch.as_str()), sha(branches, branch)?))).collect()
}

/// A time as Gerrit's `after:` takes it, UTC.
fn gerrit_time(at: Timestamp) -> String {
    let at = jiff::Timestamp::from_millisecond(at.0).unwrap_or_default();
    at.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gerrit_says_of_topics_only_when_it_unites_them() {
        let whole = serde_json::json!({ "change": { "submit_whole_topic": true } });
        assert!(whole_topics(&whole));
        assert!(!whole_topics(&serde_json::json!({ "change": { "update_delay": 300 } })));
        assert!(!whole_topics(&serde_json::json!({ "gerrit": {} })));
    }

    #[test]
    fn times_are_written_as_gerrit_reads_them() {
        assert_eq!(gerrit_time(Timestamp(1_795_250_606_887)), "2026-11-21 08:43:26");
    }

    #[test]
    fn tips_are_read_leniently() {
        let one = "1".repeat(40);
        let project = serde_json::json!({"branches": {"main": one, "odd": 3, "short": "12"}});
        assert_eq!(tips_of("p", &project), [(Pair::new("p", "main"), Sha([0x11; 20]))]);
        assert!(tips_of("p", &Value::from(1)).is_empty());
    }
}
