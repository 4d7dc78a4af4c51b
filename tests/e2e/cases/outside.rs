//! Somebody else moves the branch: what is landed is tested on top of that, or lands nothing.

use super::cases;
use crate::support::ending::Ending;
use crate::support::latch::Latch;
use crate::support::proxy::Proxy;
use crate::support::runner::Run;
use crate::support::server::Server;
use crate::support::setup::Setup;
use crate::support::story::Story;

cases![
    a_push_by_someone_else_during_a_build_leads_to_a_new_build_on_top,
    a_push_in_the_instant_before_landing_is_not_overwritten,
    a_push_that_breaks_a_queued_change_makes_it_leave,
    a_change_landed_by_hand_leaves_its_queue_and_the_others_land,
];

fn a_push_by_someone_else_during_a_build_leads_to_a_new_build_on_top(server: &Server) -> Run {
    let story = Story::begin(server, "pushed");
    let latch = Latch::new();
    let project = story.repository("core");
    let daemon = Setup::latched(&story, &latch).start();
    let change = project.change("Change", &[("a", Some("good"))]);
    story.alice().approve(&change);
    latch.wait_seen(&["a"]);
    let outside = project.commit(&[project.base], "Outside\n", &[("outside", Some("good"))]);
    project.push(&server.admin, outside, "refs/heads/master").expect("the administrator may push");
    latch.wait_seen(&["a", "outside"]);
    latch.open();
    story.end(daemon, &[Ending::of(&project).landed([&change]).outside([outside])]);
    Ok(())
}

fn a_push_in_the_instant_before_landing_is_not_overwritten(server: &Server) -> Run {
    let story = Story::begin(server, "instant");
    let (latch, proxy) = (Latch::new(), Proxy::to(server.ssh_port));
    let project = story.repository("core");
    let mut setup = Setup::latched(&story, &latch);
    setup.ssh_port = proxy.port;
    let daemon = setup.start();
    let change = project.change("Change", &[("a", Some("good"))]);
    story.alice().approve(&change);
    latch.wait_seen(&["a"]);
    // No event can tell of the push, so that the daemon finds out by having its own refused.
    proxy.stall();
    let outside = project.commit(&[project.base], "Outside\n", &[("outside", Some("good"))]);
    project.push(&server.admin, outside, "refs/heads/master").expect("the administrator may push");
    latch.open();
    latch.wait_seen(&["a", "outside"]);
    story.wait_merged(&change);
    proxy.heal();
    story.end(daemon, &[Ending::of(&project).landed([&change]).outside([outside])]);
    Ok(())
}

fn a_push_that_breaks_a_queued_change_makes_it_leave(server: &Server) -> Run {
    let story = Story::begin(server, "broken");
    let latch = Latch::new();
    let project = story.repository("core");
    // Fails where both files are: each alone is good.
    let together = "if test -e a && test -e outside; then exit 1; fi";
    let daemon = Setup::latched(&story, &latch).job("together", &[together]).start();
    let change = project.change("Change", &[("a", Some("good"))]);
    story.alice().approve(&change);
    latch.wait_seen(&["a"]);
    let outside = project.commit(&[project.base], "Outside\n", &[("outside", Some("good"))]);
    project.push(&server.admin, outside, "refs/heads/master").expect("the administrator may push");
    latch.open();
    story.wait_message(&change, "together");
    story.end(daemon, &[Ending::of(&project).left([&change]).outside([outside])]);
    Ok(())
}

fn a_change_landed_by_hand_leaves_its_queue_and_the_others_land(server: &Server) -> Run {
    let story = Story::begin(server, "byhand");
    let latch = Latch::new();
    let project = story.repository("core");
    let daemon = Setup::latched(&story, &latch).start();
    let by_hand = project.change("By hand", &[("a", Some("good"))]);
    let other = project.change("Other", &[("b", Some("good"))]);
    for change in [&by_hand, &other] {
        story.alice().approve(change);
        daemon.wait_queued(change.number);
    }
    latch.wait_seen(&["a", "b"]);
    project.push(&server.admin, by_hand.commit, "refs/heads/master").expect("the administrator may push");
    latch.open();
    story.end(daemon, &[Ending::of(&project).landed([&by_hand, &other])]);
    Ok(())
}
