//! Jobs after a landing, on demand, and across the repositories of a site, at a real Gerrit.

use super::cases;
use crate::support::daemon::entries;
use crate::support::ending::Ending;
use crate::support::proxy::Proxy;
use crate::support::runner::Run;
use crate::support::server::Server;
use crate::support::setup::{JUDGE, Setup};
use crate::support::story::Story;
use crate::support::wait_for;

cases![
    the_landing_since_which_a_job_fails_is_found_and_told,
    a_comment_runs_a_pipeline_and_its_outcome_is_told,
    a_comment_that_no_event_tells_of_is_heeded_once,
    a_change_is_judged_by_the_jobs_of_its_whole_site,
];

/// Fails on content that the gate does not mind.
const LATE: &str = "if grep -rq --exclude-dir=.git LATE .; then exit 1; fi";

fn the_landing_since_which_a_job_fails_is_found_and_told(server: &Server) -> Run {
    let story = Story::begin(server, "post");
    let project = story.repository("core");
    let daemon = Setup::judged(&story).job_with("late", &[LATE], "pipelines = [\"post\"]").start();
    let first = project.change("First", &[("a", Some("good"))]);
    story.alice().approve(&first);
    story.wait_merged(&first);
    let outcome = |wanted: &str| {
        let found = daemon.view().is_some_and(|view| {
            let mut runs = entries(&view["runs"]).filter(|run| run["ended_at"].is_number());
            runs.any(|run| run["words"].as_str().is_some_and(|words| words.contains(wanted)))
        });
        found.then_some(())
    };
    wait_for("the first run to pass", || outcome("passed"));
    let contents = ["good", "good", "LATE", "good"];
    let changes = project.many(contents.len(), |at| vec![(format!("f{at}"), contents[at].into())]);
    changes.iter().for_each(|change| story.alice().approve(change));
    changes.iter().for_each(|change| story.wait_merged(change));
    story.wait_message(&changes[2], "Since this change landed, `late` fails");
    daemon.wait_view("all to be quiet", |view| view["builds_running"] == 0 && view["effects"] == 0);
    for other in [0, 1, 3] {
        let told = story.messages_on(&changes[other]).iter().any(|text| text.contains("late"));
        assert!(!told, "change {} is not to blame", changes[other].number);
    }
    let landed: Vec<_> = [&first].into_iter().chain(&changes).collect();
    story.end(daemon, &[Ending::of(&project).landed(landed)]);
    Ok(())
}

fn a_comment_runs_a_pipeline_and_its_outcome_is_told(server: &Server) -> Run {
    let story = Story::begin(server, "demand");
    let project = story.repository("core");
    let setup = Setup::judged(&story)
        .job_with("deep", &[LATE], "pipelines = [\"perf\"]")
        .more("[[pipeline.on-demand]]\nname = \"perf\"\ncomment = \"check perf\"");
    let mut daemon = setup.start();
    let change = project.change("Slow", &[("a", Some("LATE"))]);
    story.alice().say(&change, "How fast is it?\n\ncheck perf");
    story.wait_message(&change, "deep");
    assert_eq!(story.status_of(&change), "NEW", "nothing lands on demand");
    assert!(daemon.stop().success());
    story.judge(&[Ending::of(&project).left([&change])]);
    Ok(())
}

fn a_comment_that_no_event_tells_of_is_heeded_once(server: &Server) -> Run {
    let story = Story::begin(server, "unheard-comment");
    let proxy = Proxy::to(server.ssh_port);
    let project = story.repository("core");
    let mut setup = Setup::judged(&story)
        .job_with("deep", &[LATE], "pipelines = [\"perf\"]")
        .more("[[pipeline.on-demand]]\nname = \"perf\"\ncomment = \"check perf\"");
    setup.ssh_port = proxy.port;
    let mut daemon = setup.start();
    let change = project.change("Slow", &[("a", Some("LATE"))]);
    // It has to be there before the daemon can have missed anything.
    let other = project.change("Other", &[("b", Some("good"))]);
    story.alice().approve(&other);
    story.wait_merged(&other);
    proxy.cut();
    story.alice().say(&change, "check perf");
    proxy.heal();
    story.wait_message(&change, "deep");
    // The other one is asked for by an event: once more, the first is not.
    let second = project.change("Second", &[("c", Some("LATE"))]);
    story.alice().say(&second, "check perf");
    story.wait_message(&second, "deep");
    daemon.wait_view("all to be quiet", |view| view["builds_running"] == 0 && view["effects"] == 0);
    let told = |change| story.messages_on(change).iter().filter(|text| text.contains("deep")).count();
    assert_eq!((told(&change), told(&second)), (1, 1), "each is answered once");
    assert!(daemon.stop().success());
    story.judge(&[Ending::of(&project).landed([&other]).left([&change, &second])]);
    Ok(())
}

fn a_change_is_judged_by_the_jobs_of_its_whole_site(server: &Server) -> Run {
    let story = Story::begin(server, "site");
    let (app, lib) = (story.repository("app"), story.repository("lib"));
    // The job of one repository sees the other beside it.
    let both = JUDGE.replace(" .;", " ..;");
    let setup = Setup::new(&story)
        .more(&format!("[[site]]\nname = \"web\"\nrepositories = [\"{}-*\"]", story.name))
        .more(&format!("[[job]]\nname = \"joint\"\nrepositories = [{:?}]\ncommands = [{both:?}]", app.name));
    let daemon = setup.start();
    let bad = lib.change("Bad", &[("a", Some("BAD"))]);
    let good = lib.change("Good", &[("b", Some("good"))]);
    for change in [&bad, &good] {
        story.alice().approve(change);
    }
    story.wait_merged(&good);
    story.wait_message(&bad, "joint");
    story.end(daemon, &[Ending::of(&lib).landed([&good]).left([&bad]), Ending::of(&app)]);
    Ok(())
}
