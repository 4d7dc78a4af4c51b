//! The doctor on a Gerrit where nothing is set up: what it prints is done literally, and the gate works.

use std::collections::BTreeSet;
use std::process::{Command, Output};

use reqwest::Method;
use serde_json::{Value, json};

use super::cases;
use crate::support::daemon::entries;
use crate::support::ending::Ending;
use crate::support::people::encode;
use crate::support::project::Project;
use crate::support::runner::Run;
use crate::support::server::Server;
use crate::support::setup::{Setup, free_port};
use crate::support::story::Story;

cases![a_bare_gerrit_gates_after_what_the_doctor_says_is_done, the_doctor_says_what_it_cannot_reach_or_see,];

/// What lacks where nothing is set up.
const LACKS: [&str; 7] =
    ["label", "push", "push-merge", "read-branch", "requirement", "stream-events", "vote"];

fn a_bare_gerrit_gates_after_what_the_doctor_says_is_done(_: &Server) -> Run {
    // A server of its own: what others need is taken from it.
    let server = Server::start_new()?;
    server.admin.put("/projects/bystander", &json!({}));
    server.admin.put("/groups/People", &json!({ "members": ["alice", "bob"] }));

    let story = Story::begin(&server, "words");
    let (project, setup) = bare(&story, "MERGE_IF_NECESSARY");
    let output = doctor(&story, &["--json"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let found = findings(&output);
    assert_eq!(ids(&found, "lack"), LACKS.into(), "{found:#}");
    assert_eq!(ids(&found, "warning"), ["others-submit", "service-user", "submit"].into(), "{found:#}");
    for finding in entries(&found) {
        let remedy = finding["remedy"].as_str().unwrap_or_default();
        remedy.lines().filter(|line| line.starts_with("curl ")).for_each(|line| run(line, &story));
        assert!(finding["level"] != "lack" || remedy.contains("curl "), "{finding}");
    }
    let labels = server.admin.get("/projects/bystander")["labels"].clone();
    assert!(labels.get("Verified").is_none(), "a repository that no queue gates is left alone: {labels}");
    let output = doctor(&story, &["--json", "--push-to", "refs/heads/trial"]);
    assert_eq!(output.status.code(), Some(0), "{}", findings(&output));
    assert!(ids(&findings(&output), "well").contains("push-trial"), "{}", findings(&output));
    rules_are_seen_now(&story);
    gate(&story, &project, &setup);

    let story = Story::begin(&server, "fix");
    let (project, setup) = bare(&story, "MERGE_IF_NECESSARY");
    let output = doctor(&story, &["--json", "--fix"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(said(&output).lines().filter(|line| line.starts_with("done: ")).count() >= LACKS.len());
    let output = doctor(&story, &["--json", "--fix"]);
    assert_eq!(said(&output), "", "the second time there is nothing to do");
    gate(&story, &project, &setup);
    copies_need_forge_author(&server);
    Ok(())
}

/// What the daemon's own account may see once it may read the rules.
fn rules_are_seen_now(story: &Story) {
    let output = command(story).arg("--json").output().expect("the binary can be run");
    let found = findings(&output);
    let well = ids(&found, "well");
    assert!(well.contains("read-config"), "{found:#}");
    // What is inherited from All-Projects stays unseen: to grant that would concern all repositories.
    assert!(ids(&found, "unknown").contains("rights"), "{found:#}");
}

/// Copies of what others wrote are refused without Forge Author, which is what the doctor says; with it
/// they land.
fn copies_need_forge_author(server: &Server) {
    let story = Story::begin(server, "forge");
    let (project, setup) = bare(&story, "CHERRY_PICK");
    let output = doctor(&story, &["--json"]);
    let found = findings(&output);
    let mut expected: BTreeSet<&str> = LACKS.into();
    expected.insert("forge-author");
    assert_eq!(ids(&found, "lack"), expected, "{found:#}");
    let remedies = |is_forge: bool| {
        let these = entries(&found).filter(move |finding| (finding["id"] == "forge-author") == is_forge);
        let lines = these.flat_map(|finding| finding["remedy"].as_str().unwrap_or_default().lines());
        lines.filter(|line| line.starts_with("curl ")).for_each(|line| run(line, &story));
    };
    remedies(false);
    assert_eq!(ids(&findings(&doctor(&story, &["--json"])), "lack"), ["forge-author"].into());
    let daemon = setup.start();
    let change = project.change("Copied", &[("copied", Some("good"))]);
    story.alice().approve(&change);
    story.wait_message(&change, "author");
    assert_eq!(story.status_of(&change), "NEW");
    remedies(true);
    assert_eq!(doctor(&story, &["--json"]).status.code(), Some(0));
    story.alice().vote(&change, "Code-Review", 0);
    story.alice().approve(&change);
    story.end(daemon, &[Ending::of(&project).landed([&change]).in_copies().attempts(2)]);
}

/// Takes from the server all that its preparation gave, and makes a repository below a parent of its own.
fn bare<'s>(story: &'s Story<'s>, form: &str) -> (Project, Setup<'s>) {
    let admin = &story.server.admin;
    let gone = json!({ "rules": {
        "Service Users": {}, "Administrators": {}, "global:Registered-Users": {}, "global:Anonymous-Users": {}
    } });
    let none = |names: &[&str]| {
        let permissions = names.iter().map(|name| ((*name).to_owned(), gone.clone()));
        json!({ "permissions": permissions.collect::<serde_json::Map<_, _>>() })
    };
    let people = json!({ "permissions": { "read": { "rules": { "People": { "action": "ALLOW" } } } } });
    let change = json!({
        "remove": {
            "GLOBAL_CAPABILITIES": none(&["streamEvents"]),
            "refs/heads/*": none(&["push", "label-Verified", "submit", "read", "forgeAuthor"]),
            "refs/for/*": none(&["pushMerge"]),
            "refs/for/refs/heads/*": none(&["pushMerge"]),
        },
        "add": { "refs/heads/*": people },
    });
    admin.post("/projects/All-Projects/access", &change);
    for path in [
        "/projects/All-Projects/labels/Verified".to_owned(),
        "/projects/All-Projects/submit_requirements/Verified".to_owned(),
        format!("/groups/Service%20Users/members/{}", story.bot.user),
    ] {
        // The second time some are gone already.
        let _ = admin.ask(Method::DELETE, &path, None);
    }
    let parent = format!("parent-of-{}", story.name);
    admin.put(&format!("/projects/{}", encode(&parent)), &json!({ "permissions_only": true }));
    let project = story.repository_with("core", &json!({ "parent": parent, "submit_type": form }));
    let setup = Setup::judged(story);
    setup.write();
    std::fs::write(story.folder.join("admin.token"), &admin.token).expect("a file can be written");
    (project, setup)
}

/// A good change lands and a bad one does not.
fn gate(story: &Story, project: &Project, setup: &Setup) {
    let daemon = setup.start();
    let changes = ["good", "BAD"].map(|text| project.change(text, &[(text, Some(text))]));
    changes.iter().for_each(|change| story.alice().approve(change));
    story.wait_message(&changes[1], "judge");
    story.end(daemon, &[Ending::of(project).landed([&changes[0]]).left([&changes[1]])]);
}

fn the_doctor_says_what_it_cannot_reach_or_see(server: &Server) -> Run {
    let story = Story::begin(server, "unseen");
    let _project = story.repository("core");
    let mut setup = Setup::judged(&story);
    setup.write();
    let output = command(&story).output().expect("the binary can be run");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("unknown ") && text.contains("--admin-token-file"), "{text}");
    setup.token = "wrong".into();
    setup.write();
    let output = command(&story).output().expect("the binary can be run");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("the token was refused"), "{output:?}");
    setup.url = format!("http://127.0.0.1:{}/", free_port());
    setup.write();
    let output = command(&story).output().expect("the binary can be run");
    assert_eq!(output.status.code(), Some(4), "{output:?}");
    assert!(said(&output).contains("check that the server runs"), "{output:?}");
    Ok(())
}

fn command(story: &Story) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_seakeeper"));
    command.arg("doctor").arg("-c").arg(story.folder.join("seakeeper.toml"));
    command
}

fn doctor(story: &Story, more: &[&str]) -> Output {
    let mut command = command(story);
    command.args(["--admin-user", &story.server.admin.user, "--admin-token-file"]);
    command.arg(story.folder.join("admin.token")).args(more);
    command.output().expect("the binary can be run")
}

fn findings(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

/// What it says while it works, without its last word.
fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn ids<'f>(findings: &'f Value, level: &str) -> BTreeSet<&'f str> {
    let of_level = entries(findings).filter(|finding| finding["level"] == level);
    of_level.filter_map(|finding| finding["id"].as_str()).collect()
}

/// Runs a line that was printed, as a person would.
fn run(line: &str, story: &Story) {
    let admin = &story.server.admin;
    let output = Command::new("sh")
        .args(["-c", line])
        .env("GERRIT_ADMIN", format!("{}:{}", admin.user, admin.token))
        .env("NO_PROXY", "127.0.0.1")
        .output()
        .expect("a shell can be run");
    assert!(output.status.success(), "{line}: {output:?}");
}
