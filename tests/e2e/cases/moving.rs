//! Repositories, branches and patch sets that become others under the daemon's eyes.

use serde_json::json;

use super::cases;
use crate::support::daemon::{Daemon, has, queued};
use crate::support::ending::Ending;
use crate::support::latch::Latch;
use crate::support::people::encode;
use crate::support::project::Change;
use crate::support::runner::Run;
use crate::support::server::Server;
use crate::support::setup::Setup;
use crate::support::story::Story;
use crate::support::wait_for;

cases![
    a_queued_change_moved_to_another_branch_leaves_and_lands_there_once_approved,
    a_vote_copied_over_a_trivial_rebase_counts_and_the_new_patch_set_lands,
    a_renamed_repository_is_one_that_vanishes_and_another_that_appears,
];

fn wait_not_queued(daemon: &Daemon, change: &Change) {
    daemon.wait_view(&format!("change {} to have left", change.number), |view| {
        !queued(view).any(|item| has(item, change.number))
    });
}

fn a_queued_change_moved_to_another_branch_leaves_and_lands_there_once_approved(server: &Server) -> Run {
    let story = Story::begin(server, "moved");
    let latch = Latch::new();
    let project = story.repository_with("core", &json!({ "branches": ["master", "stable"] }));
    let daemon = Setup::latched(&story, &latch).start();
    let moving = project.change("Moving", &[("a", Some("good"))]);
    let follower = project.change("Stays", &[("b", Some("good"))]);
    for change in [&moving, &follower] {
        story.alice().approve(change);
        daemon.wait_queued(change.number);
    }
    latch.wait_seen(&["a", "b"]);
    story.alice().post(&format!("{}/move", moving.path()), &json!({ "destination_branch": "stable" }));
    wait_not_queued(&daemon, &moving);
    latch.open();
    story.wait_merged(&follower);
    assert_eq!(story.status_of(&moving), "NEW");
    // Gerrit takes the votes away with the move.
    story.alice().vote(&moving, "Code-Review", 0);
    story.alice().approve(&moving);
    story.wait_merged(&moving);
    assert!(project.contains(project.tip("stable"), moving.commit), "it landed where it was moved to");
    assert!(!project.contains(project.tip("master"), moving.commit), "and nowhere else");
    story.end(daemon, &[Ending::of(&project).landed([&follower]).elsewhere([&moving])]);
    Ok(())
}

fn a_vote_copied_over_a_trivial_rebase_counts_and_the_new_patch_set_lands(server: &Server) -> Run {
    let story = Story::begin(server, "copied");
    let latch = Latch::new();
    let project = story.repository("core");
    let daemon = Setup::latched(&story, &latch).start();
    let change = project.change("Rebased", &[("a", Some("good"))]);
    story.alice().approve(&change);
    latch.wait_seen(&["a"]);
    let outside = project.commit(&[project.base], "Outside\n", &[("outside", Some("good"))]);
    project.push(&server.admin, outside, "refs/heads/master").expect("the administrator may push");
    story.alice().post(&format!("{}/rebase", change.path()), &json!({}));
    let rebased = Change { commit: story.current_commit(&change), ..change.clone() };
    assert_ne!(rebased.commit, change.commit);
    let votes = &server.admin.read(&rebased)["labels"]["Code-Review"];
    assert_eq!(votes["approved"]["username"], story.alice().user.as_str(), "Gerrit has copied the vote");
    latch.open();
    // Nobody votes again.
    story.end(daemon, &[Ending::of(&project).landed([&rebased]).outside([outside]).attempts(2)]);
    Ok(())
}

/// Gerrit itself renames nothing: the old name is hidden or deleted, and a repository with the same content
/// has the new one. Its changes stay behind.
fn a_renamed_repository_is_one_that_vanishes_and_another_that_appears(server: &Server) -> Run {
    let story = Story::begin(server, "renamed");
    let latch = Latch::new();
    let old = story.repository("old");
    let mut daemon = Setup::latched(&story, &latch).start();
    let stranded = old.change("Stranded", &[("a", Some("good"))]);
    story.alice().approve(&stranded);
    latch.wait_seen(&["a"]);
    let state = |state: &str| {
        let path = format!("/projects/{}/config", encode(&old.name));
        server.admin.put(&path, &json!({ "state": state }));
    };
    state("HIDDEN");
    let new = story.repository("new");
    let change = new.change("At its new place", &[("b", Some("good"))]);
    story.alice().approve(&change);
    latch.wait_seen(&["b"]);
    latch.open();
    story.wait_merged(&change);
    wait_not_queued(&daemon, &stranded);
    daemon.wait_idle();
    wait_for("the daemon to be well", || daemon.page("/readyz").filter(|(status, _)| *status == 200));
    assert!(daemon.stop().success());
    state("ACTIVE");
    story.judge(&[Ending::of(&old).untouched([&stranded]), Ending::of(&new).landed([&change])]);
    Ok(())
}
