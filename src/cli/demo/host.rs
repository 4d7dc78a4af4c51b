//! The demonstration's Gerrit, started by the script that the tests use.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use tokio::process::Command;

use super::Stop;

/// Where the script lies in the project's sources.
const SCRIPT: &str = "tests/servers/gerrit";

/// A running Gerrit; it is stopped when this is dropped.
pub struct Host {
    /// Its address, with a slash at the end.
    pub url: String,
    /// Host and port of its SSH.
    pub ssh: String,
    /// Its line for a known-hosts file.
    pub known_hosts: String,
    /// The daemon's account.
    pub bot: Account,
    /// The bot's private SSH key.
    pub bot_key: PathBuf,
    /// Who may do everything.
    pub admin: Account,
    /// An author.
    pub alice: Account,
    /// A reviewer.
    pub bob: Account,
    _keeper: Keeper,
}

/// An account and its token.
#[derive(Clone, Deserialize)]
pub struct Account {
    /// The user name.
    pub user: String,
    /// The token.
    pub token: String,
}

/// What the script says of a server.
#[derive(Deserialize)]
struct Info {
    url: String,
    ssh_port: u16,
    known_hosts: String,
    bot: Bot,
    admin: Account,
    humans: Humans,
}

#[derive(Deserialize)]
struct Bot {
    #[serde(flatten)]
    account: Account,
    ssh_key: PathBuf,
}

#[derive(Deserialize)]
struct Humans {
    alice: Account,
    bob: Account,
}

/// Stops the server in `folder` when it is dropped.
struct Keeper {
    script: PathBuf,
    folder: PathBuf,
}

impl Drop for Keeper {
    fn drop(&mut self) {
        let stop = std::process::Command::new("python3")
            .arg(&self.script)
            .arg("stop")
            .arg(&self.folder)
            .stdin(Stdio::null())
            .status();
        if !stop.is_ok_and(|status| status.success()) {
            super::output::complain(format_args!(
                "failed to stop Gerrit; stop it with `python3 {} stop {}`",
                self.script.display(),
                self.folder.display()
            ));
        }
    }
}

impl Host {
    /// Starts a server with its data in `folder`; `None` when a person asked to stop meanwhile.
    pub async fn start(folder: &Path, stop: &mut Stop) -> Result<Option<Self>> {
        let script = find_script()?;
        let mut command = Command::new("python3");
        command.arg(&script).arg("start").arg(folder);
        // A group of its own: Ctrl-C in a terminal must not end it while it has a server half started.
        command.process_group(0).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command
            .spawn()
            .context("start Gerrit: python3 cannot be run; install it (python3, 3.9 or later)")?;
        let pid = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        let keeper = Keeper { script, folder: folder.to_owned() };
        let ended = child.wait_with_output();
        tokio::pin!(ended);
        let output = tokio::select! {
            output = &mut ended => output,
            () = stop.wait() => {
                if let Some(pid) = pid {
                    // It then ends what it has started; it may also have ended by itself just now.
                    let _ = kill_process(pid, Signal::INT);
                }
                // Only its end is of interest now.
                let _ = ended.await;
                return Ok(None);
            }
        };
        let output = output.context("start Gerrit")?;
        if !output.status.success() {
            // The script names the remedy itself: which Java, or Maven.
            bail!("start Gerrit: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        let info: Info =
            serde_json::from_slice(&output.stdout).context("understand the script that starts Gerrit")?;
        Ok(Some(Self {
            ssh: format!("127.0.0.1:{}", info.ssh_port),
            url: info.url,
            known_hosts: info.known_hosts,
            bot: info.bot.account,
            bot_key: info.bot.ssh_key,
            admin: info.admin,
            alice: info.humans.alice,
            bob: info.humans.bob,
            _keeper: keeper,
        }))
    }
}

/// The script in the current folder's project, or in the sources that this binary was built from.
fn find_script() -> Result<PathBuf> {
    let here = PathBuf::from(SCRIPT);
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join(SCRIPT);
    [here, built].into_iter().find(|path| path.is_file()).with_context(|| {
        format!("find {SCRIPT}: run the demonstration in a checkout of the project's sources")
    })
}
