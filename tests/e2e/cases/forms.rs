//! Each submit type lands what was tested: around a failure, and over a rename that Gerrit's own merge
//! refuses; and what a form asks of its changes is told to their authors.

use git2::Oid;
use serde_json::{Value, json};

use super::cases;
use crate::support::ending::Ending;
use crate::support::people::encode;
use crate::support::project::{Change, File, Project, new_change_id};
use crate::support::runner::Run;
use crate::support::server::Server;
use crate::support::setup::Setup;
use crate::support::story::Story;
use crate::support::wait_for;

cases![
    forms_that_merge_land_around_a_failure_and_over_a_rename,
    forms_that_copy_land_around_a_failure_and_over_a_rename,
    forms_fast_forward_only_lands_a_stack_and_its_followers_wait_for_a_rebase,
    forms_a_commit_without_change_id_is_refused_until_it_has_one,
    forms_copies_are_signed_off_where_the_project_asks_for_it,
    forms_settings_of_the_project_are_heeded,
    forms_submit_mode_lands_by_gerrits_own_submit,
    forms_a_read_only_project_and_a_deleted_branch_are_waited_for,
];

/// Long enough that git sees a rename in it.
const TEXT: &str = "one\ntwo\nthree\nfour\nfive\nsix\nseven\n";
const EDITED: &str = "one\ntwo\nthree\nfour\nfive\nsix\nseven\neight\n";

/// A repository with a file in `dir/orig.txt`, pushed by an administrator.
fn seeded(story: &Story, name: &str, options: &Value) -> (Project, Oid) {
    let project = story.repository_with(name, options);
    let seed = project.commit(&[project.base], "Seed", &[("dir/orig.txt", Some(TEXT))]);
    project.push(&story.server.admin, seed, "refs/heads/master").expect("an administrator may push");
    (project, seed)
}

/// Five changes: a rename, a good one, a bad one, an edit of the file under its old name, a good one.
fn five_on(project: &Project, seed: Oid) -> Vec<Change> {
    let files: [&[File]; 5] = [
        &[("dir/orig.txt", None), ("renamed.txt", Some(TEXT))],
        &[("f1", Some("good"))],
        &[("f2", Some("BAD"))],
        &[("dir/orig.txt", Some(EDITED))],
        &[("f4", Some("good"))],
    ];
    let change = |(at, files): (usize, &&[File])| project.change_on(&[seed], &format!("Change {at}"), files);
    files.iter().enumerate().map(change).collect()
}

/// Lands five changes in each of these submit types; gives the repositories with their changes.
fn land_five(server: &Server, forms: &[&str], as_copies: bool) -> Run {
    let story = Story::begin(server, if as_copies { "copies" } else { "merges" });
    let projects: Vec<_> = forms
        .iter()
        .map(|form| seeded(&story, &form.to_lowercase(), &json!({ "submit_type": form })))
        .collect();
    let daemon = Setup::judged(&story).start();
    let changes: Vec<_> = projects.iter().map(|(project, seed)| five_on(project, *seed)).collect();
    for changes in &changes {
        changes.iter().for_each(|change| story.alice().approve(change));
    }
    changes.iter().for_each(|changes| drop(story.wait_message(&changes[2], "judge")));
    let endings: Vec<_> = projects
        .iter()
        .zip(&changes)
        .map(|((project, seed), changes)| {
            let landed = changes.iter().enumerate().filter(|(at, _)| *at != 2).map(|(_, change)| change);
            let ending = Ending::of(project).landed(landed).left([&changes[2]]).outside([*seed]);
            if as_copies { ending.in_copies() } else { ending }
        })
        .collect();
    story.end(daemon, &endings);
    for ((project, _), changes) in projects.iter().zip(&changes) {
        let tip =
            project.check_out(project.tip("master"), story.folder.join(format!("{}-out", project.name)));
        let text = std::fs::read_to_string(tip.join("renamed.txt")).expect("the file under its new name");
        assert_eq!(text, EDITED, "{}: the edit followed the rename", project.name);
        for change in changes.iter().enumerate().filter(|(at, _)| as_copies && *at != 2).map(|(_, one)| one) {
            judge_copy(&story, project, change);
        }
    }
    Ok(())
}

/// A landed copy is the second patch set, by the author, committed by the bot, with the Change-Id.
fn judge_copy(story: &Story, project: &Project, change: &Change) {
    let landed = story.current_commit(change);
    let found = story.server.admin.read(change);
    assert_eq!(found["revisions"][landed.to_string()]["_number"], 2, "{}", change.subject);
    let (author, committer) = project.people_of(landed);
    assert_eq!(author, format!("{}@example.com", story.alice().user));
    assert_eq!(committer, format!("{}@example.com", story.bot.user));
    let message = project.message(landed);
    assert!(message.contains(&format!("Change-Id: {}", change.change_id)), "{message}");
    let reviewed = format!("/c/{}/+/{}", project.name, change.number);
    assert!(message.contains("Reviewed-on: ") && message.contains(&reviewed), "{message}");
}

fn forms_that_merge_land_around_a_failure_and_over_a_rename(server: &Server) -> Run {
    land_five(server, &["MERGE_ALWAYS", "MERGE_IF_NECESSARY"], false)
}

fn forms_that_copy_land_around_a_failure_and_over_a_rename(server: &Server) -> Run {
    land_five(server, &["REBASE_ALWAYS", "CHERRY_PICK"], true)?;
    rebase_where_necessary(server)
}

/// The first change lands as it is, what follows as copies, a stack among them.
fn rebase_where_necessary(server: &Server) -> Run {
    let story = Story::begin(server, "rebase");
    let (project, seed) = seeded(&story, "core", &json!({ "submit_type": "REBASE_IF_NECESSARY" }));
    let daemon = Setup::judged(&story).start();
    let first = project.change_on(&[seed], "First", &[("a", Some("good"))]);
    let second = project.change_on(&[seed], "Second", &[("b", Some("good"))]);
    let third = project.change_on(&[second.commit], "Third", &[("c", Some("good"))]);
    for change in [&first, &second, &third] {
        story.alice().approve(change);
    }
    for change in [&first, &second, &third] {
        story.wait_merged(change);
    }
    assert_eq!(story.current_commit(&first), first.commit, "the branch could move to it");
    let landed = [&second, &third].map(|change| story.current_commit(change));
    let tip = project.tip("master");
    assert_eq!(tip, landed[1]);
    assert_eq!(project.parents(tip), [landed[0]]);
    assert_eq!(project.parents(landed[0]), [first.commit]);
    daemon.wait_idle();
    Ok(())
}

fn forms_fast_forward_only_lands_a_stack_and_its_followers_wait_for_a_rebase(server: &Server) -> Run {
    let story = Story::begin(server, "forward");
    let (project, seed) = seeded(&story, "core", &json!({ "submit_type": "FAST_FORWARD_ONLY" }));
    let daemon = Setup::judged(&story).start();
    let rename: &[File] = &[("dir/orig.txt", None), ("renamed.txt", Some(TEXT))];
    let first = project.change_on(&[seed], "Rename", rename);
    let stacked = project.change_on(&[first.commit], "Stacked", &[("a", Some("good"))]);
    let bad = project.change_on(&[stacked.commit], "Bad", &[("b", Some("BAD"))]);
    let above = project.change_on(&[bad.commit], "Above", &[("c", Some("good"))]);
    let follower = project.change_on(&[seed], "Follower", &[("dir/orig.txt", Some(EDITED))]);
    for change in [&first, &stacked, &bad, &above, &follower] {
        story.alice().approve(change);
    }
    story.wait_merged(&stacked);
    story.wait_message(&bad, "judge");
    story.wait_message(&follower, "rebase needed");
    // Each time that the branch moves it is looked at anew.
    wait_for("the follower's reason", || {
        daemon.words_on(follower.number).filter(|words| words.contains("rebase needed"))
    });
    let tip = project.tip("master");
    assert_eq!(tip, stacked.commit, "the patch sets themselves have landed");
    let edit: &[File] = &[("renamed.txt", Some(EDITED))];
    let rebased = project.amend(&follower, Some(&[tip]), edit);
    story.alice().approve(&rebased);
    story.wait_merged(&rebased);
    story.wait_message(&above, &bad.number.to_string());
    let said = story.messages_on(&rebased).iter().filter(|text| text.contains("rebase needed")).count();
    assert_eq!(said, 1, "the author was told once");
    let landed = [&first, &stacked, &rebased];
    story
        .end(daemon, &[Ending::of(&project).landed(landed).left([&bad, &above]).outside([seed]).attempts(2)]);
    Ok(())
}

fn forms_a_commit_without_change_id_is_refused_until_it_has_one(server: &Server) -> Run {
    let story = Story::begin(server, "noid");
    let options = json!({ "submit_type": "CHERRY_PICK", "require_change_id": "FALSE" });
    let (project, seed) = seeded(&story, "core", &options);
    let daemon = Setup::judged(&story).start();
    let mut change = project.change_saying(&[seed], "Nameless\n", "", &[("a", Some("good"))]);
    story.alice().approve(&change);
    let words = story.wait_message(&change, "Change-Id");
    assert!(words.contains("commit-msg"), "it names the remedy: {words}");
    assert_eq!(story.status_of(&change), "NEW");
    let found = server.admin.read(&change);
    change.change_id = found["change_id"].as_str().expect("every change has an id").to_owned();
    let named = project.amend(&change, None, &[("a", Some("good"))]);
    story.alice().approve(&named);
    story.end(daemon, &[Ending::of(&project).landed([&named]).outside([seed]).attempts(2).in_copies()]);
    Ok(())
}

fn forms_copies_are_signed_off_where_the_project_asks_for_it(server: &Server) -> Run {
    let story = Story::begin(server, "signed");
    let projects = ["REBASE_ALWAYS", "MERGE_ALWAYS"].map(|form| {
        let options = json!({ "submit_type": form, "use_signed_off_by": "TRUE" });
        story.repository_with(&form.to_lowercase(), &options)
    });
    let daemon = Setup::judged(&story).start();
    let alice = &story.alice().user;
    let changes = projects.each_ref().map(|project| {
        let id = new_change_id();
        let message = format!("Signed\n\nSigned-off-by: {alice} <{alice}@example.com>\nChange-Id: {id}\n");
        let change = project.change_saying(&[project.base], &message, &id, &[("a", Some("good"))]);
        story.alice().approve(&change);
        change
    });
    let endings = [
        Ending::of(&projects[0]).landed([&changes[0]]).in_copies(),
        Ending::of(&projects[1]).landed([&changes[1]]),
    ];
    story.end(daemon, &endings);
    for project in &projects {
        let message = project.message(project.tip("master"));
        let bot = &story.bot.user;
        assert!(message.contains(&format!("Signed-off-by: {bot} <{bot}@example.com>")), "{message}");
    }
    Ok(())
}

/// Without content merge two edits of one file conflict wherever they are, and nobody signs off where
/// that is not asked for.
fn forms_settings_of_the_project_are_heeded(server: &Server) -> Run {
    let story = Story::begin(server, "heeded");
    let repositories = [("CHERRY_PICK", "FALSE"), ("MERGE_ALWAYS", "FALSE"), ("MERGE_ALWAYS", "TRUE")];
    let seeded: Vec<_> = repositories
        .iter()
        .map(|(form, merges)| {
            let options = json!({ "submit_type": form, "use_content_merge": merges });
            seeded(&story, &format!("{form}-{merges}").to_lowercase(), &options)
        })
        .collect();
    let daemon = Setup::judged(&story).start();
    let changes: Vec<_> = seeded
        .iter()
        .map(|(project, seed)| {
            ["zero\none\ntwo\nthree\nfour\nfive\nsix\nseven\n", EDITED].map(|text| {
                let change = project.change_on(&[*seed], "Edit", &[("dir/orig.txt", Some(text))]);
                story.alice().approve(&change);
                daemon.wait_done(change.number);
                change
            })
        })
        .collect();
    let ending = |at: usize| Ending::of(&seeded[at].0).outside([seeded[at].1]);
    let endings = [
        ending(0).landed([&changes[0][0]]).in_copies().left([&changes[0][1]]),
        ending(1).landed([&changes[1][0]]).left([&changes[1][1]]),
        ending(2).landed(&changes[2]),
    ];
    for changes in &changes[..2] {
        story.wait_message(&changes[1], "dir/orig.txt");
    }
    story.end(daemon, &endings);
    for (project, _) in &seeded {
        let message = project.message(project.tip("master"));
        assert!(!message.contains("Signed-off-by"), "{message}");
    }
    Ok(())
}

fn forms_a_read_only_project_and_a_deleted_branch_are_waited_for(server: &Server) -> Run {
    let story = Story::begin(server, "closed");
    let project = story.repository_with("core", &json!({ "branches": ["master", "gone"] }));
    // Nobody may vote once it is read-only.
    let closed = story.repository("closed");
    let kept_out = closed.change("For a project that is closed", &[("a", Some("good"))]);
    story.alice().approve(&kept_out);
    let config = format!("/projects/{}/config", encode(&closed.name));
    server.admin.put(&config, &json!({ "state": "READ_ONLY" }));
    let daemon = Setup::judged(&story).start();
    let change = project.change_for("gone", "For a branch that goes", &[("a", Some("good"))]);
    let path = format!("/projects/{}/branches/gone", encode(&project.name));
    // Gerrit deletes no branch that an open change is for.
    story.alice().tell(&change, "abandon");
    server.admin.ask(reqwest::Method::DELETE, &path, None).expect("an administrator may delete a branch");
    story.alice().tell(&change, "restore");
    story.alice().approve(&change);
    story.wait_message(&change, "does not exist");
    server.admin.put(&path, &json!({ "revision": "master" }));
    story.wait_merged(&change);
    wait_for("the reason of the change in the closed project", || {
        daemon.words_on(kept_out.number).filter(|words| words.contains("read-only"))
    });
    let endings = [Ending::of(&project).elsewhere([&change]), Ending::of(&closed).left([&kept_out])];
    story.end(daemon, &endings);
    Ok(())
}

/// Gerrit follows no renames, so the edit under the old name leaves with its words.
fn forms_submit_mode_lands_by_gerrits_own_submit(server: &Server) -> Run {
    let story = Story::begin(server, "submit");
    let five: Vec<_> = ["MERGE_ALWAYS", "MERGE_IF_NECESSARY", "REBASE_ALWAYS", "CHERRY_PICK"]
        .iter()
        .map(|form| seeded(&story, &form.to_lowercase(), &json!({ "submit_type": form })))
        .map(|(project, seed)| (five_on(&project, seed), project))
        .collect();
    let (forward, seed) = seeded(&story, "forward", &json!({ "submit_type": "FAST_FORWARD_ONLY" }));
    let first = forward.change_on(&[seed], "First", &[("a", Some("good"))]);
    let stacked = forward.change_on(&[first.commit], "Stacked", &[("b", Some("good"))]);
    let mut daemon = Setup::judged(&story).queue("landing = \"submit\"").start();
    let all = five.iter().flat_map(|(changes, _)| changes).chain([&first, &stacked]);
    all.for_each(|change| story.alice().approve(change));
    for (changes, project) in &five {
        for at in [0, 1, 4] {
            story.wait_merged(&changes[at]);
        }
        story.wait_message(&changes[2], "judge");
        let words = story.wait_message(&changes[3], "Gerrit refused it");
        assert!(words.contains("conflict"), "{}: {words}", project.name);
    }
    [&first, &stacked].into_iter().for_each(|change| story.wait_merged(change));
    daemon.wait_idle();
    assert!(daemon.stop().success());
    for (changes, project) in &five {
        let tip =
            project.check_out(project.tip("master"), story.folder.join(format!("{}-out", project.name)));
        let there = ["renamed.txt", "f1", "f4"].iter().all(|name| tip.join(name).exists());
        assert!(there && !tip.join("f2").exists(), "{}: what landed is there", project.name);
        for change in [&changes[2], &changes[3]] {
            assert_eq!(story.status_of(change), "NEW", "{}: {}", project.name, change.subject);
        }
        let alarms = changes.iter().flat_map(|change| story.messages_on(change));
        assert!(alarms.into_iter().all(|text| !text.starts_with("Attention")), "{}: no alarm", project.name);
    }
    assert_eq!(forward.tip("master"), stacked.commit);
    Ok(())
}
