//! Who one is, what the server is, what repositories there are.

use serde_json::json;

use super::cases;
use crate::support::stream;
use crate::support::world::{World, encode, stamp};

cases![
    an_answer_is_json_behind_a_guard,
    a_wrong_token_is_unauthorized,
    the_prefix_needs_credentials,
    without_the_prefix_one_is_nobody,
    an_account_knows_itself,
    an_account_is_found_by_its_names,
    an_unknown_account_is_not_found,
    only_some_may_stream_events,
    the_version_is_told_over_ssh_as_well,
    an_unknown_command_is_refused,
    only_administrators_make_repositories,
    a_repository_is_made_once,
    a_repository_lists_its_labels_and_values,
    an_unknown_repository_is_not_found,
    a_name_with_slashes_is_one_part_of_a_path,
    settings_say_how_changes_land,
    repositories_are_listed_by_branch,
    a_page_of_repositories_says_that_there_is_more,
    the_hook_for_change_ids_is_served,
];

fn an_answer_is_json_behind_a_guard(world: &World<'_>) {
    let reply = world.get("bob", "/config/server/version");
    assert!(reply.kind.starts_with("application/json"), "{reply:?}");
    assert!(reply.text.starts_with(")]}'\n\"3."), "{reply:?}");
    let refusal = world.get("bob", "/changes/999999999");
    assert!(refusal.kind.starts_with("text/plain"), "{refusal:?}");
    refusal.refused(404, "Not found: 999999999");
}

fn a_wrong_token_is_unauthorized(world: &World<'_>) {
    world.get("nobody", "/accounts/self").refused(401, "Unauthorized");
}

fn the_prefix_needs_credentials(world: &World<'_>) {
    assert_eq!(world.get("", "/a/accounts/self").status, 401);
}

fn without_the_prefix_one_is_nobody(world: &World<'_>) {
    world.get("", "/accounts/self").refused(403, "Resolving account 'self' requires login");
    let change = world.change("public", &[("a", "1")]);
    assert_eq!(world.get("", &change.path).is(200)["subject"], "public");
    world.tell("", &change, "abandon", json!({})).refused(403, "Authentication required");
}

fn an_account_knows_itself(world: &World<'_>) {
    let bob = world.get("bob", "/accounts/self").is(200);
    assert_eq!(
        (&bob["name"], &bob["email"], &bob["username"]),
        (&json!("Bob"), &json!("bob@example.com"), &json!("bob"))
    );
    assert!(bob["_account_id"].is_u64());
    assert_eq!(world.get("bot", "/accounts/self").is(200)["tags"], json!(["SERVICE_USER"]));
}

fn an_account_is_found_by_its_names(world: &World<'_>) {
    let id = world.get("bob", "/accounts/self").is(200)["_account_id"].clone();
    for name in ["bob".to_owned(), "bob@example.com".to_owned(), id.to_string()] {
        assert_eq!(world.get("alice", &format!("/accounts/{name}")).is(200)["_account_id"], id, "{name}");
    }
}

fn an_unknown_account_is_not_found(world: &World<'_>) {
    world.get("bob", "/accounts/nobody-here").refused(404, "Account 'nobody-here' not found");
}

fn only_some_may_stream_events(world: &World<'_>) {
    let asked = "/accounts/self/capabilities?q=streamEvents";
    assert_eq!(world.get("bot", asked).is(200)["streamEvents"], true);
    assert_eq!(world.get("bob", asked).is(200).get("streamEvents"), None);
}

fn the_version_is_told_over_ssh_as_well(world: &World<'_>) {
    let output = stream::run(world.server, &["gerrit", "version"]);
    let words = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && words.starts_with("gerrit version 3."), "{words}");
}

fn an_unknown_command_is_refused(world: &World<'_>) {
    let output = stream::run(world.server, &["gerrit", "nothing-such"]);
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{words}");
    assert!(words.contains("fatal: gerrit: nothing-such: not found"), "{words}");
}

fn only_administrators_make_repositories(world: &World<'_>) {
    let path = format!("/projects/by-alice-{}", stamp());
    world.ask("alice", "PUT", &path, json!({})).refused(403, "create project not permitted");
}

fn a_repository_is_made_once(world: &World<'_>) {
    let words = format!("Project \"{}\" already exists", world.name);
    world.ask("admin", "PUT", &format!("/projects/{}", world.name), json!({})).refused(409, &words);
}

fn a_repository_lists_its_labels_and_values(world: &World<'_>) {
    let project = world.get("bot", &format!("/projects/{}", world.name)).is(200);
    assert_eq!(project["name"], world.name.as_str());
    assert_eq!(project["state"], "ACTIVE");
    for (label, values) in
        [("Code-Review", &["-2", "-1", " 0", "+1", "+2"][..]), ("Verified", &["-1", " 0", "+1"])]
    {
        let listed = project["labels"][label]["values"].as_object().expect("the values");
        assert!(
            listed.len() == values.len() && values.iter().all(|value| listed.contains_key(*value)),
            "{listed:?}"
        );
    }
}

fn an_unknown_repository_is_not_found(world: &World<'_>) {
    world.get("bob", "/projects/nothing-such").refused(404, "Not found: nothing-such");
    let (is_good, words) =
        world.git(&["ls-remote", &world.url("alice").replace(&world.name, "nothing-such")]);
    assert!(!is_good && words.contains("returned error: 403"), "{words}");
}

fn a_name_with_slashes_is_one_part_of_a_path(world: &World<'_>) {
    let name = format!("nested/{}/deep", stamp());
    let input = json!({ "create_empty_commit": true, "branches": ["topic/one"] });
    let made = world.ask("admin", "PUT", &format!("/projects/{}", encode(&name)), input).is(201);
    assert_eq!((&made["name"], &made["id"]), (&json!(name), &json!(name.replace('/', "%2F"))));
    let head = world.get("bob", &format!("/projects/{}/HEAD", encode(&name))).is(200);
    assert_eq!(head, "refs/heads/topic/one");
    let branch = world.get("bob", &format!("/projects/{}/branches/topic%2Fone", encode(&name))).is(200);
    assert_eq!(branch["ref"], "refs/heads/topic/one");
    let (is_good, words) = world.git(&["ls-remote", &world.url("alice").replace(&world.name, &name)]);
    assert!(is_good && words.contains("refs/heads/topic/one"), "{words}");
}

fn settings_say_how_changes_land(world: &World<'_>) {
    let settings = world.get("bot", &format!("/projects/{}/config", world.name)).is(200);
    assert_eq!(settings["default_submit_type"]["value"], "MERGE_IF_NECESSARY");
    for (setting, expected) in [("use_signed_off_by", false), ("use_content_merge", true)] {
        let setting = &settings[setting];
        assert_eq!(
            (&setting["configured_value"], &setting["inherited_value"]),
            (&json!("INHERIT"), &json!(expected))
        );
        assert_eq!(setting["value"], json!(null), "the outcome is left to the reader");
    }
    world.get("bot", "/projects/nothing-such/config").refused(404, "Not found: nothing-such");
}

fn repositories_are_listed_by_branch(world: &World<'_>) {
    let listed = |query: &str| world.get("bot", &format!("/projects/?p={}&{query}", world.name)).is(200);
    let branches = &listed("b=master&b=nothing-such")[&world.name]["branches"];
    assert_eq!(*branches, json!({ "master": world.base.to_string() }));
    assert_eq!(listed("b=nothing-such"), json!({}));
    assert_eq!(listed("n=5")[&world.name].get("branches"), None);
}

fn a_page_of_repositories_says_that_there_is_more(world: &World<'_>) {
    let prefix = format!("many-{}", stamp());
    for at in 0..3 {
        let input = json!({ "create_empty_commit": true, "branches": ["master"] });
        world.ask("admin", "PUT", &format!("/projects/{prefix}-{at}"), input).is(201);
    }
    let page =
        |skip: usize| world.get("bot", &format!("/projects/?p={prefix}&b=master&n=2&S={skip}")).is(200);
    let (first, second) = (page(0), page(2));
    assert_eq!(first.as_object().map(serde_json::Map::len), Some(2));
    assert_eq!(first[format!("{prefix}-1")]["_more_projects"], true);
    assert_eq!(second.as_object().map(serde_json::Map::len), Some(1));
    assert_eq!(second[format!("{prefix}-2")].get("_more_projects"), None);
}

fn the_hook_for_change_ids_is_served(world: &World<'_>) {
    let reply = world.get("", "/tools/hooks/commit-msg");
    assert!(reply.status == 200 && reply.text.starts_with("#!/bin/sh\n"), "{}", reply.status);
}
