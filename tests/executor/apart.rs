//! Claims that need a process of their own: a daemon that is killed, a volume that is full.

use super::*;

/// Names the part of a test that a process is to play.
const PART: &str = "SEAKEEPER_TEST_PART";

/// This program, playing one part, with its temporary files in `folder`.
fn part(name: &str, folder: &Path) -> std::process::Command {
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", &format!("apart::{name}")]).env(PART, name).env("TMPDIR", folder);
    command
}

/// Run by `a_full_volume_is_no_verdict` with a small volume for its temporary files.
#[test]
fn build_on_a_small_volume() {
    if std::env::var_os(PART).is_none_or(|part| part != "build_on_a_small_volume") {
        return;
    }
    let bench = Bench::new(PLAIN);
    bench.start(1, &["cat /dev/zero > full"], 60_000);
    let verdict = bench.end(1);
    assert!(matches!(&verdict, Verdict::NoVerdict { why } if why.contains("is full")), "{verdict:?}");
    until("the work folder is removed", || !bench.settings.folder.join("builds/1/order").exists());
    assert_eq!(bench.run(&["true"]).0, Verdict::Pass);
}

#[test]
fn a_full_volume_is_no_verdict() {
    let folder = Bench::new(PLAIN).root.with_extension("small");
    fs::create_dir_all(&folder).unwrap();
    let mount =
        |args: &[&str]| std::process::Command::new(args[0]).args(&args[1..]).arg(&folder).status().unwrap();
    if !mount(&["mount", "-t", "tmpfs", "-o", "size=24m", "none"]).success() {
        assert!(std::env::var_os("CI").is_none(), "a small volume cannot be mounted: run as root");
        eprintln!("skipped: a small volume cannot be mounted without root");
        return;
    }
    let status = part("build_on_a_small_volume", &folder).status().unwrap();
    assert!(mount(&["umount"]).success());
    fs::remove_dir(&folder).unwrap();
    assert!(status.success());
}

/// Run by `builds_outlive_the_daemon` as a process of its own: a daemon that is killed.
#[test]
fn daemon_that_will_be_killed() {
    if std::env::var_os(PART).is_none_or(|part| part != "daemon_that_will_be_killed") {
        return;
    }
    let bench = Bench::new(PLAIN);
    let folder = PathBuf::from(std::env::var("TEST_FOLDER").unwrap());
    let settings = Settings { folder: folder.join("executor"), ..bench.settings.clone() };
    let (sent, _events) = inbox();
    let local = Local::start(settings, sent).unwrap();
    for build in 1..=3 {
        start(
            &local,
            &bench.input,
            build,
            &["echo ready; while ! test -e /tmp/go; do sleep 0.01; done"],
            60_000,
        );
    }
    loop {
        std::thread::park();
    }
}

#[test]
fn builds_outlive_the_daemon() {
    let bench = Bench::new(PLAIN);
    let folder = bench.root.join("other");
    fs::create_dir(&folder).unwrap();
    let mut daemon = part("daemon_that_will_be_killed", &folder).env("TEST_FOLDER", &folder).spawn().unwrap();
    let executor = folder.join("executor");
    for build in 1..=3 {
        let log = executor.join(format!("logs/{build}.log"));
        until("the build runs", || fs::read_to_string(&log).is_ok_and(|log| log.contains("\nready\n")));
    }
    daemon.kill().unwrap();
    daemon.wait().unwrap();
    // The first ends while no daemon runs, the second's shim is killed, the third runs on.
    let go = |build: u64| fs::write(executor.join(format!("builds/{build}/tmp/go")), "").unwrap();
    go(1);
    until("the first ended", || executor.join("builds/1/ended").exists());
    let started = fs::read_to_string(executor.join("builds/2/started")).unwrap();
    let pid = serde_json::from_str::<serde_json::Value>(&started).unwrap()["pid"].as_i64().unwrap();
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    let (sent, events) = inbox();
    let local = Local::start(Settings { folder: executor.clone(), ..bench.settings.clone() }, sent).unwrap();
    start(&local, &bench.input, 3, &["false"], 60_000);
    let (mut ends, mut released) = (BTreeMap::new(), false);
    while ends.len() < 3 {
        if let Event::BuildSeen { build, phase: BuildPhase::Finished { verdict, .. } } =
            events.recv_timeout(Duration::from_secs(30)).unwrap()
        {
            ends.insert(build.0, verdict);
        }
        if ends.len() == 2 && !released {
            released = true;
            go(3);
        }
    }
    assert_eq!((&ends[&1], &ends[&3]), (&Verdict::Pass, &Verdict::Pass));
    assert!(matches!(&ends[&2], Verdict::NoVerdict { why } if why.contains("supervisor died")), "{ends:?}");
}
