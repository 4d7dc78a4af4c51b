//! What queries find.

use serde_json::{Value, json};

use super::cases;
use crate::support::world::{Change, World, encode};

cases![
    changes_are_found_by_their_names,
    changes_are_found_by_their_state,
    terms_are_joined_and_turned_round,
    changes_are_found_by_votes,
    changes_are_found_by_people,
    changes_are_found_by_topic_and_hashtag,
    changes_are_found_by_branch_and_commit,
    changes_are_found_by_the_time_of_their_last_change,
    a_page_says_that_there_is_more,
    the_last_changed_comes_first,
    several_queries_have_several_answers,
    an_unknown_operator_is_refused,
    a_query_that_makes_no_sense_is_refused,
    what_the_daemon_asks_for_is_answered,
    a_detail_holds_votes_and_messages,
];

fn two(world: &World<'_>) -> (Change, Change) {
    (world.change("one", &[("a", "1")]), world.change("two", &[("b", "1")]))
}

fn changes_are_found_by_their_names(world: &World<'_>) {
    let (one, two) = two(world);
    assert_eq!(world.find("bob", &format!("change:{}", one.number)), [one.number]);
    assert_eq!(world.find("bob", &format!("change:{}", two.id)), [two.number]);
    assert_eq!(world.find("bob", &two.id), [two.number]);
    assert_eq!(world.find("bob", "change:999999999"), [0_u64; 0]);
}

fn changes_are_found_by_their_state(world: &World<'_>) {
    let (one, two) = two(world);
    world.tell("alice", &one, "abandon", json!({})).is(200);
    world.tell("alice", &two, "wip", json!({})).is(200);
    for (query, expected) in [
        ("status:open", vec![two.number]),
        ("is:open", vec![two.number]),
        ("status:abandoned", vec![one.number]),
        ("is:closed", vec![one.number]),
        ("is:wip", vec![two.number]),
        ("status:merged", vec![]),
        ("is:submittable", vec![]),
    ] {
        assert_eq!(world.find("bob", query), expected, "{query}");
    }
}

fn terms_are_joined_and_turned_round(world: &World<'_>) {
    let (one, two) = two(world);
    let (first, second) = (one.number, two.number);
    assert_eq!(world.find("bob", &format!("(change:{first} OR change:{second})")), [first, second]);
    assert_eq!(world.find("bob", &format!("-change:{first}")), [second]);
    assert_eq!(world.find("bob", &format!("NOT (change:{first} OR change:999999999)")), [second]);
    assert_eq!(world.find("bob", &format!("is:open AND change:{first}")), [first]);
}

fn changes_are_found_by_votes(world: &World<'_>) {
    let (one, two) = two(world);
    world.vote("bob", &one, "Code-Review", 2);
    world.vote("bob", &two, "Code-Review", 1);
    for (query, expected) in [
        ("label:Code-Review>=2", vec![one.number]),
        ("label:Code-Review=+1", vec![two.number]),
        ("label:Code-Review>=1", vec![one.number, two.number]),
        ("label:Code-Review=MAX", vec![one.number]),
        ("label:Code-Review<=-1", vec![]),
        ("label:Code-Review>=1,user=alice", vec![]),
    ] {
        assert_eq!(world.find("bot", query), expected, "{query}");
    }
}

fn changes_are_found_by_people(world: &World<'_>) {
    let (one, two) = two(world);
    world.vote("bob", &one, "Code-Review", 1);
    assert_eq!(world.find("alice", "owner:self"), [one.number, two.number]);
    assert_eq!(world.find("bob", "owner:alice"), [one.number, two.number]);
    assert_eq!(world.find("bob", "owner:self"), [0_u64; 0]);
    assert_eq!(world.find("bob", "reviewer:self"), [one.number]);
}

fn changes_are_found_by_topic_and_hashtag(world: &World<'_>) {
    let (one, two) = two(world);
    world.ask("alice", "PUT", &format!("{}/topic", one.path), json!({ "topic": "tea" })).is(200);
    world.tell("alice", &two, "hashtags", json!({ "add": ["green"] })).is(200);
    assert_eq!(world.find("bob", "topic:tea"), [one.number]);
    assert_eq!(world.find("bob", "hashtag:green"), [two.number]);
}

fn changes_are_found_by_branch_and_commit(world: &World<'_>) {
    let (one, two) = two(world);
    assert_eq!(world.find("bob", "branch:\"master\""), [one.number, two.number]);
    assert_eq!(world.find("bob", "branch:dev"), [0_u64; 0]);
    assert_eq!(world.find("bob", &format!("commit:{}", two.commit)), [two.number]);
    // As the daemon asks for what a commit would close.
    let query = format!("status:open branch:\"master\" (commit:{} OR change:{})", one.commit, two.id);
    assert_eq!(world.find("bot", &query), [one.number, two.number]);
}

fn changes_are_found_by_the_time_of_their_last_change(world: &World<'_>) {
    let (one, two) = two(world);
    let updated = world.read(&one)["updated"].as_str().map(|text| text[..19].to_owned()).expect("a time");
    assert_eq!(world.find("bob", &format!("after:\"{updated}\"")), [one.number, two.number]);
    assert_eq!(world.find("bob", "after:\"2037-01-01 00:00:00\""), [0_u64; 0]);
    assert_eq!(world.find("bob", "before:\"2037-01-01\""), [one.number, two.number]);
    assert_eq!(world.find("bob", "before:\"2001-01-01\""), [0_u64; 0]);
}

fn rows(world: &World<'_>, more: &str) -> Vec<Value> {
    let query = encode(&format!("project:{}", world.name));
    let found = world.get("bob", &format!("/changes/?q={query}&{more}")).is(200);
    found.as_array().cloned().unwrap_or_default()
}

fn a_page_says_that_there_is_more(world: &World<'_>) {
    let (one, two) = two(world);
    let first = rows(world, "n=1");
    assert_eq!(
        (first.len(), &first[0]["_number"], &first[0]["_more_changes"]),
        (1, &json!(two.number), &json!(true))
    );
    let second = rows(world, "n=1&S=1");
    assert_eq!((&second[0]["_number"], second[0].get("_more_changes")), (&json!(one.number), None));
    assert!(rows(world, "n=1&S=2").is_empty());
}

fn the_last_changed_comes_first(world: &World<'_>) {
    let (one, two) = two(world);
    let second_of = |change: &Change| world.read(change)["updated"].clone();
    // Whole seconds are compared: a vote changes nothing in the order before the next one has begun.
    let mut value = 1;
    crate::support::wait_for("a later second", || {
        world.vote("bob", &one, "Code-Review", value);
        value = -value;
        (second_of(&one) != second_of(&two)).then_some(())
    });
    let numbers: Vec<Value> = rows(world, "n=50").iter().map(|row| row["_number"].clone()).collect();
    assert_eq!(numbers, [json!(one.number), json!(two.number)]);
}

fn several_queries_have_several_answers(world: &World<'_>) {
    let (one, two) = two(world);
    let path = format!("/changes/?q=change:{}&q=change:{}", one.number, two.number);
    let answer = world.get("bob", &path).is(200);
    assert_eq!(
        (&answer[0][0]["_number"], &answer[1][0]["_number"]),
        (&json!(one.number), &json!(two.number))
    );
}

fn an_unknown_operator_is_refused(world: &World<'_>) {
    world.get("bob", "/changes/?q=status:open+frob:1").refused(400, "Unsupported operator frob:1");
}

fn a_query_that_makes_no_sense_is_refused(world: &World<'_>) {
    assert_eq!(world.get("bob", "/changes/?q=status:open+bad(").status, 400);
}

fn what_the_daemon_asks_for_is_answered(world: &World<'_>) {
    let (one, two) = two(world);
    let options = "o=CURRENT_REVISION&o=CURRENT_COMMIT&o=DETAILED_LABELS&o=DETAILED_ACCOUNTS&o=SUBMIT_REQUIREMENTS&o=SUBMITTABLE&o=SKIP_DIFFSTAT";
    let path = format!("/changes/?q=change:{}+OR+change:{}&n=80&{options}", one.number, two.number);
    let found = world.get("bot", &path).is(200);
    let found = found.as_array().cloned().unwrap_or_default();
    assert_eq!(found.len(), 2);
    for row in &found {
        let current = row["current_revision"].as_str().expect("a revision");
        assert!(row["revisions"][current]["commit"]["message"].is_string(), "{row}");
        assert!(row["submittable"].is_boolean() && row["submit_requirements"].is_array(), "{row}");
        assert_eq!(row["meta_rev_id"].as_str().map(str::len), Some(40));
        assert_eq!(row["owner"]["username"], "alice");
        assert_eq!(row["submit_type"], "MERGE_IF_NECESSARY");
    }
}

fn a_detail_holds_votes_and_messages(world: &World<'_>) {
    let (one, _) = two(world);
    world.vote("bob", &one, "Code-Review", 2);
    let detail = world.get("alice", &format!("{}/detail", one.path)).is(200);
    assert_eq!(detail["messages"].as_array().map(Vec::len), Some(2));
    let bob = &detail["labels"]["Code-Review"]["all"][0];
    assert_eq!((&bob["username"], &bob["value"]), (&json!("bob"), &json!(2)));
    assert!(
        bob["date"].is_string() && bob["permitted_voting_range"] == json!({ "min": -2, "max": 2 }),
        "{bob}"
    );
    assert_eq!(detail.get("current_revision"), None);
    // Without being asked for, there is less.
    let plain = world.get("alice", &one.path).is(200);
    assert_eq!((plain.get("labels"), plain.get("messages"), plain["owner"].get("name")), (None, None, None));
}
