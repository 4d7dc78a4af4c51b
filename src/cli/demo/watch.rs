//! Follows the daemon's view and tells what is new in it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use tokio::time::interval;

use super::gate::Gate;
use crate::model::view::View;
use crate::model::{ChangeNumber, Departure, ItemChange, ItemId, Reason};
use crate::web::clean::one_line;
use crate::web::words;

/// How often the view is read.
const PAUSE: Duration = Duration::from_millis(100);
/// How long the whole story may take: some seconds, even on a loaded machine far from this.
const STORY_MAX: Duration = Duration::from_secs(180);

/// Tells what happens until `count` changes have landed or left, and how many did which.
pub async fn until_decided(gate: &Gate, count: usize, tell: impl Fn(&dyn Display)) -> Result<(usize, usize)> {
    let begun = Instant::now();
    let mut seen = Seen::default();
    let mut rhythm = interval(PAUSE);
    loop {
        rhythm.tick().await;
        let view = gate.view().await?;
        seen.tell_news(&view, &tell);
        let (landed, left) = decided(&view);
        if landed + left >= count {
            return Ok((landed, left));
        }
        if begun.elapsed() > STORY_MAX {
            bail!("see all {count} changes decided within {} s; see {}", STORY_MAX.as_secs(), gate.url);
        }
    }
}

/// How many changes have landed, and how many have left and do not come back without a new vote.
fn decided(view: &View) -> (usize, usize) {
    let pending = view.waiting.iter().filter(|entry| !matches!(entry.reason, Reason::NewApproval));
    let queued = view.queues.iter().flat_map(|queue| &queue.items).flat_map(|item| &item.changes);
    let pending: BTreeSet<ChangeNumber> =
        pending.map(|entry| &entry.change).chain(queued).map(|change| change.number).collect();
    let mut latest = BTreeMap::new();
    for entry in &view.departed {
        for change in &entry.changes {
            latest.entry(change.number).or_insert(matches!(entry.departure, Departure::Landed { .. }));
        }
    }
    latest.retain(|number, _| !pending.contains(number));
    let landed = latest.values().filter(|landed| **landed).count();
    (landed, latest.len() - landed)
}

/// What was told already.
#[derive(Default)]
struct Seen {
    words: BTreeMap<ChangeNumber, String>,
    departed: BTreeSet<ItemId>,
}

impl Seen {
    fn tell_news(&mut self, view: &View, tell: &impl Fn(&dyn Display)) {
        for entry in view.departed.iter().rev() {
            if self.departed.insert(entry.item) {
                let words = words::ended(entry);
                entry.changes.iter().for_each(|change| tell_of(change, &words, tell));
            }
        }
        let queued = view.queues.iter().flat_map(|queue| &queue.items);
        let queued = queued.flat_map(|item| item.changes.iter().map(move |change| (change, &item.words)));
        let waiting = view.waiting.iter().map(|entry| (&entry.change, &entry.words));
        for (change, words) in queued.chain(waiting) {
            if self.words.get(&change.number) != Some(words) {
                self.words.insert(change.number, words.clone());
                tell_of(change, words, tell);
            }
        }
    }
}

fn tell_of(change: &ItemChange, words: &str, tell: &impl Fn(&dyn Display)) {
    tell(&one_line(format_args!("  {} {}: {words}", change.number, change.subject)));
}
