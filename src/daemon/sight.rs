//! What the readers of the page may see: learnt from Gerrit by asking without credentials, remembered for
//! a bounded time, and asked anew when something about a change is new. Nothing waits for it: what is
//! not known yet is not shown yet.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::desk::Board;
use crate::config::VisibleTo;
use crate::gerrit::{Gerrit, PUBLIC_BATCH, rhythm};
use crate::model::view::View;
use crate::model::{ChangeNumber, ChangeSnapshot, Event, Pair, PatchSet, Repository};
use crate::web::mask::Mask;
use crate::web::mentioned::{mentioned, mentioned_repositories};
use crate::web::veil::{Veil, redact};

/// What was learnt is asked for again after so long.
const ASK_AGAIN: Duration = Duration::from_secs(300);
/// The same for a change in a queue that is shown: Gerrit tells nobody that it has become private.
const ASK_AGAIN_SOON: Duration = Duration::from_secs(30);
/// The least time between two lists of all repositories.
const LIST_PAUSE: Duration = Duration::from_secs(5);
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
    facts: Option<(Pair, PatchSet, bool)>,
    /// It is somewhere where things still happen.
    active: bool,
}

#[derive(Default)]
struct Memory {
    changes: BTreeMap<ChangeNumber, Known>,
    /// What the daemon knows, each with what Gerrit said and when.
    repositories: BTreeMap<Repository, Option<(bool, Instant)>>,
    /// When Gerrit was last asked for them.
    listed_at: Option<Instant>,
    /// What takes the hidden ones' names out of a text, and until when that holds: each line of the log asks.
    mask: Option<(Arc<Mask>, Option<Instant>)>,
}

impl Memory {
    /// The repositories that may be named, or those that may not.
    fn repositories(&self, visible: bool) -> impl Iterator<Item = &Repository> {
        let now = Instant::now();
        let is_visible = move |answer: &Option<(bool, Instant)>| {
            answer.is_some_and(|(visible, at)| visible && now.duration_since(at) < AGE_MAX)
        };
        self.repositories
            .iter()
            .filter(move |(_, answer)| is_visible(answer) == visible)
            .map(|(name, _)| name)
    }

    /// What takes the names of the hidden ones out of a text.
    fn mask(&mut self) -> Arc<Mask> {
        let now = Instant::now();
        if let Some((mask, until)) = &self.mask
            && until.is_none_or(|until| now < until)
        {
            return mask.clone();
        }
        let mask = Arc::new(Mask::of(self.repositories(false)));
        let seen = self.repositories.values().flatten().filter(|(visible, _)| *visible);
        let ends = seen.map(|(_, at)| *at + AGE_MAX).filter(|end| *end > now);
        self.mask = Some((mask.clone(), ends.min()));
        mask
    }

    /// Whether Gerrit is to be asked for all repositories.
    fn wants_list(&self, now: Instant) -> bool {
        let Some(at) = self.listed_at else { return !self.repositories.is_empty() };
        let age = now.duration_since(at);
        age >= ASK_AGAIN || (age >= LIST_PAUSE && self.repositories.values().any(Option::is_none))
    }
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
        let again = if self.active { ASK_AGAIN_SOON } else { ASK_AGAIN };
        self.stale || self.answer.is_none_or(|(_, at)| now.duration_since(at) >= again)
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
        Veil {
            everything: self.everything,
            changes: changes.map(|(number, _)| *number).collect(),
            repositories: memory.repositories(true).cloned().collect(),
            hidden: memory.repositories(false).cloned().collect(),
        }
    }

    /// Whether a change may be shown now.
    pub fn shows(&self, number: ChangeNumber) -> bool {
        let known = |memory: &Memory| {
            memory.changes.get(&number).is_some_and(|known| known.is_visible(Instant::now()))
        };
        self.everything || known(&self.lock())
    }

    /// `text` without what tells of changes that are in `view` and may not be shown, and without the
    /// names of repositories that may not be shown.
    pub fn cover(&self, text: &str, view: &View) -> String {
        if self.everything {
            return text.to_owned();
        }
        let hidden = mentioned(view).into_iter().filter(|number| !self.shows(*number)).collect();
        let mask = Mask::clone(&*self.lock().mask()).and_changes(view, &hidden);
        mask.over(&redact(text, |number| hidden.contains(&number)))
    }

    /// `text` without the names of repositories that may not be shown.
    pub fn mask(&self, text: &str) -> String {
        if self.everything {
            return text.to_owned();
        }
        let mask = self.lock().mask();
        mask.over(text)
    }

    /// The daemon has to do with these repositories.
    pub fn meet(&self, repositories: impl IntoIterator<Item = Repository>) {
        let mut memory = self.lock();
        for name in repositories {
            if let Entry::Vacant(place) = memory.repositories.entry(name) {
                place.insert(None);
                memory.mask = None;
            }
        }
    }

    /// Something was observed: what Gerrit said before may no longer hold.
    pub fn note(&self, event: &Event) {
        if self.everything {
            return;
        }
        match event {
            Event::ChangeSeen { snapshot } => self.note_change(snapshot),
            Event::TipSeen { pair, .. } => self.meet([pair.repository.clone()]),
            Event::Looked { changes, gone, .. } => {
                changes.iter().for_each(|snapshot| self.note_change(snapshot));
                gone.iter().for_each(|number| self.forget(*number));
            }
            Event::ChangeGone { number } => self.forget(*number),
            _ => {}
        }
    }

    fn note_change(&self, snapshot: &ChangeSnapshot) {
        self.meet([snapshot.repository.clone()]);
        let mut memory = self.lock();
        let Some(known) = memory.changes.get_mut(&snapshot.number) else { return };
        let facts = (snapshot.pair(), snapshot.patchset, snapshot.private);
        let moved = known.facts.as_ref().is_some_and(|(pair, ..)| *pair != facts.0);
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
    fn due(&self, view: &View) -> (Vec<ChangeNumber>, bool) {
        let (wanted, active) = (mentioned(view), active(view));
        self.meet(mentioned_repositories(view));
        let (mut memory, now) = (self.lock(), Instant::now());
        memory.changes.retain(|number, _| wanted.contains(number));
        for number in wanted {
            memory.changes.entry(number).or_default().active = active.contains(&number);
        }
        let due = memory.changes.iter().filter(|(_, known)| known.is_due(now));
        let mut due: Vec<(bool, ChangeNumber)> =
            due.map(|(number, known)| (known.answer.is_some(), *number)).collect();
        // What is not known at all comes first, and of that the newest.
        due.sort_by_key(|(known, number)| (*known, std::cmp::Reverse(*number)));
        let due = due.into_iter().map(|(_, number)| number).take(PUBLIC_BATCH).collect();
        (due, memory.wants_list(now))
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

    /// Takes the list of what everybody may read; whether it changes what is shown.
    fn listed(&self, readable: &BTreeSet<Repository>, at: Instant) -> bool {
        let mut memory = self.lock();
        memory.listed_at = Some(at);
        memory.mask = None;
        let mut news = false;
        for (name, answer) in &mut memory.repositories {
            let visible = readable.contains(name);
            news |= answer.is_some_and(|(before, _)| before) != visible;
            *answer = Some((visible, at));
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
    let mut pace = rhythm(PAUSE);
    loop {
        pace.tick().await;
        let (numbers, list) = sight.due(&board.raw_view());
        if numbers.is_empty() && !list {
            // A view comes at least every few seconds, so that what grows old is noticed too.
            if changed.changed().await.is_err() {
                return;
            }
            continue;
        }
        match ask(sight, &gerrit, &numbers, list).await {
            Ok(news) => {
                told = false;
                if news {
                    board.bump();
                }
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
    list: bool,
) -> Result<bool, crate::gerrit::RestError> {
    let mut news = false;
    if !numbers.is_empty() {
        sight.asking(numbers);
        let began = Instant::now();
        let seen = gerrit.public_changes(numbers).await?;
        news |= sight.answered(numbers, |number| seen.contains(number), began);
    }
    if list {
        let began = Instant::now();
        let readable = gerrit.public_repositories().await?;
        news |= sight.listed(&readable, began);
    }
    Ok(news)
}

/// The changes to which something may still happen.
fn active(view: &View) -> BTreeSet<ChangeNumber> {
    let items = view.queues.iter().flat_map(|queue| &queue.items).chain(&view.checks);
    let changes = items.flat_map(|item| &item.changes).chain(view.waiting.iter().map(|entry| &entry.change));
    changes.map(|change| change.number).collect()
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
    fn a_change_that_is_public_again_is_asked_for_at_once() {
        let (sight, one) = (sight(), ChangeNumber(1));
        sight.note(&seen(1, Pair::new("p", "main"), true));
        sight.answered(&[one], |_| false, Instant::now());
        assert!(!sight.lock().changes[&one].is_due(Instant::now()));
        sight.note(&seen(1, Pair::new("p", "main"), false));
        assert!(sight.lock().changes[&one].is_due(Instant::now()));
    }

    #[test]
    fn repositories_are_named_only_after_gerrit_has_listed_them() {
        let sight = sight();
        sight.meet(["open", "closed"].map(Repository::from));
        assert_eq!(sight.mask("open, closed, else"), "(hidden), (hidden), else");
        assert!(sight.listed(&["open".into(), "else".into()].into(), Instant::now()));
        assert_eq!(sight.mask("open, closed, else"), "open, (hidden), else");
        assert!(!sight.lock().wants_list(Instant::now()));
        assert!(sight.lock().wants_list(Instant::now() + ASK_AGAIN), "again after a while");
        sight.note(&seen(2, Pair::new("fresh", "main"), false));
        assert_eq!(sight.mask("fresh"), "(hidden)");
        assert!(sight.lock().wants_list(Instant::now() + LIST_PAUSE), "soon where one is new");
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
