//! Reads changes that may have changed: hints that wait are answered together, one reading for
//! each change and burst, and delivered in the order in which the hints came.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::ledger::{Ledger, Taken};
use super::rest::{Rest, RestError, encode};
use super::stats::Stats;
use super::wire::options;
use crate::model::{ChangeNumber, ChangeSnapshot, Repository, Sha};

/// Changes in one request; the address stays well below the 8 KiB that servers accept.
pub(super) const BATCH: usize = 40;
/// After a reading, hints gather for so long: forty answered at once cost the server a tenth of what they
/// cost one by one. The first hint after a pause is answered at once.
const GATHER: Duration = Duration::from_millis(100);
/// Within such a burst a hint waits for so long, until the server's index has what it announces.
const INDEXED_AFTER: Duration = Duration::from_millis(60);
/// How long a reading may stay behind what an event announced.
const STALE_MAX: Duration = Duration::from_secs(10);
/// First pause before a change is read again.
const PAUSE: Duration = Duration::from_millis(20);
/// Longest such pause while the server is unavailable.
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// Hints wait for a catch-up so long at most.
const HOLD_MAX: Duration = Duration::from_secs(15);

/// A wish to have a change read.
#[derive(Clone, Debug)]
struct Wish {
    repository: Repository,
    expected: Option<Sha>,
    tries: u32,
    /// When the first hint came that is not answered yet.
    first: Instant,
    /// When the last one came.
    since: Instant,
    /// Its place in the order.
    place: u64,
}

/// A place that is no more that of its wish is empty.
#[derive(Default)]
struct Waiting {
    order: VecDeque<(u64, ChangeNumber)>,
    wishes: HashMap<ChangeNumber, Wish>,
    places: u64,
}

impl Waiting {
    /// Gives a wish that waits the last place.
    fn place_last(&mut self, number: ChangeNumber) {
        if let Some(wish) = self.wishes.get_mut(&number) {
            self.places += 1;
            wish.place = self.places;
            self.order.push_back((wish.place, number));
        }
    }
}

/// The hints that wait, shared by the stream, the sweeps and the reports.
pub struct Hints {
    waiting: Mutex<Waiting>,
    /// Until when a catch-up is waited for.
    held: Mutex<Option<Instant>>,
    wake: Notify,
    ledger: Arc<Ledger>,
}

impl Hints {
    /// None yet.
    pub fn new(ledger: Arc<Ledger>) -> Arc<Self> {
        Arc::new(Self { waiting: Mutex::default(), held: Mutex::default(), wake: Notify::new(), ledger })
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `number` may have changed; a fresh reading contains `expected`, where known.
    pub fn push(&self, number: ChangeNumber, repository: Repository, expected: Option<Sha>) {
        let now = Instant::now();
        self.put(number, Wish { repository, expected, tries: 0, first: now, since: now, place: 0 });
    }

    /// Somebody has voted on `number`: what hinted at it before does not put that vote before votes on
    /// others that were given in the meantime.
    pub fn voted(&self, number: ChangeNumber) {
        let mut waiting = self.lock();
        if waiting.order.back().is_some_and(|(_, last)| *last == number) {
            return;
        }
        if let Some(wish) = waiting.wishes.get_mut(&number) {
            wish.first = wish.since;
            waiting.place_last(number);
        }
    }

    /// Answers nothing until a catch-up is done: what was approved before the stream was there must
    /// not be overtaken by what was approved since.
    pub fn hold(&self) {
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now() + HOLD_MAX);
    }

    /// A catch-up is done.
    pub fn release(&self) {
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.wake.notify_one();
    }

    fn held_for(&self) -> Option<Duration> {
        let held = *self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.map(|until| until.saturating_duration_since(Instant::now())).filter(|rest| !rest.is_zero())
    }

    /// Reads what waits again: something has ended that held it back.
    pub fn nudge(&self) {
        self.wake.notify_one();
    }

    fn put(&self, number: ChangeNumber, wish: Wish) {
        let mut waiting = self.lock();
        match waiting.wishes.get_mut(&number) {
            Some(known) => {
                if wish.tries == 0 {
                    known.expected = wish.expected.or(known.expected);
                    known.since = wish.since;
                }
            }
            None => {
                waiting.wishes.insert(number, wish);
                waiting.place_last(number);
            }
        }
        drop(waiting);
        self.wake.notify_one();
    }

    /// The next wishes in order, those that are `age` old, without those that are already answered; and
    /// whether some are held back. A younger one ends the list: none may overtake it.
    fn take(&self, age: Duration) -> (Vec<(ChangeNumber, Wish)>, bool) {
        let mut waiting = self.lock();
        let Waiting { order, wishes, .. } = &mut *waiting;
        let (mut batch, mut held) = (Vec::new(), VecDeque::new());
        while batch.len() < BATCH {
            let Some((place, number)) = order.pop_front() else { break };
            let Some(wish) = wishes.get(&number).filter(|wish| wish.place == place) else { continue };
            let is_young = wish.first.elapsed() < age;
            if is_young || self.ledger.awaits_review(number) {
                held.push_back((place, number));
                if is_young { break } else { continue }
            }
            let Some(wish) = wishes.remove(&number) else { continue };
            if !wish.expected.is_some_and(|meta| self.ledger.has_seen(number, meta)) {
                batch.push((number, wish));
            }
        }
        let any_held = !held.is_empty();
        held.append(order);
        *order = held;
        (batch, any_held)
    }

    /// Puts a wish back after a pause.
    fn postpone(self: &Arc<Self>, number: ChangeNumber, mut wish: Wish, pause: Duration) {
        wish.tries += 1;
        let hints = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(pause).await;
            hints.put(number, wish);
        });
    }
}

/// The task that answers hints. Ends only with the runtime, or when it is dropped.
pub async fn run(hints: Arc<Hints>, ledger: Arc<Ledger>, rest: Rest, stats: Arc<Stats>) {
    let mut answered: Option<Instant> = None;
    loop {
        if let Some(rest) = hints.held_for() {
            // Waiting is over at a release, or when it has lasted too long; another hint is no end.
            let _ = tokio::time::timeout(rest, hints.wake.notified()).await;
            continue;
        }
        let in_burst = answered.is_some_and(|at| at.elapsed() < GATHER * 3);
        if let Some(rest) = answered.and_then(|at| GATHER.checked_sub(at.elapsed())) {
            tokio::time::sleep(rest).await;
        }
        let (batch, held) = hints.take(if in_burst { INDEXED_AFTER } else { Duration::ZERO });
        if batch.is_empty() {
            let pause = Duration::from_millis(if held { 20 } else { 60_000 });
            let _ = tokio::time::timeout(pause, hints.wake.notified()).await;
            continue;
        }
        answered = Some(Instant::now());
        answer(&hints, &ledger, &rest, &stats, batch).await;
    }
}

/// Reads one change from its own ref.
///
/// # Errors
/// As the server says; a change without essentials is malformed.
pub async fn read_one(
    rest: &Rest,
    number: ChangeNumber,
    repository: &Repository,
) -> Result<ChangeSnapshot, RestError> {
    let path = format!("changes/{}~{number}?{}", encode(repository.as_str()), options());
    let value = rest.get(&path).await?;
    let lacking = || RestError::Malformed(format!("change {number} lacks its patch set"));
    rest.change(&value).filter(|snapshot| snapshot.number == number).ok_or_else(lacking)
}

async fn answer(
    hints: &Arc<Hints>,
    ledger: &Ledger,
    rest: &Rest,
    stats: &Stats,
    batch: Vec<(ChangeNumber, Wish)>,
) {
    let asked_at = Instant::now();
    let mut found = if batch.len() > 1 { query(rest, &batch).await } else { HashMap::new() };
    // What the index does not have as announced is read from its own ref.
    let behind = batch.iter().filter(|(number, wish)| {
        found.get(number).is_none_or(|seen| wish.expected.is_none() || wish.expected != seen.meta)
    });
    let singly = join_all(
        behind.map(|(number, wish)| async { (*number, read_one(rest, *number, &wish.repository).await) }),
    );
    let mut failed = HashMap::new();
    for (number, result) in singly.await {
        found.remove(&number);
        match result {
            Ok(snapshot) => drop(found.insert(number, snapshot)),
            Err(error) => drop(failed.insert(number, error)),
        }
    }
    let mut fresh = Vec::new();
    for (number, wish) in batch {
        match (found.remove(&number), failed.remove(&number)) {
            (Some(snapshot), _) if is_behind(ledger, &snapshot, &wish) => {
                hints.postpone(number, wish.clone(), PAUSE * 4_u32.saturating_pow(wish.tries.min(4)));
            }
            (Some(snapshot), _) => fresh.push(snapshot),
            (None, Some(RestError::NotFound(_))) => {
                ledger.offer(std::mem::take(&mut fresh), asked_at, false);
                ledger.gone(number, false);
            }
            (None, error) => {
                if let Some(RestError::Malformed(why)) = error {
                    Stats::count(&stats.malformed_answers);
                    tracing::warn!(why, "a change cannot be read; it is tried again");
                    tracing::debug!(change = number.0, "the change that cannot be read");
                }
                let pause = PAUSE * 4_u32.saturating_pow(wish.tries.min(6));
                hints.postpone(number, wish, pause.min(PAUSE_MAX));
            }
        }
    }
    let taken = ledger.offer(fresh, asked_at, false);
    tracing::debug!(
        delivered = taken.iter().filter(|taken| **taken == Taken::Delivered).count(),
        "changes read"
    );
}

/// Whether a reading is one that was seen before the hint came: the announced state is not in it.
fn is_behind(ledger: &Ledger, snapshot: &ChangeSnapshot, wish: &Wish) -> bool {
    let Some(expected) = wish.expected.filter(|expected| Some(*expected) != snapshot.meta) else {
        return false;
    };
    let known = |meta| ledger.has_seen(snapshot.number, meta);
    wish.since.elapsed() < STALE_MAX && !known(expected) && snapshot.meta.is_some_and(known)
}

/// Reads many in one request; what fails is read singly.
async fn query(rest: &Rest, batch: &[(ChangeNumber, Wish)]) -> HashMap<ChangeNumber, ChangeSnapshot> {
    let numbers: Vec<ChangeNumber> = batch.iter().map(|(number, _)| *number).collect();
    from_index(rest, &numbers).await
}

/// What the server's index has of these changes, at most `BATCH` of them, in one request; nothing where
/// that fails.
pub(super) async fn from_index(
    rest: &Rest,
    numbers: &[ChangeNumber],
) -> HashMap<ChangeNumber, ChangeSnapshot> {
    let path = by_number(numbers);
    let answer = rest.get(&path).await.unwrap_or_default();
    let changes = answer.as_array().map_or(&[][..], Vec::as_slice);
    changes
        .iter()
        .filter_map(|value| rest.change(value))
        .map(|snapshot| (snapshot.number, snapshot))
        .collect()
}

/// The query for these changes, at most `BATCH` of them.
pub(super) fn by_number(numbers: &[ChangeNumber]) -> String {
    let terms = numbers.iter().map(|number| format!("change:{number}")).collect::<Vec<_>>().join("+OR+");
    format!("changes/?q={terms}&n={}&{}", 2 * BATCH, options())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::port::Inbox;

    fn hints() -> Arc<Hints> {
        Hints::new(Ledger::new(Inbox::new(|_| ()), Arc::new(|_| true), Arc::new(Vec::new)))
    }

    #[test]
    fn hints_are_answered_in_order_and_once() {
        let hints = hints();
        for number in [7, 3, 7, 9, 3] {
            hints.push(ChangeNumber(number), "p".into(), None);
        }
        let numbers: Vec<u64> = hints.take(Duration::ZERO).0.iter().map(|(number, _)| number.0).collect();
        assert_eq!(numbers, [7, 3, 9]);
        assert!(hints.take(Duration::ZERO).0.is_empty());
    }

    #[test]
    fn a_young_hint_is_not_overtaken_by_those_behind_it() {
        let hints = hints();
        hints.push(ChangeNumber(1), "p".into(), None);
        hints.push(ChangeNumber(2), "p".into(), None);
        let (batch, held) = hints.take(Duration::from_secs(3_600));
        assert!(batch.is_empty() && held);
        let numbers: Vec<u64> = hints.take(Duration::ZERO).0.iter().map(|(number, _)| number.0).collect();
        assert_eq!(numbers, [1, 2]);
    }

    #[test]
    fn a_vote_has_its_own_place_and_not_that_of_an_older_hint() {
        let hints = hints();
        for number in [1, 2, 1] {
            hints.push(ChangeNumber(number), "p".into(), None);
            if number == 2 {
                hints.voted(ChangeNumber(2));
            }
        }
        hints.voted(ChangeNumber(1));
        hints.voted(ChangeNumber(3));
        let numbers: Vec<u64> = hints.take(Duration::ZERO).0.iter().map(|(number, _)| number.0).collect();
        assert_eq!(numbers, [2, 1]);
        assert!(hints.take(Duration::ZERO).0.is_empty());
    }

    #[test]
    fn the_newest_announcement_is_what_is_waited_for() {
        let hints = hints();
        for meta in [Some(Sha([1; 20])), Some(Sha([2; 20])), None] {
            hints.push(ChangeNumber(1), "p".into(), meta);
        }
        assert_eq!(hints.take(Duration::ZERO).0[0].1.expected, Some(Sha([2; 20])));
    }

    #[test]
    fn hints_wait_for_the_reply_to_an_own_review_and_hold_up_no_other() {
        let hints = hints();
        hints.ledger.begin_review(ChangeNumber(1));
        hints.push(ChangeNumber(1), "p".into(), None);
        hints.push(ChangeNumber(2), "p".into(), None);
        let (batch, held) = hints.take(Duration::ZERO);
        assert_eq!((batch.len(), batch[0].0, held), (1, ChangeNumber(2), true));
        hints.ledger.end_review(ChangeNumber(1));
        assert_eq!(hints.take(Duration::ZERO).0.len(), 1);
    }
}
