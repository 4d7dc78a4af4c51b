//! Serves a build's log as plain text, a bounded piece at a time: the end of a long one unless a
//! range is asked for.

use std::io::{self, SeekFrom};
use std::path::Path;

use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use rustix::fs::{Mode, OFlags};
use tokio::io::{AsyncReadExt, AsyncSeekExt};

/// The most bytes of a log that one answer holds.
const PIECE_MAX_BYTES: u64 = 1024 * 1024;

/// What part of a log to send.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Piece {
    from: u64,
    /// Where it ends, itself not included.
    to: u64,
    /// Whether this was asked for with a range that can be met.
    ranged: bool,
}

/// Answers with the log at `path`, as far as `headers` ask for it.
pub async fn send(path: &Path, headers: &HeaderMap) -> Response {
    let range = headers.get(header::RANGE).and_then(|value| value.to_str().ok());
    match read(path, range).await {
        Ok(Some((piece, size, bytes))) => answer(piece, size, bytes),
        Ok(None) => (StatusCode::RANGE_NOT_SATISFIABLE, "the log has no such range\n").into_response(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let text = "this build has no log: it has not begun, or its log was deleted for age\n";
            (StatusCode::NOT_FOUND, text).into_response()
        }
        Err(error) => {
            tracing::warn!(%error, path = %path.display(), "failed to read a build's log");
            (StatusCode::INTERNAL_SERVER_ERROR, "the log cannot be read; the daemon's own log says why\n")
                .into_response()
        }
    }
}

fn answer(piece: Piece, size: u64, bytes: Vec<u8>) -> Response {
    let status = if piece.ranged { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK };
    let mut response = (status, bytes).into_response();
    let fields = response.headers_mut();
    let plain = header::HeaderValue::from_static("text/plain; charset=utf-8");
    fields.insert(header::CONTENT_TYPE, plain);
    fields.insert(header::ACCEPT_RANGES, header::HeaderValue::from_static("bytes"));
    let last = piece.to.saturating_sub(1);
    let range = format!("bytes {}-{last}/{size}", piece.from);
    // Digits only, which a header always takes.
    if let Ok(range) = header::HeaderValue::from_str(&range) {
        let name = if piece.ranged { "content-range" } else { "x-log-range" };
        fields.insert(name, range);
    }
    response
}

/// The piece, the log's size and the piece's bytes; nothing when the range lies outside.
async fn read(path: &Path, range: Option<&str>) -> io::Result<Option<(Piece, u64, Vec<u8>)>> {
    // What lies there may have been put there by a build: no link is followed, no pipe waited for.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = std::fs::File::from(rustix::fs::open(path, flags, Mode::empty())?);
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    let size = metadata.len();
    let Some(piece) = choose(range, size) else { return Ok(None) };
    let mut file = tokio::fs::File::from_std(file);
    file.seek(SeekFrom::Start(piece.from)).await?;
    let mut bytes = Vec::new();
    file.take(piece.to - piece.from).read_to_end(&mut bytes).await?;
    // A log that is still written only grows; one that shrank is served as far as it goes.
    let to = piece.from + bytes.len() as u64;
    Ok(Some((Piece { to, ..piece }, size, bytes)))
}

/// The piece of a log of `size` bytes that `range` (as in the HTTP header) asks for. A range that
/// is not understood counts as none, as HTTP has it.
fn choose(range: Option<&str>, size: u64) -> Option<Piece> {
    let all = Piece { from: size.saturating_sub(PIECE_MAX_BYTES), to: size, ranged: false };
    let Some((from, to)) = range.and_then(|range| range.strip_prefix("bytes=")?.split_once('-')) else {
        return Some(all);
    };
    let piece = match (from.parse::<u64>(), to.parse::<u64>()) {
        (Ok(from), Ok(last)) if from <= last => Piece { from, to: last.saturating_add(1), ranged: true },
        (Ok(from), Err(_)) if to.is_empty() => Piece { from, to: size, ranged: true },
        (Err(_), Ok(length)) if from.is_empty() => {
            Piece { from: size.saturating_sub(length.min(PIECE_MAX_BYTES)), to: size, ranged: true }
        }
        _ => return Some(all),
    };
    let to = piece.to.min(size).min(piece.from.saturating_add(PIECE_MAX_BYTES));
    (piece.from < to).then_some(Piece { to, ..piece })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_is_bounded_and_within_the_log() {
        let big = 5 * PIECE_MAX_BYTES;
        for (range, size, expected) in [
            (None, 10, Some((0, 10, false))),
            (None, 0, Some((0, 0, false))),
            (None, big, Some((big - PIECE_MAX_BYTES, big, false))),
            (Some("bytes=2-4"), 10, Some((2, 5, true))),
            (Some("bytes=2-"), 10, Some((2, 10, true))),
            (Some("bytes=-3"), 10, Some((7, 10, true))),
            (Some("bytes=-99"), 10, Some((0, 10, true))),
            (Some("bytes=0-"), big, Some((0, PIECE_MAX_BYTES, true))),
            (Some("bytes=10-"), 10, None),
            (Some("bytes=-0"), 10, None),
            (Some("bytes=0-18446744073709551615"), 10, Some((0, 10, true))),
            (Some("bytes=4-2"), 10, Some((0, 10, false))),
            (Some("lines=1-2"), 10, Some((0, 10, false))),
        ] {
            let expected = expected.map(|(from, to, ranged)| Piece { from, to, ranged });
            assert_eq!(choose(range, size), expected, "{range:?} of {size}");
        }
    }
}
