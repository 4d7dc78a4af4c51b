//! A real Gerrit, started by `tests/servers/gerrit`.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use super::people::Person;
use super::runner::Skip;

/// The script that starts and stops a Gerrit.
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/servers/gerrit");

/// A running Gerrit.
pub struct Server {
    /// Its folder.
    folder: PathBuf,
    /// Port of REST and git over HTTP.
    pub http_port: u16,
    /// Port of SSH.
    pub ssh_port: u16,
    /// `TYPE KEY` as in a known-hosts file.
    pub host_key: String,
    /// The private key of the bots.
    pub bot_key: PathBuf,
    /// Who may do everything.
    pub admin: Person,
    /// A human.
    pub alice: Person,
    /// Another human.
    pub bob: Person,
    /// Ends the server when this process ends, however it ends.
    keeper: Option<Child>,
}

impl Server {
    /// The server of this run: one that runs already where the environment names it, else a new one.
    pub fn for_this_run() -> Result<Self, Skip> {
        match std::env::var_os("SEAKEEPER_GERRIT_DIR") {
            Some(folder) => Self::read(Path::new(&folder), "info", None),
            None => Self::start_new(),
        }
    }

    /// Starts a server with a folder of its own.
    pub fn start_new() -> Result<Self, Skip> {
        let folder = super::story::fresh_folder(&format!("gerrit-{}", super::story::stamp()));
        // Holds until its standard input is closed, which the end of this process does as well.
        let keeper = Command::new("sh")
            .args(["-c", "cat >/dev/null; python3 \"$0\" stop \"$1\"; rm -rf \"$1\"", SCRIPT])
            .arg(&folder)
            .stdin(Stdio::piped())
            .process_group(0)
            .spawn()
            .map_err(|error| Skip(format!("no shell to keep the server with: {error}")))?;
        Self::read(&folder, "start", Some(keeper))
    }

    fn read(folder: &Path, command: &str, keeper: Option<Child>) -> Result<Self, Skip> {
        let kept = Kept(keeper);
        let info = control(folder, command)?;
        let port = |key: &str| u16::try_from(info[key].as_u64().unwrap_or(0)).unwrap_or(0);
        let person =
            |entry: &Value| Person::new(port("http_port"), text(&entry["user"]), text(&entry["token"]));
        Ok(Self {
            folder: folder.to_owned(),
            http_port: port("http_port"),
            ssh_port: port("ssh_port"),
            host_key: text(&info["host_key"]),
            bot_key: text(&info["bot"]["ssh_key"]).into(),
            admin: person(&info["admin"]),
            alice: person(&info["humans"]["alice"]),
            bob: person(&info["humans"]["bob"]),
            keeper: kept.release(),
        })
    }

    /// Stops the server; its data stay.
    pub fn stop(&self) {
        Command::new("python3").arg(SCRIPT).arg("stop").arg(&self.folder).status().expect("python3 runs");
    }

    /// Starts it again, at the same ports.
    pub fn start_again(&self) {
        control(&self.folder, "start").unwrap_or_else(|Skip(why)| panic!("{why}"));
    }

    /// The address for `[gerrit] url`.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/", self.http_port)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(Kept(self.keeper.take()));
    }
}

/// A keeper that is told to end the server when it is dropped.
struct Kept(Option<Child>);

impl Kept {
    fn release(mut self) -> Option<Child> {
        self.0.take()
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if let Some(mut keeper) = self.0.take() {
            if let Some(mut stdin) = keeper.stdin.take() {
                // Closing is the signal; there is nothing to say.
                let _ = stdin.flush();
            }
            let _ = keeper.wait();
        }
    }
}

fn control(folder: &Path, command: &str) -> Result<Value, Skip> {
    let output = Command::new("python3")
        .arg(SCRIPT)
        .arg(command)
        .arg(folder)
        .output()
        .map_err(|error| Skip(format!("no Gerrit, because python3 cannot be run: {error}")))?;
    if !output.status.success() {
        return Err(Skip(format!("no Gerrit: {}", String::from_utf8_lossy(&output.stderr).trim())));
    }
    serde_json::from_slice(&output.stdout).map_err(|error| Skip(format!("no Gerrit: {error} in its answer")))
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
