//! What the daemon has been told of the world: a sweep tells only what is new since.

use std::collections::BTreeMap;

use super::host::seen;
use crate::model::{ChangeNumber, Event, Pair, Sha, Timestamp};
use crate::sim::setting::BOT;
use crate::world::Gerrit;

/// The last that was told of each change and branch; `None` of what is not there for the daemon.
#[derive(Debug, Default)]
pub struct Told {
    changes: BTreeMap<ChangeNumber, Option<Timestamp>>,
    tips: BTreeMap<Pair, Option<Sha>>,
}

impl Told {
    /// What a reading of everything tells beyond that.
    pub fn news(&self, gerrit: &Gerrit) -> Vec<Event> {
        let mut events = Vec::new();
        for change in gerrit.changes() {
            let now = gerrit.read(change.number, &BOT.into()).map(|seen| seen.updated_at);
            if self.changes.get(&change.number) != Some(&now) {
                events.push(seen(gerrit, change.number));
            }
        }
        let branches = gerrit.branches();
        let gone = self.tips.iter().filter(|(pair, tip)| tip.is_some() && !branches.contains_key(pair));
        events.extend(gone.map(|(pair, _)| Event::TipSeen { pair: pair.clone(), commit: None }));
        for (pair, tip) in branches {
            if self.tips.get(pair) != Some(&Some(*tip)) {
                events.push(Event::TipSeen { pair: pair.clone(), commit: Some(*tip) });
            }
        }
        events
    }

    /// Remembers what the daemon has taken in.
    pub fn take_in(&mut self, events: &[Event]) {
        for event in events {
            match event {
                Event::ChangeSeen { snapshot } => {
                    self.changes.insert(snapshot.number, Some(snapshot.updated_at));
                }
                Event::ChangeGone { number } => {
                    self.changes.insert(*number, None);
                }
                Event::TipSeen { pair, commit } => {
                    self.tips.insert(pair.clone(), *commit);
                }
                _ => {}
            }
        }
    }
}
