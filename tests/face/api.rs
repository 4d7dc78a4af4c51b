//! The API against its own description, its errors, and its stream of events.

use std::collections::BTreeSet;

use serde_json::Value;

use super::made::busy;
use super::{Face, Stream};
use seakeeper::model::event::Scope;
use seakeeper::model::tree::Unneeded;
use seakeeper::model::view::{PauseView, View};
use seakeeper::model::{Departure, ItemId, Pair, Timestamp};
use seakeeper::web::Desk as _;

const DESCRIPTION: &str = include_str!("../../src/web/api/openapi.json");
const AT: Timestamp = Timestamp(1_800_000_000_000);

fn description() -> Value {
    serde_json::from_str(DESCRIPTION).expect("the description is JSON")
}

fn view() -> View {
    let mut view = busy(AT, 40);
    let (job, home) = ("docs".into(), Pair::new("site/core", "main"));
    view.queues[0].items[0].unneeded.push(Unneeded { job, home, why: "none of `docs/*` is changed".into() });
    view.paused.push(PauseView { scope: Scope::Everything, reason: "why".into(), by: "bob".into(), at: AT });
    view
}

#[test]
fn each_path_is_described_and_nothing_else() {
    let description = description();
    let described: BTreeSet<&str> =
        description["paths"].as_object().expect("paths").keys().map(String::as_str).collect();
    assert_eq!(described, seakeeper::web::api_paths().into_iter().collect());
    assert_eq!(description["openapi"], "3.1.0");
}

#[test]
fn answers_have_the_fields_that_are_described_and_no_others() {
    let face = Face::new("fields", true);
    face.desk.show(view());
    let description = description();
    let mut used = BTreeSet::new();
    for (path, asked) in [
        ("/api/v1/status", "/api/v1/status"),
        ("/api/v1/queues", "/api/v1/queues"),
        ("/api/v1/queue/{name}", "/api/v1/queue/main"),
        ("/api/v1/change/{number}", "/api/v1/change/1003"),
        ("/api/v1/change/{number}", "/api/v1/change/6001"),
        ("/api/v1/change/{number}", "/api/v1/change/1900"),
        ("/api/v1/builds", "/api/v1/builds"),
        ("/api/v1/build/{id}", "/api/v1/build/30"),
        ("/api/v1/build/{id}", "/api/v1/build/10"),
        ("/api/v1/departed", "/api/v1/departed?limit=7"),
        ("/api/v1/pauses", "/api/v1/pauses"),
        ("/api/v1/runs", "/api/v1/runs"),
        ("/api/v1/view", "/api/v1/view"),
        ("/api/v1/openapi.json", "/api/v1/openapi.json"),
    ] {
        let (head, body) = face.get(asked, "");
        assert!(head.starts_with("HTTP/1.1 200"), "{asked}: {head}");
        let answer: Value = serde_json::from_str(&body).expect("JSON");
        let schema =
            &description["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["schema"];
        assert!(schema.is_object(), "{path} has a schema");
        compare(asked, &answer, schema, &description, &mut used);
    }
    used.insert("Error".into());
    let schemas = description["components"]["schemas"].as_object().expect("schemas");
    assert_eq!(used, schemas.keys().cloned().collect(), "each schema was met");
}

/// Holds an answer to a schema, as far as the description uses the language of schemas.
fn compare(place: &str, answer: &Value, schema: &Value, description: &Value, used: &mut BTreeSet<String>) {
    if let Some(name) = schema["$ref"].as_str().and_then(|name| name.rsplit('/').next()) {
        used.insert(name.to_owned());
        return compare(place, answer, &description["components"]["schemas"][name], description, used);
    }
    let kind = match answer {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let kinds = &schema["type"];
    let allowed = kinds == kind || kinds.as_array().is_some_and(|kinds| kinds.iter().any(|one| one == kind));
    assert!(allowed, "{place}: {answer} is no {kinds}");
    if let Some(words) = schema["enum"].as_array() {
        assert!(words.contains(answer), "{place}: {answer} is none of {words:?}");
    }
    for (at, one) in answer.as_array().into_iter().flatten().enumerate() {
        compare(&format!("{place}[{at}]"), one, &schema["items"], description, used);
    }
    let Some(fields) = answer.as_object() else { return };
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        assert!(fields.contains_key(name), "{place}: `{name}` is not there");
    }
    for (name, value) in fields {
        let known = &schema["properties"][name];
        match (known.is_object(), &schema["additionalProperties"]) {
            (true, _) => compare(&format!("{place}.{name}"), value, known, description, used),
            (false, Value::Bool(false)) => panic!("{place}: `{name}` is not described"),
            (false, other) if other.is_object() => {
                compare(&format!("{place}.{name}"), value, other, description, used);
            }
            _ => {}
        }
    }
}

#[test]
fn the_longest_chain_is_told_item_by_item() {
    let face = Face::new("chain", true);
    face.desk.show(view());
    let (_, body) = face.get("/api/v1/queue/main", "");
    let queue: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(queue["items"].as_array().map(Vec::len), Some(40));
    let third = &queue["items"][2];
    assert_eq!(third["place"], 3);
    assert_eq!(third["tested_on"], serde_json::json!([1001, 1002]));
    assert_eq!(third["jobs"][0]["log"], "https://ci.example.org/gate/build/30");
    assert_eq!(third["jobs"][0]["estimate_ms"], 167_000, "the median of what was recorded");
    assert_eq!(third["changes"][0]["page"], "https://ci.example.org/gate/change/1003");
    assert_eq!(third["reason"]["kind"], "building");
}

#[test]
fn what_goes_wrong_is_told_as_json_with_a_remedy() {
    let face = Face::new("errors", true);
    for (path, status) in [
        ("/api/v1/change/77", "404"),
        ("/api/v1/change/I123", "400"),
        ("/api/v1/queue/nowhere", "404"),
        ("/api/v1/build/77", "404"),
        ("/api/v1/build/x", "400"),
        ("/api/v1/departed?limit=many", "400"),
        ("/api/v1/nothing", "404"),
        ("/api/v2/status", "404"),
    ] {
        let (head, body) = face.get(path, "");
        assert!(head.starts_with(&format!("HTTP/1.1 {status}")), "{path}: {head}");
        assert!(head.contains("content-type: application/json"), "{head}");
        let answer: Value = serde_json::from_str(&body).expect("JSON");
        assert!(answer["error"].is_string() && answer["remedy"].is_string(), "{path}: {body}");
    }
}

#[test]
fn events_tell_what_enters_changes_leaves_and_is_stopped() {
    let face = Face::new("events", true);
    let first = busy(AT, 3);
    face.desk.show(first.clone());
    let mut stream = Stream::open(&face, "/api/v1/events", "");
    assert!(stream.next("hello")["version"].is_string());

    let mut second = busy(AT, 4);
    let gone = second.queues[0].items.remove(0);
    second.queues[0].items[0].reason = seakeeper::model::Reason::Looking;
    let mut departed = second.departed[0].clone();
    departed.item = ItemId(1);
    departed.changes = gone.changes;
    departed.departure = Departure::Abandoned;
    second.departed.insert(0, departed);
    second.paused.push(PauseView {
        scope: Scope::Everything,
        reason: "why".into(),
        by: "bob".into(),
        at: AT,
    });
    face.desk.show(second.clone());
    assert_eq!(stream.next("changed")["item"]["id"], 2);
    assert_eq!(stream.next("entered")["item"]["place"], 3);
    assert_eq!(stream.next("left")["departed"]["reason"]["kind"], "abandoned");
    assert_eq!(stream.next("stopped")["pause"]["by"], "bob");
    let id = stream.id.clone();

    second.paused.clear();
    face.desk.show(second);
    assert_eq!(stream.next("resumed")["pause"]["scope"], "everything");
    // Who was away goes on where it was.
    let mut again = Stream::open(&face, "/api/v1/events", &format!("Last-Event-ID: {id}\r\n"));
    assert_eq!(again.next("resumed")["pause"]["scope"], "everything");
    assert!(face.desk.figures().encode().contains("seakeeper_page_streams 2"), "both are counted");
}
