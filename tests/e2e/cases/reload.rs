//! Another configuration, and a copy of the state, in mid-queue.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use super::cases;
use crate::support::daemon::{Daemon, entries, queued};
use crate::support::ending::Ending;
use crate::support::latch::Latch;
use crate::support::runner::Run;
use crate::support::server::Server;
use crate::support::setup::Setup;
use crate::support::story::Story;
use crate::support::wait_for;

cases![
    a_reload_in_mid_queue_keeps_the_builds_that_run,
    a_faulty_file_is_refused_with_all_its_faults_and_told_until_it_is_mended,
    a_hangup_puts_a_queue_for_another_repository_in_force,
    keys_that_need_a_restart_are_named_and_the_rest_is_in_force,
    a_queue_that_is_gone_tells_its_changes,
    want_of_room_holds_builds_back_and_says_so_until_there_is_enough,
    a_daemon_on_a_restored_back_up_lands_what_was_queued,
];

/// Runs a sub-command that speaks to the daemon, or of its state.
fn seakeeper(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_seakeeper"))
        .args(arguments)
        .arg("-c")
        .arg(folder.join("seakeeper.toml"))
        .env_remove("SUDO_USER")
        .output()
        .expect("the binary can be run")
}

fn reload(folder: &Path) -> Output {
    seakeeper(folder, &["reload"])
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Writes the configuration anew with `from` replaced.
fn edit(folder: &Path, from: &str, to: &str) {
    let path = folder.join("seakeeper.toml");
    let before = fs::read_to_string(&path).expect("the configuration is there");
    assert!(before.contains(from), "{from} is not in {before}");
    fs::write(&path, before.replace(from, to)).expect("it can be written");
}

/// The builds that run, by number, with their jobs.
fn builds(view: &Value) -> Vec<(u64, String)> {
    let jobs = queued(view).flat_map(|item| entries(&item["jobs"]));
    let mut builds: Vec<(u64, String)> = jobs
        .filter(|job| job["result"] == "Running")
        .filter_map(|job| Some((job["build"].as_u64()?, job["job"].as_str()?.to_owned())))
        .collect();
    builds.sort();
    builds.dedup();
    builds
}

fn wait_builds(daemon: &Daemon, count: usize) -> Vec<(u64, String)> {
    builds(&daemon.wait_view(&format!("{count} builds"), |view| builds(view).len() == count))
}

fn a_reload_in_mid_queue_keeps_the_builds_that_run(server: &Server) -> Run {
    let story = Story::begin(server, "reload");
    let latch = Latch::new();
    let project = story.repository("core");
    // A job that reads the history goes on too: its merges are the same commits.
    let daemon =
        Setup::latched(&story, &latch).job_with("history", &[&latch.command()], "history = true").start();
    let changes = project.many(3, |at| vec![(format!("f{at}"), "good".into())]);
    changes.iter().for_each(|change| story.alice().approve(change));
    latch.wait_seen(&["f0", "f1", "f2"]);
    let before = wait_builds(&daemon, 6);
    wait_for("six builds to call", || (latch.calls() == 6).then_some(()));
    edit(&story.folder, "slots = 8", "slots = 12");
    let pattern = format!("{}-*", story.name);
    let late = format!(
        "[[job]]\nname = \"late\"\nrepositories = [{pattern:?}]\ncommands = [\"true\"]\n\n[[job]]\nname = \"judge\""
    );
    edit(&story.folder, "[[job]]\nname = \"judge\"", &late);
    let said = reload(&story.folder);
    assert!(said.status.success(), "{}{}", text(&said.stdout), text(&said.stderr));
    assert!(text(&said.stdout).contains("is in force: queues 1, jobs 3, slots 12"), "{}", text(&said.stdout));
    let passed = |view: &Value| {
        let jobs = queued(view).flat_map(|item| entries(&item["jobs"]));
        jobs.filter(|job| job["job"] == "late" && job["result"] == "Success").count()
    };
    let view = daemon.wait_view("the new job to have passed everywhere", |view| passed(view) == 3);
    assert_eq!(builds(&view), before, "the same builds run on");
    assert_eq!(latch.calls(), 6, "no build was begun again");
    latch.open();
    story.end(daemon, &[Ending::of(&project).landed(&changes)]);
    assert_eq!(latch.calls(), 6);
    Ok(())
}

fn a_faulty_file_is_refused_with_all_its_faults_and_told_until_it_is_mended(server: &Server) -> Run {
    let story = Story::begin(server, "faulty");
    let project = story.repository("core");
    let daemon = Setup::judged(&story).start();
    let sound = fs::read_to_string(story.folder.join("seakeeper.toml")).expect("it is there");
    edit(&story.folder, "slots = 8", "slots = \"many\"\nslotz = 1");
    let said = reload(&story.folder);
    assert_eq!(said.status.code(), Some(3), "a configuration that cannot be used");
    let told = text(&said.stderr);
    for part in ["expected a whole number", "`executor.local.slotz`: unknown key", "stays in force"] {
        assert!(told.contains(part), "{part} is not in {told}");
    }
    let (status, page) = daemon.page("/readyz").expect("somebody answers");
    assert_eq!(status, 200, "it can gate: {page}");
    assert!(page.contains("`seakeeper reload`") && page.contains("slotz"), "{page}");
    let (_, page) = daemon.page("/").expect("somebody answers");
    assert!(page.contains("slotz"), "the page tells it");
    let metric = |value: u32| {
        let (_, page) = daemon.page("/metrics").expect("somebody answers");
        page.contains(&format!("seakeeper_configuration_refused {value}"))
    };
    assert!(metric(1));
    let change = project.change("Change", &[("a", Some("good"))]);
    story.alice().approve(&change);
    story.wait_merged(&change);
    fs::write(story.folder.join("seakeeper.toml"), sound).expect("it can be written");
    assert!(reload(&story.folder).status.success());
    let (_, page) = daemon.page("/readyz").expect("somebody answers");
    assert!(!page.contains("slotz") && metric(0), "{page}");
    story.end(daemon, &[Ending::of(&project).landed([&change])]);
    Ok(())
}

fn a_hangup_puts_a_queue_for_another_repository_in_force(server: &Server) -> Run {
    let story = Story::begin(server, "hangup");
    let (first, second) = (story.repository("one"), story.repository("two"));
    let setup = Setup::judged(&story);
    let mut daemon = setup.spawn();
    let queue = |name: &str| format!("repositories = [\"{}-{name}\"]", story.name);
    let all = format!("repositories = [\"{}-*\"]", story.name);
    daemon.kill();
    edit(&story.folder, &format!("name = \"main\"\n{all}"), &format!("name = \"main\"\n{}", queue("one")));
    daemon.start_again();
    // Approved while nobody gated it; and its tests are no other than those of the first.
    let waiting = second.change("Second", &[("b", Some("good"))]);
    story.alice().approve(&waiting);
    let change = first.change("First", &[("a", Some("good"))]);
    story.alice().approve(&change);
    story.wait_merged(&change);
    assert_eq!(story.status_of(&waiting), "NEW");
    edit(&story.folder, "[[queue]]", &format!("[[queue]]\nname = \"second\"\n{}\n\n[[queue]]", queue("tw?")));
    daemon.hang_up();
    story.wait_merged(&waiting);
    // A repository that comes later needs nothing at all.
    edit(&story.folder, &queue("tw?"), &queue("t*"));
    assert!(reload(&story.folder).status.success());
    let third = story.repository("three");
    let late = third.change("Third", &[("c", Some("good"))]);
    story.alice().approve(&late);
    story.end(
        daemon,
        &[
            Ending::of(&first).landed([&change]),
            Ending::of(&second).landed([&waiting]),
            Ending::of(&third).landed([&late]),
        ],
    );
    Ok(())
}

fn keys_that_need_a_restart_are_named_and_the_rest_is_in_force(server: &Server) -> Run {
    let story = Story::begin(server, "fixed");
    let project = story.repository("core");
    let mut daemon = Setup::judged(&story).start();
    let sound = fs::read_to_string(story.folder.join("seakeeper.toml")).expect("it is there");
    let user = story.bot.user.clone();
    edit(&story.folder, &format!("user = {user:?}"), "user = \"somebody\"");
    edit(&story.folder, "[state]\nfolder = ", "[state]\n# folder = ");
    edit(&story.folder, "slots = 8", "slots = 3");
    let socket = story.folder.join("state/control.sock");
    let said = Command::new(env!("CARGO_BIN_EXE_seakeeper"))
        .args(["reload", "--json", "--socket"])
        .arg(&socket)
        .output()
        .expect("the binary can be run");
    let answer: Value = serde_json::from_slice(&said.stdout).expect("it is JSON");
    assert_eq!(answer["verdict"], "InForce");
    let lines = answer["lines"].to_string();
    assert!(lines.contains("`gerrit.user` changed, which counts after a restart"), "{lines}");
    daemon.wait_view("the slots", |view| view["slots"] == 3);
    let (_, page) = daemon.page("/readyz").expect("somebody answers");
    assert!(page.contains("`gerrit.user`"), "{page}");
    let change = project.change("Change", &[("a", Some("good"))]);
    story.alice().approve(&change);
    story.wait_merged(&change);
    fs::write(story.folder.join("seakeeper.toml"), sound).expect("it can be written");
    daemon.wait_idle();
    assert!(daemon.stop().success());
    daemon.start_again();
    story.end(daemon, &[Ending::of(&project).landed([&change])]);
    Ok(())
}

fn a_queue_that_is_gone_tells_its_changes(server: &Server) -> Run {
    let story = Story::begin(server, "gone");
    let latch = Latch::new();
    let (kept, left) = (story.repository("kept"), story.repository("left"));
    let daemon = Setup::latched(&story, &latch).start();
    let stays = kept.change("Stays", &[("a", Some("good"))]);
    let leaves = left.change("Leaves", &[("b", Some("good"))]);
    for change in [&stays, &leaves] {
        story.alice().approve(change);
        daemon.wait_queued(change.number);
    }
    latch.wait_seen(&["a"]);
    latch.wait_seen(&["b"]);
    let all = format!("name = \"main\"\nrepositories = [\"{}-*\"]", story.name);
    edit(&story.folder, &all, &format!("name = \"main\"\nrepositories = [\"{}-kept\"]", story.name));
    assert!(reload(&story.folder).status.success());
    story.wait_message(&leaves, "no queue for its branch");
    assert_eq!(wait_builds(&daemon, 1).len(), 1, "the build that nobody wants is stopped");
    latch.open();
    story.end(daemon, &[Ending::of(&kept).landed([&stays]), Ending::of(&left).left([&leaves])]);
    Ok(())
}

fn want_of_room_holds_builds_back_and_says_so_until_there_is_enough(server: &Server) -> Run {
    let story = Story::begin(server, "room");
    let project = story.repository("core");
    let daemon = Setup::judged(&story).start();
    // No volume has so much room.
    edit(&story.folder, "min-free = \"1MiB\"", "min-free = \"90000000GiB\"");
    assert!(reload(&story.folder).status.success());
    let change = project.change("Change", &[("a", Some("good"))]);
    story.alice().approve(&change);
    wait_for("words on the room", || {
        daemon.words_on(change.number).filter(|words| words.contains("min-free"))
    });
    let (status, page) = daemon.page("/readyz").expect("somebody answers");
    assert!(status == 503 && page.contains("free some space"), "{page}");
    let said = text(&seakeeper(&story.folder, &["status"]).stdout);
    assert!(said.contains("NO BUILDS: the volume of"), "{said}");
    edit(&story.folder, "min-free = \"90000000GiB\"", "min-free = \"1MiB\"");
    assert!(reload(&story.folder).status.success());
    story.end(daemon, &[Ending::of(&project).landed([&change])]);
    Ok(())
}

fn a_daemon_on_a_restored_back_up_lands_what_was_queued(server: &Server) -> Run {
    let story = Story::begin(server, "backup");
    let latch = Latch::new();
    let project = story.repository("core");
    let mut daemon = Setup::latched(&story, &latch).start();
    let changes = project.many(2, |at| vec![(format!("f{at}"), "good".into())]);
    changes.iter().for_each(|change| story.alice().approve(change));
    latch.wait_seen(&["f0", "f1"]);
    let copy = story.folder.join("copy");
    let copy = copy.to_str().expect("the path is UTF-8");
    let made = seakeeper(&story.folder, &["backup", copy]);
    assert!(made.status.success(), "{}", text(&made.stderr));
    assert_eq!(seakeeper(&story.folder, &["backup", copy]).status.code(), Some(1), "nothing is overwritten");
    // The machine is lost, with all that ran on it.
    latch.open();
    daemon.wait_idle();
    let landed = project.tip("master");
    daemon.kill();
    let state = story.folder.join("state");
    let refused = seakeeper(&story.folder, &["restore", copy]);
    assert!(text(&refused.stderr).contains("move the folder aside"), "{}", text(&refused.stderr));
    fs::rename(&state, story.folder.join("old")).expect("it can be moved");
    let restored = seakeeper(&story.folder, &["restore", copy]);
    assert!(restored.status.success(), "{}", text(&restored.stderr));
    daemon.start_again();
    daemon.wait_idle();
    assert_eq!(project.tip("master"), landed, "what had landed since does not land twice");
    let later = project.change("Later", &[("later", Some("good"))]);
    story.alice().approve(&later);
    story.wait_merged(&later);
    story.end(daemon, &[Ending::of(&project).landed(changes.iter().chain([&later])).attempts(2)]);
    Ok(())
}
