//! A real Gerrit, started by the script that the tests use.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use tokio::process::Command;

use super::host::Account;
use crate::cli::stop::Stop;

/// Where the script lies in the project's sources.
const SCRIPT: &str = "tests/servers/gerrit";

/// What the script says of a server.
#[derive(Deserialize)]
pub struct Info {
    /// Its address, with a slash at the end.
    pub url: String,
    /// The port of SSH.
    pub ssh_port: u16,
    /// The line for a known-hosts file.
    pub known_hosts: String,
    /// The daemon's account.
    pub bot: Bot,
    /// Who may do everything.
    pub admin: Account,
    /// The people.
    pub humans: Humans,
}

/// The daemon's account with its key.
#[derive(Deserialize)]
pub struct Bot {
    /// The account.
    #[serde(flatten)]
    pub account: Account,
    /// Its private SSH key.
    pub ssh_key: PathBuf,
}

/// The people.
#[derive(Deserialize)]
pub struct Humans {
    /// An author.
    pub alice: Account,
    /// A reviewer.
    pub bob: Account,
}

/// Stops the server in `folder` when it is dropped.
pub struct Keeper {
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
            crate::cli::output::complain(format_args!(
                "failed to stop Gerrit; stop it with `python3 {} stop {}`",
                self.script.display(),
                self.folder.display()
            ));
        }
    }
}

/// Starts a server with its data in `folder`; `None` when a person asked to stop meanwhile.
///
/// # Errors
/// When it cannot be started; the words say what is missing.
pub async fn start(folder: &Path, stop: &mut Stop) -> Result<Option<(Info, Keeper)>> {
    let script = find_script()?;
    let mut command = Command::new("python3");
    command.arg(&script).arg("start").arg(folder);
    // A group of its own: Ctrl-C in a terminal must not end it while it has a server half started.
    command.process_group(0).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child =
        command.spawn().context("start Gerrit: python3 cannot be run; install it (python3, 3.9 or later)")?;
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
    Ok(Some((info, keeper)))
}

/// The script in the current folder's project, or in the sources that this binary was built from.
fn find_script() -> Result<PathBuf> {
    let here = PathBuf::from(SCRIPT);
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join(SCRIPT);
    [here, built].into_iter().find(|path| path.is_file()).with_context(|| {
        format!("find {SCRIPT}: run the demonstration in a checkout of the project's sources")
    })
}
