//! The events on their way to those who read them, and what can go wrong on that way.
//!
//! Each reader has a bounded queue. A reader that does not keep up loses events and is told so, as at
//! Gerrit, by `dropped-output`.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::model::Account;

/// Events that wait for one reader at most.
const QUEUE_MAX: usize = 1_000;
/// How late a delayed event is.
const DELAY: Duration = Duration::from_secs(2);
/// How long an event is held back for another to overtake it.
const HOLD: Duration = Duration::from_millis(500);

/// How many of a thousand events suffer what.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Faults {
    /// Never arrive.
    pub lost: u32,
    /// Arrive twice.
    pub doubled: u32,
    /// Arrive two seconds late.
    pub delayed: u32,
    /// Arrive after the next one.
    pub reordered: u32,
    /// Draws which ones; the same seed draws the same.
    pub seed: u64,
}

/// An event, and who may see it.
#[derive(Clone, Debug)]
pub struct Event {
    /// What is told.
    pub value: Value,
    /// The only readers who may see it; `None` for everybody.
    pub readers: Option<Vec<Account>>,
}

struct Reader {
    account: Account,
    sees_all: bool,
    types: Vec<String>,
    queue: Sender<String>,
    has_dropped: bool,
}

#[derive(Default)]
struct Inner {
    readers: Vec<Reader>,
    held: Option<Event>,
    chance: u64,
    /// Counts the events that were held, so that a late release does not let go of another one.
    holds: u64,
}

/// The bus.
pub struct Bus {
    inner: Mutex<Inner>,
    faults: Faults,
}

impl Bus {
    /// A bus with these faults.
    pub fn new(faults: Faults) -> Self {
        let chance = faults.seed.wrapping_mul(2).wrapping_add(1);
        Self { inner: Mutex::new(Inner { chance, ..Inner::default() }), faults }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new reader; of these types only, unless there are none.
    pub fn subscribe(&self, account: Account, sees_all: bool, types: Vec<String>) -> Receiver<String> {
        let (queue, events) = channel(QUEUE_MAX);
        let mut inner = self.lock();
        inner.readers.retain(|reader| !reader.queue.is_closed());
        inner.readers.push(Reader { account, sees_all, types, queue, has_dropped: false });
        events
    }

    /// Tells an event, with the faults of this bus.
    pub fn publish(self: &std::sync::Arc<Self>, event: Event) {
        let mut inner = self.lock();
        let mut drawn = |of_thousand: u32| inner.chance_of(of_thousand);
        let faults = self.faults;
        let (is_lost, is_doubled) = (drawn(faults.lost), drawn(faults.doubled));
        let (is_delayed, is_reordered) = (drawn(faults.delayed), drawn(faults.reordered));
        if is_lost {
            return;
        }
        if is_delayed {
            drop(inner);
            return self.later(event);
        }
        if is_reordered && inner.held.is_none() {
            inner.held = Some(event);
            inner.holds += 1;
            let hold = inner.holds;
            drop(inner);
            return self.release_later(hold);
        }
        inner.deliver(&event);
        if is_doubled {
            inner.deliver(&event);
        }
        if let Some(held) = inner.held.take() {
            inner.deliver(&held);
        }
    }

    fn later(self: &std::sync::Arc<Self>, event: Event) {
        let bus = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(DELAY).await;
            bus.lock().deliver(&event);
        });
    }

    fn release_later(self: &std::sync::Arc<Self>, hold: u64) {
        let bus = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(HOLD).await;
            let mut inner = bus.lock();
            if inner.holds == hold
                && let Some(held) = inner.held.take()
            {
                inner.deliver(&held);
            }
        });
    }
}

impl Inner {
    /// A step of a multiplicative generator (constants of Knuth's MMIX); only its upper bits are used.
    fn chance_of(&mut self, of_thousand: u32) -> bool {
        self.chance =
            self.chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.chance >> 33) % 1_000 < u64::from(of_thousand)
    }

    fn deliver(&mut self, event: &Event) {
        let kind = event.value.get("type").and_then(Value::as_str).unwrap_or_default();
        let line = format!("{}\n", event.value);
        for reader in &mut self.readers {
            let may = reader.sees_all
                || event.readers.as_ref().is_none_or(|readers| readers.contains(&reader.account));
            let wants = reader.types.is_empty() || reader.types.iter().any(|wanted| wanted == kind);
            if may && wants {
                reader.take(&line);
            }
        }
        self.readers.retain(|reader| !reader.queue.is_closed());
    }
}

impl Reader {
    fn take(&mut self, line: &str) {
        // Room for the word of the loss is kept free by telling it before anything else.
        if self.has_dropped {
            let told = json!({ "type": "dropped-output", "eventCreatedOn": 0 });
            if self.queue.try_send(format!("{told}\n")).is_err() {
                return;
            }
            self.has_dropped = false;
        }
        self.has_dropped = self.queue.try_send(line.to_owned()).is_err();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn told(faults: Faults, count: u64) -> Vec<u64> {
        let bus = Arc::new(Bus::new(faults));
        let mut events = bus.subscribe("bot".into(), false, Vec::new());
        for number in 0..count {
            bus.publish(Event { value: json!({ "type": "t", "n": number }), readers: None });
        }
        let mut seen = Vec::new();
        while let Ok(line) = events.try_recv() {
            let value: Value = serde_json::from_str(&line).unwrap();
            seen.push(value["n"].as_u64().unwrap_or(u64::MAX));
        }
        seen
    }

    #[tokio::test]
    async fn faults_are_drawn_by_the_seed() {
        assert_eq!(told(Faults::default(), 5), [0, 1, 2, 3, 4]);
        let lossy = Faults { lost: 300, seed: 7, ..Faults::default() };
        let seen = told(lossy, 100);
        assert!(seen.len() < 90 && seen.len() > 50, "{seen:?}");
        assert_eq!(seen, told(lossy, 100));
        let doubled = told(Faults { doubled: 1000, ..Faults::default() }, 2);
        assert_eq!(doubled, [0, 0, 1, 1]);
        let mut swapped = told(Faults { reordered: 1000, ..Faults::default() }, 4);
        assert_ne!(swapped, [0, 1, 2, 3]);
        swapped.sort_unstable();
        assert_eq!(swapped, [0, 1, 2, 3]);
    }

    #[tokio::test]
    async fn a_reader_that_does_not_keep_up_is_told_what_it_missed() {
        let bus = Arc::new(Bus::new(Faults::default()));
        let mut events = bus.subscribe("bot".into(), false, Vec::new());
        let event = || Event { value: json!({ "type": "t" }), readers: None };
        (0..QUEUE_MAX + 10).for_each(|_| bus.publish(event()));
        let mut lines = 0;
        while events.try_recv().is_ok() {
            lines += 1;
        }
        assert_eq!(lines, QUEUE_MAX);
        bus.publish(event());
        assert!(events.try_recv().unwrap().contains("dropped-output"));
        assert!(events.try_recv().is_ok());
    }

    #[tokio::test]
    async fn readers_get_what_they_may_see_and_asked_for() {
        let bus = Arc::new(Bus::new(Faults::default()));
        let mut wanted = bus.subscribe("bot".into(), false, vec!["a".into()]);
        let private = Some(vec![Account::from("alice")]);
        for (kind, readers) in [("a", None), ("b", None), ("a", private)] {
            bus.publish(Event { value: json!({ "type": kind }), readers });
        }
        assert!(wanted.try_recv().is_ok() && wanted.try_recv().is_err());
    }
}
