//! The daemon under test: the built binary with a configuration of its own.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::people::fetch;
use super::wait_for;

/// A daemon. It is killed when it is dropped; builds that it leaves are the ending's business.
pub struct Daemon {
    folder: PathBuf,
    /// The port of its page.
    pub port: u16,
    child: Child,
}

impl Daemon {
    /// Starts `seakeeper serve` with the configuration in `folder`.
    pub fn spawn(folder: &Path, port: u16) -> Self {
        Self { folder: folder.to_owned(), port, child: launch(folder) }
    }

    /// Waits until it can gate.
    ///
    /// # Panics
    /// When it ends instead.
    pub fn ready(&self) {
        wait_for("the daemon to be ready", || {
            assert!(self.alive(), "the daemon ended at once:\n{}", self.log_tail());
            self.page("/readyz").filter(|(status, _)| *status == 200)
        });
    }

    /// A page: its status and text; `None` while nobody answers.
    pub fn page(&self, path: &str) -> Option<(u16, String)> {
        fetch(&format!("http://127.0.0.1:{}{path}", self.port))
    }

    /// The whole picture, as the API gives it.
    pub fn view(&self) -> Option<Value> {
        let (status, text) = self.page("/api/v1/view")?;
        (status == 200).then(|| serde_json::from_str(&text).ok())?
    }

    /// Waits for a view of which `wanted` is true.
    pub fn wait_view(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        wait_for(what, || self.view().filter(&wanted))
    }

    /// Waits until nothing is queued, checked, built or under way.
    pub fn wait_idle(&self) {
        self.wait_view("the daemon to be idle", |view| {
            let items: usize = entries(&view["queues"]).map(|queue| entries(&queue["items"]).count()).sum();
            items == 0
                && entries(&view["checks"]).count() == 0
                && view["builds_running"] == 0
                && view["effects"] == 0
        });
    }

    /// Waits until a change is an item of a queue.
    pub fn wait_queued(&self, number: u64) {
        self.wait_view(&format!("change {number} to be queued"), |view| {
            queued(view).any(|item| has(item, number))
        });
    }

    /// Waits until an item with this change has ended.
    pub fn wait_done(&self, number: u64) {
        self.wait_view(&format!("change {number} to be done"), |view| {
            entries(&view["departed"]).any(|item| has(item, number))
        });
    }

    /// What the daemon says of a change: in a queue, waiting, or ended.
    pub fn words_on(&self, number: u64) -> Option<String> {
        let view = self.view()?;
        let waiting = entries(&view["waiting"]).filter(|entry| entry["change"]["number"] == number);
        let mut found = queued(&view).filter(|item| has(item, number)).chain(waiting);
        Some(found.next()?["words"].as_str()?.to_owned())
    }

    /// Asks it to end, and waits for that.
    pub fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        wait_for("the daemon to end", || self.child.try_wait().expect("it is a child"))
    }

    /// Asks it to read its configuration anew.
    pub fn hang_up(&self) {
        self.signal(Signal::HUP);
    }

    /// Ends it without a word, as a crash does.
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.child.wait().expect("it is a child");
    }

    /// Starts it again with the same configuration and state, and does not wait.
    pub fn launch_again(&mut self) {
        self.child = launch(&self.folder);
    }

    /// Starts it again and waits until it is ready.
    pub fn start_again(&mut self) {
        self.launch_again();
        self.ready();
    }

    /// Whether the process is there.
    pub fn alive(&self) -> bool {
        // One that has ended and was not waited for yet is a zombie: the letter behind its name says so.
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap_or_default();
        stat.rsplit(')').next().is_some_and(|rest| !rest.trim().is_empty() && !rest.trim().starts_with('Z'))
    }

    /// Its exit status, once it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("it is a child")
    }

    /// All that it has written to its output.
    pub fn log(&self) -> String {
        let bytes = std::fs::read(self.folder.join("daemon.log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The end of that.
    pub fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        // It may have ended by itself.
        let _ = kill_process(pid, signal);
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the daemon's last lines:\n{}", self.log_tail());
            let view = self.view().unwrap_or_default();
            for entry in queued(&view).chain(entries(&view["waiting"])) {
                eprintln!("its view: {}", entry["words"]);
            }
        }
        self.kill();
    }
}

fn launch(folder: &Path) -> Child {
    let log: File = OpenOptions::new()
        .create(true)
        .append(true)
        .open(folder.join("daemon.log"))
        .expect("a log can be opened");
    Command::new(env!("CARGO_BIN_EXE_seakeeper"))
        .arg("serve")
        .arg("-c")
        .arg(folder.join("seakeeper.toml"))
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("a file can be shared"))
        .stderr(log)
        .spawn()
        .expect("the binary can be run")
}

/// The elements of a JSON array; none of anything else.
pub fn entries(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// All items of all queues.
pub fn queued(view: &Value) -> impl Iterator<Item = &Value> {
    entries(&view["queues"]).flat_map(|queue| entries(&queue["items"]))
}

/// Whether an item consists of this change.
pub fn has(item: &Value, number: u64) -> bool {
    entries(&item["changes"]).any(|change| change["number"] == number)
}
