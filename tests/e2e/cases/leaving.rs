//! What stops being landable while it is built does not land, and those behind it do.

use super::cases;
use crate::support::ending::Ending;
use crate::support::latch::Latch;
use crate::support::project::{Change, Project};
use crate::support::proxy::Proxy;
use crate::support::runner::Run;
use crate::support::server::Server;
use crate::support::setup::Setup;
use crate::support::story::Story;
use crate::support::wait_for;

cases![
    a_change_with_a_new_patch_set_leaves_during_its_build,
    a_change_with_a_withdrawn_vote_leaves_during_its_build,
    an_abandoned_change_leaves_during_its_build,
    a_change_marked_as_work_in_progress_leaves_during_its_build,
    a_veto_that_no_event_told_of_stops_the_landing,
    a_new_patch_set_that_no_event_told_of_does_not_land_the_old_one,
    a_repaired_change_that_is_approved_again_lands,
    a_private_change_is_left_alone,
    a_change_made_private_during_its_build_does_not_land,
    an_unmet_submit_requirement_keeps_a_change_out_until_it_is_met,
];

/// What the daemon says on a change that left.
#[derive(Clone, Copy, PartialEq)]
enum Word {
    /// Why it left.
    Why,
    /// Nothing: whoever abandoned it knows, and Gerrit's own message says so.
    None,
}

/// Approves two changes, lets `act` do something to the first while both are built, and demands that
/// the second lands without it.
fn check_leaves(server: &Server, name: &str, word: Word, act: impl Fn(&Story, &Project, &Change)) -> Run {
    let story = Story::begin(server, name);
    let latch = Latch::new();
    let project = story.repository("core");
    let daemon = Setup::latched(&story, &latch).start();
    let first = project.change("First", &[("a", Some("good"))]);
    let second = project.change("Second", &[("b", Some("good"))]);
    for change in [&first, &second] {
        story.alice().approve(change);
        daemon.wait_queued(change.number);
    }
    latch.wait_seen(&["a", "b"]);
    act(&story, &project, &first);
    latch.wait_seen(&["b"]);
    wait_for("the first change to have left", || {
        let view = daemon.view()?;
        let gone = !crate::support::daemon::queued(&view)
            .any(|item| crate::support::daemon::has(item, first.number));
        gone.then_some(())
    });
    latch.open();
    story.wait_merged(&second);
    let ending = Ending::of(&project).landed([&second]);
    let ending = match word {
        Word::Why => {
            wait_for("a word on the first change", || story.messages_on(&first).pop());
            ending.left([&first])
        }
        Word::None => ending.untouched([&first]),
    };
    story.end(daemon, &[ending]);
    Ok(())
}

fn a_change_with_a_new_patch_set_leaves_during_its_build(server: &Server) -> Run {
    check_leaves(server, "stale", Word::Why, |_, project, change| {
        project.amend(change, None, &[("a", Some("better"))]);
    })
}

fn a_change_with_a_withdrawn_vote_leaves_during_its_build(server: &Server) -> Run {
    check_leaves(server, "withdrawn", Word::Why, |story, _, change| {
        story.alice().vote(change, "Code-Review", 0)
    })
}

fn an_abandoned_change_leaves_during_its_build(server: &Server) -> Run {
    check_leaves(server, "abandoned", Word::None, |story, _, change| story.alice().tell(change, "abandon"))
}

fn a_change_marked_as_work_in_progress_leaves_during_its_build(server: &Server) -> Run {
    check_leaves(server, "wip", Word::Why, |story, _, change| story.alice().tell(change, "wip"))
}

/// The stream of events is stalled, so that only the last look before the push can know.
fn check_last_look(server: &Server, name: &str, act: impl Fn(&Story, &Project, &Change)) -> Run {
    let story = Story::begin(server, name);
    let (latch, proxy) = (Latch::new(), Proxy::to(server.ssh_port));
    let project = story.repository("core");
    let mut setup = Setup::latched(&story, &latch);
    setup.ssh_port = proxy.port;
    let daemon = setup.start();
    let change = project.change("First", &[("a", Some("good"))]);
    story.alice().approve(&change);
    latch.wait_seen(&["a"]);
    proxy.stall();
    act(&story, &project, &change);
    latch.open();
    wait_for("a word on the change", || (!story.messages_on(&change).is_empty()).then_some(()));
    daemon.wait_idle();
    proxy.heal();
    story.end(daemon, &[Ending::of(&project).left([&change])]);
    Ok(())
}

fn a_veto_that_no_event_told_of_stops_the_landing(server: &Server) -> Run {
    check_last_look(server, "veto", |story, _, change| story.bob().vote(change, "Code-Review", -2))
}

fn a_new_patch_set_that_no_event_told_of_does_not_land_the_old_one(server: &Server) -> Run {
    check_last_look(server, "unseen", |_, project, change| {
        project.amend(change, None, &[("a", Some("better"))]);
    })
}

fn a_repaired_change_that_is_approved_again_lands(server: &Server) -> Run {
    let story = Story::begin(server, "repaired");
    let project = story.repository("core");
    let daemon = Setup::judged(&story).start();
    let broken = project.change("Change", &[("a", Some("BAD"))]);
    story.alice().approve(&broken);
    let approved_by = unix_seconds();
    story.wait_message(&broken, "judge");
    let repaired = project.amend(&broken, None, &[("a", Some("good"))]);
    // Gerrit tells the time of a vote to the second: within it the new one cannot be told from the old.
    wait_for("the next second", || (unix_seconds() > approved_by).then_some(()));
    story.alice().approve(&repaired);
    story.end(daemon, &[Ending::of(&project).landed([&repaired]).attempts(2)]);
    Ok(())
}

fn unix_seconds() -> u64 {
    std::time::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs())
}

fn a_private_change_is_left_alone(server: &Server) -> Run {
    let story = Story::begin(server, "private");
    let project = story.repository("core");
    let daemon = Setup::judged(&story).start();
    let hidden = project.change("Hidden", &[("a", Some("good"))]);
    story.alice().tell(&hidden, "private");
    story.alice().approve(&hidden);
    let open = project.change("Open", &[("b", Some("good"))]);
    story.alice().approve(&open);
    story.end(daemon, &[Ending::of(&project).landed([&open]).untouched([&hidden])]);
    Ok(())
}

fn a_change_made_private_during_its_build_does_not_land(server: &Server) -> Run {
    let story = Story::begin(server, "hiding");
    let latch = Latch::new();
    let project = story.repository("core");
    let daemon = Setup::latched(&story, &latch).start();
    let hidden = project.change("Hidden", &[("a", Some("good"))]);
    story.alice().approve(&hidden);
    latch.wait_seen(&["a"]);
    story.alice().tell(&hidden, "private");
    let open = project.change("Open", &[("b", Some("good"))]);
    story.alice().approve(&open);
    daemon.wait_queued(open.number);
    latch.open();
    // The daemon cannot write on what it cannot see.
    story.end(daemon, &[Ending::of(&project).landed([&open]).untouched([&hidden])]);
    Ok(())
}

fn an_unmet_submit_requirement_keeps_a_change_out_until_it_is_met(server: &Server) -> Run {
    let story = Story::begin(server, "requirement");
    let project = story.repository("core");
    let path = format!("/projects/{}/submit_requirements/Blessed", project.name);
    let requirement =
        serde_json::json!({ "name": "Blessed", "submittability_expression": "hashtag:blessed" });
    server.admin.put(&path, &requirement);
    let daemon = Setup::judged(&story).start();
    let change = project.change("Needs a blessing", &[("a", Some("good"))]);
    story.alice().approve(&change);
    wait_for("the reason on the page", || {
        daemon.words_on(change.number).filter(|words| words.contains("Blessed"))
    });
    assert_eq!(story.status_of(&change), "NEW");
    let hashtags = serde_json::json!({ "add": ["blessed"] });
    story.alice().post(&format!("{}/hashtags", change.path()), &hashtags);
    story.end(daemon, &[Ending::of(&project).landed([&change])]);
    Ok(())
}
