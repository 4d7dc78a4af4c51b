//! Keeps the event stream open and turns its events into hints for the reader and into tips.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::time::Instant;

use super::Shared;
use super::asked;
use super::events::{Hint, Lines, read_line};
use super::outside::Events;
use super::ssh::SshError;
use super::stats::{Stats, now_ms};
use crate::model::{Branch, ChangeNumber, Pair, Repository, Sha, Timestamp};

/// First pause before the next connection.
const PAUSE: Duration = Duration::from_millis(500);
/// Longest such pause.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// A connection that lasted so long was a good one: the next pause is short again.
const GOOD_AFTER: Duration = Duration::from_secs(60);
/// An event of a deletion comes before the deletion: how long until its effect can be read.
const DELETION: Duration = Duration::from_secs(2);

/// The task. Ends only when it is dropped.
pub(super) async fn run(shared: Arc<Shared>) {
    let mut pause = PAUSE;
    loop {
        let began = Instant::now();
        let error = session(&shared).await;
        shared.stats.streaming.store(false, Relaxed);
        shared.stats.caught_up.store(false, Relaxed);
        Stats::count(&shared.stats.reconnects);
        if began.elapsed() > GOOD_AFTER {
            pause = PAUSE;
        }
        if pause == PAUSE {
            // At once, for it may be long until there is a stream; later the polls go on with it.
            shared.catch_up.notify_one();
        }
        tracing::warn!("failed to {error}; the next attempt is in {} ms", pause.as_millis());
        tokio::time::sleep(jittered(pause)).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// One connection from its beginning to its end.
async fn session(shared: &Arc<Shared>) -> SshError {
    let mut stream = match shared.source.open().await {
        Ok(stream) => stream,
        Err(error) => return error,
    };
    tracing::info!("the event stream is open");
    shared.hints.hold();
    shared.stats.streaming.store(true, Relaxed);
    // Only now: what happens during the catch-up is in the stream.
    shared.catch_up.notify_one();
    shared.opened.notify_one();
    let error = read(shared, stream.as_mut()).await;
    stream.close().await;
    error
}

async fn read(shared: &Arc<Shared>, stream: &mut dyn Events) -> SshError {
    let mut lines = Lines::default();
    loop {
        match stream.next().await {
            Ok(bytes) => lines.feed(&bytes, |line| take(shared, line)),
            Err(error) => return error,
        }
    }
}

fn take(shared: &Arc<Shared>, line: Option<&[u8]>) {
    let hints = line.map_or_else(
        || Err("it is too long".to_owned()),
        |line| read_line(line).map_err(|error| error.to_string()),
    );
    match hints {
        Ok(hints) => {
            let at = line.and_then(created_on);
            shared.stats.event_seen(at);
            hints.into_iter().for_each(|hint| heed(shared, hint, at));
        }
        Err(why) => {
            Stats::count(&shared.stats.malformed_lines);
            tracing::warn!(why, "an event of the stream cannot be understood and is skipped");
        }
    }
}

/// The second in which Gerrit made an event.
fn created_on(line: &[u8]) -> Option<i64> {
    #[derive(serde::Deserialize)]
    struct Created {
        #[serde(rename = "eventCreatedOn")]
        at: i64,
    }
    serde_json::from_slice::<Created>(line).ok().map(|created| created.at)
}

fn heed(shared: &Arc<Shared>, hint: Hint, at: Option<i64>) {
    match hint {
        Hint::Meta { repository, number, meta } => meta_moved(shared, repository, number, meta),
        Hint::Change { pair, number, by, deleted, comment, voted } => {
            // The reply to an own review tells the state; what others did has its own meta event.
            let announced = shared.ledger.was_announced(number);
            let own = by.as_ref().is_some_and(|by| by.as_str() == shared.user);
            let known = || shared.ledger.pair_of(number).is_some_and(|pair| shared.ledger.gates(&pair));
            if !announced && !own && (shared.ledger.gates(&pair) || known() || shared.ledger.follows(number))
            {
                shared.hints.push(number, pair.repository.clone(), None);
            }
            if voted && !own {
                shared.hints.voted(number);
            }
            if let (Some(by), Some(comment)) = (by.filter(|_| !own && shared.ledger.gates(&pair)), comment) {
                let at = Timestamp(at.map_or_else(|| (shared.wall)(), |second| second.saturating_mul(1_000)));
                let asks = asked::in_comment(number, &by, at, &comment, &shared.rules().asks);
                asked::heed_unread(shared, pair.repository.clone(), asks);
            }
            if deleted {
                let shared = shared.clone();
                tokio::spawn(async move {
                    tokio::time::sleep(DELETION).await;
                    shared.hints.push(number, pair.repository, None);
                });
            }
        }
        Hint::Tip { pair, commit } => shared.ledger.tip(pair, commit, Instant::now(), false),
        Hint::Tips => shared.poll_tips.notify_one(),
        Hint::Dropped => shared.catch_up.notify_one(),
    }
}

/// The branch of a change that was never seen is not known: it is read if any branch that the
/// configuration names is gated in its repository, else its event proper decides.
fn meta_moved(shared: &Shared, repository: Repository, number: ChangeNumber, meta: Option<Sha>) {
    let relevant = match shared.ledger.pair_of(number) {
        Some(pair) => shared.ledger.gates(&pair),
        None => shared.rules().branches.iter().any(|branch| {
            shared
                .ledger
                .gates(&Pair { repository: repository.clone(), branch: Branch::new(branch.as_str()) })
        }),
    };
    if relevant || shared.ledger.follows(number) {
        shared.ledger.announce(number, meta);
        shared.hints.push(number, repository, meta);
    }
}

/// Between three quarters of `pause` and all of it, so that many daemons do not come at once.
fn jittered(pause: Duration) -> Duration {
    let share = u32::try_from(now_ms().rem_euclid(251)).unwrap_or(0);
    pause * (753 + share) / 1_004
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_vary_within_bounds() {
        let pause = jittered(PAUSE_MAX);
        assert!(pause <= PAUSE_MAX && pause >= PAUSE_MAX * 3 / 4 - Duration::from_millis(50), "{pause:?}");
    }
}
