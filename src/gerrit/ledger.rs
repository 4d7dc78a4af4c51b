//! What was last seen of each change and branch, and the one gate through which observations reach
//! the inbox: an older reading can never be delivered after a newer one.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::{Gated, Tracked};
use crate::model::{ChangeNumber, ChangeSnapshot, Event, Pair, Repository, Sha, Timestamp};
use crate::port::Inbox;

/// Freshness tokens remembered for each change.
const METAS: usize = 16;
/// Changes remembered; beyond that all are forgotten, which costs some readings.
const CHANGES_MAX: usize = 50_000;
/// How long hints about a change wait for the reply to the daemon's own review of it.
const OWN_REVIEW_WAIT: Duration = Duration::from_millis(500);

/// What became of a snapshot offered for delivery.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Taken {
    /// Delivered.
    Delivered,
    /// Nobody here cares about the change.
    Foreign,
    /// It says what was said before.
    Unchanged,
    /// A newer one was seen before.
    Stale,
}

#[derive(Default)]
struct Known {
    last: Option<(ChangeSnapshot, Instant)>,
    /// Whether that was delivered: what nobody cared about may be of interest under another configuration.
    told: bool,
    metas: VecDeque<Sha>,
    /// Movements of the meta ref whose event proper has not come yet.
    announced: u32,
    own_review_since: Option<Instant>,
    /// The newest state that the stream announced.
    latest: Option<Sha>,
    /// When the last reading began, if it came from the change itself and not from an index.
    first_hand: Option<Instant>,
}

struct Inner {
    changes: HashMap<ChangeNumber, Known>,
    tips: BTreeMap<Pair, (Option<Sha>, Instant)>,
    high_water: Timestamp,
    /// What the server was said to do with topics.
    whole_topics: Option<bool>,
}

/// See the module.
pub struct Ledger {
    inner: Mutex<Inner>,
    inbox: Inbox,
    gated: Gated,
    tracked: Tracked,
}

impl Ledger {
    /// An empty one.
    pub fn new(inbox: Inbox, gated: Gated, tracked: Tracked) -> Arc<Self> {
        let inner = Inner {
            changes: HashMap::new(),
            tips: BTreeMap::new(),
            high_water: Timestamp::default(),
            whole_topics: None,
        };
        Arc::new(Self { inner: Mutex::new(inner), inbox, gated, tracked })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the queues care about `pair`.
    pub fn gates(&self, pair: &Pair) -> bool {
        (self.gated)(pair)
    }

    /// The changes that the core has facts about.
    pub fn tracked(&self) -> Vec<(ChangeNumber, Repository)> {
        (self.tracked)()
    }

    /// The newest modification seen, by the review host's clock.
    pub fn high_water(&self) -> Timestamp {
        self.lock().high_water
    }

    /// Delivers what is new in `snapshots`, in their order, as one.
    ///
    /// `began` is when their reading began: one that began later is at least as new, whatever came of
    /// it first. `wanted` ones were asked for: they are delivered though no queue cares or nothing changed.
    pub fn offer(&self, snapshots: Vec<ChangeSnapshot>, began: Instant, wanted: bool) -> Vec<Taken> {
        let tracked = self.tracked_if_needed(&snapshots, wanted);
        let mut inner = self.lock();
        let mut events = Vec::new();
        let taken = snapshots.into_iter().map(|snapshot| {
            let cares = wanted || self.gates(&snapshot.pair()) || tracked.contains(&snapshot.number);
            let taken = note(&mut inner, &snapshot, began, cares, wanted);
            if taken == Taken::Delivered {
                events.push(Event::ChangeSeen { snapshot });
            }
            taken
        });
        let taken = taken.collect();
        self.deliver(events);
        taken
    }

    /// Whether a reading from the index may be older than what was seen: it is to be made again from
    /// the change's own ref.
    pub fn doubts(&self, snapshot: &ChangeSnapshot) -> bool {
        let inner = self.lock();
        let last = inner.changes.get(&snapshot.number).and_then(|known| known.last.as_ref());
        // Gerrit's times are whole seconds.
        last.is_some_and(|(last, _)| snapshot.meta != last.meta && snapshot.updated_at <= last.updated_at)
    }

    /// Delivers that `number` is not to be seen any more, if it ever was.
    pub fn gone(&self, number: ChangeNumber, wanted: bool) {
        let tracked = wanted || self.tracked().iter().any(|(tracked, _)| *tracked == number);
        let known = self.lock().changes.remove(&number).is_some_and(|known| known.last.is_some());
        if tracked || known {
            self.deliver(vec![Event::ChangeGone { number }]);
        }
    }

    /// Delivers what the server does with topics, when that is news.
    pub fn host(&self, whole_topics: bool) {
        if self.lock().whole_topics.replace(whole_topics) != Some(whole_topics) {
            self.deliver(vec![Event::HostSeen { whole_topics }]);
        }
    }

    /// Delivers events that are no observations of changes or tips.
    pub fn deliver(&self, events: Vec<Event>) {
        if !events.is_empty() {
            self.inbox.deliver(events);
        }
    }

    /// The snapshots' numbers among those that the core has facts about, asked only when a queue
    /// does not care by itself: the list can be long.
    fn tracked_if_needed(&self, snapshots: &[ChangeSnapshot], wanted: bool) -> Vec<ChangeNumber> {
        if wanted || snapshots.iter().all(|snapshot| self.gates(&snapshot.pair())) {
            return Vec::new();
        }
        self.tracked().into_iter().map(|(number, _)| number).collect()
    }

    /// Whether a reading that contains `meta` was seen.
    pub fn has_seen(&self, number: ChangeNumber, meta: Sha) -> bool {
        self.lock().changes.get(&number).is_some_and(|known| known.metas.contains(&meta))
    }

    /// Whether a change was told of though no queue gates its branch: someone waits for it.
    pub fn follows(&self, number: ChangeNumber) -> bool {
        self.lock().changes.get(&number).is_some_and(|known| known.told)
    }

    /// The branch of a change, as last seen.
    pub fn pair_of(&self, number: ChangeNumber) -> Option<Pair> {
        let inner = self.lock();
        inner.changes.get(&number).and_then(|known| known.last.as_ref()).map(|(last, _)| last.pair())
    }

    /// Notes that the meta ref moved: the event that goes with it needs no reading of its own.
    pub fn announce(&self, number: ChangeNumber, meta: Option<Sha>) {
        let mut inner = self.lock();
        make_room(&mut inner);
        let known = inner.changes.entry(number).or_default();
        known.latest = meta;
        known.announced = known.announced.saturating_add(1).min(100);
    }

    /// Whether a change's event was announced by its meta ref.
    pub fn was_announced(&self, number: ChangeNumber) -> bool {
        let mut inner = self.lock();
        let Some(known) = inner.changes.get_mut(&number) else { return false };
        let was = known.announced > 0;
        known.announced = known.announced.saturating_sub(1);
        was
    }

    /// The daemon's own review of `number` begins: its reply will tell the state.
    pub fn begin_review(&self, number: ChangeNumber) {
        let mut inner = self.lock();
        make_room(&mut inner);
        inner.changes.entry(number).or_default().own_review_since = Some(Instant::now());
    }

    /// The review of `number` has ended.
    pub fn end_review(&self, number: ChangeNumber) {
        if let Some(known) = self.lock().changes.get_mut(&number) {
            known.own_review_since = None;
        }
    }

    /// Whether hints about `number` should wait for the reply to the daemon's own review. Not for
    /// long: nobody else's vote may be hidden by it.
    pub fn awaits_review(&self, number: ChangeNumber) -> bool {
        let inner = self.lock();
        let since = inner.changes.get(&number).and_then(|known| known.own_review_since);
        since.is_some_and(|since| since.elapsed() < OWN_REVIEW_WAIT)
    }

    /// The last reading of `number` came from the change itself; it began at `began`.
    pub fn vouch(&self, number: ChangeNumber, began: Instant) {
        if let Some(known) = self.lock().changes.get_mut(&number) {
            known.first_hand = Some(began);
        }
    }

    /// Whether a reading holds the newest state known of its change, by what the stream has told and by
    /// what was read before.
    pub fn is_newest(&self, snapshot: &ChangeSnapshot) -> bool {
        let inner = self.lock();
        let Some(known) = inner.changes.get(&snapshot.number) else { return false };
        let read = known.last.as_ref().and_then(|(last, _)| last.meta);
        let is_read = read == snapshot.meta || !snapshot.meta.is_some_and(|meta| known.metas.contains(&meta));
        snapshot.meta.is_some() && is_read && known.latest.is_none_or(|latest| snapshot.meta == Some(latest))
    }

    /// A reading that is as good as one made now, and when it began: made from the change itself within
    /// `age`, with no word from the stream since that anything has happened to the change.
    pub fn as_good_as_new(&self, number: ChangeNumber, age: Duration) -> Option<(ChangeSnapshot, Instant)> {
        let inner = self.lock();
        let known = inner.changes.get(&number)?;
        let (last, began) = known.last.as_ref()?;
        let is_recent = known.first_hand == Some(*began) && began.elapsed() <= age;
        let is_latest = known.latest.is_none_or(|latest| last.meta == Some(latest));
        (is_recent && is_latest).then(|| (last.clone(), *began))
    }

    /// Delivers a tip when it is another one than before, or when it was asked for.
    ///
    /// `read_at` is when the reading began: what the stream said since is newer.
    pub fn tip(&self, pair: Pair, commit: Option<Sha>, read_at: Instant, wanted: bool) {
        if !wanted && !self.gates(&pair) {
            return;
        }
        let mut inner = self.lock();
        let (same, newer) = match inner.tips.get(&pair) {
            Some((known, at)) => (*known == commit, *at > read_at),
            None => (false, false),
        };
        if newer && !wanted {
            return;
        }
        if !newer {
            inner.tips.insert(pair.clone(), (commit, read_at));
        }
        if wanted || !same {
            self.deliver(vec![Event::TipSeen { pair, commit }]);
        }
    }

    /// Forgets the tips of branches that no queue cares about any more.
    pub fn forget_ungated(&self) {
        self.lock().tips.retain(|pair, _| (self.gated)(pair));
    }

    /// The branches that were seen to exist.
    pub fn existing_tips(&self) -> Vec<Pair> {
        let inner = self.lock();
        inner.tips.iter().filter(|(_, (commit, _))| commit.is_some()).map(|(pair, _)| pair.clone()).collect()
    }
}

fn make_room(inner: &mut Inner) {
    if inner.changes.len() > CHANGES_MAX {
        inner.changes.clear();
    }
}

fn note(inner: &mut Inner, snapshot: &ChangeSnapshot, began: Instant, cares: bool, wanted: bool) -> Taken {
    make_room(inner);
    inner.high_water = inner.high_water.max(snapshot.updated_at);
    let known = inner.changes.entry(snapshot.number).or_default();
    if let Some((last, last_began)) = &known.last {
        let seen_before = snapshot.meta.is_some_and(|meta| known.metas.contains(&meta));
        let is_older = snapshot.meta != last.meta && (seen_before || began < *last_began);
        if is_older {
            return Taken::Stale;
        }
        if last == snapshot && !wanted && (known.told || !cares) {
            return Taken::Unchanged;
        }
    }
    if let Some(meta) = snapshot.meta.filter(|meta| !known.metas.contains(meta)) {
        if known.metas.len() == METAS {
            known.metas.pop_front();
        }
        known.metas.push_back(meta);
    }
    known.last = Some((snapshot.clone(), began));
    known.told = cares;
    if cares { Taken::Delivered } else { Taken::Foreign }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::gerrit::footer::Addresses;
    use crate::gerrit::wire;

    fn snapshot(meta: u8, updated: i64) -> ChangeSnapshot {
        let value = serde_json::from_str(include_str!("../../fixtures/gerrit/change.json")).unwrap();
        let mut snapshot = wire::read_change(&value, &Addresses::default()).unwrap();
        snapshot.meta = Some(Sha([meta; 20]));
        snapshot.updated_at = Timestamp(updated);
        snapshot
    }

    fn ledger() -> (Arc<Ledger>, Arc<Mutex<Vec<Event>>>) {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let inbox = Inbox::new({
            let seen = seen.clone();
            move |events| seen.lock().unwrap().extend(events)
        });
        let gated: Gated = Arc::new(|pair| pair.repository.as_str() == "wgerrit-a");
        (Ledger::new(inbox, gated, Arc::new(Vec::new)), seen)
    }

    #[test]
    fn an_older_reading_is_never_delivered_after_a_newer_one() {
        let (ledger, seen) = ledger();
        let early = Instant::now();
        let offer = |meta, updated| ledger.offer(vec![snapshot(meta, updated)], Instant::now(), false)[0];
        assert_eq!(offer(1, 1000), Taken::Delivered);
        assert_eq!(offer(2, 2000), Taken::Delivered);
        assert_eq!(offer(1, 1000), Taken::Stale);
        assert_eq!(ledger.offer(vec![snapshot(9, 2000)], early, false), [Taken::Stale]);
        assert_eq!(offer(2, 2000), Taken::Unchanged);
        assert_eq!(seen.lock().unwrap().len(), 2);
    }

    #[test]
    fn what_the_index_says_of_the_same_second_is_doubted() {
        let (ledger, _) = ledger();
        ledger.offer(vec![snapshot(1, 1000)], Instant::now(), false);
        for (meta, updated, expected) in [(1, 1000, false), (2, 1000, true), (2, 500, true), (2, 2000, false)]
        {
            assert_eq!(ledger.doubts(&snapshot(meta, updated)), expected, "{meta} {updated}");
        }
    }

    #[test]
    fn what_no_queue_gates_is_kept_out_unless_asked_for() {
        let (ledger, seen) = ledger();
        let mut foreign = snapshot(1, 1000);
        foreign.repository = "other".into();
        assert_eq!(ledger.offer(vec![foreign.clone()], Instant::now(), false), [Taken::Foreign]);
        assert_eq!(ledger.offer(vec![foreign], Instant::now(), true), [Taken::Delivered]);
        assert_eq!(seen.lock().unwrap().len(), 1);
    }

    #[test]
    fn what_was_passed_over_is_delivered_once_a_queue_cares() {
        let (_, seen) = ledger();
        let inbox = Inbox::new({
            let seen = seen.clone();
            move |events| seen.lock().unwrap().extend(events)
        });
        let cares = Arc::new(AtomicBool::new(false));
        let gated: Gated = Arc::new({
            let cares = cares.clone();
            move |_| cares.load(Ordering::Relaxed)
        });
        let ledger = Ledger::new(inbox, gated, Arc::new(Vec::new));
        let offer = || ledger.offer(vec![snapshot(1, 1000)], Instant::now(), false)[0];
        assert_eq!((offer(), offer()), (Taken::Foreign, Taken::Unchanged));
        cares.store(true, Ordering::Relaxed);
        assert_eq!((offer(), offer()), (Taken::Delivered, Taken::Unchanged));
        let pair = Pair::new("wgerrit-a", "master");
        ledger.tip(pair.clone(), Some(Sha([1; 20])), Instant::now(), false);
        cares.store(false, Ordering::Relaxed);
        ledger.forget_ungated();
        assert_eq!(ledger.existing_tips(), []);
        cares.store(true, Ordering::Relaxed);
        ledger.tip(pair, Some(Sha([1; 20])), Instant::now(), false);
        assert_eq!(seen.lock().unwrap().len(), 3, "the change, and its branch's tip each time");
    }

    #[test]
    fn a_poll_begun_before_the_stream_spoke_does_not_undo_it() {
        let (ledger, seen) = ledger();
        let pair = Pair::new("wgerrit-a", "master");
        let before = Instant::now();
        ledger.tip(pair.clone(), Some(Sha([2; 20])), before + Duration::from_millis(1), false);
        ledger.tip(pair.clone(), Some(Sha([1; 20])), before, false);
        ledger.tip(pair, Some(Sha([2; 20])), before + Duration::from_millis(2), false);
        assert_eq!(seen.lock().unwrap().len(), 1);
    }

    #[test]
    fn only_a_recent_reading_from_the_change_itself_with_no_news_since_is_as_good_as_new() {
        let (ledger, _) = ledger();
        let (seen, long) = (snapshot(1, 1000), Duration::from_secs(3_600));
        let good = |age| ledger.as_good_as_new(seen.number, age).map(|(found, _)| found);
        let began = Instant::now();
        ledger.offer(vec![seen.clone()], began, false);
        assert_eq!(good(long), None, "it came from an index");
        ledger.vouch(seen.number, began);
        assert_eq!(good(long), Some(seen.clone()));
        assert_eq!(good(Duration::ZERO), None, "it is old");
        ledger.announce(seen.number, seen.meta);
        assert_eq!(good(long), Some(seen.clone()), "what was announced is in it");
        ledger.announce(seen.number, Some(Sha([9; 20])));
        assert_eq!(good(long), None, "something has happened since");
    }

    #[test]
    fn a_reading_from_the_index_must_hold_the_newest_state_known() {
        let (ledger, _) = ledger();
        let is_newest = |meta| ledger.is_newest(&snapshot(meta, 1000));
        assert!(!is_newest(1), "nothing is known of it");
        for meta in [1, 2] {
            ledger.offer(vec![snapshot(meta, 1000)], Instant::now(), false);
        }
        assert!(!is_newest(1) && is_newest(2));
        ledger.announce(snapshot(1, 0).number, Some(Sha([3; 20])));
        assert!(!is_newest(2) && is_newest(3));
    }

    #[test]
    fn each_announcement_answers_for_one_event() {
        let (ledger, _) = ledger();
        ledger.announce(ChangeNumber(1), None);
        assert!(ledger.was_announced(ChangeNumber(1)));
        assert!(!ledger.was_announced(ChangeNumber(1)));
    }
}
