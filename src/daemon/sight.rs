//! What the readers of the page may see: learnt from Gerrit by asking without credentials, remembered for
//! a bounded time, and asked anew when something about a change is new. Nothing waits for it: what is
//! not known yet is not shown yet.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::desk::Board;
use crate::config::VisibleTo;
use crate::gerrit::{Gerrit, PUBLIC_BATCH};
use crate::model::view::View;
use crate::model::{ChangeNumber, ChangeSnapshot, Event, Pair, PatchSet, Repository};
use crate::web::veil::{Veil, mentioned, mentioned_repositories, redact};

/// What was learnt is asked for again after so long.
const ASK_AGAIN: Duration = Duration::from_secs(300);
/// What could not be asked for again counts as unknown after so long.
const AGE_MAX: Duration = Duration::from_secs(600);
/// The least time between two questions.
const PAUSE: Duration = Duration::from_millis(250);
/// Pause after Gerrit could not be asked.
const PAUSE_FAILED: Duration = Duration::from_secs(5);

/// What is known of one change.
#[derive(Default)]
struct Known {
    /// What Gerrit said, and when.
    answer: Option<(bool, Instant)>,
    /// Something is new about it since.
    stale: bool,
    /// What its visibility can depend on.
    facts: Option<(Pair, PatchSet)>,
}

#[derive(Default)]
struct Memory {
    changes: BTreeMap<ChangeNumber, Known>,
    repositories: BTreeMap<Repository, (bool, Instant)>,
}

/// See the module.
pub struct Sight {
    everything: bool,
    memory: Mutex<Memory>,
}

impl Known {
    fn is_visible(&self, now: Instant) -> bool {
        self.answer.is_some_and(|(visible, at)| visible && now.duration_since(at) < AGE_MAX)
    }

    fn is_due(&self, now: Instant) -> bool {
        self.stale || self.answer.is_none_or(|(_, at)| now.duration_since(at) >= ASK_AGAIN)
    }
}

impl Sight {
    /// The eyes of those for whom the page is.
    pub fn new(eyes: VisibleTo) -> Self {
        Self { everything: eyes == VisibleTo::Bot, memory: Mutex::default() }
    }

    /// What may be shown now.
    pub fn veil(&self) -> Veil {
        let (memory, now) = (self.lock(), Instant::now());
        let changes = memory.changes.iter().filter(|(_, known)| known.is_visible(now));
        let young = |at: &Instant| now.duration_since(*at) < AGE_MAX;
        let repositories = memory.repositories.iter().filter(|(_, (visible, at))| *visible && young(at));
        Veil {
            everything: self.everything,
            changes: changes.map(|(number, _)| *number).collect(),
            repositories: repositories.map(|(name, _)| name.clone()).collect(),
        }
    }

    /// Whether a change may be shown now.
    pub fn shows(&self, number: ChangeNumber) -> bool {
        let known = |memory: &Memory| {
            memory.changes.get(&number).is_some_and(|known| known.is_visible(Instant::now()))
        };
        self.everything || known(&self.lock())
    }

    /// `text` without the numbers of changes that are in `view` and may not be shown.
    pub fn cover(&self, text: &str, view: &View) -> String {
        if self.everything {
            return text.to_owned();
        }
        let there = mentioned(view);
        redact(text, |number| there.contains(&number) && !self.shows(number))
    }

    /// Something was observed: what Gerrit said before may no longer hold.
    pub fn note(&self, event: &Event) {
        if self.everything {
            return;
        }
        match event {
            Event::ChangeSeen { snapshot } => self.note_change(snapshot),
            Event::Looked { changes, gone, .. } => {
                changes.iter().for_each(|snapshot| self.note_change(snapshot));
                gone.iter().for_each(|number| self.forget(*number));
            }
            Event::ChangeGone { number } => self.forget(*number),
            _ => {}
        }
    }

    fn note_change(&self, snapshot: &ChangeSnapshot) {
        let mut memory = self.lock();
        let Some(known) = memory.changes.get_mut(&snapshot.number) else { return };
        let facts = (snapshot.pair(), snapshot.patchset);
        let moved = known.facts.as_ref().is_some_and(|(pair, _)| *pair != facts.0);
        known.stale |= known.facts.as_ref().is_some_and(|before| *before != facts);
        if snapshot.private || moved {
            // Rather too little for a moment than too much.
            known.answer = None;
        }
        known.facts = Some(facts);
    }

    fn forget(&self, number: ChangeNumber) {
        if let Some(known) = self.lock().changes.get_mut(&number) {
            known.answer = None;
        }
    }

    /// What is to be asked of Gerrit, at most one query's worth. Forgets what no view names.
    fn due(&self, view: &View) -> (Vec<ChangeNumber>, Vec<Repository>) {
        let (wanted, places) = (mentioned(view), mentioned_repositories(view));
        let (mut memory, now) = (self.lock(), Instant::now());
        memory.changes.retain(|number, _| wanted.contains(number));
        memory.repositories.retain(|name, _| places.contains(name));
        for number in wanted {
            memory.changes.entry(number).or_default();
        }
        let due = memory.changes.iter().filter(|(_, known)| known.is_due(now));
        let mut due: Vec<(bool, ChangeNumber)> =
            due.map(|(number, known)| (known.answer.is_some(), *number)).collect();
        // What is not known at all comes first, and of that the newest.
        due.sort_by_key(|(known, number)| (*known, std::cmp::Reverse(*number)));
        let due = due.into_iter().map(|(_, number)| number).take(PUBLIC_BATCH).collect();
        let old = |name: &Repository| {
            memory.repositories.get(name).is_none_or(|(_, at)| now.duration_since(*at) >= ASK_AGAIN)
        };
        (due, places.into_iter().filter(old).collect())
    }

    /// Marks what is asked now, so that what becomes new meanwhile is asked for again.
    fn asking(&self, numbers: &[ChangeNumber]) {
        let mut memory = self.lock();
        for number in numbers {
            if let Some(known) = memory.changes.get_mut(number) {
                known.stale = false;
            }
        }
    }

    /// Takes an answer; whether it changes what is shown.
    fn answered(&self, asked: &[ChangeNumber], seen: impl Fn(&ChangeNumber) -> bool, at: Instant) -> bool {
        let mut memory = self.lock();
        let mut news = false;
        for number in asked {
            // One that became stale meanwhile may have been made private after Gerrit answered.
            let Some(known) = memory.changes.get_mut(number).filter(|known| !known.stale) else { continue };
            news |= known.is_visible(Instant::now()) != seen(number);
            known.answer = Some((seen(number), at));
        }
        news
    }

    fn lock(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Asks Gerrit what may be shown, for ever; drop the future to stop.
pub async fn keep_looking(board: Arc<Board>, gerrit: Gerrit) {
    let sight = board.sight();
    if sight.everything {
        return;
    }
    let mut changed = board.subscribe();
    let mut told = false;
    loop {
        let (numbers, repositories) = sight.due(&board.raw_view());
        if numbers.is_empty() && repositories.is_empty() {
            // A view comes at least every few seconds, so that what grows old is noticed too.
            if changed.changed().await.is_err() {
                return;
            }
            continue;
        }
        match ask(sight, &gerrit, &numbers, &repositories).await {
            Ok(news) => {
                told = false;
                if news {
                    board.bump();
                }
                tokio::time::sleep(PAUSE).await;
            }
            Err(error) => {
                if !std::mem::replace(&mut told, true) {
                    tracing::warn!("failed to {error}; until Gerrit says who may read what, less is shown");
                }
                tokio::time::sleep(PAUSE_FAILED).await;
            }
        }
    }
}

async fn ask(
    sight: &Sight,
    gerrit: &Gerrit,
    numbers: &[ChangeNumber],
    repositories: &[Repository],
) -> Result<bool, crate::gerrit::RestError> {
    let mut news = false;
    if !numbers.is_empty() {
        sight.asking(numbers);
        let began = Instant::now();
        let seen = gerrit.public_changes(numbers).await?;
        news |= sight.answered(numbers, |number| seen.contains(number), began);
    }
    for name in repositories {
        let visible = gerrit.is_public(name).await?;
        sight.lock().repositories.insert(name.clone(), (visible, Instant::now()));
        news = true;
    }
    Ok(news)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(number: u64, pair: Pair, private: bool) -> Event {
        let snapshot = serde_json::json!({
            "number": number, "repository": pair.repository, "branch": pair.branch, "change_id": "I1",
            "status": "Open", "patchset": 1, "revision": "1".repeat(40), "parents": [], "subject": "s",
            "owner": "o", "work_in_progress": false, "private": private, "submittable": true,
            "requirements": [], "votes": [], "topic": null, "hashtags": [], "depends_on": [],
            "meta": null, "updated_at": 0
        });
        let event = serde_json::json!({"ChangeSeen": {"snapshot": snapshot}});
        serde_json::from_value(event).expect("a snapshot")
    }

    fn sight() -> Sight {
        let sight = Sight::new(VisibleTo::Anonymous);
        sight.lock().changes.insert(ChangeNumber(1), Known::default());
        sight
    }

    #[test]
    fn what_is_unknown_is_hidden_until_gerrit_shows_it() {
        let (sight, one) = (sight(), ChangeNumber(1));
        assert!(!sight.shows(one) && !sight.shows(ChangeNumber(2)));
        assert!(sight.answered(&[one], |_| true, Instant::now()));
        assert!(sight.shows(one) && sight.veil().shows(one));
        assert!(!sight.answered(&[one], |_| true, Instant::now()), "no news");
        sight.note(&Event::ChangeGone { number: one });
        assert!(!sight.shows(one));
    }

    #[test]
    fn a_change_that_becomes_private_or_moves_is_hidden_at_once() {
        let one = ChangeNumber(1);
        for event in [seen(1, Pair::new("p", "main"), true), seen(1, Pair::new("secret", "main"), false)] {
            let sight = sight();
            sight.note(&seen(1, Pair::new("p", "main"), false));
            sight.answered(&[one], |_| true, Instant::now());
            assert!(sight.shows(one));
            sight.note(&event);
            assert!(!sight.shows(one), "{event:?}");
        }
    }

    #[test]
    fn an_answer_that_was_overtaken_is_not_believed() {
        let (sight, one) = (sight(), ChangeNumber(1));
        sight.note(&seen(1, Pair::new("p", "main"), false));
        sight.asking(&[one]);
        sight.note(&seen(1, Pair::new("secret", "main"), false));
        assert!(!sight.answered(&[one], |_| true, Instant::now()));
        assert!(!sight.shows(one));
    }

    #[test]
    fn the_daemons_own_eyes_see_all() {
        assert!(Sight::new(VisibleTo::Bot).shows(ChangeNumber(7)));
    }
}
