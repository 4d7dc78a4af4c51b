//! The daemon is killed at any moment and started again: the same changes land as without.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use git2::Oid;
use rustix::process::{Pid, Signal, kill_process};

use super::cases;
use crate::support::daemon::Daemon;
use crate::support::ending::{Ending, processes_with};
use crate::support::latch::Latch;
use crate::support::project::{Change, Project};
use crate::support::runner::{Run, number};
use crate::support::server::Server;
use crate::support::setup::Setup;
use crate::support::story::Story;

cases![
    a_daemon_killed_at_random_moments_lands_the_same_changes,
    a_build_in_flight_survives_a_restart_and_is_not_started_again,
    a_build_that_died_with_the_daemon_is_run_again,
    what_a_build_leaves_running_ends_with_it,
    a_queue_survives_an_orderly_restart,
];

/// Changes of one round.
const CHANGES: usize = 30;
/// Those that fail by themselves.
const FAILING: [usize; 2] = [7, 19];
/// Two that conflict.
const RIVALS: [usize; 2] = [3, 12];
/// A kill comes at most so long after the last one, in milliseconds; a round takes a few seconds.
const NEXT_KILL_MAX_MS: u64 = 2_500;
/// Kills in one round, at most.
const KILLS_MAX: u64 = 4;

fn a_daemon_killed_at_random_moments_lands_the_same_changes(server: &Server) -> Run {
    let seed = number("SEAKEEPER_E2E_SEED").unwrap_or_else(clock_seed);
    let rounds = number("SEAKEEPER_E2E_ROUNDS").unwrap_or(10);
    for round in 0..rounds {
        let mut chance = Chance(seed.wrapping_add(round));
        println!("killing: round {round} of {rounds}, SEAKEEPER_E2E_SEED={}", seed.wrapping_add(round));
        play_round(server, &mut chance);
    }
    Ok(())
}

/// Thirty changes, of which some fail and some conflict, with kills and a push by someone else in
/// between.
fn play_round(server: &Server, chance: &mut Chance) {
    let story = Story::begin(server, "kill");
    let project = story.repository("core");
    // A kill between journal and push leaves a push of unknown outcome, which is watched until it can
    // no longer land: minutes by default, far less with a Gerrit that has no network in between.
    let mut daemon = Setup::judged(&story).more("[limits]\nsettle = \"10s\"").start();
    let changes = project.many(CHANGES, |at| vec![file_of(at)]);
    let kills = 1 + chance.below(KILLS_MAX);
    let pushed_after = chance.below(kills);
    let mut outside = Vec::new();
    std::thread::scope(|scope| {
        let approving = scope.spawn(|| changes.iter().for_each(|change| story.alice().approve(change)));
        for kill in 0..kills {
            // The moment is the point of this test, so it is drawn and not waited for.
            std::thread::sleep(Duration::from_millis(chance.below(NEXT_KILL_MAX_MS)));
            daemon.kill();
            daemon.launch_again();
            if kill == pushed_after {
                outside.push(push_on_top(&project, server));
            }
        }
        approving.join().expect("approvals are accepted");
    });
    daemon.ready();
    // Order is that of the votes, which a daemon that was away reads in whole seconds: either of the two
    // that conflict may have been the first.
    let beaten = crate::support::wait_for("one of the two that conflict to land", || {
        let merged = |at: usize| story.status_of(&changes[at]) == "MERGED";
        RIVALS.into_iter().find(|at| merged(RIVALS[0] + RIVALS[1] - at))
    });
    let [left, landed] = [true, false].map(|leaves| {
        let stays = move |at: &usize| (FAILING.contains(at) || *at == beaten) == leaves;
        changes.iter().enumerate().filter(move |(at, _)| stays(at)).map(|(_, change)| change)
    });
    wait_told(&story, &daemon, left.clone());
    let ending = Ending::of(&project).landed(landed).in_any_order().left(left).outside(outside);
    story.end(daemon, &[ending]);
}

/// Somebody's own push, made again while the daemon's landings are in its way.
fn push_on_top(project: &Project, server: &Server) -> Oid {
    crate::support::wait_for("a push from outside to win", || {
        let files = [("outside", Some("good"))];
        let commit = project.commit(&[project.tip("master")], "Outside\n", &files);
        project.push(&server.admin, commit, "refs/heads/master").ok().map(|_| commit)
    })
}

/// Two of the thirty fail by themselves, and one of two others leaves, for they write the same file.
fn file_of(at: usize) -> (String, String) {
    let content = if FAILING.contains(&at) { "BAD".into() } else { format!("good {at}") };
    (format!("f{}", if at == RIVALS[1] { RIVALS[0] } else { at }), content)
}

fn wait_told<'a>(story: &Story, daemon: &Daemon, changes: impl Iterator<Item = &'a Change>) {
    for change in changes {
        crate::support::wait_for(&format!("words on {}", change.subject), || {
            assert!(daemon.alive(), "the daemon ended:\n{}", daemon.log_tail());
            story.messages_on(change).pop()
        });
    }
}

fn a_build_in_flight_survives_a_restart_and_is_not_started_again(server: &Server) -> Run {
    let story = Story::begin(server, "survive");
    let latch = Latch::new();
    let project = story.repository("core");
    let mut daemon = Setup::latched(&story, &latch).start();
    let changes = project.many(2, |at| vec![(format!("f{at}"), "good".into())]);
    changes.iter().for_each(|change| story.alice().approve(change));
    latch.wait_seen(&["f0", "f1"]);
    let calls = latch.calls();
    daemon.kill();
    daemon.start_again();
    latch.open();
    changes.iter().for_each(|change| story.wait_merged(change));
    assert_eq!(latch.calls(), calls, "no build was started twice");
    story.end(daemon, &[Ending::of(&project).landed(&changes)]);
    Ok(())
}

fn a_build_that_died_with_the_daemon_is_run_again(server: &Server) -> Run {
    let story = Story::begin(server, "reboot");
    let latch = Latch::new();
    let project = story.repository("core");
    let mut daemon = Setup::latched(&story, &latch).start();
    let change = project.change("Change", &[("a", Some("good"))]);
    story.alice().approve(&change);
    latch.wait_seen(&["a"]);
    // As when the machine loses power: all that was started for this story ends at once.
    daemon.kill();
    for pid in processes_with(&story.folder.to_string_lossy()) {
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a process id");
        // It may have ended with the one before.
        let _ = kill_process(pid, Signal::KILL);
    }
    latch.open();
    daemon.start_again();
    story.wait_merged(&change);
    assert_eq!(latch.calls(), 2, "the lost build was run again, once");
    story.end(daemon, &[Ending::of(&project).landed([&change])]);
    Ok(())
}

fn what_a_build_leaves_running_ends_with_it(server: &Server) -> Run {
    let story = Story::begin(server, "leftover");
    let project = story.repository("core");
    // A duration that nobody else sleeps, by which the process is known.
    let seconds = format!("9{}", std::process::id());
    let leave = format!("setsid sleep {seconds} >/dev/null 2>&1 & sleep 0.1");
    let daemon = Setup::judged(&story).job("leaver", &[&leave]).start();
    let change = project.change("Change", &[("a", Some("good"))]);
    story.alice().approve(&change);
    story.end(daemon, &[Ending::of(&project).landed([&change])]);
    assert_eq!(processes_with(&format!("sleep\0{seconds}")), Vec::<u32>::new(), "nothing runs on");
    Ok(())
}

fn a_queue_survives_an_orderly_restart(server: &Server) -> Run {
    let story = Story::begin(server, "orderly");
    let latch = Latch::new();
    let project = story.repository("core");
    let mut daemon = Setup::latched(&story, &latch).start();
    let changes = project.many(3, |at| vec![(format!("f{at}"), "good".into())]);
    changes.iter().for_each(|change| story.alice().approve(change));
    latch.wait_seen(&["f0", "f1", "f2"]);
    assert!(daemon.stop().success());
    // Approvals go on while nobody is there.
    let late = project.change("Late", &[("late", Some("good"))]);
    story.alice().approve(&late);
    daemon.start_again();
    latch.open();
    story.end(daemon, &[Ending::of(&project).landed(changes.iter().chain([&late]))]);
    Ok(())
}

fn clock_seed() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970");
    u64::from(now.subsec_nanos())
}

/// Numbers from a seed (splitmix64).
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (bits ^ (bits >> 31)) % bound
    }
}
