//! Follows the daemon's view and tells what is new in it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use tokio::time::sleep;

use super::gate::Gate;
use crate::model::view::View;
use crate::model::{ChangeNumber, Departure, ItemChange};
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
    loop {
        seen.tell_news(&gate.view().await?, &tell);
        if seen.landed.len() + seen.left.len() >= count {
            return Ok((seen.landed.len(), seen.left.len()));
        }
        if begun.elapsed() > STORY_MAX {
            bail!("see all {count} changes decided within {} s; see {}", STORY_MAX.as_secs(), gate.url);
        }
        sleep(PAUSE).await;
    }
}

/// What was told already.
#[derive(Default)]
struct Seen {
    words: BTreeMap<ChangeNumber, String>,
    landed: BTreeSet<ChangeNumber>,
    left: BTreeSet<ChangeNumber>,
}

impl Seen {
    fn tell_news(&mut self, view: &View, tell: &impl Fn(&dyn Display)) {
        let queued = view.queues.iter().flat_map(|queue| &queue.items);
        let queued = queued.flat_map(|item| item.changes.iter().map(move |change| (change, &item.words)));
        let waiting = view.waiting.iter().map(|entry| (&entry.change, &entry.words));
        for (change, words) in queued.chain(waiting) {
            if self.words.get(&change.number) != Some(words) {
                self.words.insert(change.number, words.clone());
                tell_of(change, words, tell);
            }
        }
        for entry in view.departed.iter().rev() {
            let landed = matches!(entry.departure, Departure::Landed { .. });
            let told = if landed { &mut self.landed } else { &mut self.left };
            for change in &entry.changes {
                if told.insert(change.number) {
                    tell_of(change, &words::departure(&entry.departure), tell);
                }
            }
        }
    }
}

fn tell_of(change: &ItemChange, words: &str, tell: &impl Fn(&dyn Display)) {
    tell(&one_line(format_args!("  {} {}: {words}", change.number, change.subject)));
}
