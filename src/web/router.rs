//! The paths, their headers, and the server.
//!
//! Everything here is for everybody who can reach the address: nothing changes anything, and
//! nothing private is in a view.

use std::future::{Future, IntoFuture};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::map_response_with_state;
use axum::response::{Html as HtmlBody, IntoResponse, Response};
use axum::routing::get;
use base64::Engine;
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::time::sleep;

use super::listener::BoundedListener;
use super::pieces::{Frame, STYLE};
use super::{Desk, Health, log, page};
use crate::model::{BuildId, ChangeNumber, Timestamp};

/// What the pages need to know of the site.
#[derive(Clone, Default, Debug)]
pub struct Options {
    /// Where changes are reviewed, as in `https://gerrit.example.org`; pages link to it.
    pub review_url: Option<String>,
}

struct Site {
    desk: Arc<dyn Desk>,
    review_url: Option<String>,
    /// Content-Security-Policy.
    policy: HeaderValue,
    /// Tells the views of this run of the daemon from those of others.
    run: i64,
}

type Shared = State<Arc<Site>>;

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
    let run = now().0;
    let trimmed = options.review_url.map(|url| url.trim_end_matches('/').to_owned());
    // Only the web's own schemes may become links.
    let review_url = trimmed.filter(|url| url.starts_with("https://") || url.starts_with("http://"));
    let site = Arc::new(Site { desk, review_url, policy: content_policy(), run });
    Router::new()
        .route("/", get(status))
        .route("/change/{number}", get(change))
        .route("/build/{id}", get(build))
        .route("/api/v1/view", get(view))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .fallback(|| async {
            (StatusCode::NOT_FOUND, "there is no such page; the status page is at the top\n")
        })
        .layer(map_response_with_state(Arc::clone(&site), guard))
        .with_state(site)
}

/// Nothing but the page's own style sheet, known by its digest, is allowed to take effect.
fn content_policy() -> HeaderValue {
    let digest = base64::engine::general_purpose::STANDARD.encode(Sha256::digest(STYLE));
    let text = format!(
        "default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    // Base64 and fixed text, which a header always takes; the fallback forbids everything.
    HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("default-src 'none'"))
}

/// Adds to each response what keeps a browser from doing more with it than showing it.
async fn guard(State(site): Shared, mut response: Response) -> Response {
    let fields = response.headers_mut();
    fields.insert(header::CONTENT_SECURITY_POLICY, site.policy.clone());
    fields.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    fields.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    fields.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

async fn status(State(site): Shared) -> HtmlBody<String> {
    HtmlBody(page::status(&site.desk.view(), &site.desk.health(), &site.frame("")))
}

async fn change(State(site): Shared, Path(number): Path<u64>) -> Response {
    let (known, text) = page::change(&site.desk.view(), ChangeNumber(number), &site.frame("../"));
    let status = if known { StatusCode::OK } else { StatusCode::NOT_FOUND };
    (status, HtmlBody(text)).into_response()
}

async fn build(State(site): Shared, Path(id): Path<u64>, headers: HeaderMap) -> Response {
    match site.desk.log_path(BuildId(id)) {
        Some(path) => log::send(&path, &headers).await,
        None => (StatusCode::NOT_FOUND, "there is no such build\n").into_response(),
    }
}

async fn view(State(site): Shared, headers: HeaderMap) -> Response {
    // The number is read first: a view that is newer than its tag is fetched once more, never less.
    let tag = format!("\"{}-{}\"", site.run, *site.desk.changed().borrow());
    if headers.get(header::IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes()) {
        return StatusCode::NOT_MODIFIED.into_response();
    }
    let fields = [(header::ETAG, tag), (header::CACHE_CONTROL, "no-cache".into())];
    (fields, axum::Json(site.desk.view())).into_response()
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
    fn frame(&self, root: &'static str) -> Frame<'_> {
        Frame { root, now: now(), review_url: self.review_url.as_deref() }
    }
}

/// The wall clock, for ages on pages only.
fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
