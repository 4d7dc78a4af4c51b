//! A configuration: the smallest one, with what a test wants otherwise.

use std::fmt::Write;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use super::daemon::Daemon;
use super::latch::Latch;
use super::story::Story;

/// A command that fails on content, so that a tree has one verdict wherever it is built.
pub const JUDGE: &str = "if grep -rq --exclude-dir=.git BAD .; then exit 1; fi";

/// What goes into the configuration file.
pub struct Setup<'a> {
    story: &'a Story<'a>,
    /// `[gerrit] url`.
    pub url: String,
    /// `[gerrit] ssh`.
    pub ssh_port: u16,
    /// What is in the token file.
    pub token: String,
    /// What is in the known-hosts file; `PORT` stands for the port.
    pub host_key: String,
    /// `[state] folder`.
    pub state: PathBuf,
    /// Builds at once.
    pub slots: u32,
    /// Whether new patch sets are checked.
    pub check: bool,
    jobs: String,
    gerrit: String,
    queue: String,
    more: String,
}

impl<'a> Setup<'a> {
    /// The smallest configuration for a story, without jobs and without check.
    pub fn new(story: &'a Story<'a>) -> Self {
        Self {
            story,
            url: story.server.url(),
            ssh_port: story.server.ssh_port,
            token: story.bot.token.clone(),
            host_key: story.server.host_key.clone(),
            state: story.folder.join("state"),
            slots: 8,
            check: false,
            jobs: String::new(),
            gerrit: String::new(),
            queue: String::new(),
            more: String::new(),
        }
    }

    /// With the job that fails on content.
    pub fn judged(story: &'a Story<'a>) -> Self {
        Self::new(story).job("judge", &[JUDGE])
    }

    /// With a job whose builds wait at `latch` before they judge.
    pub fn latched(story: &'a Story<'a>, latch: &Latch) -> Self {
        Self::new(story).job("judge", &[&latch.command(), JUDGE])
    }

    /// Adds a job for all repositories of the story.
    pub fn job(self, name: &str, commands: &[&str]) -> Self {
        self.job_with(name, commands, "")
    }

    /// Adds a job with further lines.
    pub fn job_with(mut self, name: &str, commands: &[&str], more: &str) -> Self {
        let pattern = format!("{}-*", self.story.name);
        let table = format!(
            "[[job]]\nname = {name:?}\nrepositories = [{pattern:?}]\ncommands = {commands:?}\n{more}\n"
        );
        self.jobs.push_str(&table);
        self
    }

    /// Adds lines at the end of the file: further tables.
    pub fn more(mut self, lines: &str) -> Self {
        writeln!(self.more, "{lines}").expect("a string takes any text");
        self
    }

    /// Adds a line to the table `[gerrit]`.
    pub fn gerrit(mut self, line: &str) -> Self {
        writeln!(self.gerrit, "{line}").expect("a string takes any text");
        self
    }

    /// Adds a line to the table of the queue.
    pub fn queue(mut self, line: &str) -> Self {
        writeln!(self.queue, "{line}").expect("a string takes any text");
        self
    }

    /// Writes the files and starts the daemon, without waiting for it.
    pub fn spawn(&self) -> Daemon {
        let listen = self.write();
        Daemon::spawn(&self.story.folder, listen)
    }

    /// Writes the files; the port of the page.
    pub fn write(&self) -> u16 {
        let listen = free_port();
        let folder = &self.story.folder;
        let ssh_port = self.ssh_port;
        let write =
            |name: &str, text: &str| std::fs::write(folder.join(name), text).expect("a file can be written");
        write("bot.token", &format!("{}\n", self.token));
        let private = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(folder.join("bot.token"), private).expect("the token can be made private");
        write("known_hosts", &format!("[127.0.0.1]:{ssh_port} {}\n", self.host_key));
        write(
            "seakeeper.toml",
            &format!(
                r#"
[gerrit]
url = {url:?}
user = {user:?}
token-file = "bot.token"
ssh = "127.0.0.1:{ssh_port}"
ssh-key = {key:?}
known-hosts = "known_hosts"
{gerrit}
[state]
folder = {state:?}
min-free = "1MiB"

[web]
listen = "127.0.0.1:{listen}"

[executor.local]
slots = {slots}

[pipeline.check]
enabled = {check}

[[queue]]
name = "main"
repositories = ["{name}-*"]
{queue}
{jobs}
{more}"#,
                url = self.url,
                user = self.story.bot.user,
                key = self.story.server.bot_key,
                state = self.state,
                slots = self.slots,
                check = self.check,
                gerrit = self.gerrit,
                queue = self.queue,
                name = self.story.name,
                jobs = self.jobs,
                more = self.more,
            ),
        );
        listen
    }

    /// Starts the daemon and waits until it is ready.
    pub fn start(&self) -> Daemon {
        let daemon = self.spawn();
        daemon.ready();
        daemon
    }
}

/// A port that nobody listens on now.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    listener.local_addr().expect("a bound socket has an address").port()
}
