//! What monitoring reads. The daemon feeds it; labels are names from the configuration and fixed
//! words, never numbers of changes or builds, so that the number of series stays small.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use super::state::reason_kind;
use super::words;
use crate::model::item::JobOutcome;
use crate::model::view::View;
use crate::model::{Departure, JobName, QueueName};

/// Job names that get series of their own; job files could bring in any number of them.
const JOBS_MAX: usize = 300;

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct QueueLabel {
    queue: String,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct LeftLabels {
    queue: String,
    reason: &'static str,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct BuildLabels {
    job: String,
    result: &'static str,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct RequestLabels {
    kind: &'static str,
    result: &'static str,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct ResultLabel {
    result: &'static str,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct WaitLabels {
    queue: String,
    kind: &'static str,
}

/// What the Gerrit adapter has counted since the start of the daemon.
#[derive(Clone, Copy, Default, Debug)]
pub struct GerritCounts {
    /// Requests by how they ended: a fixed word and the number.
    pub requests: [(&'static str, u64); 5],
    /// Events of the stream.
    pub events: u64,
    /// Streams that ended.
    pub reconnects: u64,
    /// Whether the stream is up.
    pub streaming: bool,
}

/// How a request to another system ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ended {
    /// With an answer that could be used.
    Well,
    /// With a refusal: the other side works.
    Refused,
    /// With no answer, or none that could be used.
    Failed,
}

impl Ended {
    fn word(self) -> &'static str {
        match self {
            Self::Well => "ok",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

/// All series and their registry. Everything can be called from any thread.
pub struct Metrics {
    registry: Registry,
    queue_items: Family<QueueLabel, Gauge>,
    waiting_changes: Gauge,
    checks: Gauge,
    builds_running: Gauge,
    slots: Gauge,
    effects: Gauge,
    pauses: Gauge,
    flaky: Gauge,
    executor_unable: Gauge,
    configuration_refused: Gauge,
    landed: Family<QueueLabel, Counter>,
    left: Family<LeftLabels, Counter>,
    landing_seconds: Family<QueueLabel, Histogram, fn() -> Histogram>,
    build_seconds: Family<BuildLabels, Histogram, fn() -> Histogram>,
    gerrit_requests: Family<ResultLabel, Counter>,
    event_lag_seconds: Histogram,
    journal_commit_seconds: Histogram,
    waits: Family<WaitLabels, Gauge>,
    page_streams: Gauge,
    gerrit_stream_up: Gauge,
    gerrit_events: Counter,
    gerrit_reconnects: Counter,
    effect_seconds: Family<RequestLabels, Histogram, fn() -> Histogram>,
    git_prepare_seconds: Family<ResultLabel, Histogram, fn() -> Histogram>,
    git_push_seconds: Family<ResultLabel, Histogram, fn() -> Histogram>,
    clock: Gauge<f64, AtomicU64>,
    queues_seen: Mutex<BTreeSet<QueueName>>,
    waits_seen: Mutex<BTreeSet<(QueueName, &'static str)>>,
    jobs_seen: Mutex<BTreeSet<JobName>>,
}

/// From a tenth of a second to over a day.
fn long() -> Histogram {
    Histogram::new(exponential_buckets(0.1, 2.0, 21))
}

/// From half a millisecond to 16 seconds.
fn short() -> Histogram {
    Histogram::new(exponential_buckets(0.0005, 2.0, 16))
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All series, at zero.
    pub fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("seakeeper"),
            queue_items: Family::default(),
            waiting_changes: Gauge::default(),
            checks: Gauge::default(),
            builds_running: Gauge::default(),
            slots: Gauge::default(),
            effects: Gauge::default(),
            pauses: Gauge::default(),
            flaky: Gauge::default(),
            executor_unable: Gauge::default(),
            configuration_refused: Gauge::default(),
            landed: Family::default(),
            left: Family::default(),
            landing_seconds: Family::new_with_constructor(long),
            build_seconds: Family::new_with_constructor(long),
            gerrit_requests: Family::default(),
            event_lag_seconds: short(),
            journal_commit_seconds: short(),
            waits: Family::default(),
            page_streams: Gauge::default(),
            gerrit_stream_up: Gauge::default(),
            gerrit_events: Counter::default(),
            gerrit_reconnects: Counter::default(),
            effect_seconds: Family::new_with_constructor(short),
            git_prepare_seconds: Family::new_with_constructor(short),
            git_push_seconds: Family::new_with_constructor(short),
            clock: Gauge::default(),
            queues_seen: Mutex::default(),
            waits_seen: Mutex::default(),
            jobs_seen: Mutex::default(),
        };
        metrics.register_states();
        metrics.register_counts();
        metrics
    }

    fn register_states(&mut self) {
        let to = &mut self.registry;
        to.register("queue_items", "Items in a queue", self.queue_items.clone());
        to.register("waiting_changes", "Approved changes in no queue yet", self.waiting_changes.clone());
        to.register("check_items", "Items in check", self.checks.clone());
        to.register("builds_running", "Builds that hold a slot", self.builds_running.clone());
        to.register("slots", "Builds that may run at once", self.slots.clone());
        to.register("effects", "Effects under way", self.effects.clone());
        to.register("pauses", "Places where landing is stopped by a person", self.pauses.clone());
        to.register("flaky_jobs", "Jobs that failed and passed with the same content", self.flaky.clone());
        to.register("waits", "Items of a queue by the kind of what they wait for", self.waits.clone());
        to.register(
            "page_streams",
            "Open pages and programs that are told what is new",
            self.page_streams.clone(),
        );
        to.register(
            "gerrit_stream_up",
            "1 while Gerrit's stream of events is open",
            self.gerrit_stream_up.clone(),
        );
        to.register("executor_unable", "1 while no builds can be run", self.executor_unable.clone());
        let help = "1 while the configuration file cannot be used and an earlier one is in force";
        to.register("configuration_refused", help, self.configuration_refused.clone());
        let help = "When the view was last published, since 1970";
        to.register_with_unit("view_published", help, Unit::Seconds, self.clock.clone());
    }

    fn register_counts(&mut self) {
        let to = &mut self.registry;
        to.register("landed", "Items that landed", self.landed.clone());
        to.register("left", "Gate items that ended without landing", self.left.clone());
        let help = "From entering the queue to landing";
        to.register_with_unit("landing", help, Unit::Seconds, self.landing_seconds.clone());
        to.register_with_unit("build", "Duration of builds", Unit::Seconds, self.build_seconds.clone());
        to.register("gerrit_requests", "Requests sent to Gerrit over REST", self.gerrit_requests.clone());
        to.register("gerrit_events", "Events that Gerrit's stream told", self.gerrit_events.clone());
        to.register("gerrit_stream_reconnects", "Streams that ended", self.gerrit_reconnects.clone());
        let help = "From asking for an effect to its end";
        to.register_with_unit("effect", help, Unit::Seconds, self.effect_seconds.clone());
        let help = "Duration of speculative merges with the search for their jobs";
        to.register_with_unit("git_prepare", help, Unit::Seconds, self.git_prepare_seconds.clone());
        let help = "From an event at Gerrit to its acceptance";
        to.register_with_unit("event_lag", help, Unit::Seconds, self.event_lag_seconds.clone());
        let help = "Duration of journal transactions";
        to.register_with_unit("journal_commit", help, Unit::Seconds, self.journal_commit_seconds.clone());
        let help = "Duration of landing pushes";
        to.register_with_unit("git_push", help, Unit::Seconds, self.git_push_seconds.clone());
    }

    /// Takes over the state that a view shows.
    pub fn observe_view(&self, view: &View) {
        let mut seen = self.queues_seen.lock().unwrap_or_else(PoisonError::into_inner);
        let present: BTreeSet<_> = view.queues.iter().map(|queue| queue.name.clone()).collect();
        for gone in seen.difference(&present) {
            self.queue_items.remove(&queue_label(gone));
        }
        *seen = present;
        drop(seen);
        for queue in &view.queues {
            self.queue_items.get_or_create(&queue_label(&queue.name)).set(count(queue.items.len()));
        }
        self.observe_waits(view);
        self.waiting_changes.set(count(view.waiting.len()));
        self.checks.set(count(view.checks.len()));
        self.builds_running.set(i64::from(view.builds_running));
        self.slots.set(i64::from(view.slots));
        self.effects.set(i64::from(view.effects));
        self.pauses.set(count(view.paused.len()));
        self.flaky.set(count(view.flakes.len()));
        self.executor_unable.set(i64::from(view.unable.is_some()));
        self.clock.set(seconds(view.at.0));
    }

    /// The configuration was read anew, and could be used or not.
    pub fn configuration_read(&self, usable: bool) {
        self.configuration_refused.set(i64::from(!usable));
    }

    /// Counts items by what they wait for. Kinds that nothing waits for any more count as none.
    fn observe_waits(&self, view: &View) {
        let mut found: BTreeMap<(&QueueName, &'static str), i64> = BTreeMap::new();
        for queue in &view.queues {
            for item in &queue.items {
                *found.entry((&queue.name, reason_kind(&item.reason))).or_default() += 1;
            }
        }
        let mut seen = self.waits_seen.lock().unwrap_or_else(PoisonError::into_inner);
        let label = |queue: &QueueName, kind| WaitLabels { queue: queue.as_str().into(), kind };
        for (queue, kind) in seen.iter().filter(|(queue, kind)| !found.contains_key(&(queue, *kind))) {
            self.waits.remove(&label(queue, kind));
        }
        for ((queue, kind), number) in &found {
            self.waits.get_or_create(&label(queue, kind)).set(*number);
        }
        *seen = found.into_keys().map(|(queue, kind)| (queue.clone(), kind)).collect();
    }

    /// A gate item ended `stay_ms` milliseconds after it entered.
    pub fn gate_ended(&self, queue: &QueueName, departure: &Departure, stay_ms: i64) {
        if let Departure::Landed { .. } = departure {
            self.landed.get_or_create(&queue_label(queue)).inc();
            self.landing_seconds.get_or_create(&queue_label(queue)).observe(seconds(stay_ms));
        } else {
            let reason = words::departure_kind(departure);
            self.left.get_or_create(&LeftLabels { queue: queue.as_str().into(), reason }).inc();
        }
    }

    /// A build ended after `duration_ms` milliseconds.
    pub fn build_ended(&self, job: &JobName, result: JobOutcome, duration_ms: i64) {
        let mut seen = self.jobs_seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() < JOBS_MAX {
            seen.insert(job.clone());
        }
        let job = if seen.contains(job) { job.as_str().into() } else { "other".into() };
        drop(seen);
        let labels = BuildLabels { job, result: words::outcome(result) };
        self.build_seconds.get_or_create(&labels).observe(seconds(duration_ms));
    }

    /// Takes over what the Gerrit adapter has counted.
    pub fn gerrit(&self, counts: &GerritCounts) {
        for (result, number) in counts.requests {
            let counter = self.gerrit_requests.get_or_create(&ResultLabel { result });
            counter.inner().store(number, Ordering::Relaxed);
        }
        self.gerrit_events.inner().store(counts.events, Ordering::Relaxed);
        self.gerrit_reconnects.inner().store(counts.reconnects, Ordering::Relaxed);
        self.gerrit_stream_up.set(i64::from(counts.streaming));
    }

    /// So many streams are open.
    pub fn streams(&self, open: usize) {
        self.page_streams.set(count(open));
    }

    /// An effect ended; `kind` is a fixed word.
    pub fn effect(&self, kind: &'static str, duration: std::time::Duration, ended: Ended) {
        let (took, result) = (duration.as_secs_f64(), ended.word());
        self.effect_seconds.get_or_create(&RequestLabels { kind, result }).observe(took);
        match kind {
            "land" => self.git_push_seconds.get_or_create(&ResultLabel { result }).observe(took),
            "prepare" => self.git_prepare_seconds.get_or_create(&ResultLabel { result }).observe(took),
            _ => {}
        }
    }

    /// An event was accepted `lag_ms` milliseconds after Gerrit made it.
    pub fn event_lag(&self, lag_ms: i64) {
        self.event_lag_seconds.observe(seconds(lag_ms));
    }

    /// A journal transaction took so long.
    pub fn journal_commit(&self, duration: std::time::Duration) {
        self.journal_commit_seconds.observe(duration.as_secs_f64());
    }

    /// All series in the OpenMetrics text format.
    pub fn encode(&self) -> String {
        let mut out = String::new();
        // Writing to a string cannot fail.
        let _ = text::encode(&mut out, &self.registry);
        out
    }
}

fn queue_label(queue: &QueueName) -> QueueLabel {
    QueueLabel { queue: queue.as_str().into() }
}

fn count(entries: usize) -> i64 {
    i64::try_from(entries).unwrap_or(i64::MAX)
}

/// Seconds of `millis` milliseconds; negative ones, from clocks that differ, count as none.
#[expect(clippy::cast_precision_loss, reason = "milliseconds of any real duration fit 52 bits")]
fn seconds(millis: i64) -> f64 {
    millis.max(0) as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn landings_and_departures_are_counted_by_queue_and_reason() {
        let metrics = Metrics::new();
        let queue = QueueName::from("main");
        metrics.gate_ended(&queue, &Departure::Landed { commits: vec![] }, 1500);
        metrics.gate_ended(&queue, &Departure::Abandoned, 10);
        metrics.build_ended(&"unit".into(), JobOutcome::Success, 2_000);
        let text = metrics.encode();
        for line in [
            "seakeeper_landed_total{queue=\"main\"} 1",
            "seakeeper_left_total{queue=\"main\",reason=\"abandoned\"} 1",
            "seakeeper_landing_seconds_sum{queue=\"main\"} 1.5",
            "seakeeper_build_seconds_count{job=\"unit\",result=\"success\"} 1",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn endless_job_names_end_in_one_series() {
        let metrics = Metrics::new();
        for number in 0..2 * JOBS_MAX {
            metrics.build_ended(&format!("job-{number}").into(), JobOutcome::Failure, 1);
        }
        let text = metrics.encode();
        let series = text.lines().filter(|line| line.starts_with("seakeeper_build_seconds_count")).count();
        assert_eq!(series, JOBS_MAX + 1);
    }

    #[test]
    fn a_series_name_that_a_job_file_makes_up_stays_in_its_quotes() {
        let metrics = Metrics::new();
        metrics.build_ended(&"a\"} 1\nevil 2".into(), JobOutcome::Success, 1);
        assert!(!metrics.encode().lines().any(|line| line.starts_with("evil")));
    }
}
