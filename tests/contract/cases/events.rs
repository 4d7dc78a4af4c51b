//! What `gerrit stream-events` tells.

use serde_json::{Value, json};

use super::cases;
use crate::support::stream::Stream;
use crate::support::wait_for;
use crate::support::world::{Change, World};

cases![
    an_upload_is_told_ref_by_ref,
    a_vote_is_told_with_what_it_was,
    words_are_told_without_a_change_of_votes,
    the_meta_ref_moves_to_what_a_reading_says,
    a_new_patch_set_is_told,
    switches_are_told,
    a_topic_and_hashtags_are_told,
    the_end_of_a_change_and_its_return_are_told,
    a_landing_is_told_in_order,
    a_new_repository_is_told,
    a_deleted_branch_is_told,
    nothing_private_is_told_to_strangers,
    a_reader_may_ask_for_one_type,
];

fn change(world: &World<'_>) -> Change {
    world.change("told", &[("a", "1")])
}

fn refs(change: &Change) -> (String, String) {
    let start = format!("refs/changes/{:02}/{}", change.number % 100, change.number);
    (format!("{start}/1"), format!("{start}/meta"))
}

fn an_upload_is_told_ref_by_ref(world: &World<'_>) {
    let change = change(world);
    let event = world.event("patchset-created", &change);
    let (patch, meta) = refs(&change);
    let story = world.story();
    let place = |what: &str| {
        story.iter().position(|word| word == what).unwrap_or_else(|| panic!("{what} in {story:?}"))
    };
    assert!(place(&patch) < place(&meta) && place(&meta) < place("patchset-created"), "{story:?}");
    let about = &event["change"];
    for (field, expected) in [
        ("project", json!(world.name)),
        ("branch", json!("master")),
        ("id", json!(change.id)),
        ("subject", json!("told")),
        ("status", json!("NEW")),
        ("commitMessage", json!(format!("told\n\nChange-Id: {}\n", change.id))),
        ("url", json!(format!("{}c/{}/+/{}", world.server.url, world.name, change.number))),
    ] {
        assert_eq!(about[field], expected, "{field}");
    }
    assert_eq!(about["owner"]["username"], "alice");
    let set = &event["patchSet"];
    assert_eq!((&set["number"], &set["revision"]), (&json!(1), &json!(change.commit.to_string())));
    assert_eq!((&set["ref"], &set["parents"]), (&json!(patch), &json!([world.base.to_string()])));
    assert_eq!(
        (&event["refName"], &event["changeKey"]["id"]),
        (&json!("refs/heads/master"), &json!(change.id))
    );
    assert!(event["eventCreatedOn"].is_u64() && event["instanceId"].is_string(), "{event}");
}

/// Label, value and old value of each approval.
fn approvals(event: &Value) -> Vec<(String, String, Option<String>)> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let all = event["approvals"].as_array().cloned().unwrap_or_default();
    let one = |approval: &Value| {
        (
            text(&approval["type"]).expect("a label"),
            text(&approval["value"]).expect("a value"),
            text(&approval["oldValue"]),
        )
    };
    let mut all: Vec<_> = all.iter().map(one).collect();
    all.sort();
    all
}

fn approval(label: &str, value: &str, old: Option<&str>) -> (String, String, Option<String>) {
    (label.into(), value.into(), old.map(str::to_owned))
}

fn a_vote_is_told_with_what_it_was(world: &World<'_>) {
    let change = change(world);
    world.vote("bob", &change, "Code-Review", 2);
    let event = world.event("comment-added", &change);
    assert_eq!(
        (&event["author"]["username"], &event["comment"]),
        (&json!("bob"), &json!("Patch Set 1: Code-Review+2"))
    );
    assert_eq!(approvals(&event), [approval("Code-Review", "2", Some("0")), approval("Verified", "0", None)]);
    world.vote("bot", &change, "Verified", 1);
    let event = wait_for("the second vote", || {
        Some(world.event("comment-added", &change)).filter(|event| event["author"]["username"] == "bot")
    });
    assert_eq!(approvals(&event), [approval("Code-Review", "0", None), approval("Verified", "1", Some("0"))]);
}

fn words_are_told_without_a_change_of_votes(world: &World<'_>) {
    let change = change(world);
    world.review("bob", &change, json!({ "message": "hello" })).is(200);
    let event = world.event("comment-added", &change);
    assert_eq!(event["comment"], "Patch Set 1:\n\nhello");
    assert!(approvals(&event).iter().all(|(_, _, old)| old.is_none()), "{event}");
}

fn the_meta_ref_moves_to_what_a_reading_says(world: &World<'_>) {
    let change = change(world);
    let before = world.read(&change)["meta_rev_id"].clone();
    world.vote("bob", &change, "Code-Review", 1);
    let after = world.read(&change)["meta_rev_id"].clone();
    let event = wait_for("the meta ref", || {
        Some(world.ref_event(&refs(&change).1)).filter(|event| event["refUpdate"]["newRev"] == after)
    });
    assert_eq!(event["refUpdate"]["oldRev"], before);
    assert_eq!(event["submitter"]["username"], "bob");
}

fn a_new_patch_set_is_told(world: &World<'_>) {
    let first = change(world);
    let second = world.amend(&first, "told again", &[("a", "1")]);
    let event = wait_for("the second patch set", || {
        Some(world.event("patchset-created", &first)).filter(|event| event["patchSet"]["number"] == 2)
    });
    assert_eq!(event["patchSet"]["revision"], second.commit.to_string());
    assert_eq!(
        (&event["patchSet"]["kind"], &event["uploader"]["username"]),
        (&json!("NO_CODE_CHANGE"), &json!("alice"))
    );
}

fn switches_are_told(world: &World<'_>) {
    let change = change(world);
    world.tell("alice", &change, "wip", json!({})).is(200);
    let event = world.event("wip-state-changed", &change);
    assert_eq!((&event["change"]["wip"], &event["changer"]["username"]), (&json!(true), &json!("alice")));
    world.tell("alice", &change, "ready", json!({})).is(200);
    wait_for("that it is ready", || {
        Some(world.event("wip-state-changed", &change)).filter(|event| event["change"].get("wip").is_none())
    });
}

fn a_topic_and_hashtags_are_told(world: &World<'_>) {
    let change = change(world);
    world.ask("alice", "PUT", &format!("{}/topic", change.path), json!({ "topic": "tea" })).is(200);
    let event = world.event("topic-changed", &change);
    assert_eq!((&event["change"]["topic"], &event["oldTopic"]), (&json!("tea"), &json!("")));
    world.tell("alice", &change, "hashtags", json!({ "add": ["x"] })).is(200);
    let event = world.event("hashtags-changed", &change);
    assert_eq!((&event["added"], &event["hashtags"]), (&json!(["x"]), &json!(["x"])));
    assert_eq!(event["editor"]["username"], "alice");
}

fn the_end_of_a_change_and_its_return_are_told(world: &World<'_>) {
    let change = change(world);
    world.tell("alice", &change, "abandon", json!({ "message": "why" })).is(200);
    let event = world.event("change-abandoned", &change);
    assert_eq!((&event["change"]["status"], &event["reason"]), (&json!("ABANDONED"), &json!("why")));
    assert_eq!(event["abandoner"]["username"], "alice");
    world.tell("alice", &change, "restore", json!({})).is(200);
    let event = world.event("change-restored", &change);
    assert_eq!(
        (&event["change"]["status"], &event["restorer"]["username"]),
        (&json!("NEW"), &json!("alice"))
    );
}

fn a_landing_is_told_in_order(world: &World<'_>) {
    let change = change(world);
    world.event("patchset-created", &change);
    let before = world.story().len();
    world.push("bot", change.commit, "refs/heads/master").expect("a push");
    let event = world.event("change-merged", &change);
    assert_eq!(
        world.story()[before..],
        ["refs/heads/master".to_owned(), refs(&change).1, "change-merged".to_owned()]
    );
    assert_eq!(
        (&event["change"]["status"], &event["newRev"]),
        (&json!("MERGED"), &json!(change.commit.to_string()))
    );
    let moved = world.ref_event("refs/heads/master");
    let update = &moved["refUpdate"];
    assert_eq!(
        (&update["oldRev"], &update["newRev"]),
        (&json!(world.base.to_string()), &json!(change.commit.to_string()))
    );
    assert_eq!(moved["submitter"]["username"], "bot");
}

fn a_new_repository_is_told(world: &World<'_>) {
    let event = wait_for("the repository", || {
        world.events().into_iter().find(|event| event["type"] == "project-created")
    });
    assert_eq!(
        (&event["projectName"], &event["headName"]),
        (&json!(world.name), &json!("refs/heads/master"))
    );
}

fn a_deleted_branch_is_told(world: &World<'_>) {
    let path = format!("/projects/{}/branches/dev", world.name);
    world.server.ask("admin", "DELETE", &path, None).is(204);
    wait_for("the deletion", || {
        let event = world.ref_event("refs/heads/dev");
        (event["refUpdate"]["newRev"] == "0".repeat(40)).then_some(())
    });
}

fn nothing_private_is_told_to_strangers(world: &World<'_>) {
    let commit = world.commit(world.base, "secret", &crate::support::world::new_id(), &[("a", "1")]);
    world.push("alice", commit, "refs/for/master%private").expect("an upload");
    // What comes after it is told, so what is not there by then does not come.
    let later = world.change("open", &[("b", "1")]);
    world.event("patchset-created", &later);
    let told = world.events();
    assert!(!told.iter().any(|event| event.to_string().contains(&commit.to_string())), "{told:?}");
}

fn a_reader_may_ask_for_one_type(world: &World<'_>) {
    let stream = Stream::open(world.server, &["-s", "change-abandoned"]);
    let mut count = 0;
    let seen = wait_for("an event of the type", || {
        // Whether the reader is there yet cannot be seen: until it is, there are further events.
        count += 1;
        let change = world.change(&format!("given up {count}"), &[("a", &count.to_string())]);
        world.tell("alice", &change, "abandon", json!({})).is(200);
        world.event("change-abandoned", &change);
        Some(stream.seen.since(0)).filter(|seen| !seen.is_empty())
    });
    assert!(seen.iter().all(|event| event["type"] == "change-abandoned"), "{seen:?}");
}
