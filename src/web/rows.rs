//! The entries of the page's lists: items, changes outside the queues, what ended, stops.

use super::html::Html;
use super::picture::Row;
use super::pieces::Frame;
use super::state::State;
use super::{chain, words};
use crate::model::run::RunOutcome;
use crate::model::time::in_words;
use crate::model::view::{DepartedView, ItemView, PauseView, RunView, WaitingView};
use crate::model::{ChangeNumber, Departure, Pipeline};

/// Changes ahead that are listed one by one.
const AHEAD_MAX: usize = 60;

/// One entry of a list. Two entries are equal when they look the same at any moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Entry<'a> {
    /// An item of a queue or of the check.
    Item(&'a Row),
    /// An approved change in no queue.
    Waiting(&'a WaitingView),
    /// An item that ended.
    Departed(&'a DepartedView),
    /// A run at the tip of a branch.
    Run(&'a RunView),
}

impl Entry<'_> {
    /// Its key within a page.
    pub fn key(&self) -> String {
        match self {
            Self::Item(row) => format!("i{}", row.item.item),
            Self::Waiting(entry) => format!("w{}", entry.change.number),
            Self::Departed(entry) => format!("d{}", entry.item),
            Self::Run(entry) => format!("r{}", entry.run),
        }
    }

    /// Writes it.
    pub fn write(&self, html: &mut Html, frame: &Frame<'_>) {
        match self {
            Self::Item(row) => item(html, row, &self.key(), frame),
            Self::Waiting(entry) => waiting(html, entry, &self.key(), frame),
            Self::Departed(entry) => departed(html, entry, &self.key(), frame),
            Self::Run(entry) => run(html, entry, &self.key(), frame),
        }
    }
}

fn item(html: &mut Html, row: &Row, key: &str, frame: &Frame<'_>) {
    let item = &row.item;
    let state = State::of(item).word();
    html.element("<li id=\"", key, "\" class=\"item ").text(state).raw("\">");
    if let Some(cell) = &row.cell {
        chain::draw(html, cell);
    }
    html.raw("<div class=\"body\">");
    frame.headline(html, &item.changes, state, state);
    html.raw("<div class=\"meta\">");
    for change in &item.changes {
        frame.place(html, change);
    }
    if let Pipeline::OnDemand(name) = &item.pipeline {
        html.element("<span>", name, "</span>");
    }
    html.raw("<span>here for ");
    frame.ago(html, item.entered_at);
    html.raw("</span></div>");
    if !item.changes.is_empty() {
        html.element("<p class=\"why\">", &item.words, "</p>");
        if !item.place.is_empty() {
            html.element("<p class=\"on\">", &item.place, "</p>");
        }
        html.raw("<div class=\"low\">");
        frame.jobs(html, &item.jobs);
        frame.unneeded(html, &item.unneeded);
        tested_on(html, item, frame);
        html.raw("</div>");
    }
    html.raw("</div></li>");
}

/// What the item's node contains, once it has one.
fn tested_on(html: &mut Html, item: &ItemView, frame: &Frame<'_>) {
    if item.on_top_of.is_empty() {
        if !item.jobs.is_empty() {
            html.raw("<p class=\"on\">tested on the branches as they are</p>");
        }
        return;
    }
    html.raw("<details class=\"on\"><summary>tested on top of ");
    let count = item.on_top_of.len();
    match &item.on_top_of[..] {
        [one] => html.text(one.named()),
        _ => html.text(count).raw(" changes ahead"),
    };
    html.raw("</summary><p>");
    let nearest = item.on_top_of.iter().skip(count.saturating_sub(AHEAD_MAX));
    if let Some(more @ 1..) = count.checked_sub(AHEAD_MAX) {
        html.element("", more, " more, then ");
    }
    for number in nearest {
        frame.link(html, *number);
    }
    html.raw("</p></details>");
}

fn waiting(html: &mut Html, entry: &WaitingView, key: &str, frame: &Frame<'_>) {
    let state = State::of_reason(&entry.reason).word();
    html.element("<li id=\"", key, "\" class=\"item ").text(state).raw("\"><div class=\"body\">");
    frame.headline(html, std::slice::from_ref(&entry.change), state, state);
    html.raw("<div class=\"meta\">");
    frame.place(html, &entry.change);
    html.element("</div><p class=\"why\">", &entry.words, "</p></div></li>");
}

fn departed(html: &mut Html, entry: &DepartedView, key: &str, frame: &Frame<'_>) {
    let colour = colour(&entry.departure);
    html.element("<li id=\"", key, "\" class=\"item ended ").text(colour).raw("\"><div class=\"body\">");
    frame.headline(html, &entry.changes, colour, chip(&entry.departure));
    html.raw("<div class=\"meta\">");
    for change in &entry.changes {
        frame.place(html, change);
    }
    html.element("<span>", entry.pipeline.name(), " ended ");
    frame.ago(html, entry.ended_at);
    html.element(" ago after ", in_words(entry.ended_at.since_ms(entry.entered_at)), "</span></div>");
    html.element("<p class=\"why\">", words::ended(entry), "</p>");
    frame.jobs(html, &entry.jobs);
    frame.unneeded(html, &entry.unneeded);
    html.raw("</div></li>");
}

fn run(html: &mut Html, entry: &RunView, key: &str, frame: &Frame<'_>) {
    let (colour, chip) = match &entry.outcome {
        None => ("building", "under way"),
        Some(RunOutcome::Passed) => ("passed", "passed"),
        Some(RunOutcome::Stopped { .. }) => ("waiting", "stopped"),
        Some(RunOutcome::NoVerdict { .. }) => ("failing", "no verdict"),
        Some(_) => ("failing", "failed"),
    };
    html.element("<li id=\"", key, "\" class=\"item ").text(colour).raw("\"><div class=\"body\">");
    html.raw("<div class=\"head\"><div class=\"what\"><p>");
    html.element("<span class=\"subject\">", &entry.pair.repository, " <b>");
    html.element("", &entry.pair.branch, "</b></span></p></div>");
    html.element("<span class=\"chip ", colour, "\">").text(chip).raw("</span></div>");
    html.element("<div class=\"meta\"><span>", &entry.pipeline, "</span>");
    html.element("<span>", entry.commit.short(), "</span><span>");
    match entry.ended_at {
        None => {
            html.raw("for ");
            frame.ago(html, entry.began_at);
        }
        Some(at) => {
            html.raw("ended ");
            frame.ago(html, at);
            html.element(" ago after ", in_words(at.since_ms(entry.began_at)), "");
        }
    }
    html.raw("</span></div>");
    let probes = entry.probes.as_ref().map(|job| format!("finding out since when {job} fails; "));
    html.element("<p class=\"why\">", probes.unwrap_or_default(), "").text(&entry.words).raw("</p>");
    for blame in &entry.blames {
        html.element("<p class=\"why\">", blame, "</p>");
    }
    frame.jobs(html, &entry.jobs);
    html.raw("</div></li>");
}

/// How a stay ended, in a word for a chip.
fn chip(departure: &Departure) -> &'static str {
    match departure {
        Departure::Landed { .. } => "landed",
        Departure::Checked { passed: true } => "passed",
        Departure::Checked { passed: false } | Departure::Failed { .. } => "failed",
        Departure::Conflict { .. } => "conflict",
        Departure::MergedElsewhere => "landed by hand",
        Departure::Refused { .. } => "refused",
        _ => "left",
    }
}

fn colour(departure: &Departure) -> &'static str {
    match departure {
        Departure::Landed { .. } | Departure::Checked { passed: true } => "passed",
        Departure::Checked { passed: false } => "failing",
        departure if departure.blames_item() => "failing",
        _ => "waiting",
    }
}

/// A stop.
pub fn pause(html: &mut Html, entry: &PauseView, frame: &Frame<'_>) {
    html.element("<p class=\"stop\"><b>Landing is stopped for ", words::scope(&entry.scope), "</b>")
        .element(" by ", &entry.by, " for ");
    frame.ago(html, entry.at);
    html.element(": ", &entry.reason, "</p>");
}

/// A departure in a sentence, for those who listen.
pub fn news(entry: &DepartedView) -> String {
    let first = entry.changes.first().map_or(ChangeNumber::UNSEEN, |change| change.number);
    format!("{} {}", first.named(), words::ended(entry))
}
