//! Live pages: a stream per open page that tells which of its regions and entries are new, written as
//! the page itself writes them. A reader that was away for a moment goes on where it was; one that was
//! away for long gets everything again.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::html::Html;
use super::page::{Body, Kind, Region};
use super::picture::Picture;
use super::pieces::Frame;
use super::rows::{self, Entry};
use crate::model::Timestamp;

/// What is new on a page.
#[derive(Serialize, Default, Debug)]
pub struct Update {
    /// The time, in milliseconds since 1970.
    pub now: i64,
    /// Whether the page has other regions now and must be asked for again.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub reload: bool,
    /// Parts to replace, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub parts: BTreeMap<String, String>,
    /// Lists with something new, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub lists: BTreeMap<String, ListUpdate>,
    /// What to tell those who listen rather than look.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub news: Vec<String>,
}

/// What is new in a list.
#[derive(Serialize, Default, Debug)]
pub struct ListUpdate {
    /// The keys of all its entries in order, when these are others than before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order: Option<Vec<String>>,
    /// New and changed entries, by key.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub entries: BTreeMap<String, String>,
}

/// The most departures that are told at once; more would only be noise.
const NEWS_MAX: usize = 3;

/// What is new on a page between two pictures; all of it without an earlier one. `None` when nothing is.
/// Of the earlier picture the page has `frame.most` entries in each list.
pub fn update(kind: &Kind, before: Option<&Picture>, after: &Picture, frame: &Frame<'_>) -> Option<Update> {
    let mut update = Update { now: frame.now.0, ..Update::default() };
    let (old, new) = (before.map(|before| kind.regions(before)), kind.regions(after));
    if old.as_ref().is_some_and(|old| !old.iter().map(|region| &region.id).eq(new.iter().map(|r| &r.id))) {
        update.reload = true;
        return Some(update);
    }
    for (at, region) in new.iter().enumerate() {
        let known = old.as_ref().and_then(|old| old.get(at));
        compare(&mut update, known, region, frame);
    }
    if let Some(before) = before {
        let known: BTreeSet<_> = before.view.departed.iter().map(|entry| entry.item).collect();
        let fresh = after.view.departed.iter().filter(|entry| !known.contains(&entry.item));
        update.news = fresh.take(NEWS_MAX).map(rows::news).collect();
    }
    let empty = update.parts.is_empty() && update.lists.is_empty();
    (!empty).then_some(update)
}

fn compare(update: &mut Update, old: Option<&Region<'_>>, new: &Region<'_>, frame: &Frame<'_>) {
    match (&new.body, old.map(|old| &old.body)) {
        (Body::Part(part), old) => {
            // Ages change all the time and are kept by the page itself: for the comparison time stands.
            let still = Frame { now: Timestamp(0), ..*frame };
            let write = |part: &super::page::Part<'_>, frame: &Frame<'_>| {
                let mut html = Html::default();
                part.write(&mut html, frame);
                html.finish()
            };
            let same = matches!(old, Some(Body::Part(old)) if write(old, &still) == write(part, &still));
            if !same {
                update.parts.insert(new.id.clone(), write(part, frame));
            }
        }
        (Body::List { entries, .. }, old) => {
            let known = match old {
                Some(Body::List { entries, .. }) => Some(entries),
                _ => None,
            };
            if let Some(list) = compare_lists(known, entries, frame) {
                update.lists.insert(new.id.clone(), list);
            }
        }
    }
}

fn compare_lists(old: Option<&Vec<Entry<'_>>>, new: &[Entry<'_>], frame: &Frame<'_>) -> Option<ListUpdate> {
    let shown = old.map(|old| &old[..old.len().min(frame.most)]);
    let before: BTreeMap<String, &Entry<'_>> =
        shown.into_iter().flatten().map(|entry| (entry.key(), entry)).collect();
    let order: Vec<String> = new.iter().map(Entry::key).collect();
    let moved = shown.is_none_or(|shown| !shown.iter().map(Entry::key).eq(order.iter().cloned()));
    let mut entries = BTreeMap::new();
    for (entry, key) in new.iter().zip(&order) {
        if before.get(key) != Some(&entry) {
            let mut html = Html::default();
            entry.write(&mut html, frame);
            entries.insert(key.clone(), html.finish());
        }
    }
    let order = moved.then_some(order);
    (order.is_some() || !entries.is_empty()).then_some(ListUpdate { order, entries })
}
