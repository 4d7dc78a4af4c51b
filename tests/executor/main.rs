//! The local executor with its real shim, real bubblewrap and real git repositories.

mod apart;
mod room;
mod spare;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use git2::{Oid, Repository, Signature, Time};
use seakeeper::executor::local::{Confinement, Local, Settings};
use seakeeper::model::event::BuildPhase;
use seakeeper::model::{
    BuildId, BuildSpec, Effect, EffectId, EffectKind, Event, JobName, Pair, Patterns, ResolvedInput, Sha,
    Timestamp, Verdict,
};
use seakeeper::port::{Executor, Inbox};

static COUNTER: AtomicU64 = AtomicU64::new(0);

struct Bench {
    root: PathBuf,
    settings: Settings,
    events: Mutex<Receiver<Event>>,
    local: Local,
    input: ResolvedInput,
}

type Files<'a> = &'a [(&'a [u8], i32, &'a [u8])];

const PLAIN: Files<'static> =
    &[(b"a.txt", 0o100_644, b"hello\n"), (b"run.sh", 0o100_755, b"#!/bin/sh\necho ran\n")];

/// A bare repository with two commits, the second with `files` as its (flat) tree.
fn store(path: &Path, files: Files) -> Oid {
    let bare = Repository::init_bare(path).unwrap();
    let who = Signature::new("A", "a@example.org", &Time::new(1_000_000_000, 0)).unwrap();
    let odb = bare.odb().unwrap();
    let empty = odb.write(git2::ObjectType::Tree, b"").unwrap();
    let first =
        bare.commit(None, &who, &who, "secret history", &bare.find_tree(empty).unwrap(), &[]).unwrap();
    let mut tree = Vec::new();
    for (name, mode, data) in files {
        let id = if *mode == 0o160_000 { first } else { odb.write(git2::ObjectType::Blob, data).unwrap() };
        tree.extend_from_slice(format!("{mode:o} ").as_bytes());
        tree.extend_from_slice(name);
        tree.push(0);
        tree.extend_from_slice(id.as_bytes());
    }
    let tree = odb.write(git2::ObjectType::Tree, &tree).unwrap();
    let (tree, first) = (bare.find_tree(tree).unwrap(), bare.find_commit(first).unwrap());
    bare.commit(None, &who, &who, "second", &tree, &[&first]).unwrap()
}

fn inbox() -> (Inbox, Receiver<Event>) {
    let (sender, receiver) = mpsc::channel();
    let inbox = Inbox::new(move |events| events.into_iter().for_each(|event| drop(sender.send(event))));
    (inbox, receiver)
}

impl Bench {
    fn new(files: Files) -> Self {
        Self::with(files, false)
    }

    fn with(files: Files, unconfined: bool) -> Self {
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let root = std::env::temp_dir().join(format!("seakeeper-executor-{}-{number}", std::process::id()));
        fs::create_dir_all(&root).unwrap();
        fs::set_permissions(&root, fs::Permissions::from_mode(0o700)).unwrap();
        fs::write(root.join("secret"), "the daemon's token").unwrap();
        let commit = store(&root.join("store.git"), files);
        let bare = root.join("store.git");
        let settings = Settings {
            folder: root.join("executor"),
            confinement: Confinement { unconfined, network: true, visible: vec![], hidden: vec![] },
            max_output_bytes: 100_000,
            shim: env!("CARGO_BIN_EXE_seakeeper").into(),
            store: Arc::new(move |_| bare.clone()),
            keep_days: 7,
            keep_bytes: 1 << 30,
            min_free_bytes: 0,
        };
        let input = ResolvedInput {
            pair: Pair::new("tools/app", "main"),
            commit: Sha(commit.as_bytes().try_into().unwrap()),
            content: Sha([0; 20]),
            paths: vec![],
            ignored_files: Patterns::default(),
            history: false,
        };
        let (sent, events) = inbox();
        let local = Local::start(settings.clone(), sent).unwrap();
        let bench = Self { root, settings, events: Mutex::new(events), local, input };
        assert_eq!(bench.next(), Event::CapabilitiesSeen { unable: None });
        bench
    }

    fn next(&self) -> Event {
        self.events.lock().unwrap().recv_timeout(Duration::from_secs(30)).expect("an event")
    }

    fn start(&self, build: u64, commands: &[&str], timeout_ms: i64) {
        start(&self.local, &self.input, build, commands, timeout_ms);
    }

    fn stop(&self, build: u64) {
        let kind = EffectKind::StopBuild { build: BuildId(build) };
        self.local.clone().begin(Effect { id: EffectId(0), kind }, false);
    }

    fn end(&self, wanted: u64) -> Verdict {
        loop {
            if let Event::BuildSeen { build, phase: BuildPhase::Finished { verdict, .. } } = self.next()
                && build == BuildId(wanted)
            {
                return verdict;
            }
        }
    }

    fn log(&self, build: u64) -> String {
        String::from_utf8_lossy(&fs::read(self.local.log_path(BuildId(build))).unwrap()).into_owned()
    }

    /// Runs `commands` to their end; the verdict and the log.
    fn run(&self, commands: &[&str]) -> (Verdict, String) {
        let build = COUNTER.fetch_add(1, Ordering::Relaxed) + 100;
        self.start(build, commands, 60_000);
        (self.end(build), self.log(build))
    }

    fn passes(&self, commands: &[&str]) -> String {
        let (verdict, log) = self.run(commands);
        assert_eq!(verdict, Verdict::Pass, "{log}");
        log
    }

    fn wait_for_log(&self, build: u64, text: &str) {
        until(text, || {
            fs::read_to_string(self.local.log_path(BuildId(build))).is_ok_and(|log| log.contains(text))
        });
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.root);
    }
}

fn start(local: &Local, input: &ResolvedInput, build: u64, commands: &[&str], timeout_ms: i64) {
    let spec = BuildSpec {
        commands: commands.iter().map(|command| (*command).into()).collect(),
        environment: BTreeMap::from([("GIVEN".into(), "value".into())]),
        timeout_ms,
        trust: "".into(),
    };
    let kind = EffectKind::StartBuild {
        build: BuildId(build),
        job: JobName::new("unit"),
        spec: Arc::new(spec),
        inputs: vec![input.clone()],
    };
    local.clone().begin(Effect { id: EffectId(0), kind }, false);
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Processes with `marker` in their command line.
fn alive(marker: &str) -> Vec<String> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let lines = entries.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    lines
        .map(|line| String::from_utf8_lossy(&line).into_owned())
        .filter(|line| line.contains(marker))
        .collect()
}

fn fail(why: &str) -> Verdict {
    Verdict::Fail { why: why.into() }
}

#[test]
fn verdicts_say_how_the_commands_ended() {
    let bench = Bench::new(PLAIN);
    let (pass, first_only) = (Verdict::Pass, "$ exit 3\n");
    for (commands, verdict, log) in [
        (&["cat a.txt", "./run.sh"][..], pass, "$ cat a.txt\nhello\n$ ./run.sh\nran\n"),
        (&["exit 3", "echo never"], fail("exit code 3"), first_only),
        (&["false; echo never"], fail("exit code 1"), "$ false; echo never\n"),
        (&["kill -9 $$"], fail("killed by signal 9"), "$ kill -9 $$\n"),
        (
            &["echo $GIVEN $CI $SEAKEEPER_JOB; pwd"],
            Verdict::Pass,
            "$ echo $GIVEN $CI $SEAKEEPER_JOB; pwd\nvalue true unit\n/build/tools/app\n",
        ),
    ] {
        let (got, output) = bench.run(commands);
        assert_eq!(got, verdict, "{commands:?}: {output}");
        assert!(output.starts_with(log) && !output.contains("\nnever\n"), "{commands:?}: {output}");
    }
}

#[test]
fn a_build_that_takes_too_long_fails_and_leaves_nothing() {
    for unconfined in [false, true] {
        let bench = Bench::with(PLAIN, unconfined);
        let marker = format!("98765{}{}", std::process::id(), u8::from(unconfined));
        bench.start(1, &[&format!("trap '' TERM; (setsid sleep {marker} &) ; sleep {marker}")], 1000);
        assert_eq!(bench.end(1), fail("timed out after 1s"));
        assert_eq!(alive(&marker), Vec::<String>::new());
    }
}

#[test]
fn daemons_end_with_their_build() {
    for unconfined in [false, true] {
        let bench = Bench::with(PLAIN, unconfined);
        let marker = format!("98764{}{}", std::process::id(), u8::from(unconfined));
        bench.passes(&[&format!(
            "setsid sleep {marker} & (setsid sh -c 'sleep {marker} & exit' >/dev/null 2>&1 &) ; true"
        )]);
        assert_eq!(alive(&marker), Vec::<String>::new());
    }
}

#[test]
fn a_stopped_build_is_gone_when_its_end_is_told() {
    for unconfined in [false, true] {
        let bench = Bench::with(PLAIN, unconfined);
        let marker = format!("98763{}{}", std::process::id(), u8::from(unconfined));
        bench.start(
            1,
            &[&format!("trap '' TERM INT HUP; setsid sleep {marker} & echo ready; sleep {marker}")],
            60_000,
        );
        bench.wait_for_log(1, "\nready\n");
        bench.stop(1);
        assert_eq!(bench.end(1), Verdict::NoVerdict { why: "stopped".into() });
        assert_eq!(alive(&marker), Vec::<String>::new());
    }
}

#[test]
fn a_build_stopped_at_once_is_stopped() {
    let bench = Bench::new(PLAIN);
    bench.start(1, &["sleep 1000"], 60_000);
    bench.stop(1);
    assert_eq!(bench.end(1), Verdict::NoVerdict { why: "stopped".into() });
    bench.stop(1);
    assert_eq!(bench.end(1), Verdict::NoVerdict { why: "stopped".into() });
}

#[test]
fn a_build_reaches_neither_the_daemon_nor_other_builds() {
    let bench = Bench::new(PLAIN);
    bench.start(1, &["echo mine > other; echo ready; sleep 1000"], 60_000);
    bench.wait_for_log(1, "\nready\n");
    let (root, pid) = (bench.root.display(), std::process::id());
    for command in [
        format!("ls {root}"),
        format!("cat {root}/secret"),
        format!("cat {root}/executor/builds/1/wor?/tools/app/other"),
        format!("ls /proc/{pid}/environ"),
        "cat /etc/shadow".to_owned(),
        "ls -A /root /home/builder | grep -v :".to_owned(),
        "touch /usr/x".to_owned(),
        "touch /build/x/../../x".to_owned(),
        "touch /etc/x".to_owned(),
        "echo x > /proc/sys/kernel/core_pattern".to_owned(),
        "mount -t tmpfs none /usr".to_owned(),
        "kill -9 1 && sleep 0.1 && ! kill -0 1".to_owned(),
        "env | grep -i -E 'cargo|rust|build_id|token'".to_owned(),
        "test $(ls -d /proc/[0-9]* | wc -l) -gt 8".to_owned(),
        "grep -E '^Cap(Prm|Eff|Bnd|Amb).*[1-9a-f]' /proc/self/status".to_owned(),
        "test $(id -u) = 0".to_owned(),
        "unshare -Ur chroot / cat /etc/shadow".to_owned(),
    ] {
        bench.passes(&[&format!("if ( {command} ); then exit 1; fi")]);
    }
    bench.stop(1);
}

#[test]
fn the_checkout_tells_nothing_that_the_key_leaves_out() {
    let mut bench = Bench::new(PLAIN);
    let head = |log: String| log.lines().find(|line| line.len() == 40).map(str::to_owned);
    let probe = [
        "git log --format=%H",
        "git status --porcelain",
        "git log | cat",
        "git fsck",
        "test ! -e .git/objects/info/alternates",
    ];
    let log = bench.passes(&probe);
    assert!(!log.contains("secret history") && !log.contains("?? ") && !log.contains(" M "), "{log}");
    let first = head(log);
    // The same tree under another commit gives the same checkout.
    let bare = Repository::open_bare(bench.root.join("store.git")).unwrap();
    let commit = bare.find_commit(Oid::from_bytes(&bench.input.commit.0).unwrap()).unwrap();
    let who = Signature::new("B", "b@example.org", &Time::new(1_100_000_000, 0)).unwrap();
    let other = bare.commit(None, &who, &who, "other", &commit.tree().unwrap(), &[&commit]).unwrap();
    bench.input.commit = Sha(other.as_bytes().try_into().unwrap());
    assert_eq!(head(bench.passes(&probe)), first);
    bench.input.history = true;
    let log = bench.passes(&probe);
    assert!(log.contains("secret history") && log.contains(&other.to_string()), "{log}");
    bench.input.history = false;
    bench.input.paths = vec!["run.sh".into()];
    let log = bench.passes(&[
        "git ls-files",
        "git status --porcelain",
        "git rev-list --objects --all HEAD | wc -l",
        "test ! -e a.txt",
    ]);
    assert!(log.contains("run.sh") && log.contains("\n3\n"), "{log}");
    bench.input.paths = vec![];
    bench.input.ignored_files = Patterns::new(&["*.txt"]);
    assert!(!bench.passes(&["git ls-files", "ls", "git status --porcelain"]).contains("a.txt"));
}

#[test]
fn strange_but_honest_names_are_checked_out() {
    let files: Files = &[
        (b"-rf", 0o100_644, b"x"),
        (b"link", 0o120_000, b"/etc/shadow"),
        (b"new\nline", 0o100_644, b"x"),
        (b"no\xffutf", 0o100_644, b"x"),
        (b"sub", 0o160_000, b""),
    ];
    let log =
        Bench::new(files).passes(&["test -L link", "test -d sub", "ls | wc -l", "git status --porcelain"]);
    assert!(log.contains("\n6\n") && log.ends_with("porcelain\n"), "{log}");
}

#[test]
fn hostile_trees_are_the_changes_own_failure() {
    for files in [
        &[(&b".git"[..], 0o100_644, &b"x"[..])][..],
        &[(b".GIT", 0o120_000, b"/")],
        &[(b"..", 0o100_644, b"x")],
        &[(b"a/b", 0o100_644, b"x")],
        &[(b"a", 0o120_000, b"/tmp"), (b"a", 0o100_644, b"x")],
    ] {
        let bench = Bench::new(files);
        bench.start(1, &["true"], 60_000);
        let verdict = bench.end(1);
        assert!(matches!(verdict, Verdict::Fail { .. }), "{files:?}: {verdict:?}");
    }
}

#[test]
fn what_the_machine_lacks_is_no_verdict() {
    for (repository, commit) in
        [("tools/app", Sha([7; 20])), ("../escape", Sha([7; 20])), ("a/.git", Sha([7; 20]))]
    {
        let mut bench = Bench::new(PLAIN);
        bench.input.pair = Pair::new(repository, "main");
        bench.input.commit = commit;
        bench.start(1, &["true"], 60_000);
        let verdict = bench.end(1);
        assert!(matches!(verdict, Verdict::NoVerdict { .. }), "{repository}: {verdict:?}");
    }
}

#[test]
fn huge_output_is_cut_and_the_build_goes_on() {
    let bench = Bench::new(PLAIN);
    let log = bench.passes(&["head -c 3000000 /dev/zero | tr '\\0' x"]);
    assert!(
        log.len() < 101_000 && log.ends_with("the output is cut here: more than 100000 bytes]\n"),
        "{}",
        log.len()
    );
}

#[test]
fn a_build_asked_for_twice_is_run_once() {
    let bench = Bench::new(PLAIN);
    for _ in 0..3 {
        bench.start(1, &["echo once"], 60_000);
    }
    assert_eq!(bench.end(1), Verdict::Pass);
    bench.start(1, &["echo once"], 60_000);
    assert_eq!(bench.end(1), Verdict::Pass);
    assert_eq!(bench.log(1), "$ echo once\nonce\n");
    bench.local.list(Timestamp(5));
    assert_eq!(bench.next(), Event::BuildsListed { asked_at: Timestamp(5), known: vec![BuildId(1)] });
    let build = bench.settings.folder.join("builds/1");
    until("the work folder is removed", || !build.join("order").exists() && !build.join("work").exists());
    bench.local.forget(BuildId(1));
    assert!(!build.exists());
}

#[test]
fn many_builds_at_once_all_end() {
    let bench = Bench::new(PLAIN);
    let began = Instant::now();
    for build in 0..40 {
        bench.start(build, &["true"], 60_000);
    }
    let mut passed = 0;
    while passed < 40 {
        if let Event::BuildSeen { phase: BuildPhase::Finished { verdict, .. }, .. } = bench.next() {
            assert_eq!(verdict, Verdict::Pass);
            passed += 1;
        }
    }
    eprintln!("40 builds at once: {:?}", began.elapsed());
    let began = Instant::now();
    for build in 100..120 {
        bench.start(build, &["true"], 60_000);
        assert_eq!(bench.end(build), Verdict::Pass);
    }
    eprintln!("one build after another, each: {:?}", began.elapsed() / 20);
}
