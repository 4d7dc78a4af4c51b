//! What people ask for in comments. The stream tells of comments once, or never: so a catch-up reads those that
//! were made meanwhile, and each is heeded once, however it was heard.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;
use tokio::time::Instant;

use super::Shared;
use super::reader::read_one;
use super::wire::{account, list, text, time};
use crate::model::event::Command;
use crate::model::pipeline::{Asks, asked_for};
use crate::model::{Account, ChangeNumber, ChangeSnapshot, Event, PipelineName, Repository, Timestamp};

/// An event and a message may date the same comment differently by so much, in milliseconds.
const SAME_MS: i64 = 5_000;
/// The request number of commands that nobody waits for an answer to.
const UNASKED: u64 = 0;
/// How many are remembered.
const REMEMBERED_MAX: usize = 1_000;

/// A wish for a pipeline to run on a change; for the check where none is named.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Ask {
    pub change: ChangeNumber,
    pub by: Account,
    pub pipeline: Option<PipelineName>,
    /// When it was said, by Gerrit's clock.
    pub at: Timestamp,
}

/// What was asked for lately.
#[derive(Default)]
pub(super) struct Heard {
    recent: Mutex<VecDeque<Ask>>,
}

impl Heard {
    /// Notes what was asked for; false where that is known.
    fn is_new(&self, ask: &Ask) -> bool {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let said =
            |other: &Ask| (other.change, &other.by, &other.pipeline) == (ask.change, &ask.by, &ask.pipeline);
        if recent.iter().any(|other| said(other) && other.at.since_ms(ask.at).abs() <= SAME_MS) {
            return false;
        }
        if recent.len() >= REMEMBERED_MAX {
            recent.pop_front();
        }
        recent.push_back(ask.clone());
        true
    }
}

/// Passes on what was asked for on changes that were read, unless it was before.
pub(super) fn heed(shared: &Shared, asks: Vec<Ask>) {
    let new = asks.into_iter().filter(|ask| shared.heard.is_new(ask));
    deliver(shared, new);
}

/// The same of a change that may not have been read yet: one that was uploaded just now, or during a catch-up.
/// Nobody would know of which change the wish is, so it is read first.
pub(super) fn heed_unread(shared: &Arc<Shared>, repository: Repository, asks: Vec<Ask>) {
    let new: Vec<Ask> = asks.into_iter().filter(|ask| shared.heard.is_new(ask)).collect();
    let Some(change) = new.first().map(|ask| ask.change) else { return };
    let shared = shared.clone();
    tokio::spawn(async move {
        let began = Instant::now();
        match read_one(&shared.rest, change, &repository).await {
            Ok(seen) => drop(shared.ledger.offer(vec![seen], began, false)),
            Err(error) => {
                tracing::warn!(change = change.0, "failed to {error}; what a comment asks for may be lost");
            }
        }
        deliver(&shared, new.into_iter());
    });
}

fn deliver(shared: &Shared, asks: impl Iterator<Item = Ask>) {
    for ask in asks {
        let command = Command::Recheck { change: ask.change, pipeline: ask.pipeline };
        shared.ledger.deliver(vec![Event::Operator { request: UNASKED, by: ask.by, command }]);
    }
}

/// What a comment of `by` asks for.
pub(super) fn in_comment(
    change: ChangeNumber,
    by: &Account,
    at: Timestamp,
    comment: &str,
    asks: &Asks,
) -> Vec<Ask> {
    let asked = asked_for(comment, asks).into_iter();
    asked.map(|pipeline| Ask { change, by: by.clone(), pipeline, at }).collect()
}

/// What is asked for in the messages of a change as read, those of others than `user` on its present patch set
/// since then.
pub(super) fn in_messages(
    value: &Value,
    seen: &ChangeSnapshot,
    since: Timestamp,
    user: &str,
    asks: &Asks,
) -> Vec<Ask> {
    let mut found = Vec::new();
    for message in list(value, "messages") {
        let by = message.get("author").and_then(account).filter(|by| by.as_str() != user);
        let at = text(message, "date").and_then(time).filter(|at| *at > since);
        let here = message.get("_revision_number").and_then(Value::as_u64) == Some(seen.patchset.0);
        if let (Some(by), Some(at), Some(said), true) = (by, at, text(message, "message"), here) {
            found.extend(in_comment(seen.number, &by, at, said, asks));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::footer::Addresses;
    use super::super::wire::read_change;
    use super::*;

    fn ask(change: u64, pipeline: Option<&str>, at: i64) -> Ask {
        let pipeline = pipeline.map(PipelineName::new);
        Ask { change: ChangeNumber(change), by: "bob".into(), pipeline, at: Timestamp(at) }
    }

    #[test]
    fn messages_ask_that_are_new_of_others_and_on_the_present_patch_set() {
        let seen = read_change(
            &json!({
                "_number": 7, "project": "p", "branch": "main", "change_id": "I1", "status": "NEW",
                "current_revision": "1".repeat(40), "revisions": { ("1".repeat(40)): { "_number": 2 } },
            }),
            &Addresses::default(),
        )
        .unwrap();
        let message = |who: &str, second: u32, patch_set: u64, text: &str| {
            json!({
                "author": { "username": who }, "_revision_number": patch_set, "message": text,
                "date": format!("2026-11-21 08:00:{second:02}.000000000"),
            })
        };
        let since = time("2026-11-21 08:00:10.000000000").unwrap();
        let value = json!({ "messages": [
            message("bob", 10, 2, "recheck"),
            message("bot", 11, 2, "recheck"),
            message("bob", 12, 1, "recheck"),
            message("bob", 13, 2, "Patch Set 2:\n\nrecheck"),
            message("bob", 14, 2, "no recheck is needed"),
            json!({ "message": "recheck" }),
            json!(null),
        ] });
        let asks: Asks = vec![("recheck".into(), None)];
        let found = in_messages(&value, &seen, since, "bot", &asks);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!((found[0].by.as_str(), found[0].at), ("bob", since.plus_ms(3_000)));
    }

    #[test]
    fn what_was_asked_for_is_new_once() {
        let heard = Heard::default();
        assert!(heard.is_new(&ask(1, None, 10_000)));
        assert!(!heard.is_new(&ask(1, None, 12_000)), "the same comment, read instead of heard");
        assert!(heard.is_new(&ask(1, None, 20_000)), "another one");
        assert!(heard.is_new(&ask(1, Some("perf"), 10_000)));
        assert!(heard.is_new(&ask(2, None, 10_000)));
    }

    #[test]
    fn only_so_many_are_remembered() {
        let heard = Heard::default();
        for change in 0..2 * REMEMBERED_MAX as u64 {
            assert!(heard.is_new(&ask(change, None, 0)));
        }
        assert_eq!(heard.recent.lock().unwrap().len(), REMEMBERED_MAX);
    }
}
