//! The control socket: a Unix socket through which operators on the daemon's machine speak to it.
//!
//! Who may connect is decided by the file's mode (0600), who speaks is told by the kernel. Every
//! client has a task of its own with deadlines, so that one that hangs disturbs nobody.

use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use super::Desk;
use super::explain::explain;
use super::picture::Picture;
use super::wire::{COMMAND_MAX_MS, REQUEST_MAX_BYTES, Request, Response, check};
use crate::model::Account;
use crate::model::event::Command;

/// Clients served at once; operators are few, so more than this is a fault of some script.
const CLIENTS_MAX: usize = 64;
/// How long a client may take to send its request, or to take the answer.
const CLIENT_MAX: Duration = Duration::from_secs(10);

/// Why the control socket cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A daemon answers there.
    #[error(
        "open the control socket {0}: another daemon answers there; stop it first, or give this one its own state folder"
    )]
    Taken(PathBuf),
    /// Anything else.
    #[error(
        "open the control socket {path}; the folder must exist, be writable, and its path be short (108 bytes in all)"
    )]
    Io {
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// An open control socket; its file goes when it is dropped.
#[derive(Debug)]
pub struct ControlSocket {
    listener: UnixListener,
    path: PathBuf,
    inode: u64,
}

impl ControlSocket {
    /// Opens `path`. A socket that a dead daemon left there is replaced.
    ///
    /// # Errors
    /// When a living daemon answers there, or the system refuses.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let failed = |source| OpenError::Io { path: path.to_owned(), source };
        match std::os::unix::net::UnixStream::connect(path) {
            Ok(_) => return Err(OpenError::Taken(path.to_owned())),
            Err(error)
                if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {}
            Err(error) => return Err(failed(error)),
        }
        // Made under another name and renamed, so that it is never open to others under its own.
        let fresh = path.with_extension("new");
        match std::fs::remove_file(&fresh) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        let listener = UnixListener::bind(&fresh).map_err(failed)?;
        std::fs::set_permissions(&fresh, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
        let inode = std::fs::metadata(&fresh).map_err(failed)?.ino();
        std::fs::rename(&fresh, path).map_err(failed)?;
        Ok(Self { listener, path: path.to_owned(), inode })
    }

    /// Serves clients for ever; drop the future to stop.
    pub async fn serve(self, desk: Arc<dyn Desk>) {
        let places = Arc::new(Semaphore::new(CLIENTS_MAX));
        loop {
            let stream = match self.listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Out of file descriptors, most likely: others may close theirs.
                    tracing::warn!(%error, "failed to accept a client of the control socket");
                    sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            match Arc::clone(&places).try_acquire_owned() {
                Ok(place) => {
                    let desk = Arc::clone(&desk);
                    tokio::spawn(async move {
                        converse(stream, &*desk).await;
                        drop(place);
                    });
                }
                // Dropping the stream is the answer: writing to a stranger could block.
                Err(_) => {
                    tracing::warn!("turned a client of the control socket away: {CLIENTS_MAX} are there")
                }
            }
        }
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        // A successor may have put its own socket there.
        if std::fs::metadata(&self.path).is_ok_and(|found| found.ino() == self.inode) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Answers requests until the client goes, hangs, or says what cannot be understood.
async fn converse(stream: UnixStream, desk: &dyn Desk) {
    let Ok(peer) = stream.peer_cred() else { return };
    let user = user_name(peer.uid());
    let mut stream = BufReader::new(stream);
    loop {
        let mut line = Vec::new();
        let limit = REQUEST_MAX_BYTES as u64;
        let read = timeout(CLIENT_MAX, (&mut stream).take(limit).read_until(b'\n', &mut line)).await;
        if !matches!(read, Ok(Ok(1..))) {
            return;
        }
        let understood = line.ends_with(b"\n");
        let response = if understood {
            respond(&line, &user, desk).await
        } else {
            invalid(format!("read a request: a request is one line of JSON of at most {limit} bytes"))
        };
        let Ok(mut text) = serde_json::to_vec(&response) else { return };
        text.push(b'\n');
        let written = timeout(CLIENT_MAX, stream.get_mut().write_all(&text)).await;
        if !understood || !matches!(written, Ok(Ok(()))) {
            return;
        }
    }
}

async fn respond(line: &[u8], user: &str, desk: &dyn Desk) -> Response {
    match serde_json::from_slice(line) {
        Ok(Request::Version) => Response::Version { version: env!("CARGO_PKG_VERSION").into() },
        Ok(Request::View) => Response::View(desk.whole_view()),
        Ok(Request::Explain { change }) => {
            let picture = Picture::of(0, desk.whole_view(), desk);
            Response::Explained(explain(&picture, change).map(Box::new))
        }
        Ok(Request::Costs { asked }) => {
            match timeout(Duration::from_millis(COMMAND_MAX_MS), desk.costs(asked)).await {
                Ok(Ok(costs)) => Response::Costs(Box::new(costs)),
                Ok(Err(why)) => invalid(why),
                Err(_) => invalid("count the builds in time: name some repositories".into()),
            }
        }
        Ok(Request::Reload { person }) => {
            let by = name_speaker(user, person.as_deref());
            tracing::info!(%by, "an operator asks for the configuration to be read anew");
            match timeout(Duration::from_millis(COMMAND_MAX_MS), desk.reload(by)).await {
                Ok(reloaded) => Response::Reloaded(reloaded),
                Err(_) => unknown(),
            }
        }
        Ok(Request::Operator { command, person }) => {
            let by = name_speaker(user, person.as_deref());
            operate(command, by, desk).await
        }
        Err(error) => invalid(format!(
            "understand the request ({error}); client and daemon should be of one version, this daemon is {}",
            env!("CARGO_PKG_VERSION")
        )),
    }
}

async fn operate(command: Command, by: Account, desk: &dyn Desk) -> Response {
    if let Err(error) = check(&command) {
        return invalid(error.to_string());
    }
    // Which changes are meant is in the journal; the log may have readers who may not see them.
    tracing::info!(%by, "an operator asks to {}", verb(&command));
    tracing::debug!(?command, "what the operator asks");
    match timeout(Duration::from_millis(COMMAND_MAX_MS), desk.ask(by, command)).await {
        Ok(answer) => Response::Operator { accepted: answer.accepted, text: answer.text },
        Err(_) => unknown(),
    }
}

fn unknown() -> Response {
    Response::Unknown {
        text: "the daemon did not answer in time, so this may yet be done; look at the status".into(),
    }
}

fn verb(command: &Command) -> &'static str {
    match command {
        Command::Enqueue { .. } => "enqueue a change",
        Command::Dequeue { .. } => "dequeue a change",
        Command::Promote { .. } => "promote changes",
        Command::Recheck { .. } => "check a change again",
        Command::Pause { .. } => "stop landing",
        Command::Resume { .. } => "resume landing",
    }
}

fn invalid(text: String) -> Response {
    Response::Invalid { text }
}

/// The Unix user, and the person behind it where one is claimed and is a plausible name.
fn name_speaker(user: &str, person: Option<&str>) -> Account {
    let plausible = |name: &&str| {
        (1..=64).contains(&name.len())
            && *name != user
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-@+".contains(&byte))
    };
    person.filter(plausible).map_or_else(|| user.into(), |person| format!("{person} (as {user})").into())
}

/// The name of a Unix user, or `uid:NUMBER` where this machine's own list has none.
fn user_name(uid: u32) -> String {
    let list = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let wanted = uid.to_string();
    let found = list.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == wanted).then(|| name.to_owned())
    });
    found.unwrap_or_else(|| format!("uid:{uid}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claimed_person_is_noted_beside_the_unix_user() {
        for (user, person, expected) in [
            ("seakeeper", Some("alice"), "alice (as seakeeper)"),
            ("seakeeper", Some("seakeeper"), "seakeeper"),
            ("seakeeper", Some("<b>"), "seakeeper"),
            ("seakeeper", Some(""), "seakeeper"),
            ("alice", None, "alice"),
        ] {
            assert_eq!(name_speaker(user, person).as_str(), expected);
        }
    }

    #[test]
    fn the_superuser_has_a_name_and_strangers_a_number() {
        assert_eq!(user_name(0), "root");
        assert_eq!(user_name(3_999_999_999), "uid:3999999999");
    }
}
