//! The demonstration that the README begins with: it ends by itself where asked to, and a newcomer takes
//! part in it with the very commands that it prints.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// How long anything may take: far beyond what a loaded machine needs.
const PATIENCE: Duration = Duration::from_secs(120);

/// The program under test.
const PROGRAM: &str = env!("CARGO_BIN_EXE_seakeeper");

/// A demonstration; it is ended when this is dropped.
struct Demo {
    child: Child,
    lines: Receiver<String>,
    told: Vec<String>,
}

fn lines_of(stdout: ChildStdout) -> Receiver<String> {
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        BufReader::new(stdout).lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
    });
    lines
}

impl Demo {
    fn start() -> Self {
        let mut child = Command::new(PROGRAM)
            .args(["demo", "--port", "0"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program is built");
        let lines = lines_of(child.stdout.take().expect("it is a pipe"));
        Self { child, lines, told: Vec::new() }
    }

    /// Reads on until a line has `part` in it.
    fn until(&mut self, part: &str) -> String {
        let begun = Instant::now();
        loop {
            let left = PATIENCE.saturating_sub(begun.elapsed());
            let line =
                self.lines.recv_timeout(left).unwrap_or_else(|_| panic!("no {part:?} in {:#?}", self.told));
            self.told.push(line.clone());
            if line.contains(part) {
                return line;
            }
        }
    }

    fn folder(&self) -> PathBuf {
        std::env::temp_dir().join(format!("seakeeper-demo-{}", self.child.id()))
    }

    /// Ctrl-C.
    fn stop(&mut self) -> Option<i32> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("a process");
        kill_process(pid, Signal::INT).expect("it runs");
        self.child.wait().expect("it ends").code()
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A shell as in a newcomer's terminal, with the program in the path.
fn shell(folder: &Path, commands: &str) -> String {
    let programs = Path::new(PROGRAM).parent().expect("a folder").display().to_string();
    let path = format!("{programs}:{}", std::env::var("PATH").unwrap_or_default());
    let output = Command::new("sh")
        .args(["-ec", commands])
        .current_dir(folder)
        .env("PATH", path)
        .env("HOME", folder)
        .env("NO_PROXY", "127.0.0.1")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .output()
        .expect("there is a shell");
    let words = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{commands}\n{words}");
    words
}

#[test]
fn a_demonstration_ends_by_itself_and_leaves_nothing_behind() {
    let child = Command::new(PROGRAM)
        .args(["demo", "--until-idle", "--json", "--port", "0"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program is built");
    let folder = std::env::temp_dir().join(format!("seakeeper-demo-{}", child.id()));
    let output = child.wait_with_output().expect("it is a child");
    let progress = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{progress}");
    let outcome: Value = serde_json::from_slice(&output.stdout).expect("one JSON object and nothing else");
    assert_eq!((&outcome["landed"], &outcome["left"]), (&6.into(), &2.into()), "{progress}");
    assert!(outcome["url"].as_str().is_some_and(|url| url.starts_with("http://")), "{outcome}");
    assert!(progress.contains("conflicts with") && progress.contains("failed unit"), "{progress}");
    assert!(!folder.exists(), "its folder is gone");
}

#[test]
fn a_newcomer_takes_part_with_the_commands_that_are_printed() {
    let mut demo = Demo::start();
    demo.until("Take part");
    let vote = demo.until("demo vote").trim().to_owned();
    let begin = demo.told.iter().position(|line| line.contains("Take part")).expect("it was read") + 1;
    let commands = demo.told[begin..]
        .iter()
        .filter(|line| line.starts_with("  git") || line.starts_with("  echo") || line.starts_with("  curl"));
    let commands: String = commands.map(|line| format!("{}\n", line.trim())).collect();
    assert!(commands.contains("git clone") && commands.contains("git push"), "{commands}");
    let home = std::env::temp_dir().join(format!("seakeeper-newcomer-{}", std::process::id()));
    std::fs::create_dir_all(&home).expect("a folder can be made");
    let words = shell(&home, &commands);
    let number = words.lines().find_map(|line| line.split_once("/+/")?.1.split(' ').next());
    let number = number.unwrap_or_else(|| panic!("no number in {words}")).to_owned();
    let voted = shell(&home, &vote.replace(" N ", &format!(" {number} ")));
    assert!(voted.contains(&format!("bob votes Code-Review +2 on change {number}")), "{voted}");
    let begun = Instant::now();
    let landed = || {
        shell(&home, "cd demo-app && git fetch --quiet && git log --format=%s origin/master")
            .contains("Say hello")
    };
    while !landed() {
        assert!(begun.elapsed() < PATIENCE, "the change does not land");
        demo.lines.recv_timeout(Duration::from_millis(200)).ok();
    }
    std::fs::remove_dir_all(&home).expect("it is ours");
    let folder = demo.folder();
    assert_eq!(demo.stop(), Some(0));
    assert!(!folder.exists(), "its folder is gone");
}
