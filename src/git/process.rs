//! git's own program: with nothing of the host's configuration, no prompt, no credentials on its
//! command line, and never longer than its limit.

use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use super::GitError;

/// Most of an output that is kept, in bytes; the rest is read and dropped.
const OUTPUT_LIMIT: u64 = 1 << 20;

/// What of the daemon's environment git sees: how the network is reached, nothing else.
const PASSED: [&str; 7] =
    ["https_proxy", "HTTPS_PROXY", "http_proxy", "no_proxy", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR"];

/// What a process left behind.
pub(super) struct Finished {
    pub success: bool,
    pub stdout: Vec<u8>,
    pub stderr: String,
}

/// `git` on the repository `folder`, scrubbed; `config` goes through the environment.
pub(super) fn git(folder: &Path, config: &[(String, String)]) -> Command {
    let mut command = Command::new("git");
    command.env_clear().envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
    for name in PASSED {
        command.envs(std::env::var_os(name).map(|value| (name, value)));
    }
    command.env("HOME", folder).env("LC_ALL", "C").env("GIT_DIR", folder);
    command.env("GIT_TERMINAL_PROMPT", "0").env("GIT_CONFIG_NOSYSTEM", "1");
    command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_ATTR_NOSYSTEM", "1");
    let fixed = [
        ("protocol.version", "2"),
        ("gc.auto", "0"),
        ("maintenance.auto", "false"),
        ("core.hooksPath", "/dev/null"),
        ("http.lowSpeedLimit", "1000"),
        ("http.lowSpeedTime", "60"),
        ("http.followRedirects", "false"),
        ("credential.helper", ""),
    ];
    let all = fixed.iter().map(|(key, value)| (*key, *value));
    let all = all.chain(config.iter().map(|(key, value)| (key.as_str(), value.as_str())));
    let mut count = 0;
    for (key, value) in all {
        command.env(format!("GIT_CONFIG_KEY_{count}"), key);
        command.env(format!("GIT_CONFIG_VALUE_{count}"), value);
        count += 1;
    }
    command.env("GIT_CONFIG_COUNT", count.to_string()).process_group(0);
    command
}

/// Runs `command` with `input`; its whole process group is killed when `limit` has passed.
pub(super) fn run(mut command: Command, input: Vec<u8>, limit: Duration) -> Result<Finished, String> {
    let deadline = Instant::now() + limit;
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| format!("run git: {error}"))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A process that ends early closes its input, which is no error here: its status tells.
        std::thread::spawn(move || stdin.write_all(&input).ok());
    }
    let stdout = child.stdout.take().map(drain);
    let stderr = child.stderr.take().map(drain);
    let collect = |from: Option<Receiver<Vec<u8>>>| {
        from.and_then(|from| from.recv_timeout(deadline.saturating_duration_since(Instant::now())).ok())
    };
    let (stdout, stderr) = (collect(stdout), collect(stderr));
    let status = if stdout.is_some() && stderr.is_some() { wait(&mut child, deadline) } else { None };
    let Some(success) = status else {
        end(&mut child);
        return Err(format!("git did not end within {} s", limit.as_secs()));
    };
    let stderr = String::from_utf8_lossy(&stderr.unwrap_or_default()).into_owned();
    Ok(Finished { success, stdout: stdout.unwrap_or_default(), stderr })
}

/// Reads to the end on a thread of its own, so that a full pipe never stops the process.
fn drain(mut from: impl Read + Send + 'static) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut kept = Vec::new();
        let read = from.by_ref().take(OUTPUT_LIMIT).read_to_end(&mut kept);
        if read.is_ok() {
            std::io::copy(&mut from, &mut std::io::sink()).ok();
        }
        sender.send(kept).ok();
    });
    receiver
}

/// Whether the process ended well; `None` when it does not end before `deadline`.
fn wait(child: &mut Child, deadline: Instant) -> Option<bool> {
    loop {
        if let Ok(Some(status)) = child.try_wait() {
            return Some(status.success());
        }
        if Instant::now() >= deadline {
            return None;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Kills a process with its group and collects it.
pub(super) fn end(child: &mut Child) {
    if let Some(group) = rustix::process::Pid::from_raw(child.id().cast_signed()) {
        rustix::process::kill_process_group(group, rustix::process::Signal::KILL).ok();
    }
    child.kill().ok();
    child.wait().ok();
}

/// Fails unless the installed git is 2.39 or newer, the first with a usable `merge-tree --stdin`.
pub(super) fn check_version() -> Result<(), GitError> {
    let mut command = git(Path::new("/"), &[]);
    command.arg("version");
    let finished = run(command, Vec::new(), Duration::from_secs(10)).map_err(GitError::NoGit)?;
    let text = String::from_utf8_lossy(&finished.stdout).trim().to_owned();
    if version(&text).is_some_and(|found| found >= (2, 39)) { Ok(()) } else { Err(GitError::OldGit(text)) }
}

fn version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.strip_prefix("git version ")?.split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        for (text, expected) in
            [("git version 2.39.5", Some((2, 39))), ("git version 2.9.1", Some((2, 9))), ("zsh", None)]
        {
            assert_eq!(version(text), expected, "{text}");
        }
    }

    #[test]
    fn a_process_beyond_its_limit_is_killed_with_its_children() {
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 60 & sleep 60"]).process_group(0);
        let began = Instant::now();
        assert!(run(command, Vec::new(), Duration::from_millis(50)).is_err());
        assert!(began.elapsed() < Duration::from_secs(20));
    }
}
