//! Gerrit's own submit.

use serde_json::json;

use super::cases;
use crate::support::world::{Change, World};

cases![
    an_unmet_requirement_refuses_a_submit,
    work_in_progress_refuses_a_submit,
    an_abandoned_change_is_not_submitted,
    a_merged_change_is_not_submitted_again,
    a_submit_moves_the_branch_to_the_commit,
    a_submit_merges_where_it_must,
    a_conflict_refuses_a_submit,
    a_stack_is_submitted_as_a_whole_or_not_at_all,
    an_old_patch_set_is_not_submitted,
    a_submit_names_its_current_patch_set,
];

fn change(world: &World<'_>) -> Change {
    world.change("submitted", &[("a", "1")])
}

fn submit(world: &World<'_>, change: &Change) -> crate::support::reply::Reply {
    world.tell("bob", change, "submit", json!({}))
}

fn failed(change: &Change, why: &str) -> String {
    format!("Failed to submit 1 change due to the following problems:\nChange {}: {why}", change.number)
}

fn unmet(change: &Change, name: &str) -> String {
    failed(
        change,
        &format!("Change {} is not ready: submit requirement '{name}' is unsatisfied.", change.number),
    )
}

fn an_unmet_requirement_refuses_a_submit(world: &World<'_>) {
    let change = change(world);
    submit(world, &change).refused(409, &unmet(&change, "Verified"));
    world.vote("bot", &change, "Verified", 1);
    submit(world, &change).refused(409, &unmet(&change, "Code-Review"));
    world.vote("bob", &change, "Code-Review", 2);
    world.vote("bot", &change, "Verified", -1);
    submit(world, &change).refused(409, &unmet(&change, "Verified"));
    assert_eq!(world.tip("master"), Some(world.base));
}

fn work_in_progress_refuses_a_submit(world: &World<'_>) {
    let change = change(world);
    world.approve(&change);
    world.tell("alice", &change, "wip", json!({})).is(200);
    let why = format!("Change {} is marked work in progress", change.number);
    submit(world, &change).refused(409, &failed(&change, &why));
}

fn an_abandoned_change_is_not_submitted(world: &World<'_>) {
    let change = change(world);
    world.tell("alice", &change, "abandon", json!({})).is(200);
    submit(world, &change).refused(409, "change is abandoned");
}

fn a_merged_change_is_not_submitted_again(world: &World<'_>) {
    let change = change(world);
    world.approve(&change);
    submit(world, &change).is(200);
    submit(world, &change).refused(409, "change is merged");
    world.tell("alice", &change, "abandon", json!({})).refused(409, "change is merged");
    world.tell("alice", &change, "wip", json!({})).refused(409, "change is merged");
    world.tell("alice", &change, "restore", json!({})).refused(409, "change is merged");
    let reply = world.ask("alice", "PUT", &format!("{}/topic", change.path), json!({ "topic": "t" }));
    reply.refused(403, "edit topic name not permitted");
}

fn a_submit_moves_the_branch_to_the_commit(world: &World<'_>) {
    let change = change(world);
    world.approve(&change);
    let answer = submit(world, &change).is(200);
    assert_eq!((&answer["status"], &answer["_number"]), (&json!("MERGED"), &json!(change.number)));
    assert_eq!(world.tip("master"), Some(change.commit));
    let event = world.event("change-merged", &change);
    assert_eq!(
        (&event["newRev"], &event["submitter"]["username"]),
        (&json!(change.commit.to_string()), &json!("bob"))
    );
}

fn a_submit_merges_where_it_must(world: &World<'_>) {
    let change = change(world);
    let tip = world.commit_by("bot", &[world.base], "other\n", &[("b", "1")]);
    world.push("bot", tip, "refs/heads/master").expect("a push");
    world.approve(&change);
    submit(world, &change).is(200);
    let merge = world.tip("master").expect("a branch");
    assert_eq!(world.parents(merge), [tip, change.commit]);
    assert_eq!(world.patchset(&change), 1);
    let (_, message) = world.git(&["log", "-1", "--format=%an|%cn|%s", &merge.to_string()]);
    assert_eq!(message.trim(), "Bob|Gerrit Code Review|Merge \"submitted\"");
}

fn a_conflict_refuses_a_submit(world: &World<'_>) {
    let change = change(world);
    let tip = world.commit_by("bot", &[world.base], "other\n", &[("a", "2")]);
    world.push("bot", tip, "refs/heads/master").expect("a push");
    world.approve(&change);
    let why = "Change could not be merged due to a path conflict. Please rebase the change locally and upload the rebased commit for review.";
    submit(world, &change).refused(409, &failed(&change, why));
    assert_eq!(world.status(&change), "NEW");
}

fn a_stack_is_submitted_as_a_whole_or_not_at_all(world: &World<'_>) {
    let below = change(world);
    let above = world.change_on(below.commit, "above", &[("b", "1")]);
    world.approve(&above);
    let (one, two) = (below.number, above.number);
    let words = format!(
        "Failed to submit 2 changes due to the following problems:\nChange {one}: Change {two} must be submitted with change {one} but {one} is not ready: submit requirement 'Verified' is unsatisfied."
    );
    submit(world, &above).refused(409, &words);
    world.approve(&below);
    submit(world, &above).is(200);
    assert_eq!((world.status(&below).as_str(), world.tip("master")), ("MERGED", Some(above.commit)));
}

fn an_old_patch_set_is_not_submitted(world: &World<'_>) {
    let first = change(world);
    let second = world.amend(&first, "submitted", &[("a", "2")]);
    world.approve(&second);
    let reply = world.tell("bob", &second, &format!("revisions/{}/submit", first.commit), json!({}));
    reply.refused(409, &format!("revision {} is not current revision", first.commit));
}

fn a_submit_names_its_current_patch_set(world: &World<'_>) {
    let change = change(world);
    world.approve(&change);
    world.tell("bot", &change, &format!("revisions/{}/submit", change.commit), json!({})).is(200);
    assert_eq!(world.read(&change)["submitter"]["username"], "bot");
}
