//! The API for programs, below `/api/v1`. It only reads. Whatever goes wrong is told as JSON with what to
//! do about it.

mod shape;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use self::shape::{Maker, QueueSummary, Status};
use super::picture::{Picture, Row};
use super::router::{Shared, Site};
use super::state::State as Standing;
use super::stream::{self, About};
use super::words;
use crate::model::view::{DepartedView, ItemView};
use crate::model::{BuildId, ChangeNumber};

/// The description for programs.
const DESCRIPTION: &str = include_str!("openapi.json");
/// Departures in an answer unless more are asked for.
const DEPARTED_USUAL: usize = 50;

/// All paths of the API, each with what answers it.
fn table() -> Vec<(&'static str, MethodRouter<Arc<Site>>)> {
    vec![
        ("/api/v1/view", get(view)),
        ("/api/v1/status", get(status)),
        ("/api/v1/queues", get(queues)),
        ("/api/v1/queue/{name}", get(queue)),
        ("/api/v1/change/{number}", get(change)),
        ("/api/v1/builds", get(builds)),
        ("/api/v1/build/{id}", get(build)),
        ("/api/v1/departed", get(departed)),
        ("/api/v1/pauses", get(pauses)),
        ("/api/v1/runs", get(runs)),
        ("/api/v1/events", get(listen)),
        ("/api/v1/openapi.json", get(description)),
    ]
}

/// The paths, as the description writes them.
pub fn paths() -> Vec<&'static str> {
    table().into_iter().map(|(path, _)| path).collect()
}

/// All paths of the API.
pub fn routes() -> Router<Arc<Site>> {
    let all = table().into_iter().fold(Router::new(), |router, (path, answer)| router.route(path, answer));
    all.route("/api/{*rest}", get(unknown))
}

/// An answer that says what went wrong and what to do.
pub fn refuse(status: StatusCode, error: &str, remedy: &str) -> Response {
    (status, Json(json!({"error": error, "remedy": remedy}))).into_response()
}

async fn unknown() -> Response {
    let remedy = "see api/v1/openapi.json for the paths that there are";
    refuse(StatusCode::NOT_FOUND, "there is no such path", remedy)
}

async fn description() -> Response {
    ([(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-cache")], DESCRIPTION)
        .into_response()
}

async fn view(State(site): Shared, headers: HeaderMap) -> Response {
    // The number is read first: a view that is newer than its tag is fetched once more, never less.
    let tag = format!("\"{}-{}\"", site.run, *site.desk.changed().borrow());
    if headers.get(header::IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes()) {
        return StatusCode::NOT_MODIFIED.into_response();
    }
    let fields = [(header::ETAG, tag), (header::CACHE_CONTROL, "no-cache".into())];
    (fields, Json(site.desk.view())).into_response()
}

async fn status(State(site): Shared) -> Response {
    let picture = site.picture();
    let (view, health) = (&picture.view, site.desk.health());
    let answer = Status {
        version: env!("CARGO_PKG_VERSION"),
        at: words::moment(view.at),
        ready: health.live && health.ready,
        problems: health.problems,
        queues: summaries(&picture),
        waiting: view.waiting.len(),
        checks: view.checks.len(),
        builds_running: view.builds_running,
        slots: view.slots,
        pauses: view.paused.len(),
        runs: view.runs.iter().filter(|run| run.outcome.is_none()).count(),
    };
    Json(answer).into_response()
}

fn summaries(picture: &Picture) -> Vec<QueueSummary> {
    let summary = |queue: &crate::model::view::QueueView| {
        let mut states = BTreeMap::new();
        for item in &queue.items {
            *states.entry(Standing::of(item).word()).or_insert(0) += 1;
        }
        QueueSummary { name: queue.name.to_string(), depth: queue.items.len(), states }
    };
    picture.view.queues.iter().map(summary).collect()
}

async fn queues(State(site): Shared) -> Response {
    Json(json!({"queues": summaries(&site.picture())})).into_response()
}

async fn queue(State(site): Shared, Path(name): Path<String>) -> Response {
    let picture = site.picture();
    let maker = site.maker(&picture);
    let Some(queue) = picture.view.queues.iter().find(|queue| queue.name.as_str() == name) else {
        let remedy = "api/v1/queues lists those that there are";
        return refuse(StatusCode::NOT_FOUND, "there is no queue of that name", remedy);
    };
    let items: Vec<_> =
        (1..).zip(&queue.items).map(|(place, item)| maker.item(item, Some((&name, place)))).collect();
    Json(json!({"name": name, "items": items})).into_response()
}

async fn change(State(site): Shared, Path(number): Path<String>) -> Response {
    let Ok(number) = number.parse::<u64>().map(ChangeNumber) else {
        let remedy = "give the number that Gerrit shows, as in api/v1/change/1234";
        return refuse(StatusCode::BAD_REQUEST, "a change is asked for by its number", remedy);
    };
    let picture = site.picture();
    let (maker, view) = (site.maker(&picture), &picture.view);
    let holds = |item: &&ItemView| item.changes.iter().any(|change| change.number == number);
    let mut items = Vec::new();
    for queue in &view.queues {
        let found = (1..).zip(&queue.items).filter(|(_, item)| holds(item));
        items.extend(found.map(|(place, item)| maker.item(item, Some((queue.name.as_str(), place)))));
    }
    items.extend(view.checks.iter().filter(holds).map(|item| maker.item(item, None)));
    let waiting = view.waiting.iter().filter(|entry| entry.change.number == number);
    let waiting: Vec<_> = waiting.map(|entry| maker.waiting(entry)).collect();
    let before = |entry: &&DepartedView| entry.changes.iter().any(|change| change.number == number);
    let history: Vec<_> = view.departed.iter().filter(before).map(|entry| maker.departed(entry)).collect();
    if items.is_empty() && waiting.is_empty() && history.is_empty() {
        let remedy = "it may not be approved yet, be gated by no queue, be one that you may not see, or have ended long ago; look at it in Gerrit";
        return refuse(StatusCode::NOT_FOUND, "nothing is known of this change", remedy);
    }
    Json(json!({"number": number, "items": items, "waiting": waiting, "history": history})).into_response()
}

async fn builds(State(site): Shared) -> Response {
    let picture = site.picture();
    let maker = site.maker(&picture);
    let view = &picture.view;
    let builds: Vec<_> = view.builds.iter().map(|build| maker.running(build, view.at)).collect();
    Json(json!({"builds": builds})).into_response()
}

async fn build(State(site): Shared, Path(id): Path<String>) -> Response {
    let Ok(id) = id.parse::<u64>().map(BuildId) else {
        let remedy = "api/v1/builds lists those that run, api/v1/departed names those of what ended";
        return refuse(StatusCode::BAD_REQUEST, "a build is asked for by its number", remedy);
    };
    let picture = site.picture();
    let (maker, view) = (site.maker(&picture), &picture.view);
    let items = view.queues.iter().flat_map(|queue| &queue.items).chain(&view.checks);
    let jobs = items.map(|item| &item.jobs).chain(view.departed.iter().map(|entry| &entry.jobs));
    let jobs = jobs.chain(view.runs.iter().map(|run| &run.jobs));
    let answer = match view.builds.iter().find(|build| build.build == id) {
        Some(build) => Some(maker.running(build, view.at)),
        None => jobs.flatten().find(|job| job.build == Some(id)).map(|job| maker.ended(job, id)),
    };
    match answer {
        Some(answer) => Json(answer).into_response(),
        None => {
            let remedy =
                "its items ended long ago, or you may not see them; its log may still be at build/ID";
            refuse(StatusCode::NOT_FOUND, "nothing is known of this build", remedy)
        }
    }
}

#[derive(Deserialize)]
struct Limit {
    limit: Option<String>,
}

async fn departed(State(site): Shared, Query(asked): Query<Limit>) -> Response {
    let limit = match asked.limit.map(|text| text.parse::<usize>()) {
        None => DEPARTED_USUAL,
        Some(Ok(limit)) => limit,
        Some(Err(_)) => {
            let remedy = "write it as in ?limit=20, or leave it out";
            return refuse(StatusCode::BAD_REQUEST, "the limit is no number", remedy);
        }
    };
    let picture = site.picture();
    let maker = site.maker(&picture);
    let departed: Vec<_> =
        picture.view.departed.iter().take(limit).map(|entry| maker.departed(entry)).collect();
    Json(json!({"departed": departed})).into_response()
}

async fn pauses(State(site): Shared) -> Response {
    let pauses: Vec<_> = site.picture().view.paused.iter().map(shape::pause).collect();
    Json(json!({"pauses": pauses})).into_response()
}

async fn runs(State(site): Shared) -> Response {
    let picture = site.picture();
    let maker = site.maker(&picture);
    let runs: Vec<_> = picture.view.runs.iter().map(|run| maker.run(run)).collect();
    Json(json!({"runs": runs})).into_response()
}

async fn listen(State(site): Shared, headers: HeaderMap) -> Response {
    let after = headers.get("last-event-id").and_then(|id| id.to_str().ok()).map(str::to_owned);
    stream::open(site, About::Events, after.as_deref())
}

/// What happened between two pictures, each with its name; without an earlier one, that a stream begins.
pub fn events(before: Option<&Picture>, after: &Picture, site: &Site) -> Vec<(&'static str, Value)> {
    let at = words::moment(after.view.at);
    let Some(before) = before else {
        return vec![("hello", json!({"at": at, "version": env!("CARGO_PKG_VERSION")}))];
    };
    let maker = site.maker(after);
    let mut found = Vec::new();
    let known: BTreeMap<_, _> = rows(before).map(|(_, row)| (row.item.item, row)).collect();
    for (queue, row) in rows(after) {
        let name = match known.get(&row.item.item) {
            None => "entered",
            Some(old) if old.item != row.item => "changed",
            Some(_) => continue,
        };
        found.push((name, json!({"at": at, "item": maker.item(&row.item, queue)})));
    }
    let left: std::collections::BTreeSet<_> = before.view.departed.iter().map(|entry| entry.item).collect();
    let fresh: Vec<_> = after.view.departed.iter().filter(|entry| !left.contains(&entry.item)).collect();
    for entry in fresh.into_iter().rev() {
        found.push(("left", json!({"at": at, "departed": maker.departed(entry)})));
    }
    let (old, new) = (&before.view.paused, &after.view.paused);
    for entry in new.iter().filter(|entry| !old.contains(entry)) {
        found.push(("stopped", json!({"at": at, "pause": shape::pause(entry)})));
    }
    for entry in old.iter().filter(|entry| !new.iter().any(|other| other.scope == entry.scope)) {
        found.push(("resumed", json!({"at": at, "pause": shape::pause(entry)})));
    }
    found
}

/// All items of a picture, with queue and place.
fn rows(picture: &Picture) -> impl Iterator<Item = (Option<(&str, usize)>, &Row)> {
    let queued = picture.view.queues.iter().zip(&picture.queues).flat_map(|(queue, rows)| {
        (1..).zip(rows).map(move |(place, row)| (Some((queue.name.as_str(), place)), row))
    });
    queued.chain(picture.checks.iter().map(|row| (None, row)))
}

impl Site {
    fn maker<'a>(&'a self, picture: &'a Picture) -> Maker<'a> {
        Maker { review_url: self.review_url.as_deref(), public_url: &self.public_url, times: &picture.times }
    }
}
