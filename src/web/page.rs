//! The pages: what regions each has, in what order, and how they are written. A region is either a part,
//! written whole, or a list of entries with keys; streams replace what is new in either.

use super::figures;
use super::html::Html;
use super::picture::{Picture, Row};
use super::pieces::Frame;
use super::rows::{self, Entry};
use super::{explain, flaky, outlook, plot, search};
use crate::model::view::{DepartedView, ItemView};
use crate::model::{ChangeNumber, ItemChange};

/// The most entries of one list; the API has them all.
pub const ENTRIES_MAX: usize = 2_000;
/// The most entries of one list that are there from the start, so that a long page shows soon.
pub const FIRST_MAX: usize = 100;
/// The most ended items on the status page.
const DEPARTED_MAX: usize = 50;
/// The most finds that a search shows of a kind.
const FINDS_MAX: usize = 200;

/// Which page.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Everything.
    Status,
    /// One change and its history.
    Change(ChangeNumber),
    /// What a search finds.
    Search(String),
}

/// A piece of a page that can be replaced by itself.
pub struct Region<'a> {
    /// Its name in the page.
    pub id: String,
    /// What it holds.
    pub body: Body<'a>,
    /// Whether it stands beside the queues where there is room.
    beside: bool,
}

/// What a region holds.
pub enum Body<'a> {
    /// Something written whole.
    Part(Part<'a>),
    /// Entries with a heading, and words for when there are none; without words it is then not shown.
    List {
        /// Its heading.
        heading: String,
        /// Words for an empty list.
        none: &'static str,
        /// The entries in order.
        entries: Vec<Entry<'a>>,
    },
}

/// A piece that is written whole.
#[derive(Clone, Copy)]
pub enum Part<'a> {
    /// What a person should see before all else.
    Alerts(&'a Picture),
    /// The most important numbers.
    Figures(&'a Picture),
    /// The last day.
    Plots(&'a Picture),
    /// Jobs that are proven to be flaky.
    Flakes(&'a Picture),
    /// A change's place in its queue, and when it will probably land.
    Place(&'a Picture, ChangeNumber),
    /// What has happened to a change so far.
    Past(&'a Picture, ChangeNumber),
}

impl Part<'_> {
    /// Writes it.
    pub fn write(&self, html: &mut Html, frame: &Frame<'_>) {
        match self {
            Self::Alerts(picture) => alerts(html, picture, frame),
            Self::Figures(picture) => figures::write(html, picture),
            Self::Plots(picture) => plot::write(html, picture),
            Self::Flakes(picture) => flaky::write(html, picture, frame),
            Self::Place(picture, number) => outlook::write(html, picture, *number, frame),
            Self::Past(picture, number) => explain::write_history(html, picture, *number, frame),
        }
    }
}

impl Kind {
    /// From where the page hears what is new, below the start page.
    pub fn live(&self) -> String {
        match self {
            Self::Status => "live".into(),
            Self::Change(number) => format!("live?change={number}"),
            Self::Search(query) => format!("live?q={}", search::escape(query)),
        }
    }

    /// The way back to the start page.
    pub fn root(&self) -> &'static str {
        if matches!(self, Self::Change(_)) { "../" } else { "" }
    }

    /// The page's regions as they are in a picture.
    pub fn regions<'a>(&self, picture: &'a Picture) -> Vec<Region<'a>> {
        match self {
            Self::Status => status(picture),
            Self::Change(number) => {
                let mut regions = chosen(picture, |change| change.number == *number, ENTRIES_MAX);
                regions.insert(1, part("place", false, Part::Place(picture, *number)));
                let before = regions.len().saturating_sub(1);
                regions.insert(before, part("past", false, Part::Past(picture, *number)));
                regions
            }
            Self::Search(query) => {
                let wanted = search::Wanted::read(query);
                chosen(picture, |change| wanted.is_met_by(change), FINDS_MAX)
            }
        }
    }
}

fn part<'a>(id: &str, beside: bool, part: Part<'a>) -> Region<'a> {
    Region { id: id.into(), beside, body: Body::Part(part) }
}

fn list<'a>(id: &str, heading: String, none: &'static str, entries: Vec<Entry<'a>>) -> Region<'a> {
    Region { id: id.into(), beside: id == "departed", body: Body::List { heading, none, entries } }
}

fn rows(rows: &[Row]) -> Vec<Entry<'_>> {
    rows.iter().take(ENTRIES_MAX).map(Entry::Item).collect()
}

fn status(picture: &Picture) -> Vec<Region<'_>> {
    let view = &picture.view;
    let mut regions =
        vec![part("alerts", false, Part::Alerts(picture)), part("figures", false, Part::Figures(picture))];
    for (at, (queue, items)) in view.queues.iter().zip(&picture.queues).enumerate() {
        let heading = format!("Queue {}", queue.name);
        regions.push(list(&format!("queue-{at}"), heading, "Nothing is in this queue.", rows(items)));
    }
    let waiting = view.waiting.iter().take(ENTRIES_MAX).map(Entry::Waiting).collect();
    regions.push(list("waiting", "Approved, not yet in a queue".into(), "", waiting));
    regions.push(list("checks", "Check of new patch sets".into(), "", rows(&picture.checks)));
    regions.push(part("plots", true, Part::Plots(picture)));
    regions.push(part("flakes", true, Part::Flakes(picture)));
    let departed = view.departed.iter().take(DEPARTED_MAX).map(Entry::Departed).collect();
    regions.push(list("departed", "Landed and left".into(), "Nothing has landed or left yet.", departed));
    regions
}

/// What concerns the changes for which `wanted` holds, wherever they are.
fn chosen<'a>(picture: &'a Picture, wanted: impl Fn(&ItemChange) -> bool, most: usize) -> Vec<Region<'a>> {
    let view = &picture.view;
    let holds = |item: &ItemView| item.changes.iter().any(&wanted);
    let mut regions = vec![part("alerts", false, Part::Alerts(picture))];
    for (at, (queue, items)) in view.queues.iter().zip(&picture.queues).enumerate() {
        let found = items.iter().filter(|row| holds(&row.item)).take(most).map(Entry::Item).collect();
        regions.push(list(&format!("queue-{at}"), format!("In queue {}", queue.name), "", found));
    }
    let waiting = view.waiting.iter().filter(|entry| wanted(&entry.change)).take(most);
    let waiting = waiting.map(Entry::Waiting).collect();
    regions.push(list("waiting", "Approved, not yet in a queue".into(), "", waiting));
    let checks = picture.checks.iter().filter(|row| holds(&row.item)).take(most).map(Entry::Item);
    regions.push(list("checks", "In check".into(), "", checks.collect()));
    let ended = |entry: &&DepartedView| entry.changes.iter().any(&wanted);
    let before = view.departed.iter().filter(ended).take(most).map(Entry::Departed).collect();
    regions.push(list("before", "Before".into(), "", before));
    regions
}

/// The status page.
pub fn write_status(picture: &Picture, frame: &Frame<'_>) -> String {
    let kind = Kind::Status;
    let mut html = frame.open("Seakeeper", &kind.live(), "");
    let wide = "<main id=\"main\" tabindex=\"-1\" class=\"wide\"><h1 class=\"unseen\">Status</h1>";
    html.raw(wide);
    let regions = kind.regions(picture);
    let (beside, before): (Vec<_>, Vec<_>) = regions.iter().partition(|region| region.beside);
    html.raw("<div class=\"lead\">");
    before.iter().for_each(|region| write_region(&mut html, region, frame));
    html.raw("</div><div class=\"beside\">");
    beside.iter().for_each(|region| write_region(&mut html, region, frame));
    html.raw("</div></main>");
    frame.close(html)
}

/// The page of one change, and whether anything is known of it.
pub fn write_change(picture: &Picture, number: ChangeNumber, frame: &Frame<'_>) -> (bool, String) {
    let kind = Kind::Change(number);
    let mut html = frame.open(&format!("Change {number} · Seakeeper"), &kind.live(), "");
    html.raw("<main id=\"main\" tabindex=\"-1\">").element("<h1>Change ", number, "</h1>").element(
        "<p><a href=\"",
        frame.root,
        "./\">All queues</a></p>",
    );
    let regions = kind.regions(picture);
    regions.iter().for_each(|region| write_region(&mut html, region, frame));
    let known = has_entries(&regions);
    html.raw(
        "<p class=\"nothing\">Nothing is known of this change here. It may not be approved yet, be in a ",
    )
    .raw("repository or branch that no queue gates, be one that you may not see, or have ended long ago.")
    .raw("</p></main>");
    (known, frame.close(html))
}

/// What a search finds.
pub fn write_search(picture: &Picture, query: &str, frame: &Frame<'_>) -> String {
    let kind = Kind::Search(query.to_owned());
    let mut html = frame.open("Search · Seakeeper", &kind.live(), query);
    html.raw("<main id=\"main\" tabindex=\"-1\">").element("<h1>Search for “", query, "”</h1>").element(
        "<p><a href=\"",
        frame.root,
        "./\">All queues</a></p>",
    );
    kind.regions(picture).iter().for_each(|region| write_region(&mut html, region, frame));
    html.raw(
        "<p class=\"nothing\">Nothing fits. A search looks for a change's number, a part of its Change-Id, ",
    )
    .raw(
        "its subject, its owner or its repository, in the queues, outside of them, and in what ended lately.",
    )
    .raw("</p></main>");
    frame.close(html)
}

fn has_entries(regions: &[Region<'_>]) -> bool {
    regions.iter().any(|region| matches!(&region.body, Body::List { entries, .. } if !entries.is_empty()))
}

fn write_region(html: &mut Html, region: &Region<'_>, frame: &Frame<'_>) {
    match &region.body {
        Body::Part(part) => {
            html.element("<div id=\"", &region.id, "\" class=\"part\">");
            part.write(html, frame);
            html.raw("</div>");
        }
        Body::List { heading, none, entries } => {
            html.element("<section class=\"list ", if none.is_empty() { "quiet" } else { "" }, "\"")
                .element(" aria-labelledby=\"", &region.id, "-head\">")
                .element("<h2 id=\"", &region.id, "-head\">")
                .element("", heading, " <span class=\"count\" data-count=\"")
                .element("", &region.id, "\">")
                .element("", entries.len(), "</span></h2>")
                .element("<ol id=\"", &region.id, "\" data-list>");
            entries.iter().take(frame.most).for_each(|entry| entry.write(html, frame));
            html.raw("</ol>");
            if entries.len() > frame.most {
                html.element("<p class=\"more\" data-more=\"", &region.id, "\">The first ").element(
                    "",
                    frame.most,
                    " are shown. <a href=\"?all=1\">Show all</a></p>",
                );
            }
            if !none.is_empty() {
                html.raw("<p class=\"none\">").raw(none).raw("</p>");
            }
            html.raw("</section>");
        }
    }
}

/// What a person should see before all else.
fn alerts(html: &mut Html, picture: &Picture, frame: &Frame<'_>) {
    for problem in &picture.problems {
        html.element("<p class=\"stop\">", problem, "</p>");
    }
    if let Some(why) = &picture.view.unable {
        html.element("<p class=\"stop\">No builds can be run: ", why, "</p>");
    }
    for entry in &picture.view.paused {
        rows::pause(html, entry, frame);
    }
}
