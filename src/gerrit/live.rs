//! The adapter against a real Gerrit. Runs where `SEAKEEPER_GERRIT_INFO` names the JSON file that
//! the server's start script prints; elsewhere it says why it does not.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::watch;

use super::rest::Rest;
use super::wire::text;
use super::{Gerrit, Rules, Settings};
use crate::model::report::{Report, Says};
use crate::model::{
    ChangeNumber, ChangeSnapshot, Effect, EffectId, EffectKind, Event, ItemId, Outcome, Pair, Pipeline, Sha,
    Timestamp,
};
use crate::port::{Inbox, Reporter, ReviewHost};

const WAIT: Duration = Duration::from_secs(20);

struct World {
    gerrit: Gerrit,
    seen: Arc<Mutex<Vec<(Instant, Event)>>>,
    admin: Rest,
    alice: Rest,
    bob: Rest,
    project: String,
    _shutdown: watch::Sender<bool>,
}

impl World {
    /// A server with a fresh repository, and the adapter on it; `None` where there is no server.
    async fn open(name: &str) -> Option<Self> {
        Self::open_through(name, None).await
    }

    /// The same with the event stream going through another port.
    async fn open_through(name: &str, gate: Option<&Gate>) -> Option<Self> {
        let Ok(path) = std::env::var("SEAKEEPER_GERRIT_INFO") else {
            println!("skipped: SEAKEEPER_GERRIT_INFO does not name a running Gerrit");
            return None;
        };
        let _ = rustls::crypto::ring::default_provider().install_default();
        let info: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let field = |value: &Value, name: &str| text(value, name).unwrap().to_owned();
        let rest = |who: &Value| {
            Rest::new(&field(&info, "url"), &field(who, "user"), &field(who, "token"), Arc::default())
                .unwrap()
        };
        let stamp = super::stats::now_ms();
        let project = format!("wgerrit-{name}-{stamp}");
        let admin = rest(&info["admin"]);
        let create = json!({"create_empty_commit": true, "branches": ["main"]});
        put(&admin, &format!("projects/{project}"), &create).await;
        let known_hosts = std::env::temp_dir().join(format!("seakeeper-known-hosts-{stamp}-{name}"));
        let mut settings = settings(&info, known_hosts.clone());
        let mut hosts = field(&info, "known_hosts") + "\n";
        if let Some(gate) = gate {
            hosts = hosts.replace(&format!(":{}", settings.ssh_port), &format!(":{}", gate.port));
            settings.ssh_port = gate.port;
        }
        std::fs::write(&known_hosts, hosts).unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let inbox = Inbox::new({
            let seen = seen.clone();
            move |events: Vec<Event>| {
                let now = Instant::now();
                seen.lock().unwrap().extend(events.into_iter().map(|event| (now, event)));
            }
        });
        let (sender, receiver) = watch::channel(false);
        let only = project.clone();
        let gated = Arc::new(move |pair: &Pair| pair.repository.as_str() == only);
        let compose = Arc::new(|_: &Report| "Build succeeded (gate pipeline).\n\nNothing to do.".to_owned());
        let gerrit = Gerrit::start(settings, inbox, gated, Arc::new(Vec::new), compose, receiver).unwrap();
        let (alice, bob) = (rest(&info["humans"]["alice"]), rest(&info["humans"]["bob"]));
        let world = Self { gerrit, seen, admin, alice, bob, project, _shutdown: sender };
        world.until("ready", |_| world.gerrit.ready().then_some(())).await;
        Some(world)
    }

    async fn until<T>(&self, what: &str, mut found: impl FnMut(&[(Instant, Event)]) -> Option<T>) -> T {
        let deadline = Instant::now() + WAIT;
        loop {
            if let Some(value) = found(&self.seen.lock().unwrap()) {
                return value;
            }
            assert!(Instant::now() < deadline, "{what} did not come: {:?}", self.seen.lock().unwrap().last());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    async fn snapshot(
        &self,
        what: &str,
        right: impl Fn(&ChangeSnapshot) -> bool,
    ) -> (Instant, ChangeSnapshot) {
        self.until(what, |events| {
            events.iter().find_map(|(at, event)| match event {
                Event::ChangeSeen { snapshot } if right(snapshot) => Some((*at, snapshot.clone())),
                _ => None,
            })
        })
        .await
    }

    async fn upload(&self, subject: &str) -> ChangeSnapshot {
        let input = json!({"project": self.project, "branch": "main", "subject": subject});
        let made = self.alice.post("changes/", &input).await.unwrap();
        let number = made["_number"].as_u64().unwrap();
        self.snapshot("the upload", |seen| seen.number.0 == number).await.1
    }

    async fn vote(&self, by: &Rest, change: &ChangeSnapshot, value: i32) {
        let path = format!("changes/{}~{}/revisions/{}/review", self.project, change.number, change.revision);
        by.post(&path, &json!({"labels": {"Code-Review": value}})).await.unwrap();
    }

    async fn effect(&self, id: u64, kind: EffectKind, again: bool) -> Event {
        let effect = Effect { id: EffectId(id), kind };
        let mut gerrit = self.gerrit.clone();
        if matches!(effect.kind, EffectKind::Report(_)) {
            Reporter::begin(&mut gerrit, effect, again);
        } else {
            ReviewHost::begin(&mut gerrit, effect, again);
        }
        let ended = |(_, event): &(Instant, Event)| ends(event, id).then(|| event.clone());
        self.until("the end of the effect", |events| events.iter().find_map(ended)).await
    }

    fn report(&self, change: &ChangeSnapshot, vote: Option<(&str, i32)>, says: bool) -> EffectKind {
        EffectKind::Report(Report {
            change: change.number,
            repository: change.repository.clone(),
            patchset: change.patchset,
            revision: change.revision,
            item: ItemId(1),
            pipeline: Pipeline::Gate,
            queue: None,
            vote: vote.map(|(label, value)| (label.into(), value)),
            says: says.then_some(Says::Started { position: 1, waits: None }),
            again_of: None,
        })
    }

    fn requests(&self) -> u64 {
        self.gerrit.stats().requests.load(std::sync::atomic::Ordering::Relaxed)
    }
}

fn ends(event: &Event, id: u64) -> bool {
    matches!(event, Event::EffectEnded { effect, .. } | Event::Looked { effect, .. } | Event::CommitSeen { effect, .. } if effect.0 == id)
}

fn settings(info: &Value, known_hosts: PathBuf) -> Settings {
    Settings {
        url: text(info, "url").unwrap().into(),
        other_urls: Vec::new(),
        user: "bot".into(),
        token: text(&info["bot"], "token").unwrap().into(),
        ssh_host: text(info, "ssh_host").unwrap().into(),
        ssh_port: u16::try_from(info["ssh_port"].as_u64().unwrap()).unwrap(),
        ssh_key: text(&info["bot"], "ssh_key").unwrap().into(),
        known_hosts,
        rules: Rules {
            approval: vec![("Code-Review".into(), 2)],
            branches: vec!["main".into()],
            ..Rules::default()
        },
        since: Timestamp::default(),
    }
}

/// Creating is the one thing here that wants PUT; Gerrit takes it as a POST for projects too.
async fn put(admin: &Rest, path: &str, body: &Value) {
    admin.send(reqwest::Method::PUT, path, Some(body)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_approval_is_delivered_quickly_and_read_once() {
    let Some(world) = World::open("latency").await else { return };
    let mut delays = Vec::new();
    for round in 0..10 {
        let change = world.upload(&format!("round {round}")).await;
        let (before, began) = (world.requests(), Instant::now());
        world.vote(&world.bob, &change, 2).await;
        let answered = began.elapsed();
        let approved =
            |seen: &ChangeSnapshot| seen.number == change.number && seen.votes.iter().any(|v| v.value == 2);
        let (at, _) = world.snapshot("the approval", approved).await;
        delays.push((at.saturating_duration_since(began).as_millis(), answered.as_millis()));
        tokio::time::sleep(Duration::from_millis(150)).await;
        assert!(world.requests() - before <= 2, "{} requests for one approval", world.requests() - before);
    }
    println!("milliseconds from vote to delivery, and to the voter's own answer: {delays:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forty_approvals_come_in_stream_order() {
    let Some(world) = World::open("forty").await else { return };
    let mut changes = Vec::new();
    for number in 0..40 {
        changes.push(world.upload(&format!("change {number}")).await);
    }
    changes.reverse();
    let (before, began) = (world.requests(), Instant::now());
    for change in &changes {
        world.vote(&world.bob, change, 2).await;
    }
    let voted = began.elapsed();
    let order = world
        .until("forty approvals", |events| {
            let approved = events.iter().filter_map(|(_, event)| match event {
                Event::ChangeSeen { snapshot } if snapshot.votes.iter().any(|vote| vote.value == 2) => {
                    Some(snapshot.number)
                }
                _ => None,
            });
            let mut order: Vec<ChangeNumber> = Vec::new();
            approved.for_each(|number| {
                if !order.contains(&number) {
                    order.push(number)
                }
            });
            (order.len() == 40).then_some(order)
        })
        .await;
    println!(
        "voted in {voted:?}, delivered in {:?}, {} requests",
        began.elapsed(),
        world.requests() - before
    );
    assert_eq!(order, changes.iter().map(|change| change.number).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_look_sees_the_vote_given_just_before() {
    let Some(world) = World::open("look").await else { return };
    let change = world.upload("looked at").await;
    for round in 0..20_u64 {
        let value = if round % 2 == 0 { -2 } else { 2 };
        world.vote(&world.bob, &change, value).await;
        let wanted = vec![
            (change.number, change.repository.clone()),
            (ChangeNumber(999_999), change.repository.clone()),
        ];
        let event = world.effect(100 + round, EffectKind::Look { changes: wanted }, false).await;
        let Event::Looked { changes, gone, .. } = event else { panic!("{event:?}") };
        assert_eq!(changes[0].vote_of(&"Code-Review".into(), &"bob".into()), value);
        assert_eq!(gone, [ChangeNumber(999_999)]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reports_are_posted_once_and_tell_the_state() {
    let Some(world) = World::open("report").await else { return };
    let change = world.upload("reported on").await;
    let ended = |id, outcome| Event::EffectEnded { effect: EffectId(id), outcome };
    let before = world.requests();
    let voted = world.report(&change, Some(("Verified", 1)), true);
    assert_eq!(world.effect(1, voted.clone(), false).await, ended(1, Outcome::Applied));
    world.snapshot("the own vote", |seen| seen.vote_of(&"Verified".into(), &"bot".into()) == 1).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(world.requests() - before, 1, "the reply tells the state");
    world.seen.lock().unwrap().clear();
    assert_eq!(world.effect(1, voted, true).await, ended(1, Outcome::Applied));
    let path = format!("changes/{}~{}/messages", world.project, change.number);
    let messages = world.admin.get(&path).await.unwrap();
    let ours = messages
        .as_array()
        .unwrap()
        .iter()
        .filter(|m| text(m, "tag").is_some_and(|t| t.contains("zuul")))
        .count();
    assert_eq!(ours, 1, "said once, though asked twice");
    for (id, vote, applied) in
        [(2, ("Verified", 0), true), (3, ("Nope", 1), false), (4, ("Verified", 2), false)]
    {
        let event = world.effect(id, world.report(&change, Some(vote), false), false).await;
        let is_applied = matches!(event, Event::EffectEnded { outcome: Outcome::Applied, .. });
        assert_eq!(is_applied, applied, "{event:?}");
    }
    let mut gone = change.clone();
    gone.revision = Sha([7; 20]);
    let event = world.effect(5, world.report(&gone, None, true), false).await;
    assert!(matches!(event, Event::EffectEnded { outcome: Outcome::Refused(_), .. }), "{event:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn landing_is_seen_and_reports_after_it_work() {
    let Some(world) = World::open("land").await else { return };
    let change = world.upload("lands").await;
    world.vote(&world.bob, &change, 2).await;
    let pair = change.pair();
    let found = EffectKind::ObserveCommit {
        pair: pair.clone(),
        commit: Sha([7; 20]),
        change_id: Some(change.change_id.clone()),
    };
    let Event::CommitSeen { changes, .. } = world.effect(20, found, false).await else {
        panic!("no candidates")
    };
    assert_eq!(changes.iter().map(|c| c.number).collect::<Vec<_>>(), [change.number]);
    world.effect(1, world.report(&change, Some(("Verified", 1)), true), false).await;
    let close = EffectKind::CloseChange {
        change: change.number,
        repository: change.repository.clone(),
        revision: change.revision,
    };
    for id in [2, 3] {
        let event = world.effect(id, close.clone(), false).await;
        assert_eq!(event, Event::EffectEnded { effect: EffectId(id), outcome: Outcome::Applied });
    }
    world.snapshot("the landing", |seen| seen.status == crate::model::ChangeStatus::Merged).await;
    world
        .until("the tip", |events| {
            events
                .iter()
                .find(
                    |(_, e)| matches!(e, Event::TipSeen { commit: Some(tip), .. } if *tip == change.revision),
                )
                .map(drop)
        })
        .await;
    let event = world.effect(4, world.report(&change, None, true), false).await;
    assert_eq!(event, Event::EffectEnded { effect: EffectId(4), outcome: Outcome::Applied });
    world.effect(5, EffectKind::ObserveTip { pair: Pair::new(pair.repository, "nope") }, false).await;
    world
        .until("no tip", |events| {
            events.iter().find(|(_, e)| matches!(e, Event::TipSeen { commit: None, .. })).map(drop)
        })
        .await;
    println!("requests in a whole life: {}", world.requests());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sound_set_up_has_no_problems() {
    let Some(world) = World::open("probe").await else { return };
    let needs = super::Needs {
        label: "Verified".into(),
        values: vec![-1, 1],
        success: 1,
        approval: Vec::new(),
        committer_email: None,
        gated: Arc::new(|_| true),
        pushed: Arc::new(|_| true),
    };
    assert_eq!(world.gerrit.probe(&needs).await, []);
    assert_eq!(world.gerrit.stats().malformed_lines.load(std::sync::atomic::Ordering::Relaxed), 0);
}

/// A way to the SSH server that can be cut.
struct Gate {
    port: u16,
    open: watch::Sender<bool>,
}

impl Gate {
    async fn new() -> Option<Self> {
        let path = std::env::var("SEAKEEPER_GERRIT_INFO").ok()?;
        let info: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let server = u16::try_from(info["ssh_port"].as_u64().unwrap()).unwrap();
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (open, state) = watch::channel(true);
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let mut state = state.clone();
                if !*state.borrow() {
                    continue;
                }
                tokio::spawn(async move {
                    let mut far = tokio::net::TcpStream::connect(("127.0.0.1", server)).await.unwrap();
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                        _ = state.wait_for(|open| !open) => {}
                    }
                });
            }
        });
        Some(Self { port, open })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_happens_while_the_stream_is_down_is_caught_up_in_order_of_approval() {
    let gate = Gate::new().await;
    let Some(world) = World::open_through("gap", gate.as_ref()).await else { return };
    let Some(gate) = gate else { return };
    let (first, second, third) = (world.upload("1").await, world.upload("2").await, world.upload("3").await);
    gate.open.send(false).unwrap();
    world.until("the end of the stream", |_| (!world.gerrit.ready()).then_some(())).await;
    for change in [&third, &first, &second] {
        world.vote(&world.bob, change, 2).await;
        // Gerrit's times are whole seconds of the same clock.
        let next = jiff::Timestamp::now().as_second() + 1;
        world.until("the next second", |_| (jiff::Timestamp::now().as_second() >= next).then_some(())).await;
    }
    gate.open.send(true).unwrap();
    let order = world
        .until("three approvals", |events| {
            let order = events.iter().filter_map(|(_, event)| match event {
                Event::ChangeSeen { snapshot } if snapshot.votes.iter().any(|vote| vote.value == 2) => {
                    Some(snapshot.number)
                }
                _ => None,
            });
            let order: Vec<ChangeNumber> = order.collect();
            (order.len() == 3).then_some(order)
        })
        .await;
    assert_eq!(order, [third.number, first.number, second.number]);
    world.until("ready again", |_| world.gerrit.ready().then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_host_key_is_refused_with_the_remedy() {
    let Some(world) = World::open("key").await else { return };
    let mut address = world.gerrit.shared.address.clone();
    let hosts = std::fs::read_to_string(&address.known_hosts).unwrap();
    let (start, key) = hosts.trim().rsplit_once(' ').unwrap();
    let other = format!("{start} {}AAAA\n", &key[..key.len() - 4]);
    address.known_hosts = address.known_hosts.with_extension("other");
    std::fs::write(&address.known_hosts, other).unwrap();
    let Err(error) = address.open().await else { panic!("a wrong key was trusted") };
    assert!(error.to_string().contains("ssh-keyscan"), "{error}");
    address.known_hosts = world.gerrit.shared.address.known_hosts.clone();
    address.user = "nobody".into();
    let Err(error) = address.open().await else { panic!("a wrong account was let in") };
    assert!(matches!(error, super::SshError::Denied { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_own_review_hides_nobody_elses_vote() {
    let Some(world) = World::open("hide").await else { return };
    let mut requests = 0;
    for round in 0..10_u64 {
        let change = world.upload(&format!("contended {round}")).await;
        let before = world.requests();
        let own = world.report(&change, Some(("Verified", 1)), true);
        tokio::join!(world.effect(500 + round, own, false), world.vote(&world.bob, &change, -2));
        world
            .snapshot("both votes", |seen| {
                let of = |label: &str, by: &str| seen.vote_of(&label.into(), &by.into());
                seen.number == change.number && of("Code-Review", "bob") == -2 && of("Verified", "bot") == 1
            })
            .await;
        requests += world.requests() - before;
    }
    println!("{requests} requests for ten contended reviews");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_whole_life_costs_few_requests() {
    let Some(world) = World::open("life").await else { return };
    let before = world.requests();
    let mut changes = Vec::new();
    for number in 0..20 {
        changes.push(world.upload(&format!("change {number}")).await);
    }
    for (id, change) in (1000..).zip(&changes) {
        world.effect(id, world.report(change, Some(("Verified", 1)), true), false).await;
        world.vote(&world.bob, change, 2).await;
        world.effect(id + 100, world.report(change, Some(("Verified", 1)), true), false).await;
    }
    let wanted = changes.iter().map(|change| (change.number, change.repository.clone())).collect();
    let began = Instant::now();
    world.effect(2000, EffectKind::Look { changes: wanted }, false).await;
    println!("a look at {} changes took {:?}", changes.len(), began.elapsed());
    // Landed by someone else: here only the reading back is counted.
    for change in &changes {
        let path = format!("changes/{}~{}/submit", world.project, change.number);
        world.admin.post(&path, &json!({})).await.unwrap();
    }
    for change in &changes {
        let merged = crate::model::ChangeStatus::Merged;
        world.snapshot("the landing", |seen| seen.number == change.number && seen.status == merged).await;
    }
    let each = (world.requests() - before) / 20;
    println!("{each} requests for each change");
    assert!(each <= 10, "{each}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_change_is_told_to_be_gone() {
    let Some(world) = World::open("gone").await else { return };
    let change = world.upload("vanishes").await;
    let path = format!("changes/{}~{}", world.project, change.number);
    let _ = world.admin.send(reqwest::Method::DELETE, &path, None).await;
    world
        .until("its end", |events| {
            events
                .iter()
                .find(|(_, e)| matches!(e, Event::ChangeGone { number } if *number == change.number))
                .map(drop)
        })
        .await;
}
