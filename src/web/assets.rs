//! The style sheet, the script and the icon: part of the program, served with a tag so that browsers
//! ask for them again only after an upgrade.

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};

/// Name, type and content of each.
const ASSETS: [(&str, &str, &str); 3] = [
    ("style.css", "text/css; charset=utf-8", include_str!("assets/style.css")),
    ("live.js", "text/javascript; charset=utf-8", include_str!("assets/live.js")),
    ("icon.svg", "image/svg+xml", include_str!("assets/icon.svg")),
];

/// Answers with the asset of that name.
pub fn send(name: &str, headers: &HeaderMap) -> Response {
    let Some((_, kind, text)) = ASSETS.iter().find(|(known, ..)| *known == name) else {
        return (StatusCode::NOT_FOUND, "there is no such file\n").into_response();
    };
    let tag = tag(text);
    let known = headers.get(header::IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes());
    let fields = [
        (header::ETAG, HeaderValue::from_str(&tag)),
        (header::CACHE_CONTROL, Ok(HeaderValue::from_static("no-cache"))),
        (header::CONTENT_TYPE, Ok(HeaderValue::from_static(kind))),
    ];
    let mut response = if known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        (StatusCode::OK, *text).into_response()
    };
    for (name, value) in fields {
        // Digits and fixed text, which a header always takes.
        if let Ok(value) = value {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

fn tag(text: &str) -> String {
    use std::fmt::Write as _;
    let mut tag = String::from("\"");
    for byte in Sha256::digest(text).iter().take(12) {
        // Writing to a string cannot fail.
        let _ = write!(tag, "{byte:02x}");
    }
    tag.push('"');
    tag
}
