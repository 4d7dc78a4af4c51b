//! What is done to a change beside reviewing it.

use serde_json::{Value, json};

use super::cases;
use crate::support::world::{Change, World};

cases![
    a_change_is_abandoned_and_restored_once_each,
    only_the_owner_and_administrators_abandon,
    work_in_progress_is_set_once,
    only_the_owner_marks_work_in_progress,
    a_private_change_is_not_there_for_strangers,
    a_reviewer_sees_a_change_that_becomes_private,
    a_private_change_has_no_refs_for_strangers,
    private_is_set_and_taken_back,
    a_topic_is_set_and_removed,
    hashtags_are_added_and_removed,
    a_stranger_describes_no_change,
    a_rebase_makes_a_patch_set_on_the_tip,
    a_rebase_with_a_conflict_is_refused,
    a_change_on_the_tip_needs_no_rebase,
    the_files_of_a_change_are_listed,
    whether_a_change_can_be_merged_is_told,
    a_change_has_four_names,
    an_unknown_deed_is_not_found,
];

fn change(world: &World<'_>) -> Change {
    world.change("handled", &[("a", "1")])
}

fn nothing() -> Value {
    json!({})
}

fn a_change_is_abandoned_and_restored_once_each(world: &World<'_>) {
    let change = change(world);
    let answer = world.tell("alice", &change, "abandon", json!({ "message": "no more" })).is(200);
    assert_eq!(answer["status"], "ABANDONED");
    assert_eq!(world.last_message(&change)["message"], "Abandoned\n\nno more");
    world.tell("alice", &change, "abandon", nothing()).refused(409, "change is abandoned");
    assert_eq!(world.tell("alice", &change, "restore", nothing()).is(200)["status"], "NEW");
    assert_eq!(world.last_message(&change)["message"], "Restored");
    world.tell("alice", &change, "restore", nothing()).refused(409, "change is new");
}

fn only_the_owner_and_administrators_abandon(world: &World<'_>) {
    let change = change(world);
    world.tell("bob", &change, "abandon", nothing()).refused(403, "abandon not permitted");
    world.tell("admin", &change, "abandon", nothing()).is(200);
    world.tell("bob", &change, "restore", nothing()).refused(403, "restore not permitted");
}

fn work_in_progress_is_set_once(world: &World<'_>) {
    let change = change(world);
    assert_eq!(world.tell("alice", &change, "wip", nothing()).is(200), "");
    assert_eq!(world.read(&change)["work_in_progress"], true);
    world.tell("alice", &change, "wip", nothing()).refused(409, "change is already work in progress");
    world.tell("alice", &change, "ready", nothing()).is(200);
    assert_eq!(world.read(&change).get("work_in_progress"), None);
    world.tell("alice", &change, "ready", nothing()).refused(409, "change is not work in progress");
    assert_eq!(world.last_message(&change)["message"], "Set Ready For Review");
}

fn only_the_owner_marks_work_in_progress(world: &World<'_>) {
    let words = "toggle work in progress state not permitted";
    world.tell("bob", &change(world), "wip", nothing()).refused(403, words);
}

fn a_private_change_is_not_there_for_strangers(world: &World<'_>) {
    let change = change(world);
    world.tell("alice", &change, "private", nothing()).is(201);
    let path = format!("/changes/{}", change.number);
    for who in ["bob", "bot", ""] {
        world.get(who, &path).refused(404, &format!("Not found: {}", change.number));
        assert_eq!(world.find(who, "is:open"), [0_u64; 0], "{who}");
    }
    let read = world.get("alice", &path).is(200);
    assert_eq!(read["is_private"], true);
    assert_eq!(world.find("alice", "is:open"), [change.number]);
    world.get("admin", &path).is(200);
    let reply = world.review("bot", &change, json!({ "labels": { "Verified": 1 } }));
    reply.refused(404, &format!("Not found: {}~{}", world.name, change.number));
}

fn a_reviewer_sees_a_change_that_becomes_private(world: &World<'_>) {
    let change = change(world);
    world.vote("bob", &change, "Code-Review", 1);
    world.tell("alice", &change, "private", nothing()).is(201);
    world.get("bob", &change.path).is(200);
    assert_eq!(world.get("bot", &change.path).status, 404);
}

fn a_private_change_has_no_refs_for_strangers(world: &World<'_>) {
    let (open, hidden) = (change(world), world.change("hidden", &[("b", "1")]));
    world.tell("alice", &hidden, "private", nothing()).is(201);
    let listed = |who: &str| world.git(&["ls-remote", &world.url(who)]).1;
    for (who, sees) in [("bob", false), ("alice", true)] {
        let words = listed(who);
        assert!(words.contains(&open.commit.to_string()), "{words}");
        assert_eq!(words.contains(&hidden.commit.to_string()), sees, "{who}: {words}");
    }
}

fn private_is_set_and_taken_back(world: &World<'_>) {
    let change = change(world);
    let path = format!("{}/private", change.path);
    world.ask("alice", "POST", &path, nothing()).is(201);
    world.ask("alice", "POST", &path, nothing()).is(200);
    world.server.ask("alice", "DELETE", &path, None).is(204);
    world.server.ask("alice", "DELETE", &path, None).refused(409, "change is not private");
    assert_eq!(world.read(&change).get("is_private"), None);
}

fn a_topic_is_set_and_removed(world: &World<'_>) {
    let change = change(world);
    let path = format!("{}/topic", change.path);
    assert_eq!(world.get("bob", &path).is(200), "");
    assert_eq!(world.ask("alice", "PUT", &path, json!({ "topic": "tea" })).is(200), "tea");
    assert_eq!(world.last_message(&change)["message"], "Topic set to tea");
    assert_eq!(
        (world.get("bob", &path).is(200), world.read(&change)["topic"].clone()),
        (json!("tea"), json!("tea"))
    );
    world.server.ask("alice", "DELETE", &path, None).is(204);
    assert_eq!(world.read(&change).get("topic"), None);
    assert_eq!(world.last_message(&change)["message"], "Topic tea removed");
}

fn hashtags_are_added_and_removed(world: &World<'_>) {
    let change = change(world);
    assert_eq!(
        world.tell("alice", &change, "hashtags", json!({ "add": ["b", "a"] })).is(200),
        json!(["a", "b"])
    );
    assert_eq!(world.tell("alice", &change, "hashtags", json!({ "remove": ["b"] })).is(200), json!(["a"]));
    assert_eq!(world.get("bob", &format!("{}/hashtags", change.path)).is(200), json!(["a"]));
    assert_eq!(world.last_message(&change)["message"], "Hashtag removed: b");
}

fn a_stranger_describes_no_change(world: &World<'_>) {
    let change = change(world);
    let reply = world.ask("bob", "PUT", &format!("{}/topic", change.path), json!({ "topic": "tea" }));
    reply.refused(403, "edit topic name not permitted");
    let reply = world.tell("bob", &change, "hashtags", json!({ "add": ["b"] }));
    reply.refused(403, "edit hashtags not permitted");
}

fn a_rebase_makes_a_patch_set_on_the_tip(world: &World<'_>) {
    let change = change(world);
    let tip = world.commit_by("bot", &[world.base], "other\n", &[("b", "1")]);
    world.push("bot", tip, "refs/heads/master").expect("a push");
    world.tell("alice", &change, "rebase", nothing()).is(200);
    let read = world.read(&change);
    let current = &read["revisions"][read["current_revision"].as_str().expect("a revision")];
    assert_eq!((&current["_number"], &current["kind"]), (&json!(2), &json!("TRIVIAL_REBASE")));
    assert_eq!(current["commit"]["parents"][0]["commit"], tip.to_string());
    assert_eq!(current["commit"]["committer"]["email"], "alice@example.com");
}

fn a_rebase_with_a_conflict_is_refused(world: &World<'_>) {
    let change = change(world);
    let tip = world.commit_by("bot", &[world.base], "other\n", &[("a", "2")]);
    world.push("bot", tip, "refs/heads/master").expect("a push");
    let reply = world.tell("alice", &change, "rebase", nothing());
    let start = format!("Change {} could not be rebased due to a conflict during merge.", change.number);
    assert!(reply.status == 409 && reply.text.starts_with(&start), "{reply:?}");
}

fn a_change_on_the_tip_needs_no_rebase(world: &World<'_>) {
    let reply = world.tell("alice", &change(world), "rebase", nothing());
    reply.refused(409, "Change is already up to date.");
}

fn the_files_of_a_change_are_listed(world: &World<'_>) {
    let tip = world.commit_by("bot", &[world.base], "other\n", &[("old", "1\n2\n")]);
    world.push("bot", tip, "refs/heads/master").expect("a push");
    let change = world.change_on(tip, "files", &[("new", "1\n"), ("old", "1\n3\n4\n")]);
    let files = world.get("bob", &format!("{}/revisions/current/files", change.path)).is(200);
    let count = files.as_object().map(serde_json::Map::len);
    assert_eq!(
        (count, &files["new"]["status"], &files["new"]["lines_inserted"]),
        (Some(3), &json!("A"), &json!(1))
    );
    assert_eq!((files["old"].get("status"), &files["old"]["lines_inserted"]), (None, &json!(2)));
    assert_eq!(files["old"]["lines_deleted"], 1);
    assert!(files.get("/COMMIT_MSG").is_some());
}

fn whether_a_change_can_be_merged_is_told(world: &World<'_>) {
    let (good, bad) = (change(world), world.change("conflicting", &[("b", "1")]));
    let tip = world.commit_by("bot", &[world.base], "other\n", &[("b", "2")]);
    world.push("bot", tip, "refs/heads/master").expect("a push");
    for (change, expected) in [(good, true), (bad, false)] {
        let told = world.get("bob", &format!("{}/revisions/current/mergeable", change.path)).is(200);
        assert_eq!(
            (&told["mergeable"], &told["submit_type"]),
            (&json!(expected), &json!("MERGE_IF_NECESSARY"))
        );
    }
}

fn a_change_has_four_names(world: &World<'_>) {
    let change = change(world);
    let (number, id, project) = (change.number, &change.id, &world.name);
    for name in
        [number.to_string(), id.clone(), format!("{project}~{number}"), format!("{project}~master~{id}")]
    {
        assert_eq!(world.get("bob", &format!("/changes/{name}")).is(200)["_number"], number, "{name}");
    }
    let wrong = format!("nothing-such~{number}");
    world.get("bob", &format!("/changes/{wrong}")).refused(404, &format!("Not found: {wrong}"));
}

fn an_unknown_deed_is_not_found(world: &World<'_>) {
    let change = change(world);
    world.tell("alice", &change, "nothing-such", nothing()).refused(404, "Not found: nothing-such");
    let reply = world.get("alice", &format!("{}?o=NOTHING_SUCH", change.path));
    reply.refused(400, "\"NOTHING_SUCH\" is not a valid value for \"-o\"");
}
