//! The paths, their headers, and the server.
//!
//! Everything here is for everybody who can reach the address: nothing changes anything, and
//! nothing private is in a view.

use std::future::{Future, IntoFuture};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::map_response_with_state;
use axum::response::{Html as HtmlBody, IntoResponse, Response};
use axum::routing::get;
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::sleep;

use super::listener::BoundedListener;
use super::page::{self, Kind};
use super::picture::{Album, Picture};
use super::pieces::Frame;
use super::stream::{self, About, STREAMS_MAX};
use super::{Desk, Health, api, assets, log, search};
use crate::model::{BuildId, ChangeNumber, Timestamp};

/// Nothing but the page's own style sheet, script and streams may take effect; a search may be sent.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
);

/// What the pages need to know of the site.
#[derive(Clone, Default, Debug)]
pub struct Options {
    /// Where changes are reviewed, as in `https://gerrit.example.org`; pages link to it.
    pub review_url: Option<String>,
    /// The page's address for people, for links in answers of the API; relative ones without it.
    pub public_url: String,
}

/// What all requests share.
pub struct Site {
    /// The daemon.
    pub desk: Arc<dyn Desk>,
    /// Where changes are reviewed, without a slash at the end.
    pub review_url: Option<String>,
    /// The page's address, ending in a slash, or nothing.
    pub public_url: String,
    /// Tells the views of this run of the daemon from those of others.
    pub run: i64,
    /// What the views look like.
    pub album: Album,
    /// Places for streams.
    pub streams: Arc<Semaphore>,
}

/// The site as requests get it.
pub type Shared = State<Arc<Site>>;

/// How long requests under way may take once the server is to stop.
const GRACE: Duration = Duration::from_secs(2);

/// Serves on `listener` until `stop` is done; requests under way are then given two seconds.
///
/// # Errors
/// Never in practice: failures to accept are logged and outlasted.
pub async fn serve(
    listener: TcpListener,
    desk: Arc<dyn Desk>,
    options: Options,
    stop: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let (tell, told) = oneshot::channel();
    let stopping = async move {
        stop.await;
        let _ = tell.send(());
    };
    let serving =
        axum::serve(BoundedListener::new(listener), router(desk, options)).with_graceful_shutdown(stopping);
    let cut = async move {
        let _ = told.await;
        sleep(GRACE).await;
    };
    tokio::select! {
        ended = serving.into_future() => ended,
        () = cut => Ok(()),
    }
}

/// All paths.
pub fn router(desk: Arc<dyn Desk>, options: Options) -> Router {
    let trimmed = options.review_url.map(|url| url.trim_end_matches('/').to_owned());
    // Only the web's own schemes may become links.
    let review_url = trimmed.filter(|url| url.starts_with("https://") || url.starts_with("http://"));
    let site = Arc::new(Site {
        desk,
        review_url,
        public_url: options.public_url,
        run: now().0,
        album: Album::default(),
        streams: Arc::new(Semaphore::new(STREAMS_MAX)),
    });
    Router::new()
        .route("/", get(status))
        .route("/change/{number}", get(change))
        .route("/search", get(find))
        .route("/build/{id}", get(build))
        .route("/live", get(live))
        .route("/assets/{name}", get(asset))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .merge(api::routes())
        .fallback(|| async {
            (StatusCode::NOT_FOUND, "there is no such page; the status page is at the top\n")
        })
        .layer(map_response_with_state(Arc::clone(&site), guard))
        .with_state(site)
}

/// Adds to each response what keeps a browser from doing more with it than showing it.
async fn guard(State(_): Shared, mut response: Response) -> Response {
    let fields = response.headers_mut();
    fields.insert(header::CONTENT_SECURITY_POLICY, POLICY);
    fields.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    fields.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    fields.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

#[derive(Deserialize)]
struct Whole {
    all: Option<String>,
}

async fn status(State(site): Shared, Query(asked): Query<Whole>) -> HtmlBody<String> {
    let picture = site.picture();
    let id = site.id_of(&picture);
    let mut frame = site.frame(Kind::Status.root(), &picture, &id);
    if asked.all.is_none() {
        frame.most = page::FIRST_MAX;
    }
    HtmlBody(page::write_status(&picture, &frame))
}

async fn change(State(site): Shared, Path(number): Path<u64>) -> Response {
    let (picture, number) = (site.picture(), ChangeNumber(number));
    let id = site.id_of(&picture);
    let frame = site.frame(Kind::Change(number).root(), &picture, &id);
    let (known, text) = page::write_change(&picture, number, &frame);
    let status = if known { StatusCode::OK } else { StatusCode::NOT_FOUND };
    (status, HtmlBody(text)).into_response()
}

#[derive(Deserialize)]
struct Search {
    #[serde(default)]
    q: String,
}

async fn find(State(site): Shared, Query(asked): Query<Search>) -> HtmlBody<String> {
    let query: String = asked.q.trim().chars().take(search::QUERY_MAX_CHARS).collect();
    let picture = site.picture();
    HtmlBody(page::write_search(&picture, &query, &site.frame("", &picture, &site.id_of(&picture))))
}

#[derive(Deserialize)]
struct Listen {
    change: Option<u64>,
    q: Option<String>,
    at: Option<String>,
    most: Option<usize>,
}

async fn live(State(site): Shared, Query(asked): Query<Listen>, headers: HeaderMap) -> Response {
    let kind = match (asked.change, asked.q) {
        (Some(number), _) => Kind::Change(ChangeNumber(number)),
        (None, Some(query)) => Kind::Search(query.chars().take(search::QUERY_MAX_CHARS).collect()),
        (None, None) => Kind::Status,
    };
    // A browser that lost its connection says itself where it was.
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok()).map(str::to_owned);
    let most = asked.most.filter(|_| last.is_none());
    stream::open(site, About::Page(kind, most), last.or(asked.at).as_deref())
}

async fn asset(Path(name): Path<String>, headers: HeaderMap) -> Response {
    assets::send(&name, &headers)
}

async fn build(State(site): Shared, Path(id): Path<u64>, headers: HeaderMap) -> Response {
    match site.desk.log_path(BuildId(id)) {
        Some(path) => log::send(&path, &headers).await,
        None => (StatusCode::NOT_FOUND, "there is no such build\n").into_response(),
    }
}

async fn healthz(State(site): Shared) -> Response {
    let health = site.desk.health();
    tell(health.live, &health)
}

async fn readyz(State(site): Shared) -> Response {
    let health = site.desk.health();
    tell(health.live && health.ready, &health)
}

fn tell(well: bool, health: &Health) -> Response {
    let status = if well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let mut text = String::from(if well { "ok\n" } else { "not ok\n" });
    for problem in &health.problems {
        text.push_str(&super::clean::one_line(problem));
        text.push('\n');
    }
    (status, text).into_response()
}

async fn metrics(State(site): Shared) -> Response {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], site.desk.metrics()).into_response()
}

impl Site {
    /// The picture of the present view.
    pub fn picture(&self) -> Arc<Picture> {
        self.album.latest(&*self.desk)
    }

    /// The name of a picture, which no other run of the daemon gives.
    pub fn id_of(&self, picture: &Picture) -> String {
        format!("{}-{}", self.run, picture.number)
    }

    /// What a page is written with.
    pub fn frame<'a>(&'a self, root: &'static str, picture: &'a Picture, at: &'a str) -> Frame<'a> {
        let (review_url, times) = (self.review_url.as_deref(), &picture.times);
        Frame { root, now: now(), review_url, times, at, most: page::ENTRIES_MAX }
    }
}

/// The wall clock, for ages on pages only.
fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
