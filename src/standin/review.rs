//! Votes and messages.

use serde_json::{Map, Value, json};

use super::accounts::Person;
use super::change_json::{self, Asked};
use super::event_json::{about_patch, approvals, vote_words};
use super::refusal::Refusal;
use super::site::{Site, State, now};
use crate::model::{ChangeNumber, ChangeStatus, Label, PatchSet};
use crate::world::labels::{self, LabelRule};
use crate::world::{Change, Message};

/// Longest message, in bytes.
const MESSAGE_MAX: usize = 16_384;

/// The patch set that a path names: `current`, a number, or a commit.
///
/// # Errors
/// 404.
pub fn patchset(change: &Change, asked: &str) -> Result<PatchSet, Refusal> {
    let by_number = || asked.parse().ok().map(PatchSet).filter(|number| change.patch(*number).is_some());
    let by_commit = || {
        let at = change
            .patchsets
            .iter()
            .position(|patch| asked.len() >= 7 && patch.commit.to_string().starts_with(asked))?;
        Some(PatchSet(at as u64 + 1))
    };
    let found = if asked == "current" { Some(change.current) } else { by_number().or_else(by_commit) };
    found.ok_or_else(|| Refusal::not_found(asked))
}

/// What of a review's labels there is to do, and what is answered of them.
struct Votes {
    given: Vec<(&'static LabelRule, i32)>,
    answer: Option<Map<String, Value>>,
}

/// Labels and values that do not exist are left out without a word, as Gerrit does.
fn read_votes(input: &Value, who: &Person) -> Result<Votes, Refusal> {
    let Some(labels) = input.get("labels").filter(|labels| !labels.is_null()) else {
        return Ok(Votes { given: Vec::new(), answer: None });
    };
    let invalid = || Refusal::bad("Invalid application/json in request");
    let mut votes = Votes { given: Vec::new(), answer: Some(Map::new()) };
    for (name, value) in labels.as_object().ok_or_else(invalid)? {
        let text = value.as_str().and_then(|text| text.trim().trim_start_matches('+').parse().ok());
        let value =
            value.as_i64().or(text).and_then(|value| i32::try_from(value).ok()).ok_or_else(invalid)?;
        let Some(rule) = labels::label(name).filter(|rule| (rule.min()..=rule.max()).contains(&value)) else {
            continue;
        };
        if value != 0 && who.range(rule).is_none_or(|(min, max)| !(min..=max).contains(&value)) {
            return Err(Refusal::forbidden(format!("Applying label \"{name}\": {value} is restricted")));
        }
        votes.given.push((rule, value));
        votes.answer.get_or_insert_default().insert(name.clone(), value.into());
    }
    Ok(votes)
}

fn check_closed(change: &Change, patchset: PatchSet, votes: &Votes, who: &Person) -> Result<(), Refusal> {
    if change.status == ChangeStatus::Abandoned && !votes.given.is_empty() {
        return Err(Refusal::conflict("change is closed"));
    }
    if change.status == ChangeStatus::Merged {
        let account = who.account();
        let before = |rule: &LabelRule| {
            let mut votes = change.votes_on(patchset).iter();
            votes
                .find(|vote| vote.by == account && vote.label.as_str() == rule.name)
                .map_or(0, |vote| vote.value)
        };
        let reduced = votes.given.iter().filter(|(rule, value)| *value < before(rule));
        let reduced: Vec<&str> = reduced.map(|(rule, _)| rule.name).collect();
        if !reduced.is_empty() {
            let words = format!("Cannot reduce vote on labels for closed change: {}", reduced.join(", "));
            return Err(Refusal::conflict(words));
        }
    }
    Ok(())
}

impl Site {
    /// Reviews a patch set.
    ///
    /// # Errors
    /// In Gerrit's words.
    pub fn review(
        &self,
        who: &Person,
        number: ChangeNumber,
        asked: &str,
        input: &Value,
    ) -> Result<Value, Refusal> {
        let mut state = self.lock();
        let before = state.change(number, Some(who), &number.to_string())?.clone();
        let patchset = patchset(&before, asked)?;
        let votes = read_votes(input, who)?;
        let words = input.get("message").and_then(Value::as_str).map(str::trim_end).unwrap_or_default();
        if words.len() > MESSAGE_MAX {
            return Err(Refusal::bad(format!(
                "One or more comments were rejected in validation: Comment size exceeds limit ({} > {MESSAGE_MAX})",
                words.len()
            )));
        }
        check_closed(&before, patchset, &votes, who)?;
        self.apply_review(&mut state, who, &before, patchset, &votes, words, input);
        let change = state.change(number, Some(who), asked)?;
        let options = input.get("response_format_options").and_then(Value::as_array);
        let options = options.into_iter().flatten().filter_map(Value::as_str);
        let options = Asked::read(options)
            .map_err(|name| Refusal::bad(format!("\"{name}\" is not a valid value for \"-o\"")))?;
        let info = change_json::change(self, &state, change, &options, Some(who));
        let mut answer = json!({ "change_info": info });
        if let Some(labels) = votes.answer {
            answer["labels"] = Value::Object(labels);
        }
        Ok(answer)
    }

    #[expect(clippy::too_many_arguments, reason = "one review, taken apart by its caller")]
    fn apply_review(
        &self,
        state: &mut State,
        who: &Person,
        before: &Change,
        patchset: PatchSet,
        votes: &Votes,
        words: &str,
        input: &Value,
    ) {
        let (at, number, by) = (now(), before.number, who.account());
        let Some(revision) = before.patch(patchset).map(|patch| patch.commit) else { return };
        let old_votes = before.votes_on(patchset).to_vec();
        let mut told = Vec::new();
        for (rule, value) in &votes.given {
            let old = old_votes.iter().find(|vote| vote.by == by && vote.label.as_str() == rule.name);
            if old.map_or(0, |vote| vote.value) != *value {
                state.gerrit.vote(at, number, revision, &Label::from(rule.name), *value, &by);
                told.push(vote_words(rule.name, *value));
            }
        }
        if told.is_empty() && words.is_empty() {
            // Even then one has looked at it, which Gerrit notes once.
            state.gerrit.note_look(at, number, &by);
            if let Some(change) = state.gerrit.change(number) {
                self.tell_meta(at, who, change, Some(before.meta()));
            }
            return;
        }
        let mut text = format!("Patch Set {patchset}:");
        told.iter().for_each(|vote| text.push_str(&format!(" {vote}")));
        if !words.is_empty() {
            text.push_str(&format!("\n\n{words}"));
        }
        let tag = input.get("tag").and_then(Value::as_str).unwrap_or_default().into();
        state.gerrit.write(number, Message { by, tag, patchset, at, text: text.as_str().into() });
        let Some(change) = state.gerrit.change(number) else { return };
        let Ok(git) = state.git(&change.pair.repository) else { return };
        self.tell_meta(at, who, change, Some(before.meta()));
        let mut fields = json!({ "author": who.in_event(), "comment": text });
        if votes.answer.is_some() {
            fields["approvals"] = approvals(&old_votes, change.votes_on(patchset), who);
        }
        let event = about_patch(self, state, &git, "comment-added", at, (change, patchset), fields);
        self.tell_of(change, event);
    }
}
