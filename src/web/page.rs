//! The status page and the page of one change, written anew for each request.

use super::html::Html;
use super::pieces::Frame;
use super::{Health, words};
use crate::model::ChangeNumber;
use crate::model::view::{DepartedView, ItemView, PauseView, View, WaitingView};

/// The most entries that a section of the status page shows; the JSON has them all.
const ENTRIES_MAX: usize = 300;
/// The most ended items on the status page.
const DEPARTED_MAX: usize = 50;

/// The status page.
pub fn status(view: &View, health: &Health, frame: &Frame<'_>) -> String {
    let mut html = frame.open("Seakeeper");
    html.raw("<h1>Seakeeper</h1><p class=\"dim\">")
        .text(view.builds_running)
        .element(" of ", view.slots, " slots are building")
        .element(" · ", view.waiting.len(), " approved changes wait outside the queues</p>");
    alerts(&mut html, view, health, frame);
    for queue in &view.queues {
        html.element("<h2>Queue ", &queue.name, "</h2>");
        items(&mut html, &queue.items, "Nothing is in this queue.", frame);
    }
    if !view.waiting.is_empty() {
        html.raw("<h2>Approved, not yet in a queue</h2><ul>");
        bounded(&mut html, &view.waiting, ENTRIES_MAX, |html, entry| waiting(html, entry, frame));
        html.raw("</ul>");
    }
    if !view.checks.is_empty() {
        html.raw("<h2>Check</h2>");
        items(&mut html, &view.checks, "", frame);
    }
    if !view.departed.is_empty() {
        html.raw("<h2>Landed and left</h2><ul>");
        bounded(&mut html, &view.departed, DEPARTED_MAX, |html, entry| departed(html, entry, frame));
        html.raw("</ul>");
    }
    frame.close(html)
}

/// The page of one change, and whether anything is known of it.
pub fn change(view: &View, number: ChangeNumber, frame: &Frame<'_>) -> (bool, String) {
    let mut html = frame.open(&format!("Change {number} · Seakeeper"));
    html.element("<h1>Change ", number, "</h1>").element(
        "<p><a href=\"",
        frame.root,
        "./\">All queues</a></p>",
    );
    for entry in &view.paused {
        pause(&mut html, entry, frame);
    }
    let mut known = false;
    for queue in &view.queues {
        for (place, item) in queue.items.iter().enumerate().filter(|(_, item)| holds(item, number)) {
            known = true;
            html.element("<h2>In queue ", &queue.name, "").element(", place ", place + 1, "").element(
                " of ",
                queue.items.len(),
                "</h2><ol>",
            );
            item_entry(&mut html, item, frame);
            html.raw("</ol>");
        }
    }
    for item in view.checks.iter().filter(|item| holds(item, number)) {
        known = true;
        html.raw("<h2>In check</h2><ol>");
        item_entry(&mut html, item, frame);
        html.raw("</ol>");
    }
    for entry in view.waiting.iter().filter(|entry| entry.change.number == number) {
        known = true;
        html.raw("<h2>Approved, not yet in a queue</h2><ul>");
        waiting(&mut html, entry, frame);
        html.raw("</ul>");
    }
    let ended = |entry: &&DepartedView| entry.changes.iter().any(|change| change.number == number);
    for entry in view.departed.iter().filter(ended) {
        known = true;
        html.raw("<h2>Before</h2><ul>");
        departed(&mut html, entry, frame);
        html.raw("</ul>");
    }
    if !known {
        html.raw("<p>Nothing is known of this change here. It may not be approved yet, be in a ")
            .raw("repository or branch that no queue gates, be private, or have ended long ago.</p>");
    }
    (known, frame.close(html))
}

fn holds(item: &ItemView, number: ChangeNumber) -> bool {
    item.changes.iter().any(|change| change.number == number)
}

/// What a person should see before all else.
fn alerts(html: &mut Html, view: &View, health: &Health, frame: &Frame<'_>) {
    for problem in &health.problems {
        html.element("<p class=\"stop\">", problem, "</p>");
    }
    if let Some(why) = &view.unable {
        html.element("<p class=\"stop\">No builds can be run: ", why, "</p>");
    }
    for entry in &view.paused {
        pause(html, entry, frame);
    }
}

fn pause(html: &mut Html, entry: &PauseView, frame: &Frame<'_>) {
    html.element("<p class=\"stop\">Landing is stopped for ", words::scope(&entry.scope), "")
        .element(" by ", &entry.by, " for ");
    frame.ago(html, entry.at);
    html.element(": ", &entry.reason, "</p>");
}

fn items(html: &mut Html, items: &[ItemView], none: &'static str, frame: &Frame<'_>) {
    if items.is_empty() {
        html.raw("<p class=\"dim\">").raw(none).raw("</p>");
        return;
    }
    html.raw("<ol>");
    bounded(html, items, ENTRIES_MAX, |html, item| item_entry(html, item, frame));
    html.raw("</ol>");
}

fn item_entry(html: &mut Html, item: &ItemView, frame: &Frame<'_>) {
    html.raw("<li class=\"item\">");
    for change in &item.changes {
        frame.change(html, change);
    }
    html.element("<p class=\"why\">", &item.words, "</p><p class=\"dim\">here for ");
    frame.ago(html, item.entered_at);
    if item.on_top_of.is_empty() {
        html.raw(" · tested on the branches as they are");
    } else {
        html.raw(" · tested on top of ");
        for (at, number) in item.on_top_of.iter().enumerate() {
            html.raw(if at == 0 { "" } else { ", " })
                .element("<a href=\"", frame.root, "change/")
                .element("", number, "\">")
                .element("", number, "</a>");
        }
    }
    html.raw("</p>");
    frame.jobs(html, &item.jobs);
    html.raw("</li>");
}

fn waiting(html: &mut Html, entry: &WaitingView, frame: &Frame<'_>) {
    html.raw("<li class=\"item\">");
    frame.change(html, &entry.change);
    html.element("<p class=\"why\">", &entry.words, "</p></li>");
}

fn departed(html: &mut Html, entry: &DepartedView, frame: &Frame<'_>) {
    html.raw("<li class=\"item\">");
    for change in &entry.changes {
        frame.change(html, change);
    }
    let colour = match words::departure_kind(&entry.departure) {
        "landed" | "check_passed" => "<p class=\"why success\">",
        "failed" | "check_failed" => "<p class=\"why failure\">",
        _ => "<p class=\"why\">",
    };
    html.element(colour, words::departure(&entry.departure), "</p><p class=\"dim\">").element(
        "",
        entry.pipeline.name(),
        " ended ",
    );
    frame.ago(html, entry.ended_at);
    html.element(
        " ago after ",
        crate::model::time::in_words(entry.ended_at.since_ms(entry.entered_at)),
        "</p>",
    );
    frame.jobs(html, &entry.jobs);
    html.raw("</li>");
}

/// Writes the first `most` entries and says how many more there are.
fn bounded<T>(html: &mut Html, entries: &[T], most: usize, mut write: impl FnMut(&mut Html, &T)) {
    for entry in entries.iter().take(most) {
        write(html, entry);
    }
    if let Some(more @ 1..) = entries.len().checked_sub(most) {
        html.element("<li class=\"dim\">", more, " more are in the JSON.</li>");
    }
}
