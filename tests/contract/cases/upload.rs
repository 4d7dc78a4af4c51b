//! Uploads for review over git.

use serde_json::json;

use super::cases;
use crate::support::world::{World, new_id};

cases![
    an_upload_makes_a_change,
    a_commit_without_change_id_is_refused,
    an_upload_for_a_missing_branch_is_refused,
    the_same_commit_again_is_nothing_new,
    a_stack_becomes_a_change_for_each_commit,
    an_amended_commit_is_a_new_patch_set,
    a_reworded_commit_is_no_code_change,
    a_rebased_commit_is_a_trivial_rebase,
    marks_behind_the_target_are_heeded,
    a_push_option_is_as_good_as_a_mark,
    an_unknown_mark_is_refused,
    a_closed_change_takes_no_patch_set,
    two_commits_with_one_change_id_are_refused,
    a_foreign_committer_is_refused,
    patch_sets_can_be_fetched_by_their_refs,
    a_wrong_token_reads_nothing,
    nobody_may_push_without_a_name,
    the_same_change_id_on_another_branch_is_another_change,
    a_change_is_made_over_rest,
    no_change_is_made_where_there_is_no_branch,
];

fn an_upload_makes_a_change(world: &World<'_>) {
    let id = new_id();
    let commit = world.commit(world.base, "subject line", &id, &[("a", "1\n")]);
    let words = world.upload(commit);
    let change = world.named(&id, commit);
    let url = format!("{}c/{}/+/{}", world.server.url, world.name, change.number);
    assert!(words.contains(&format!("remote:   {url} subject line [NEW]")), "{words}");
    let read = world.read(&change);
    for (field, expected) in [
        ("project", world.name.as_str()),
        ("branch", "master"),
        ("change_id", id.as_str()),
        ("subject", "subject line"),
        ("status", "NEW"),
        ("current_revision", &commit.to_string()),
    ] {
        assert_eq!(read[field], expected, "{field}");
    }
    assert_eq!(read["owner"]["username"], "alice");
    let patch = &read["revisions"][commit.to_string()];
    assert_eq!((&patch["_number"], &patch["kind"]), (&json!(1), &json!("REWORK")));
    let number = change.number;
    assert_eq!(patch["ref"], format!("refs/changes/{:02}/{number}/1", number % 100));
    assert_eq!(patch["commit"]["parents"][0]["commit"], world.base.to_string());
    assert_eq!(patch["commit"]["message"], format!("subject line\n\nChange-Id: {id}\n"));
    assert_eq!(world.last_message(&change)["message"], "Uploaded patch set 1.");
}

fn a_commit_without_change_id_is_refused(world: &World<'_>) {
    let commit = world.commit_by("alice", &[world.base], "no id\n", &[("a", "1")]);
    let words = world.push("alice", commit, "refs/for/master").expect_err("a refusal");
    let short = &commit.to_string()[..7];
    assert!(words.contains(&format!("(commit {short}: missing Change-Id in message footer)")), "{words}");
    assert!(words.contains("tools/hooks/commit-msg"), "{words}");
}

fn an_upload_for_a_missing_branch_is_refused(world: &World<'_>) {
    let commit = world.commit(world.base, "s", &new_id(), &[("a", "1")]);
    let words = world.push("alice", commit, "refs/for/nothing-such").expect_err("a refusal");
    assert!(words.contains("(branch nothing-such not found)"), "{words}");
}

fn the_same_commit_again_is_nothing_new(world: &World<'_>) {
    let change = world.change("once", &[("a", "1")]);
    let words = world.push("alice", change.commit, "refs/for/master").expect_err("a refusal");
    assert!(words.contains("(no new changes)"), "{words}");
}

fn a_stack_becomes_a_change_for_each_commit(world: &World<'_>) {
    let (one, two) = (new_id(), new_id());
    let below = world.commit(world.base, "below", &one, &[("a", "1")]);
    let above = world.commit(below, "above", &two, &[("b", "1")]);
    let words = world.upload(above);
    let (below, above) = (world.named(&one, below), world.named(&two, above));
    assert!(below.number < above.number, "{words}");
    let parent = &world.read(&above)["revisions"][above.commit.to_string()]["commit"]["parents"][0]["commit"];
    assert_eq!(*parent, below.commit.to_string());
}

fn an_amended_commit_is_a_new_patch_set(world: &World<'_>) {
    let change = world.change("first words", &[("a", "1")]);
    let change = world.amend(&change, "other words", &[("a", "2")]);
    let read = world.read(&change);
    assert_eq!(world.patchset(&change), 2);
    assert_eq!(
        (&read["current_revision"], &read["subject"]),
        (&json!(change.commit.to_string()), &json!("other words"))
    );
    let all = world.get("bob", &format!("{}?o=ALL_REVISIONS", change.path)).is(200);
    assert_eq!(all["revisions"].as_object().map(serde_json::Map::len), Some(2));
}

fn kind_of(world: &World<'_>, change: &crate::support::world::Change) -> String {
    let read = world.read(change);
    let current = read["current_revision"].as_str().expect("a revision");
    read["revisions"][current]["kind"].as_str().unwrap_or_default().to_owned()
}

fn a_reworded_commit_is_no_code_change(world: &World<'_>) {
    let change = world.change("words", &[("a", "1")]);
    let change = world.amend(&change, "better words", &[("a", "1")]);
    assert_eq!(kind_of(world, &change), "NO_CODE_CHANGE");
    let change = world.amend(&change, "better words", &[("a", "2")]);
    assert_eq!(kind_of(world, &change), "REWORK");
}

fn a_rebased_commit_is_a_trivial_rebase(world: &World<'_>) {
    let change = world.change("rebased", &[("a", "1")]);
    let other = world.commit_by("bot", &[world.base], "other\n", &[("b", "1")]);
    world.push("bot", other, "refs/heads/master").expect("a push");
    world.upload(world.rebased("alice", change.commit, other));
    assert_eq!(kind_of(world, &change), "TRIVIAL_REBASE");
}

fn marks_behind_the_target_are_heeded(world: &World<'_>) {
    let id = new_id();
    let commit = world.commit(world.base, "marked", &id, &[("a", "1")]);
    let words =
        world.push("alice", commit, "refs/for/master%topic=tea,wip,hashtag=green").expect("an upload");
    assert!(words.contains("marked [WIP] [NEW]"), "{words}");
    let read = world.read(&world.named(&id, commit));
    assert_eq!((&read["topic"], &read["work_in_progress"]), (&json!("tea"), &json!(true)));
    assert_eq!(read["hashtags"], json!(["green"]));
}

fn a_push_option_is_as_good_as_a_mark(world: &World<'_>) {
    let id = new_id();
    let commit = world.commit(world.base, "optioned", &id, &[("a", "1")]);
    let url = world.url("alice");
    let (is_good, words) =
        world.git(&["push", "-o", "topic=tea", &url, &format!("{commit}:refs/for/master")]);
    assert!(is_good, "{words}");
    assert_eq!(world.read(&world.named(&id, commit))["topic"], "tea");
}

fn an_unknown_mark_is_refused(world: &World<'_>) {
    let commit = world.commit(world.base, "odd", &new_id(), &[("a", "1")]);
    let words = world.push("alice", commit, "refs/for/master%colour=red").expect_err("a refusal");
    assert!(words.contains("\"--colour\" is not a valid option"), "{words}");
}

fn a_closed_change_takes_no_patch_set(world: &World<'_>) {
    let change = world.change("closed", &[("a", "1")]);
    world.tell("alice", &change, "abandon", json!({})).is(200);
    let commit = world.commit(world.base, "closed", &change.id, &[("a", "2")]);
    let words = world.push("alice", commit, "refs/for/master").expect_err("a refusal");
    let url = format!("{}c/{}/+/{}", world.server.url, world.name, change.number);
    assert!(words.contains(&format!("(change {url} closed)")), "{words}");
}

fn two_commits_with_one_change_id_are_refused(world: &World<'_>) {
    let id = new_id();
    let below = world.commit(world.base, "below", &id, &[("a", "1")]);
    let above = world.commit(below, "above", &id, &[("b", "1")]);
    let words = world.push("alice", above, "refs/for/master").expect_err("a refusal");
    assert!(words.contains("same Change-Id in multiple changes"), "{words}");
}

fn a_foreign_committer_is_refused(world: &World<'_>) {
    let message = format!("foreign\n\nChange-Id: {}\n", new_id());
    let commit = world.commit_by("bob", &[world.base], &message, &[("a", "1")]);
    let words = world.push("alice", commit, "refs/for/master").expect_err("a refusal");
    let short = &commit.to_string()[..7];
    assert!(words.contains(&format!("(commit {short}: invalid committer)")), "{words}");
    assert!(words.contains("email address bob@example.com is not registered in your account"), "{words}");
}

fn patch_sets_can_be_fetched_by_their_refs(world: &World<'_>) {
    let change = world.change("fetched", &[("a", "1")]);
    let second = world.amend(&change, "fetched", &[("a", "2")]);
    let start = format!("refs/changes/{:02}/{}", change.number % 100, change.number);
    let (is_good, words) = world.git(&["ls-remote", &world.url("bob"), &format!("{start}/*")]);
    assert!(is_good, "{words}");
    for (number, commit) in [(1, change.commit), (2, second.commit)] {
        assert!(words.contains(&format!("{commit}\t{start}/{number}\n")), "{words}");
    }
    let (is_good, words) = world.git(&["fetch", &world.url("bob"), &format!("{start}/1")]);
    assert!(is_good, "{words}");
    let (is_good, words) = world.git(&["fetch", &world.url("bob"), &format!("{start}/9")]);
    assert!(!is_good && words.contains(&format!("couldn't find remote ref {start}/9")), "{words}");
}

fn a_wrong_token_reads_nothing(world: &World<'_>) {
    let url = world.url("bob").replace("bob:", "bob:wrong");
    let (is_good, words) = world.git(&["ls-remote", &url]);
    assert!(!is_good && words.contains("Authentication failed"), "{words}");
}

fn nobody_may_push_without_a_name(world: &World<'_>) {
    let commit = world.commit(world.base, "anonymous", &new_id(), &[("a", "1")]);
    let url = format!("{}{}", world.server.url, world.name);
    let (is_good, words) = world.git(&["ls-remote", &url]);
    assert!(is_good && words.contains("refs/heads/master"), "{words}");
    let (is_good, words) = world.git(&["push", &url, &format!("{commit}:refs/for/master")]);
    assert!(!is_good && words.contains("could not read Username"), "{words}");
}

fn the_same_change_id_on_another_branch_is_another_change(world: &World<'_>) {
    let change = world.change("twice", &[("a", "1")]);
    let commit = world.commit(world.base, "twice, for dev", &change.id, &[("a", "1")]);
    world.push("alice", commit, "refs/for/dev").expect("an upload");
    let other = world.get("bob", &format!("/changes/{}~dev~{}", world.name, change.id)).is(200);
    assert_ne!(other["_number"], change.number);
    assert_eq!(world.patchset(&change), 1);
}

fn a_change_is_made_over_rest(world: &World<'_>) {
    let input = json!({ "project": world.name, "branch": "master", "subject": "by REST", "topic": "tea" });
    let made = world.ask("alice", "POST", "/changes/", input).is(201);
    assert_eq!(
        (&made["subject"], &made["status"], &made["topic"]),
        (&json!("by REST"), &json!("NEW"), &json!("tea"))
    );
    let commit = world.get("bob", &format!("/changes/{}/revisions/current/commit", made["_number"])).is(200);
    assert_eq!(commit["parents"][0]["commit"], world.base.to_string());
    assert!(commit["message"].as_str().is_some_and(|text| text.contains("\nChange-Id: I")), "{commit}");
}

fn no_change_is_made_where_there_is_no_branch(world: &World<'_>) {
    let ask = |project: &str, branch: &str| {
        let input = json!({ "project": project, "branch": branch, "subject": "s" });
        world.ask("alice", "POST", "/changes/", input)
    };
    ask("nothing-such", "master").refused(422, "Project Not Found: nothing-such");
    assert_eq!(ask(&world.name, "nothing-such").status, 400);
}
