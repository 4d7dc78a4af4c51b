//! A day with a Gerrit that flaps, in virtual time: the adapter itself, with a server in memory whose
//! stream is cut every minute, of whose answers one in twenty is an error and some are very slow.
//!
//! No change may be lost, and the requests must stay below the bound that docs/operations.md states.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;
use reqwest::{Request, StatusCode};
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use super::outside::{Events, Exchange, Source};
use super::rest::{Rest, RestError};
use super::ssh::SshError;
use super::{Gerrit, Outside, Rules, Settings};
use crate::model::report::Report;
use crate::model::{ChangeNumber, ChangeStatus, Event, Repository, Timestamp};
use crate::port::Inbox;

const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(24 * 3_600);
/// How long a stream lasts.
const CUT_AFTER: Duration = Duration::from_secs(60);
/// Changes that are made, approved and merged in that day.
const CHANGES: u64 = 240;
/// How late what happened to a change may be seen: two cuts, with slow answers and repeats between.
const LATEST: Duration = Duration::from_secs(120);
/// Requests in any minute at most, as docs/operations.md says.
const REQUESTS_A_MINUTE: usize = 60;
/// Requests in a minute on the average at most, as docs/operations.md says.
const REQUESTS_ON_AVERAGE: usize = 20;
/// When the day begins, in milliseconds since 1970.
const BEGIN: i64 = 1_795_250_000_000;
const REPOSITORY: &str = "wgerrit-a";

/// A change on the server: how often something has happened to it says all of it.
#[derive(Clone, Copy, Default)]
struct Change {
    /// 1 when it was made, 2 when approved, 3 when merged.
    stage: u8,
    updated: i64,
}

struct Server {
    began: Instant,
    changes: BTreeMap<u64, Change>,
    streams: Vec<mpsc::UnboundedSender<Vec<u8>>>,
    chance: u64,
    /// In which minute each request came.
    minutes: BTreeMap<u64, usize>,
    errors: usize,
    streams_opened: usize,
}

impl Server {
    fn wall(&self) -> i64 {
        BEGIN + i64::try_from(self.began.elapsed().as_millis()).unwrap()
    }

    /// A number below `bound`; the same ones in each run.
    fn draw(&mut self, bound: u64) -> u64 {
        self.chance ^= self.chance << 13;
        self.chance ^= self.chance >> 7;
        self.chance ^= self.chance << 17;
        self.chance % bound
    }

    /// How long an answer takes, and whether it is an error.
    fn mood(&mut self) -> (Duration, bool) {
        let slow = if self.draw(20) == 0 { 15_000 } else { 400 };
        (Duration::from_millis(10 + self.draw(slow)), self.draw(20) == 0)
    }

    fn answer(&self, path: &str, query: &[(String, String)]) -> Value {
        let get = |name: &str| query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        let number = |name: &str| get(name).and_then(|text| text.parse::<usize>().ok());
        let page = number("S").unwrap_or(0)..number("S").unwrap_or(0) + number("n").unwrap_or(500);
        if path.ends_with("/projects/") {
            let branches = json!({ "branches": { "master": "1".repeat(40) } });
            return if page.start == 0 { json!({ REPOSITORY: branches }) } else { json!({}) };
        }
        if let Some(number) = path.rsplit('~').next().and_then(|number| number.parse().ok()) {
            return self.changes.get(&number).map_or(Value::Null, |change| in_json(number, change));
        }
        let wanted = get("q").unwrap_or_default();
        let is_wanted = |number: &u64, change: &Change| {
            if let Some(after) = wanted.strip_prefix("after:") {
                // The server's times are whole seconds, compared as text.
                return time(change.updated).as_str() >= after.trim_matches('"');
            }
            let numbers = wanted.split(" OR ").filter_map(|term| term.strip_prefix("change:"));
            let mut numbers = numbers.filter_map(|text| text.parse::<u64>().ok());
            match wanted.starts_with("change:") {
                true => numbers.any(|wanted| wanted == *number),
                false => change.stage == 2,
            }
        };
        let found = self.changes.iter().filter(|(number, change)| is_wanted(number, change));
        found.skip(page.start).take(page.len()).map(|(number, change)| in_json(*number, change)).collect()
    }

    fn happen(&mut self, number: u64) {
        let updated = self.wall();
        let change = self.changes.entry(number).or_default();
        change.stage += 1;
        change.updated = updated;
        let update = json!({
            "refName": format!("refs/changes/{:02}/{number}/meta", number % 100),
            "project": REPOSITORY,
            "newRev": meta(number, change.stage),
        });
        let line = format!("{}\n", json!({ "type": "ref-updated", "refUpdate": update }));
        self.streams.retain(|stream| stream.send(line.clone().into_bytes()).is_ok());
    }
}

fn meta(number: u64, stage: u8) -> String {
    format!("{:040x}", number * 256 + u64::from(stage))
}

fn time(at: i64) -> String {
    jiff::Timestamp::from_millisecond(at).unwrap().strftime("%Y-%m-%d %H:%M:%S").to_string()
}

fn in_json(number: u64, change: &Change) -> Value {
    let vote = json!({ "value": 2, "date": time(change.updated), "username": "alice" });
    let votes = if change.stage > 1 { json!([vote]) } else { json!([]) };
    let revision = format!("{number:040x}");
    json!({
        "project": REPOSITORY, "branch": "master", "_number": number, "subject": "Change",
        "change_id": format!("I{revision}"), "current_revision": revision,
        "status": if change.stage > 2 { "MERGED" } else { "NEW" },
        "updated": format!("{}.000000000", time(change.updated)),
        "meta_rev_id": meta(number, change.stage),
        "labels": { "Code-Review": { "all": votes } },
        "revisions": { &revision: { "_number": 1 } },
    })
}

#[derive(Clone)]
struct Flapping(Arc<Mutex<Server>>);

impl Exchange for Flapping {
    fn exchange(&self, request: Request) -> BoxFuture<'_, Result<(StatusCode, Vec<u8>), RestError>> {
        Box::pin(async move {
            let (wait, fails) = {
                let mut server = self.0.lock().unwrap();
                let minute = server.began.elapsed().as_secs() / 60;
                *server.minutes.entry(minute).or_default() += 1;
                server.mood()
            };
            sleep(wait / 2).await;
            let query: Vec<_> =
                request.url().query_pairs().map(|(key, value)| (key.into(), value.into())).collect();
            let answer = self.0.lock().unwrap().answer(request.url().path(), &query);
            sleep(wait / 2).await;
            if fails {
                self.0.lock().unwrap().errors += 1;
                return Ok((StatusCode::SERVICE_UNAVAILABLE, b"flapping".to_vec()));
            }
            Ok((StatusCode::OK, answer.to_string().into_bytes()))
        })
    }
}

impl Source for Flapping {
    fn open(&self) -> BoxFuture<'_, Result<Box<dyn Events>, SshError>> {
        Box::pin(async move {
            let (wait, fails) = self.0.lock().unwrap().mood();
            sleep(wait).await;
            if fails {
                return Err(SshError::Unreachable("flapping".into()));
            }
            let (sender, receiver) = mpsc::unbounded_channel();
            let mut server = self.0.lock().unwrap();
            server.streams.push(sender);
            server.streams_opened += 1;
            Ok(Box::new(Line { receiver, until: Instant::now() + CUT_AFTER }) as Box<dyn Events>)
        })
    }
}

struct Line {
    receiver: mpsc::UnboundedReceiver<Vec<u8>>,
    until: Instant,
}

impl Events for Line {
    fn next(&mut self) -> BoxFuture<'_, Result<Vec<u8>, SshError>> {
        Box::pin(async move {
            let next = timeout_at(self.until, self.receiver.recv()).await.ok().flatten();
            next.ok_or_else(|| SshError::Ended("the stream was cut".into()))
        })
    }

    fn close(self: Box<Self>) -> BoxFuture<'static, ()> {
        Box::pin(async {})
    }
}

fn settings() -> Settings {
    Settings {
        url: "http://gerrit.invalid/".into(),
        other_urls: Vec::new(),
        user: "bot".into(),
        token: "t".into(),
        ssh_host: "gerrit.invalid".into(),
        ssh_port: 29_418,
        ssh_key: "none".into(),
        known_hosts: "none".into(),
        rules: Rules {
            approval: vec![("Code-Review".into(), 2)],
            branches: vec!["master".into()],
            tips_poll_ms: 30_000,
            sweep_ms: 600_000,
            asks: Vec::new(),
        },
        // A daemon that ran before: at its very first start it looks only for what is approved.
        since: Timestamp(BEGIN),
    }
}

/// What was delivered of each change: its stage, and when.
type Seen = Arc<Mutex<BTreeMap<u64, Vec<(u8, Instant)>>>>;

fn start(server: &Flapping, seen: &Seen, returns: &Arc<AtomicUsize>) -> (Gerrit, watch::Sender<bool>) {
    let (delivered, known, returns) = (seen.clone(), seen.clone(), returns.clone());
    let inbox = Inbox::new(move |events: Vec<Event>| {
        let mut seen = delivered.lock().unwrap();
        for event in events {
            if event == Event::HostBack {
                returns.fetch_add(1, Relaxed);
            } else if let Event::ChangeSeen { snapshot } = event {
                let approved = u8::from(!snapshot.votes.is_empty());
                let stage = 1 + approved + u8::from(snapshot.status == ChangeStatus::Merged);
                seen.entry(snapshot.number.0).or_default().push((stage, Instant::now()));
            }
        }
    });
    // As the core has it: what was seen and is not over.
    let tracked = move || {
        let seen = known.lock().unwrap();
        let open = seen.iter().filter(|(_, stages)| stages.last().is_some_and(|(stage, _)| *stage < 3));
        open.map(|(number, _)| (ChangeNumber(*number), Repository::from(REPOSITORY))).collect()
    };
    let clock = server.clone();
    let rest = Rest::new("http://gerrit.invalid/", "bot", "t", Arc::default()).unwrap();
    let outside = Outside {
        rest: rest.through(Arc::new(server.clone())),
        source: Arc::new(server.clone()),
        wall: Arc::new(move || clock.0.lock().unwrap().wall()),
    };
    let (stop, stopped) = watch::channel(false);
    let words = Arc::new(|_: &Report| String::new());
    let gerrit =
        Gerrit::start_with(outside, settings(), inbox, Arc::new(|_| true), Arc::new(tracked), words, stopped);
    (gerrit.unwrap(), stop)
}

#[tokio::test(start_paused = true)]
async fn a_day_of_a_flapping_gerrit_loses_no_change_and_makes_no_storm() {
    // An error means that one is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let began = Instant::now();
    let server = Flapping(Arc::new(Mutex::new(Server {
        began,
        changes: BTreeMap::new(),
        streams: Vec::new(),
        chance: 0x9e37_79b9_7f4a_7c15,
        minutes: BTreeMap::new(),
        errors: 0,
        streams_opened: 0,
    })));
    let (seen, returns) = (Seen::default(), Arc::default());
    let (_gerrit, _stop) = start(&server, &seen, &returns);
    // Each change is made at a moment of the day, approved some minutes later and merged after that.
    let mut happenings = Vec::new();
    for number in 1..=CHANGES {
        let mut at = began + Duration::from_secs(server.0.lock().unwrap().draw((DAY - HOUR).as_secs()));
        for _ in 0..3 {
            happenings.push((at, number));
            at += LATEST + Duration::from_secs(server.0.lock().unwrap().draw(900));
        }
    }
    happenings.sort_unstable();
    for (at, number) in &happenings {
        sleep_until(*at).await;
        server.0.lock().unwrap().happen(*number);
    }
    sleep_until(began + DAY).await;
    judge(&happenings, &seen);
    let server = server.0.lock().unwrap();
    let total: usize = server.minutes.values().sum();
    let worst = server.minutes.values().max().copied().unwrap_or(0);
    println!(
        "{total} requests, {worst} in the worst minute, {} errors, {} streams",
        server.errors, server.streams_opened
    );
    assert!(server.errors * 30 > total && server.streams_opened > 1_000, "it has flapped");
    let returns = returns.load(Relaxed);
    assert!((1..=server.errors).contains(&returns), "told {returns} times that it answers again");
    assert!(worst <= REQUESTS_A_MINUTE, "{worst} requests in one minute");
    assert!(total <= REQUESTS_ON_AVERAGE * 24 * 60, "{total} requests in a day");
}

/// Each approval and each landing was delivered, none of them late and none taken back.
fn judge(happenings: &[(Instant, u64)], seen: &Seen) {
    let seen = seen.lock().unwrap();
    let mut stages: BTreeMap<u64, u8> = BTreeMap::new();
    let mut latest = Duration::ZERO;
    for (at, number) in happenings {
        let stage = stages.entry(*number).or_default();
        *stage += 1;
        let found = seen.get(number).into_iter().flatten().find(|(seen, _)| *seen >= *stage);
        let (_, when) = found.unwrap_or_else(|| panic!("stage {stage} of change {number} was lost"));
        let late = when.duration_since(*at);
        assert!(late <= LATEST, "stage {stage} of change {number} was seen after {late:?}");
        latest = latest.max(late);
    }
    for (number, stages) in seen.iter() {
        assert!(stages.is_sorted_by_key(|(stage, _)| *stage), "change {number} went back: {stages:?}");
    }
    println!("the latest was seen after {latest:?}");
}
