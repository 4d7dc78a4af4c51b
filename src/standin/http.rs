//! The web server: who asks, and whether it is for REST, for git or for people.

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request as Incoming, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::accounts::Person;
use super::refusal::Refusal;
use super::rest::{Answer, Request};
use super::site::Shared;
use super::{hook, page, smart};

/// Largest body that is read, in bytes: a push holds a pack.
const BODY_MAX: usize = 512 << 20;

/// Serves until it is dropped.
pub async fn serve(listener: TcpListener, site: Shared) {
    let router = Router::new().fallback(answer).with_state(site);
    if let Err(error) = axum::serve(listener, router).await {
        tracing::error!(%error, "the stand-in's web server has ended");
    }
}

/// The parts of a path, decoded.
fn parts(path: &str) -> Vec<String> {
    let decoded = |part: &str| percent_decode_str(part).decode_utf8_lossy().into_owned();
    let mut parts: Vec<String> = path.trim_start_matches('/').split('/').map(decoded).collect();
    if parts.last().is_some_and(String::is_empty) {
        parts.pop();
    }
    parts
}

/// A query or a form, decoded.
pub fn pairs(text: &str) -> Vec<(String, String)> {
    let decoded = |part: &str| {
        let spaced = part.replace('+', " ");
        percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
    };
    let split = text.split('&').filter(|part| !part.is_empty());
    split
        .map(|part| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            (decoded(name), decoded(value))
        })
        .collect()
}

/// Who a request says it is: `Err` for wrong credentials, `Ok(None)` for none.
fn identify<'a>(site: &'a Shared, headers: &HeaderMap) -> Result<Option<&'a Person>, ()> {
    let Some(value) = headers.get(header::AUTHORIZATION) else { return Ok(None) };
    let encoded = value.to_str().ok().and_then(|value| value.strip_prefix("Basic ")).ok_or(())?;
    let decoded = base64::engine::general_purpose::STANDARD.decode(encoded.trim()).map_err(drop)?;
    let text = String::from_utf8(decoded).map_err(drop)?;
    let (user, token) = text.split_once(':').ok_or(())?;
    site.accounts.sign_in(user, token).map(Some).ok_or(())
}

fn unauthorized() -> Response {
    let headers = [(header::WWW_AUTHENTICATE, "Basic realm=\"Gerrit Code Review\"")];
    (StatusCode::UNAUTHORIZED, headers, "Unauthorized").into_response()
}

async fn answer(State(site): State<Shared>, incoming: Incoming) -> Response {
    let (head, body) = incoming.into_parts();
    let path = head.uri.path().to_owned();
    let query = head.uri.query().unwrap_or_default().to_owned();
    let (path, is_named) = match path.strip_prefix("/a/") {
        Some(rest) => (format!("/{rest}"), true),
        None => (path, false),
    };
    let Ok(who) = identify(&site, &head.headers) else { return unauthorized() };
    if is_named && who.is_none() {
        return unauthorized();
    }
    let Ok(bytes) = to_bytes(body, BODY_MAX).await else {
        return (StatusCode::PAYLOAD_TOO_LARGE, "the request is too large").into_response();
    };
    if let Some(request) = smart::Request::read(&path, &query) {
        return smart::answer(&site, who, &request, &head.headers, bytes.to_vec()).await;
    }
    // Without the prefix, REST does not look at credentials.
    let who = who.filter(|_| is_named);
    let parts = parts(&path);
    let method = head.method.as_str();
    match parts.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] | ["c", ..] | ["style.css"] => page::answer(&site, method, &parts, &head.headers, &bytes),
        ["tools", "hooks", "commit-msg"] => hook::SCRIPT.into_response(),
        _ => rest(&site, method, parts, &query, &bytes, who),
    }
}

fn rest(
    site: &Shared,
    method: &str,
    path: Vec<String>,
    query: &str,
    body: &[u8],
    who: Option<&Person>,
) -> Response {
    let body =
        if body.trim_ascii().is_empty() { Ok(json!({})) } else { serde_json::from_slice::<Value>(body) };
    let Ok(body) = body else {
        return refuse(&Refusal::bad("Invalid application/json in request"));
    };
    match site.rest(&Request { method, path, asked: pairs(query), body, who }) {
        Ok(Answer::Ok(value)) => say(StatusCode::OK, &value),
        Ok(Answer::Created(value)) => say(StatusCode::CREATED, &value),
        Ok(Answer::Nothing) => StatusCode::NO_CONTENT.into_response(),
        Err(refusal) => refuse(&refusal),
    }
}

/// JSON behind the line that keeps it from being run as a script.
fn say(status: StatusCode, value: &Value) -> Response {
    let headers = [(header::CONTENT_TYPE, "application/json;charset=utf-8")];
    (status, headers, Body::from(format!(")]}}'\n{value}\n"))).into_response()
}

/// A refusal as plain text.
pub fn refuse(refusal: &Refusal) -> Response {
    let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = [(header::CONTENT_TYPE, "text/plain;charset=utf-8")];
    (status, headers, format!("{}\n", refusal.words)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_queries_are_decoded_part_by_part() {
        assert_eq!(parts("/changes/a%2Fb~1/detail"), ["changes", "a/b~1", "detail"]);
        assert_eq!(parts("/projects/"), ["projects"]);
        assert!(parts("/").is_empty());
        let pairs = pairs("q=status:open+label:A%3E%3D2&n=1&d");
        let expected = [("q", "status:open label:A>=2"), ("n", "1"), ("d", "")];
        assert_eq!(pairs, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }
}
