//! Posts reports: a vote, a message, or both, exactly once.
//!
//! Each message's tag ends with the item's and the effect's ids: Gerrit folds away older messages
//! by the part before `~`, and what is in doubt is looked up by the whole. The part before is what
//! readers of Zuul's messages look for.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;

use super::Shared;
use super::doctor::{label_remedy, permission_remedy};
use super::host::failed;
use super::rest::{RestError, encode};
use super::wire::{OPTIONS, clip, list, text};
use crate::model::report::{Report, Says};
use crate::model::{ChangeNumber, Departure, EffectId, Event, Outcome};

/// Longest message posted, in bytes; Gerrit's limit is 16,384, its own heading included.
const MESSAGE_MAX: usize = 16_000;
/// How long a report is tried.
const PATIENCE: Duration = Duration::from_secs(30);
/// Longest pause between attempts.
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// What stands under a message that was cut.
const CUT: &str = "\n(The rest was cut: Gerrit takes no longer messages.)";

/// Reports on one change, one after another: a vote and its withdrawal must not swap.
#[derive(Default)]
pub(super) struct Turns(Mutex<BTreeMap<ChangeNumber, watch::Receiver<()>>>);

/// The turn of one report; over when it is dropped.
pub(super) struct Turn {
    before: Option<watch::Receiver<()>>,
    _over: watch::Sender<()>,
}

impl Turns {
    /// Lines up behind the reports on `change` that were begun before.
    pub fn line_up(&self, change: ChangeNumber) -> Turn {
        let (over, wait) = watch::channel(());
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.retain(|_, wait| wait.has_changed().is_ok());
        Turn { before: last.insert(change, wait), _over: over }
    }
}

impl Turn {
    async fn come(&mut self) {
        if let Some(before) = &mut self.before {
            // Nothing is ever sent: the error says that the report before is over.
            while before.changed().await.is_ok() {}
        }
    }
}

/// Posts one report when its turn has come, and delivers its end.
pub(super) async fn post(shared: Arc<Shared>, effect: EffectId, report: Report, again: bool, mut turn: Turn) {
    turn.come().await;
    let is_vote = report.vote.is_some();
    let room = if is_vote { &shared.votes } else { &shared.messages };
    let _room = room.acquire().await;
    let outcome = attempt(&shared, effect, &report, again).await;
    shared.ledger.deliver(vec![Event::EffectEnded { effect, outcome }]);
}

async fn attempt(shared: &Shared, effect: EffectId, report: &Report, again: bool) -> Outcome {
    let words = report.says.as_ref().map(|_| cut((shared.compose)(report)));
    let tag = tag(report.again_of.unwrap_or(effect), report);
    let body = input(report, words.as_deref(), &tag);
    let began = Instant::now();
    let mut in_doubt = again || report.again_of.is_some();
    let mut pause = Duration::from_millis(200);
    loop {
        let result = match in_doubt {
            true => is_posted(shared, report, &tag).await,
            false => Ok(false),
        };
        let result = match result {
            Ok(true) => return Outcome::Applied,
            Ok(false) => review(shared, report, &body).await,
            Err(error) => Err(error),
        };
        match result {
            Ok(reply) => return judge(&reply, report),
            Err(error) if error.is_transient() && began.elapsed() < PATIENCE => {
                // Not everybody who reads the log may see each change.
                tracing::warn!("failed to post a report to Gerrit; it is tried again");
                tracing::debug!(change = report.change.0, "failed to {error}; the report is tried again");
                in_doubt = true;
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSE_MAX);
            }
            Err(error) => return refusal(&error, report),
        }
    }
}

async fn review(shared: &Shared, report: &Report, body: &Value) -> Result<Value, RestError> {
    let number = report.change;
    shared.ledger.begin_review(number);
    let asked_at = Instant::now();
    let path = format!(
        "changes/{}~{number}/revisions/{}/review",
        encode(report.repository.as_str()),
        report.revision
    );
    let result = shared.rest.post(&path, body).await;
    if let Ok(reply) = &result {
        match reply.get("change_info").and_then(|value| shared.rest.change(value)) {
            Some(snapshot) => {
                shared.ledger.offer(vec![snapshot], asked_at, false);
                shared.ledger.vouch(number, asked_at);
            }
            None => shared.hints.push(number, report.repository.clone(), None),
        }
    }
    shared.ledger.end_review(number);
    shared.hints.nudge();
    result
}

fn tag(effect: EffectId, report: &Report) -> String {
    format!("autogenerated:zuul:{}~i{}e{effect}", report.pipeline.name(), report.item)
}

fn input(report: &Report, words: Option<&str>, tag: &str) -> Value {
    let mut body = json!({
        "tag": tag,
        "notify": if concerns_the_owner(report) { "OWNER" } else { "NONE" },
        "ignore_automatic_attention_set_rules": true,
        "omit_duplicate_comments": true,
        "response_format_options": OPTIONS,
    });
    if let Some(words) = words {
        body["message"] = words.into();
    }
    if let Some((label, value)) = &report.vote {
        body["labels"] = json!({ label.as_str(): value });
    }
    body
}

/// Whether the owner should have a mail: when there is something to do.
fn concerns_the_owner(report: &Report) -> bool {
    match &report.says {
        None | Some(Says::Started { .. } | Says::Passed { .. }) => false,
        Some(
            Says::Waiting { .. } | Says::FirstFailure { .. } | Says::Culprit { .. } | Says::Alarm { .. },
        ) => true,
        Some(Says::Ended { departure, .. }) => !matches!(
            departure,
            Departure::Landed { .. }
                | Departure::MergedElsewhere
                | Departure::Abandoned
                | Departure::Superseded
                | Departure::Checked { passed: true }
        ),
    }
}

/// Whether a message of this very effect stands on the change. A vote alone is harmless to repeat.
async fn is_posted(shared: &Shared, report: &Report, tag: &str) -> Result<bool, RestError> {
    if report.says.is_none() {
        return Ok(false);
    }
    let path = format!("changes/{}~{}/messages", encode(report.repository.as_str()), report.change);
    let messages = json!({ "all": shared.rest.get(&path).await? });
    Ok(list(&messages, "all").iter().any(|message| {
        text(message, "tag") == Some(tag)
            && message.get("_revision_number").and_then(Value::as_u64) == Some(report.patchset.0)
    }))
}

/// Gerrit drops labels and values that it does not know, and says 200: the reply tells.
fn judge(reply: &Value, report: &Report) -> Outcome {
    let Some((label, value)) = &report.vote else { return Outcome::Applied };
    let stored = reply.get("labels").and_then(|labels| labels.get(label.as_str())).and_then(Value::as_i64);
    if stored == Some(i64::from(*value)) {
        return Outcome::Applied;
    }
    Outcome::Refused(
        format!(
            "Gerrit dropped the vote {label} {value:+}: the label does not exist in {}, or has no such value; {}",
            report.repository,
            label_remedy(label, *value, &report.repository)
        )
        .into(),
    )
}

fn refusal(error: &RestError, report: &Report) -> Outcome {
    match (error, &report.vote) {
        (RestError::Forbidden(words), Some((label, value))) if words.contains("label") => {
            let remedy = permission_remedy(label, *value, &report.repository);
            Outcome::Refused(format!("failed to {error}; {remedy}").into())
        }
        _ => failed(error),
    }
}

fn cut(mut words: String) -> String {
    if words.len() > MESSAGE_MAX {
        words.truncate(clip(&words, MESSAGE_MAX - CUT.len()).len());
        words.push_str(CUT);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ItemId, PatchSet, Pipeline, Sha};

    fn report(vote: i32) -> Report {
        Report {
            change: crate::model::ChangeNumber(1),
            repository: "p".into(),
            patchset: PatchSet(1),
            revision: Sha::default(),
            item: ItemId(7),
            pipeline: Pipeline::Gate,
            queue: None,
            vote: Some(("Verified".into(), vote)),
            says: None,
            again_of: None,
        }
    }

    #[test]
    fn a_dropped_vote_is_refused_with_the_remedy() {
        let check = |reply: Value, vote: i32, applied: bool| {
            let outcome = judge(&reply, &report(vote));
            assert_eq!(outcome == Outcome::Applied, applied, "{outcome:?}");
        };
        check(json!({"labels": {"Verified": 1}}), 1, true);
        check(json!({"labels": {"Verified": 0}}), 0, true);
        check(json!({"labels": {}}), 1, false);
        check(json!({"labels": {"Verified": 1}}), 2, false);
        check(json!(null), 1, false);
    }

    #[test]
    fn the_tag_is_one_that_readers_of_zuul_know() {
        assert_eq!(tag(EffectId(12), &report(1)), "autogenerated:zuul:gate~i7e12");
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let words = cut("é".repeat(20_000));
        assert!(words.len() <= MESSAGE_MAX && words.ends_with(CUT));
        assert_eq!(cut("short".into()), "short");
    }

    #[test]
    fn a_missing_permission_names_the_call_that_grants_it() {
        let error = RestError::Forbidden("Applying label \"Verified\": 1 is restricted".into());
        let Outcome::Refused(words) = refusal(&error, &report(1)) else { panic!("not refused") };
        assert!(words.contains("label-Verified") && words.contains("Service Users"), "{words}");
    }
}

#[cfg(test)]
mod order {
    use super::*;

    #[tokio::test]
    async fn reports_on_one_change_take_turns_and_others_do_not_wait() {
        let turns = Turns::default();
        let first = turns.line_up(ChangeNumber(1));
        let mut second = turns.line_up(ChangeNumber(1));
        turns.line_up(ChangeNumber(2)).come().await;
        let soon = Duration::from_millis(1);
        assert!(tokio::time::timeout(soon, second.come()).await.is_err());
        drop(first);
        second.come().await;
    }
}
