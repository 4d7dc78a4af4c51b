//! Connections that break and a Gerrit that goes away: nothing is lost, and all goes on by itself.

use super::cases;
use crate::support::ending::Ending;
use crate::support::latch::Latch;
use crate::support::proxy::{Loss, Proxy};
use crate::support::runner::Run;
use crate::support::server::Server;
use crate::support::setup::Setup;
use crate::support::story::Story;

cases![
    gerrit_restarted_in_mid_queue_loses_nothing,
    approvals_given_while_the_stream_is_cut_are_found_afterwards,
    an_approval_that_no_event_tells_of_is_found_by_a_sweep,
    a_push_whose_answer_is_lost_lands_once,
    a_push_that_is_lost_on_its_way_is_made_again,
];

fn gerrit_restarted_in_mid_queue_loses_nothing(_: &Server) -> Run {
    // A server of its own: others would not like it.
    let server = Server::start_new()?;
    let story = Story::begin(&server, "restart");
    let latch = Latch::new();
    let project = story.repository("core");
    let daemon = Setup::latched(&story, &latch).start();
    let changes = project.many(6, |at| vec![(format!("f{at}"), if at == 3 { "BAD" } else { "good" }.into())]);
    changes[..4].iter().for_each(|change| story.alice().approve(change));
    latch.wait_seen(&["f0", "f1", "f2", "f3"]);
    server.stop();
    // Builds pass and fail while nobody can be told.
    latch.open();
    daemon.wait_view("the builds to end", |view| view["builds_running"] == 0);
    server.start_again();
    changes[4..].iter().for_each(|change| story.alice().approve(change));
    story.wait_message(&changes[3], "judge");
    let landed = changes.iter().filter(|change| change.number != changes[3].number);
    story.end(daemon, &[Ending::of(&project).landed(landed).left([&changes[3]])]);
    Ok(())
}

fn approvals_given_while_the_stream_is_cut_are_found_afterwards(server: &Server) -> Run {
    let story = Story::begin(server, "cut");
    let proxy = Proxy::to(server.ssh_port);
    let project = story.repository("core");
    let mut setup = Setup::judged(&story);
    setup.ssh_port = proxy.port;
    let daemon = setup.start();
    let changes = project.many(3, |at| vec![(format!("f{at}"), "good".into())]);
    story.alice().approve(&changes[0]);
    story.wait_merged(&changes[0]);
    proxy.cut();
    story.alice().approve(&changes[1]);
    proxy.heal();
    story.wait_merged(&changes[1]);
    // And the stream is there again: well within the interval of polling.
    story.alice().approve(&changes[2]);
    story.end(daemon, &[Ending::of(&project).landed(&changes)]);
    Ok(())
}

fn an_approval_that_no_event_tells_of_is_found_by_a_sweep(server: &Server) -> Run {
    let story = Story::begin(server, "stall");
    let proxy = Proxy::to(server.ssh_port);
    let project = story.repository("core");
    let mut setup = Setup::judged(&story).gerrit("sweep-interval = \"2s\"");
    setup.ssh_port = proxy.port;
    let daemon = setup.start();
    let change = project.change("Change", &[("a", Some("good"))]);
    // The connection stays, and nobody is told that nothing comes through.
    proxy.stall();
    story.alice().approve(&change);
    story.wait_merged(&change);
    proxy.heal();
    story.end(daemon, &[Ending::of(&project).landed([&change])]);
    Ok(())
}

/// Loses the first landing push, and demands that both changes land once all the same.
fn check_lost_push(server: &Server, name: &str, loss: Loss) -> Run {
    let story = Story::begin(server, name);
    let (latch, proxy) = (Latch::new(), Proxy::to(server.http_port));
    let project = story.repository("core");
    // The time for which a push may still land is minutes by default.
    let mut setup = Setup::latched(&story, &latch).more("[limits]\nsettle = \"3s\"");
    setup.url = format!("http://127.0.0.1:{}/", proxy.port);
    let daemon = setup.start();
    let changes = project.many(2, |at| vec![(format!("f{at}"), "good".into())]);
    changes.iter().for_each(|change| story.alice().approve(change));
    latch.wait_seen(&["f0", "f1"]);
    proxy.lose_push(loss);
    latch.open();
    story.end(daemon, &[Ending::of(&project).landed(&changes)]);
    assert!(proxy.has_lost(), "a push went through the proxy");
    Ok(())
}

fn a_push_whose_answer_is_lost_lands_once(server: &Server) -> Run {
    check_lost_push(server, "unheard", Loss::Answer)
}

fn a_push_that_is_lost_on_its_way_is_made_again(server: &Server) -> Run {
    check_lost_push(server, "lost", Loss::Request)
}
