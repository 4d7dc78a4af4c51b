//! The demonstration's daemon: this same binary with a configuration like a new user's first one.

use std::net::TcpListener;
use std::path::Path;
use std::process::Stdio;
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use reqwest::Client;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::host::Host;
use crate::model::view::View;

/// How long the daemon may take to begin, and to end.
const START_MAX: Duration = Duration::from_secs(30);
const STOP_MAX: Duration = Duration::from_secs(10);
/// How often it is asked whether it is ready.
const ASK_EVERY: Duration = Duration::from_millis(50);

/// A running daemon; it is ended when this is dropped.
pub struct Gate {
    /// Its page.
    pub url: String,
    client: Client,
    child: Child,
}

impl Gate {
    /// Writes a configuration into `folder` and starts the daemon with it.
    pub async fn start(host: &Host, folder: &Path) -> Result<Self> {
        std::fs::create_dir_all(folder).context("make a folder for the daemon")?;
        let port = free_port().context("find a free port")?;
        let write = |name: &str, text: &str| {
            std::fs::write(folder.join(name), text).with_context(|| format!("write the daemon's {name}"))
        };
        write("bot.token", &host.bot.token)?;
        write("known_hosts", &format!("{}\n", host.known_hosts))?;
        write("seakeeper.toml", &configuration(host, port))?;
        let log = std::fs::File::create(folder.join("log")).context("open the daemon's log")?;
        let program = std::env::current_exe().context("find this program")?;
        let child = Command::new(program)
            .arg("serve")
            .arg("-c")
            .arg(folder.join("seakeeper.toml"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().context("open the daemon's log")?)
            .stderr(log)
            // A group of its own: on Ctrl-C it is ended in order, before Gerrit.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .context("start the daemon")?;
        let client = Client::builder().no_proxy().timeout(Duration::from_secs(5)).build();
        let url = format!("http://127.0.0.1:{port}/");
        let mut gate = Self { url, client: client.context("make an HTTP client")?, child };
        if !matches!(timeout(START_MAX, gate.ready()).await, Ok(Ok(()))) {
            let log = std::fs::read_to_string(folder.join("log")).unwrap_or_default();
            bail!("start the daemon; it said: {}", log.trim());
        }
        Ok(gate)
    }

    async fn ready(&mut self) -> Result<()> {
        while !self.answers().await {
            // It says nothing when it is ready: it is asked again, unless it ends first.
            if let Ok(status) = timeout(ASK_EVERY, self.child.wait()).await {
                bail!("it ended with {}", status.context("watch the daemon")?);
            }
        }
        Ok(())
    }

    async fn answers(&self) -> bool {
        let answer = self.client.get(format!("{}readyz", self.url)).send().await;
        answer.is_ok_and(|response| response.status().is_success())
    }

    /// The daemon's picture of the queues.
    pub async fn view(&self) -> Result<View> {
        let response = self.client.get(format!("{}api/v1/view", self.url)).send().await;
        response.context("ask the daemon")?.json().await.context("understand the daemon")
    }

    /// Waits until the daemon ends by itself.
    pub async fn ended(&mut self) -> Result<()> {
        let status = self.child.wait().await.context("watch the daemon")?;
        bail!("keep the daemon up: it ended with {status}")
    }
}

impl Drop for Gate {
    /// Ends it in order, and by force when that takes too long. Waits without the runtime, which has
    /// nothing else to do by then.
    fn drop(&mut self) {
        let Some(pid) = self.child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)) else { return };
        // It may have ended just now.
        let _ = kill_process(pid, Signal::TERM);
        let (over, ended) = mpsc::channel();
        std::thread::spawn(move || {
            // Looked at and left for the runtime to collect; an error says that it is gone already.
            let _ = waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT);
            over.send(())
        });
        // What has not ended by then is killed as the child is dropped.
        let _ = ended.recv_timeout(STOP_MAX);
    }
}

/// The smallest configuration, with a job that takes long enough to be watched.
fn configuration(host: &Host, port: u16) -> String {
    format!(
        r#"[gerrit]
url         = "{url}"
user        = "{user}"
token-file  = "bot.token"
ssh         = "{ssh}"
ssh-key     = "{key}"
known-hosts = "known_hosts"

[state]
folder = "state"

[web]
listen = "127.0.0.1:{port}"

[executor.local]
slots = 8

# The changes are approved at once, so that checking them before would only be in the way.
[pipeline.check]
enabled = false

[[queue]]
name         = "demo"
repositories = ["demo-*"]

[[job]]
name         = "unit"
repositories = ["demo-*"]
commands     = ["sleep 2", "for test in ./*.test; do test ! -e \"$test\" || sh -e \"$test\"; done"]
"#,
        url = host.url,
        user = host.bot.user,
        ssh = host.ssh,
        key = host.bot_key.display(),
    )
}

fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
