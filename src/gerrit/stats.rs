//! Counters of the adapter, for metrics and for the page; read without locks.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// Lags that are remembered until someone asks for them.
const LAGS_MAX: usize = 10_000;

/// What the adapter has done and seen since it was started.
#[derive(Debug, Default)]
pub struct Stats {
    /// Requests sent over REST, repeats included.
    pub requests: AtomicU64,
    /// Answers 401 and 403.
    pub denied: AtomicU64,
    /// Answers 404 and 409.
    pub rejected: AtomicU64,
    /// Failed connections, time limits, answers 429 and 5xx.
    pub unavailable: AtomicU64,
    /// Answers that could not be understood.
    pub malformed_answers: AtomicU64,
    /// Lines of the event stream that could not be understood.
    pub malformed_lines: AtomicU64,
    /// Events of the stream that were understood.
    pub events: AtomicU64,
    /// Connections of the event stream that ended.
    pub reconnects: AtomicU64,
    /// Catch-up readings done.
    pub catch_ups: AtomicU64,
    /// How late the events since the last look at them came, in milliseconds; bounded.
    lags_ms: Mutex<Vec<i64>>,
    /// When the last event came, in milliseconds since 1970; 0 for never.
    pub last_event_ms: AtomicI64,
    /// Whether the event stream is up.
    pub streaming: AtomicBool,
    /// Whether a catch-up has succeeded since the stream was last opened.
    pub caught_up: AtomicBool,
    /// Whether a catch-up has succeeded, and no sweep or poll has failed since.
    pub heard: AtomicBool,
}

impl Stats {
    /// Adds one to a counter.
    pub(super) fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes an event of the stream, which Gerrit made in that second.
    pub(super) fn event_seen(&self, created_s: Option<i64>) {
        Self::count(&self.events);
        let now = now_ms();
        self.last_event_ms.store(now, Ordering::Relaxed);
        let mut lags = self.lags_ms.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(created_s) = created_s.filter(|_| lags.len() < LAGS_MAX) {
            lags.push(now.saturating_sub(created_s.saturating_mul(1000)).max(0));
        }
    }

    /// How late the events came that were seen since the last call, in milliseconds. Gerrit tells whole
    /// seconds, so up to one of them is none of the way's.
    pub fn take_lags_ms(&self) -> Vec<i64> {
        std::mem::take(&mut *self.lags_ms.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Milliseconds since 1970 by the wall clock.
pub(super) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
