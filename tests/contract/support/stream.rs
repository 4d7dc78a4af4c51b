//! The events of a server, read by the system's ssh.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};

use serde_json::Value;

use super::server::Server;

/// Everything that has come so far.
#[derive(Clone, Default)]
pub struct Seen(Arc<Mutex<Vec<Value>>>);

impl Seen {
    /// The events from place `from` on.
    pub fn since(&self, from: usize) -> Vec<Value> {
        self.0.lock().expect("nobody panics with this lock").iter().skip(from).cloned().collect()
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.lock().expect("nobody panics with this lock").len()
    }
}

/// A connection that reads events; it ends when this is dropped.
pub struct Stream {
    /// What has come.
    pub seen: Seen,
    child: Child,
}

/// `ssh` as the bot.
fn ssh(server: &Server) -> Command {
    let mut command = Command::new("ssh");
    let known = format!("UserKnownHostsFile={}", server.folder.join("known_hosts").display());
    command.args(["-F", "/dev/null", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes", "-o", &known]);
    command.args(["-o", "IdentitiesOnly=yes", "-i"]).arg(&server.bot_key);
    command.args(["-p", &server.ssh_port.to_string(), "bot@127.0.0.1"]);
    command.stdin(Stdio::null()).stderr(Stdio::piped()).stdout(Stdio::piped());
    command
}

impl Stream {
    /// Opens one with these options.
    pub fn open(server: &Server, options: &[&str]) -> Self {
        let mut child = ssh(server)
            .args(["gerrit", "stream-events"])
            .args(options)
            .stderr(Stdio::null())
            .spawn()
            .expect("ssh can be run");
        let stdout = child.stdout.take().expect("it is a pipe");
        let seen = Seen::default();
        let into = seen.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let event = serde_json::from_str(&line).expect("a line of the stream is JSON");
                into.0.lock().expect("nobody panics with this lock").push(event);
            }
        });
        Self { seen, child }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a command of Gerrit's over SSH.
pub fn run(server: &Server, words: &[&str]) -> Output {
    ssh(server).args(words).output().expect("ssh can be run")
}
