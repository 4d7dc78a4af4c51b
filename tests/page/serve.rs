//! Serves made views to a browser: `empty`, `busy` (40 items) and `many` (1,000 items), each at an address
//! of its own, which it writes to its standard output as one line of JSON. A line `land NAME` on its
//! standard input lands the head of that view's queue; it answers with the moment. It ends with its standard input.

mod made;

use std::io::BufRead as _;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use made::{Made, busy, empty};
use seakeeper::model::event::Scope;
use seakeeper::model::view::{DepartedView, PauseView, View};
use seakeeper::model::{Departure, Pipeline, Sha, Timestamp};
use seakeeper::web::{Desk, Options, serve};

fn main() -> std::io::Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    let now = now();
    let mut view = busy(now, 40);
    view.paused.push(PauseView {
        scope: Scope::Repository("mediawiki/extensions/Echo".into()),
        reason: "the release is being cut; back at noon".into(),
        by: "erin".into(),
        at: now.plus_ms(-900_000),
    });
    let desks = [("empty", empty(now)), ("busy", view.clone()), ("many", busy(now, 1_000))]
        .map(|(name, view)| (name, Arc::new(Made::new(view, true, std::env::temp_dir()))));
    let mut addresses = serde_json::Map::new();
    for (name, desk) in &desks {
        desk.show((*desk.view()).clone());
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))?;
        addresses.insert((*name).into(), format!("http://{}/", listener.local_addr()?).into());
        let options =
            Options { review_url: Some("https://gerrit.example.org".into()), public_url: String::new() };
        runtime.spawn(serve(listener, desk.clone(), options, std::future::pending()));
    }
    println!("{}", serde_json::Value::Object(addresses));
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let named = line.strip_prefix("land ").unwrap_or_default();
        if let Some((_, desk)) = desks.iter().find(|(name, _)| *name == named) {
            let mut view = (*desk.view()).clone();
            land(&mut view);
            let moment = self::now().0;
            desk.show(view);
            println!("{moment}");
        }
    }
    Ok(())
}

/// The head lands.
fn land(view: &mut View) {
    if view.queues[0].items.is_empty() {
        return;
    }
    let head = view.queues[0].items.remove(0);
    for item in &mut view.queues[0].items {
        item.contains.retain(|id| *id != head.item);
        item.on_top_of.retain(|number| *number != head.changes[0].number);
    }
    view.at = now();
    let commits = head.changes.iter().map(|change| (change.pair.clone(), Sha([0xcd; 20]))).collect();
    let departed = DepartedView {
        item: head.item,
        pipeline: Pipeline::Gate,
        queue: Some("main".into()),
        changes: head.changes,
        entered_at: head.entered_at,
        ended_at: view.at,
        departure: Departure::Landed { commits },
        jobs: head.jobs,
        past: head.past,
        unneeded: Vec::new(),
    };
    view.departed.insert(0, departed);
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
