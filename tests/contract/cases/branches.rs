//! Pushes to branches: what they close, and what is refused.

use serde_json::json;

use super::cases;
use crate::support::world::{World, new_id};

cases![
    branches_are_listed_with_head_first,
    a_branch_tells_its_tip,
    a_branch_is_made_and_deleted_over_rest,
    a_push_of_the_commit_closes_its_change,
    a_push_of_a_merge_closes_its_change,
    a_push_of_the_top_closes_the_stack,
    a_push_closes_several_changes_with_one_tip,
    a_rebased_commit_closes_its_change_as_a_new_patch_set,
    a_push_closes_a_change_at_an_old_patch_set,
    a_push_over_a_veto_lands,
    a_change_for_another_branch_stays_open,
    an_abandoned_change_is_closed_by_its_own_commit,
    an_abandoned_change_is_not_closed_by_its_change_id,
    a_push_without_the_right_is_refused,
    a_push_that_is_no_fast_forward_is_refused,
    a_branch_is_not_deleted_by_a_push,
    a_foreign_commit_is_not_pushed,
    a_branch_is_made_by_a_push,
    two_branches_move_in_one_push,
    patch_set_refs_are_not_for_pushing,
    a_push_that_expects_another_tip_moves_nothing,
];

fn branches_are_listed_with_head_first(world: &World<'_>) {
    let listed = world.get("bob", &format!("/projects/{}/branches/", world.name)).is(200);
    let tip = world.base.to_string();
    let expected = json!([
        { "ref": "HEAD", "revision": "master" },
        { "ref": "refs/heads/dev", "revision": tip },
        { "ref": "refs/heads/master", "revision": tip },
    ]);
    // Who may delete a branch is told as well at times.
    let mut listed = listed;
    for row in listed.as_array_mut().expect("a list") {
        row.as_object_mut().expect("an object").remove("can_delete");
    }
    assert_eq!(listed, expected);
}

fn a_branch_tells_its_tip(world: &World<'_>) {
    let path = |branch: &str| format!("/projects/{}/branches/{branch}", world.name);
    for name in ["master", "refs%2Fheads%2Fmaster"] {
        let branch = world.get("bot", &path(name)).is(200);
        assert_eq!(
            (&branch["ref"], &branch["revision"]),
            (&json!("refs/heads/master"), &json!(world.base.to_string()))
        );
    }
    world.get("bot", &path("nothing-such")).refused(404, "Not found: nothing-such");
}

fn a_branch_is_made_and_deleted_over_rest(world: &World<'_>) {
    let path = format!("/projects/{}/branches/made", world.name);
    let input = || json!({ "revision": "master" });
    world.ask("bob", "PUT", &path, input()).refused(403, "not permitted: create on refs/heads/made");
    let made = world.ask("admin", "PUT", &path, input()).is(201);
    assert_eq!(
        (&made["ref"], &made["revision"]),
        (&json!("refs/heads/made"), &json!(world.base.to_string()))
    );
    assert_eq!(world.tip("made"), Some(world.base));
    world.server.ask("admin", "DELETE", &path, None).is(204);
    assert_eq!((world.get("bob", &path).status, world.tip("made")), (404, None));
}

fn a_push_of_the_commit_closes_its_change(world: &World<'_>) {
    let change = world.change("landed", &[("a", "1")]);
    world.push("bot", change.commit, "refs/heads/master").expect("a push");
    let read = world.read(&change);
    assert_eq!((&read["status"], &read["submitter"]["username"]), (&json!("MERGED"), &json!("bot")));
    assert_eq!((world.tip("master"), world.patchset(&change)), (Some(change.commit), 1));
    assert_ne!(read["submittable"], true);
}

fn a_push_of_a_merge_closes_its_change(world: &World<'_>) {
    let change = world.change("merged", &[("a", "1")]);
    let tip = world.commit_by("bot", &[world.base], "other\n", &[("b", "1")]);
    world.push("bot", tip, "refs/heads/master").expect("a push");
    let merge = world.merge(tip, change.commit);
    world.push("bot", merge, "refs/heads/master").expect("a push");
    assert_eq!((world.status(&change).as_str(), world.patchset(&change)), ("MERGED", 1));
    let event = world.event("change-merged", &change);
    assert_eq!(
        (&event["newRev"], &event["submitter"]["username"]),
        (&json!(merge.to_string()), &json!("bot"))
    );
    assert_eq!(event["patchSet"]["revision"], change.commit.to_string());
}

fn a_push_of_the_top_closes_the_stack(world: &World<'_>) {
    let below = world.change("below", &[("a", "1")]);
    let above = world.change_on(below.commit, "above", &[("b", "1")]);
    world.push("bot", above.commit, "refs/heads/master").expect("a push");
    assert_eq!((world.status(&below).as_str(), world.status(&above).as_str()), ("MERGED", "MERGED"));
}

fn a_push_closes_several_changes_with_one_tip(world: &World<'_>) {
    let one = world.change("one", &[("a", "1")]);
    let two = world.change("two", &[("b", "1")]);
    let tip = world.merge(one.commit, two.commit);
    world.push("bot", tip, "refs/heads/master").expect("a push");
    for change in [&one, &two] {
        assert_eq!(world.status(change), "MERGED");
        assert_eq!(world.event("change-merged", change)["newRev"], tip.to_string());
    }
    let story = world.story();
    assert_eq!(story.iter().filter(|word| *word == "refs/heads/master").count(), 2, "{story:?}");
}

fn a_rebased_commit_closes_its_change_as_a_new_patch_set(world: &World<'_>) {
    let change = world.change("rebased", &[("a", "1")]);
    let tip = world.commit_by("bot", &[world.base], "other\n", &[("b", "1")]);
    let rebased = world.rebased("bot", change.commit, tip);
    world.push("bot", rebased, "refs/heads/master").expect("a push");
    let read = world.read(&change);
    assert_eq!((&read["status"], &read["current_revision"]), (&json!("MERGED"), &json!(rebased.to_string())));
    assert_eq!(world.patchset(&change), 2);
    let event = crate::support::wait_for("the second patch set", || {
        Some(world.event("patchset-created", &change)).filter(|event| event["patchSet"]["number"] == 2)
    });
    assert_eq!((&event["change"]["status"], &event["patchSet"]["number"]), (&json!("MERGED"), &json!(2)));
    assert_eq!(event["uploader"]["username"], "bot");
}

fn a_push_closes_a_change_at_an_old_patch_set(world: &World<'_>) {
    let first = world.change("twice", &[("a", "1")]);
    world.amend(&first, "twice", &[("a", "2")]);
    let above = world.change_on(first.commit, "above", &[("b", "1")]);
    world.push("bot", above.commit, "refs/heads/master").expect("a push");
    let read = world.read(&first);
    assert_eq!(
        (&read["status"], &read["current_revision"]),
        (&json!("MERGED"), &json!(first.commit.to_string()))
    );
    assert_eq!(world.patchset(&first), 1);
}

fn a_push_over_a_veto_lands(world: &World<'_>) {
    let change = world.change("vetoed", &[("a", "1")]);
    world.vote("bob", &change, "Code-Review", -2);
    world.push("bot", change.commit, "refs/heads/master").expect("a push");
    assert_eq!(world.status(&change), "MERGED");
}

fn a_change_for_another_branch_stays_open(world: &World<'_>) {
    let change = world.change("for master", &[("a", "1")]);
    world.push("bot", change.commit, "refs/heads/dev").expect("a push");
    assert_eq!(world.status(&change), "NEW");
}

fn an_abandoned_change_is_closed_by_its_own_commit(world: &World<'_>) {
    let change = world.change("given up", &[("a", "1")]);
    world.tell("alice", &change, "abandon", json!({})).is(200);
    world.push("bot", change.commit, "refs/heads/master").expect("a push");
    assert_eq!(world.status(&change), "MERGED");
}

fn an_abandoned_change_is_not_closed_by_its_change_id(world: &World<'_>) {
    let change = world.change("given up", &[("a", "1")]);
    world.tell("alice", &change, "abandon", json!({})).is(200);
    let tip = world.commit_by("bot", &[world.base], "other\n", &[("b", "1")]);
    world.push("bot", world.rebased("bot", change.commit, tip), "refs/heads/master").expect("a push");
    assert_eq!((world.status(&change).as_str(), world.patchset(&change)), ("ABANDONED", 1));
}

fn refused(pushed: Result<String, String>, words: &str) {
    let said = pushed.expect_err("a refusal");
    assert!(said.contains(&format!("({words})")), "{said}");
}

fn a_push_without_the_right_is_refused(world: &World<'_>) {
    let change = world.change("direct", &[("a", "1")]);
    let pushed = world.push("alice", change.commit, "refs/heads/master");
    assert!(
        pushed.as_ref().is_err_and(|said| said.contains("or get 'Push' rights to update the branch.")),
        "{pushed:?}"
    );
    refused(pushed, "prohibited by Gerrit: not permitted: update");
    refused(
        world.push("alice", change.commit, "refs/heads/new"),
        "prohibited by Gerrit: not permitted: create",
    );
    assert_eq!((world.status(&change).as_str(), world.tip("master")), ("NEW", Some(world.base)));
}

fn a_push_that_is_no_fast_forward_is_refused(world: &World<'_>) {
    let tip = world.commit_by("bot", &[world.base], "one\n", &[("a", "1")]);
    world.push("bot", tip, "refs/heads/master").expect("a push");
    let other = world.commit_by("bot", &[world.base], "other\n", &[("b", "1")]);
    let forced = world.push_all("bot", &["--force", &format!("{other}:refs/heads/master")]);
    refused(forced, "prohibited by Gerrit: not permitted: force update");
    assert_eq!(world.tip("master"), Some(tip));
}

fn a_branch_is_not_deleted_by_a_push(world: &World<'_>) {
    refused(world.push_all("bot", &[":refs/heads/dev"]), "prohibited by Gerrit: not permitted: delete");
    assert_eq!(world.tip("dev"), Some(world.base));
}

fn a_foreign_commit_is_not_pushed(world: &World<'_>) {
    let commit = world.commit_by("alice", &[world.base], "foreign\n", &[("a", "1")]);
    let short = &commit.to_string()[..7];
    refused(world.push("bot", commit, "refs/heads/master"), &format!("commit {short}: invalid committer"));
}

fn a_branch_is_made_by_a_push(world: &World<'_>) {
    world.push("bot", world.base, "refs/heads/side").expect("a push");
    assert_eq!(world.tip("side"), Some(world.base));
    let event = world.ref_event("refs/heads/side");
    let update = &event["refUpdate"];
    assert_eq!(
        (&update["oldRev"], &update["newRev"]),
        (&json!("0".repeat(40)), &json!(world.base.to_string()))
    );
}

fn two_branches_move_in_one_push(world: &World<'_>) {
    let one = world.change("for master", &[("a", "1")]);
    let dev = world.commit(world.base, "for dev", &new_id(), &[("b", "1")]);
    world.push("alice", dev, "refs/for/dev").expect("an upload");
    let (to_master, to_dev) = (format!("{}:refs/heads/master", one.commit), format!("{dev}:refs/heads/dev"));
    world.push_all("bot", &["--atomic", &to_master, &to_dev]).expect("a push");
    assert_eq!((world.tip("master"), world.tip("dev")), (Some(one.commit), Some(dev)));
    assert_eq!((world.status(&one).as_str(), world.find("bob", "is:merged").len()), ("MERGED", 2));
}

fn patch_set_refs_are_not_for_pushing(world: &World<'_>) {
    let change = world.change("kept", &[("a", "1")]);
    let name = format!("refs/changes/{:02}/{}/9", change.number % 100, change.number);
    refused(world.push("bot", world.base, &name), "prohibited by Gerrit: not permitted: create");
}

/// As the daemon pushes: the request says which tip it expects, and nothing was asked before.
fn a_push_that_expects_another_tip_moves_nothing(world: &World<'_>) {
    let tip = world.commit_by("bot", &[world.base], "one\n", &[("a", "1")]);
    world.push("bot", tip, "refs/heads/master").expect("a push");
    let change = world.change("late", &[("b", "1")]);
    let expected = format!("--force-with-lease=refs/heads/master:{}", world.base);
    let said = world.push_all("bot", &[&expected, &format!("{}:refs/heads/master", change.commit)]);
    refused(said, "stale info");
    assert_eq!((world.tip("master"), world.status(&change).as_str()), (Some(tip), "NEW"));
}
