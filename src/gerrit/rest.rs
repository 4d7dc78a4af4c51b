//! The REST client: one pooled connection set, bounded in rate, concurrency, time and size.
//!
//! Only reads are repeated by themselves; whoever writes decides what an ambiguous end means.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep_until};

use super::footer::Addresses;
use super::outside::Exchange;
use super::stats::Stats;
use super::wire::read_change;
use crate::model::ChangeSnapshot;

/// Requests under way at once; Gerrit's own pool for batch users is of this order.
const CONCURRENCY: usize = 8;
/// Requests in a second at most: far above need, below what hurts a server.
const RATE: u32 = 300;
/// Longest wait for one answer.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Largest answer read, in bytes.
const ANSWER_MAX: usize = 64 << 20;
/// Attempts at a read.
const ATTEMPTS: u32 = 3;
/// Longest part of a server's error text that is kept, in bytes.
const ERROR_TEXT_MAX: usize = 500;
/// Characters kept as they are in a path segment or a query value.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Why a request did not succeed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RestError {
    /// 401.
    #[error(
        "sign in to Gerrit: the user name or the token was refused; check `user` and the content of `token-file` (make a new token under Settings, HTTP Credentials)"
    )]
    Unauthorized,
    /// 403, with the server's words.
    #[error("get Gerrit's permission: {0}")]
    Forbidden(String),
    /// 404: missing, or not visible to the daemon.
    #[error("find it on Gerrit: it does not exist, or the daemon's account may not read it ({0})")]
    NotFound(String),
    /// 409, with the server's words.
    #[error("do so in Gerrit's present state: {0}")]
    Conflict(String),
    /// Any other 4xx, with the server's words.
    #[error("satisfy Gerrit with the request: {0}")]
    Rejected(String),
    /// No connection, no answer in time, 429 or 5xx.
    #[error("reach Gerrit: {0}; check that the server runs and that `url` is right")]
    Unavailable(String),
    /// An answer that is not what Gerrit says.
    #[error("understand Gerrit's answer: {0}; check that `url` leads to Gerrit and not to a sign-in page")]
    Malformed(String),
}

impl RestError {
    /// Whether asking again may help.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Malformed(_))
    }
}

/// Makes `text` fit for a path segment or a query value.
pub(super) fn encode(text: &str) -> String {
    utf8_percent_encode(text, PLAIN).to_string()
}

/// Where authenticated requests go, for a server whose address may have a path, a slash at its end, or
/// the `/a` of those requests.
fn base_of(url: &str) -> String {
    let url = url.trim_end_matches('/');
    format!("{}/a/", url.strip_suffix("/a").unwrap_or(url))
}

/// The client. Cheap to clone.
#[derive(Clone)]
pub struct Rest {
    client: Client,
    base: Arc<str>,
    user: Arc<str>,
    token: Arc<str>,
    running: Arc<Semaphore>,
    pace: Arc<Pace>,
    wire: Arc<dyn Exchange>,
    stats: Arc<Stats>,
    addresses: Addresses,
}

impl Rest {
    /// A client for the server at `url` (any path prefix is kept).
    ///
    /// # Errors
    /// When `url` is no http(s) address or TLS cannot be set up.
    pub fn new(url: &str, user: &str, token: &str, stats: Arc<Stats>) -> Result<Self, String> {
        let parsed = reqwest::Url::parse(url).map_err(|error| {
            format!("`url` {url:?} is no address ({error}); give it as in https://gerrit.example.org/")
        })?;
        if !matches!(parsed.scheme(), "http" | "https") {
            return Err(format!("`url` {url:?} must begin with https:// or http://"));
        }
        let mut builder = Client::builder()
            .timeout(TIMEOUT)
            .connect_timeout(Duration::from_secs(10))
            .pool_max_idle_per_host(CONCURRENCY)
            .tcp_nodelay(true)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("seakeeper/", env!("CARGO_PKG_VERSION")));
        if is_loopback(parsed.host_str().unwrap_or_default()) {
            builder = builder.no_proxy();
        }
        let client = builder.build().map_err(|error| format!("the HTTP client cannot be set up: {error}"))?;
        Ok(Self {
            client: client.clone(),
            base: base_of(url).into(),
            user: user.into(),
            token: token.into(),
            running: Arc::new(Semaphore::new(CONCURRENCY)),
            pace: Arc::default(),
            wire: Arc::new(client),
            stats,
            addresses: Addresses::new([url]),
        })
    }

    /// The same client; people know the server under these addresses too.
    pub fn also_known_as(mut self, others: &[String]) -> Self {
        let own = self.url().to_owned();
        self.addresses = Addresses::new([own.as_str()].into_iter().chain(others.iter().map(String::as_str)));
        self
    }

    /// A change in an answer; see [`read_change`].
    pub(super) fn change(&self, value: &Value) -> Option<ChangeSnapshot> {
        read_change(value, &self.addresses)
    }

    /// The server's address, without what stands before every path.
    pub fn url(&self) -> &str {
        self.base.strip_suffix("/a/").unwrap_or(&self.base)
    }

    /// Its counters.
    pub fn stats(&self) -> Arc<Stats> {
        self.stats.clone()
    }

    /// The account that asks.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// Reads `path` (below `/a/`); repeated with growing pauses while the server is unavailable.
    ///
    /// # Errors
    /// See [`RestError`].
    pub async fn get(&self, path: &str) -> Result<Value, RestError> {
        let mut pause = Duration::from_millis(200);
        for _ in 1..ATTEMPTS {
            match self.send(Method::GET, path, None).await {
                Err(RestError::Unavailable(_)) => tokio::time::sleep(pause).await,
                other => return other,
            }
            pause *= 3;
        }
        self.send(Method::GET, path, None).await
    }

    /// Reads `path` as somebody who has not signed in would; once.
    ///
    /// # Errors
    /// See [`RestError`].
    pub async fn get_unsigned(&self, path: &str) -> Result<Value, RestError> {
        let request = self.client.get(format!("{}{path}", self.base.trim_end_matches("a/")));
        self.counted(request.header("Accept", "application/json")).await
    }

    /// Writes once.
    ///
    /// # Errors
    /// See [`RestError`]; after `Unavailable` and `Malformed` it may have been done.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Value, RestError> {
        self.send(Method::POST, path, Some(body)).await
    }

    /// Sends one request, with JSON if there is a body.
    ///
    /// # Errors
    /// As [`Rest::post`].
    pub(super) async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, RestError> {
        let request = self.request(method, path);
        self.counted(match body {
            Some(body) => request.json(body),
            None => request,
        })
        .await
    }

    /// Writes plain text once.
    ///
    /// # Errors
    /// As [`Rest::post`].
    pub(super) async fn send_text(&self, method: Method, path: &str, body: &str) -> Result<Value, RestError> {
        let request = self.request(method, path).header("Content-Type", "text/plain");
        self.counted(request.body(body.to_owned())).await
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client
            .request(method, format!("{}{path}", self.base))
            .basic_auth(&self.user, Some(&self.token))
            .header("Accept", "application/json")
    }

    /// The same with another way to the server.
    #[cfg(test)]
    pub fn through(self, wire: Arc<dyn Exchange>) -> Self {
        Self { wire, ..self }
    }

    async fn exchange(&self, request: RequestBuilder) -> Result<Value, RestError> {
        let request = request.build().map_err(|error| unavailable(&error))?;
        let (status, bytes) = self.wire.exchange(request).await?;
        read_answer(status, &bytes)
    }

    /// Sends a request when it is its turn, and counts how it ends.
    async fn counted(&self, request: RequestBuilder) -> Result<Value, RestError> {
        let _running = self.running.acquire().await;
        self.pace.come().await;
        Stats::count(&self.stats.requests);
        let result = self.exchange(request).await;
        if let Err(error) = &result {
            Stats::count(match error {
                RestError::Unauthorized | RestError::Forbidden(_) => &self.stats.denied,
                RestError::NotFound(_) | RestError::Conflict(_) | RestError::Rejected(_) => {
                    &self.stats.rejected
                }
                RestError::Unavailable(_) => &self.stats.unavailable,
                RestError::Malformed(_) => &self.stats.malformed_answers,
            });
        }
        result
    }
}

/// A bound on requests in a second that lets a burst pass: each takes a place in time, and a place may
/// lie up to a second behind.
#[derive(Default)]
struct Pace(Mutex<Option<Instant>>);

impl Pace {
    async fn come(&self) {
        let place = {
            let mut next = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            let earliest = now.checked_sub(Duration::from_secs(1)).unwrap_or(now);
            let place = next.map_or(earliest, |next| next.max(earliest));
            *next = Some(place + Duration::from_secs(1) / RATE);
            place
        };
        sleep_until(place).await;
    }
}

/// Reads an answer to its end.
///
/// # Errors
/// When it breaks off, or is too long.
pub(super) async fn read_body(
    response: Result<Response, reqwest::Error>,
) -> Result<(StatusCode, Vec<u8>), RestError> {
    let mut response = response.map_err(|error| unavailable(&error))?;
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| unavailable(&error))? {
        if bytes.len() + chunk.len() > ANSWER_MAX {
            return Err(RestError::Malformed(format!("it is longer than {} MiB", ANSWER_MAX >> 20)));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok((response.status(), bytes))
}

/// What an answer says.
fn read_answer(status: StatusCode, bytes: &[u8]) -> Result<Value, RestError> {
    if status.is_success() {
        let text = bytes.strip_prefix(b")]}'").unwrap_or(bytes);
        if text.trim_ascii().is_empty() {
            return Ok(Value::Null);
        }
        return serde_json::from_slice(text).map_err(|error| RestError::Malformed(error.to_string()));
    }
    let cut = &bytes[..bytes.len().min(ERROR_TEXT_MAX)];
    let words = String::from_utf8_lossy(cut).split_whitespace().collect::<Vec<_>>().join(" ");
    Err(match status.as_u16() {
        401 => RestError::Unauthorized,
        403 => RestError::Forbidden(words),
        404 => RestError::NotFound(words),
        409 => RestError::Conflict(words),
        429 | 500.. => RestError::Unavailable(format!("it answered {status} {words}")),
        300..=399 => RestError::Malformed(format!("it answered {status}, a redirection")),
        _ => RestError::Rejected(format!("{status} {words}")),
    })
}

/// The cause of a failed exchange in one line, without the address (it may hold a name to hide).
fn unavailable(error: &reqwest::Error) -> RestError {
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    let what = if error.is_timeout() {
        "no answer in time"
    } else if error.is_connect() {
        "no connection"
    } else {
        "the exchange broke off"
    };
    RestError::Unavailable(format!("{what} ({cause})"))
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare == "localhost" || bare.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_the_servers_address_leads_to_its_requests() {
        for (url, expected) in [
            ("https://g.example.org", "https://g.example.org/a/"),
            ("https://g.example.org/", "https://g.example.org/a/"),
            ("https://g.example.org:8443/r/", "https://g.example.org:8443/r/a/"),
            ("https://g.example.org/r", "https://g.example.org/r/a/"),
            ("https://g.example.org/r/a/", "https://g.example.org/r/a/"),
            ("http://[::1]:8080/gerrit//", "http://[::1]:8080/gerrit/a/"),
        ] {
            assert_eq!(base_of(url), expected, "{url}");
        }
    }

    #[test]
    fn the_guard_before_an_answer_is_taken_off() {
        let answer = read_answer(StatusCode::OK, b")]}'\n\"3.13.5\"\n");
        assert_eq!(answer, Ok(Value::from("3.13.5")));
        assert_eq!(read_answer(StatusCode::NO_CONTENT, b""), Ok(Value::Null));
    }

    #[test]
    fn each_status_has_its_error() {
        let check = |status: u16, expected: RestError| {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(read_answer(status, b"why\nnot"), Err(expected));
        };
        check(401, RestError::Unauthorized);
        check(403, RestError::Forbidden("why not".into()));
        check(404, RestError::NotFound("why not".into()));
        check(409, RestError::Conflict("why not".into()));
        check(400, RestError::Rejected("400 Bad Request why not".into()));
        check(503, RestError::Unavailable("it answered 503 Service Unavailable why not".into()));
        check(302, RestError::Malformed("it answered 302 Found, a redirection".into()));
    }

    #[test]
    fn a_page_instead_of_an_answer_is_malformed() {
        assert!(matches!(read_answer(StatusCode::OK, b"<html>"), Err(RestError::Malformed(_))));
    }

    #[test]
    fn loopback_is_known_in_all_its_forms() {
        for (host, expected) in [
            ("127.0.0.1", true),
            ("localhost", true),
            ("[::1]", true),
            ("127.9.9.9", true),
            ("10.0.0.1", false),
        ] {
            assert_eq!(is_loopback(host), expected, "{host}");
        }
    }

    #[test]
    fn names_are_encoded_for_paths() {
        assert_eq!(encode("a/b c+é"), "a%2Fb%20c%2B%C3%A9");
    }
}
