//! Streams of server-sent events: for open pages, and for programs. Their number is bounded, each sends
//! at most a few times a second, and a reader that does not read holds up nobody but itself.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::unfold;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::sleep;

use super::page::Kind;
use super::picture::Picture;
use super::router::Site;
use super::{api, live};

/// Streams at once; each holds a connection.
pub const STREAMS_MAX: usize = 64;
/// The least time between two messages of a stream: well below a second, well above none.
const PAUSE: Duration = Duration::from_millis(150);
/// A stream without news sends a comment so often, or the connection would count as idle.
const COMMENT_EVERY: Duration = Duration::from_secs(10);

/// What a stream tells.
pub enum About {
    /// A page, and how many entries of each list it had from the start.
    Page(Kind, Option<usize>),
    /// Events for programs.
    Events,
}

struct Reader {
    site: Arc<Site>,
    about: About,
    changed: watch::Receiver<u64>,
    seen: Option<Arc<Picture>>,
    /// Whether nothing was looked at yet.
    fresh: bool,
    ready: VecDeque<Event>,
    _place: Place,
}

/// A place among the streams; it is counted while it is held.
struct Place {
    site: Arc<Site>,
    _permit: OwnedSemaphorePermit,
}

impl Place {
    fn count(&self) {
        let open = STREAMS_MAX - self.site.streams.available_permits();
        self.site.desk.figures().streams(open);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // The permit itself is given back just after this.
        let open = STREAMS_MAX - self.site.streams.available_permits();
        self.site.desk.figures().streams(open.saturating_sub(1));
    }
}

/// Opens a stream that goes on after the picture called `after`, if that is still known.
pub fn open(site: Arc<Site>, about: About, after: Option<&str>) -> Response {
    let Ok(permit) = Arc::clone(&site.streams).try_acquire_owned() else {
        return api::refuse(
            axum::http::StatusCode::SERVICE_UNAVAILABLE,
            "all streams are taken",
            "try again later, or ask at intervals; close pages that nobody looks at",
        );
    };
    let place = Place { site: Arc::clone(&site), _permit: permit };
    place.count();
    let number = after.and_then(|id| id.strip_prefix(&format!("{}-", site.run))?.parse().ok());
    let reader = Reader {
        changed: site.desk.changed(),
        seen: number.and_then(|number| site.album.find(number)),
        site,
        about,
        fresh: true,
        ready: VecDeque::new(),
        _place: place,
    };
    let events = unfold(reader, |mut reader| async move {
        let event = reader.next().await?;
        Some((Ok::<Event, Infallible>(event), reader))
    });
    Sse::new(events).keep_alive(KeepAlive::new().interval(COMMENT_EVERY)).into_response()
}

impl Reader {
    /// The next message; none when the daemon ends.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            if !std::mem::take(&mut self.fresh) {
                sleep(PAUSE).await;
                self.changed.changed().await.ok()?;
            }
            self.changed.mark_unchanged();
            let after = self.site.album.latest(&*self.site.desk);
            self.look(&after);
            self.seen = Some(after);
        }
    }

    /// Makes ready what `after` has that was not seen yet.
    fn look(&mut self, after: &Picture) {
        let id = self.site.id_of(after);
        match &mut self.about {
            About::Page(kind, most) => {
                let mut frame = self.site.frame(kind.root(), after, &id);
                frame.most = most.take().unwrap_or(frame.most);
                if let Some(update) = live::update(kind, self.seen.as_deref(), after, &frame) {
                    self.ready.extend(message("update", &id, &update));
                }
            }
            About::Events => {
                for (name, data) in api::events(self.seen.as_deref(), after, &self.site) {
                    self.ready.extend(message(name, &id, &data));
                }
            }
        }
    }
}

fn message(name: &str, id: &str, data: &impl serde::Serialize) -> Option<Event> {
    // Text and numbers only, of which JSON can always be made.
    Some(Event::default().event(name).id(id).data(serde_json::to_string(data).ok()?))
}
