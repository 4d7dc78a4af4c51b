//! Why a change is where it is: its wait, its place, when it will probably land, and its history. The page
//! of a change and `seakeeper explain` say the same.

use serde::{Deserialize, Serialize};

use super::html::Html;
use super::outlook;
use super::picture::{Picture, Row};
use super::pieces::Frame;
use super::words;
use crate::model::item::{JobOutcome, JobResult};
use crate::model::past::Past;
use crate::model::tree::Unneeded;
use crate::model::view::{DepartedView, ItemView};
use crate::model::{ChangeNumber, ItemChange, Timestamp};

/// What is known of a change.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Explanation {
    /// The change, at the patch set concerned.
    pub change: ItemChange,
    /// When this was so.
    pub at: Timestamp,
    /// Where it is: in a queue, in the check, waiting, or gone.
    pub state: String,
    /// What it waits for, or how it ended.
    pub words: String,
    /// Its place and why it stands there; empty outside a queue.
    pub place: String,
    /// When it will probably land; empty where nobody can say.
    pub landing: String,
    /// Which of its jobs are not built (yet), and why, in words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unbuilt: Vec<String>,
    /// What has happened to it, oldest first.
    pub history: Vec<Line>,
}

/// One line of a history.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Line {
    /// When.
    pub at: Timestamp,
    /// What, in words.
    pub words: String,
}

/// Explains a change; `None` when nothing is known of it.
pub fn explain(picture: &Picture, number: ChangeNumber) -> Option<Explanation> {
    in_queue(picture, number)
        .or_else(|| in_check(picture, number))
        .or_else(|| waiting(picture, number))
        .or_else(|| ended(picture, number))
}

fn in_queue(picture: &Picture, number: ChangeNumber) -> Option<Explanation> {
    picture.view.queues.iter().zip(&picture.queues).find_map(|(queue, rows)| {
        let at = rows.iter().position(|row| change_of(&row.item.changes, number).is_some())?;
        let mut found = of_item(picture, &rows[at], number)?;
        found.state = format!("in queue {}", queue.name);
        found.landing = outlook::outlook(picture, &queue.name, rows, at).words(picture.view.at);
        Some(found)
    })
}

fn in_check(picture: &Picture, number: ChangeNumber) -> Option<Explanation> {
    picture.checks.iter().find_map(|row| of_item(picture, row, number))
}

fn of_item(picture: &Picture, row: &Row, number: ChangeNumber) -> Option<Explanation> {
    let item = &row.item;
    Some(Explanation {
        change: change_of(&item.changes, number)?.clone(),
        at: picture.view.at,
        state: "in check".into(),
        words: item.words.clone(),
        place: item.place.clone(),
        landing: String::new(),
        unbuilt: unbuilt(&item.jobs, &item.unneeded),
        history: lines(&item.past),
    })
}

fn waiting(picture: &Picture, number: ChangeNumber) -> Option<Explanation> {
    let entry = picture.view.waiting.iter().find(|entry| entry.change.number == number)?;
    let before = picture.view.departed.iter().find(|ended| change_of(&ended.changes, number).is_some());
    Some(Explanation {
        change: entry.change.clone(),
        at: picture.view.at,
        state: "approved, in no queue".into(),
        words: entry.words.clone(),
        place: String::new(),
        landing: String::new(),
        unbuilt: before.map_or_else(Vec::new, |before| unbuilt(&before.jobs, &before.unneeded)),
        history: before.map_or_else(Vec::new, history_of),
    })
}

fn ended(picture: &Picture, number: ChangeNumber) -> Option<Explanation> {
    let mut ended = picture.view.departed.iter();
    let entry = ended.find(|entry| change_of(&entry.changes, number).is_some())?;
    Some(Explanation {
        change: change_of(&entry.changes, number)?.clone(),
        at: picture.view.at,
        state: "no longer in a queue".into(),
        words: words::ended(entry),
        place: String::new(),
        landing: String::new(),
        unbuilt: unbuilt(&entry.jobs, &entry.unneeded),
        history: history_of(entry),
    })
}

/// What waits for other jobs, was skipped because of one, or was not needed.
fn unbuilt(jobs: &[JobResult], unneeded: &[Unneeded]) -> Vec<String> {
    let waits = jobs.iter().filter(|job| !job.needs.is_empty());
    let waits = waits.filter_map(|job| match job.result {
        JobOutcome::Waiting if !job.detail.is_empty() => Some(format!("`{}` {}", job.job, job.detail)),
        JobOutcome::Skipped => Some(format!("`{}` was skipped: {}", job.job, job.detail)),
        _ => None,
    });
    waits.chain(unneeded.iter().map(words::unneeded)).collect()
}

fn history_of(entry: &DepartedView) -> Vec<Line> {
    let mut all = lines(&entry.past);
    all.push(Line { at: entry.ended_at, words: words::ended(entry) });
    all
}

fn lines(past: &[Past]) -> Vec<Line> {
    past.iter().map(|entry| Line { at: entry.at, words: entry.what.to_string() }).collect()
}

fn change_of(changes: &[ItemChange], number: ChangeNumber) -> Option<&ItemChange> {
    changes.iter().find(|change| change.number == number)
}

/// Writes the history of a change's items.
pub fn write_history(html: &mut Html, picture: &Picture, number: ChangeNumber, frame: &Frame<'_>) {
    let holds = |item: &&ItemView| change_of(&item.changes, number).is_some();
    let rows = picture.queues.iter().flatten().chain(&picture.checks).map(|row| &row.item);
    for item in rows.filter(holds).filter(|item| !item.past.is_empty()) {
        html.raw("<h2>What has happened</h2><ol class=\"past\">");
        for entry in &item.past {
            html.raw("<li>").element("", &entry.what, "").raw(" <span class=\"meta\">");
            frame.ago(html, entry.at);
            html.raw(" ago</span></li>");
        }
        html.raw("</ol>");
    }
}
