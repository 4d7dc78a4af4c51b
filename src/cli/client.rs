//! The client side of the control socket.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use super::daemon_at::DaemonAt;
use super::exit::Exit;
use super::failure::Failure;
use super::output;
use crate::model::ChangeNumber;
use crate::model::cost::{CostOf, Costs};
use crate::model::event::Command;
use crate::model::view::View;
use crate::web::clean::one_line;
use crate::web::wire::{ANSWER_MAX_BYTES, COMMAND_MAX_MS, Request, Response};
use crate::web::{Explanation, Verdict};

/// How long sending may take.
const SEND_MAX: Duration = Duration::from_secs(10);
/// How long the answer may take: longer than the daemon gives itself, so that its word comes first.
const ANSWER_MAX: Duration = Duration::from_millis(COMMAND_MAX_MS + 5_000);

/// Asks for the latest view.
///
/// # Errors
/// When the daemon cannot be reached or does not answer.
pub fn fetch_view(at: &DaemonAt) -> Result<View, Failure> {
    match ask(at, &Request::View)? {
        Response::View(view) => Ok(Arc::unwrap_or_clone(view)),
        other => Err(unexpected(other)),
    }
}

/// Asks why a change is where it is.
///
/// # Errors
/// As [`fetch_view`], and when nothing is known of the change.
pub fn explain(at: &DaemonAt, change: ChangeNumber) -> Result<Explanation, Failure> {
    match ask(at, &Request::Explain { change })? {
        Response::Explained(Some(found)) => Ok(*found),
        Response::Explained(None) => Err(Failure::new(Exit::Failed, format_args!("find change {change}"))
            .hint("it may not be approved yet, be gated by no queue, be private, or have ended long ago")),
        other => Err(unexpected(other)),
    }
}

/// Asks what changes cost.
///
/// # Errors
/// As [`fetch_view`], and when something is asked about that is not there.
pub fn costs(at: &DaemonAt, asked: Vec<CostOf>) -> Result<Costs, Failure> {
    match ask(at, &Request::Costs { asked })? {
        Response::Costs(costs) => Ok(*costs),
        other => Err(unexpected(other)),
    }
}

/// Asks for the daemon's version.
///
/// # Errors
/// As [`fetch_view`].
pub fn fetch_version(at: &DaemonAt) -> Result<String, Failure> {
    match ask(at, &Request::Version)? {
        Response::Version { version } => Ok(version),
        other => Err(unexpected(other)),
    }
}

/// Hands over a command and tells what came of it.
///
/// # Errors
/// When the daemon cannot be reached, says no, or does not say.
pub fn command(at: &DaemonAt, command: Command, json: bool) -> Result<(), Failure> {
    let person = std::env::var("SUDO_USER").ok();
    let response = ask(at, &Request::Operator { command, person })?;
    if json {
        output::say_json(&response)?;
    }
    match response {
        Response::Operator { accepted: true, text } if json => {
            drop(text);
            Ok(())
        }
        Response::Operator { accepted: true, text } => output::say(one_line(text)),
        Response::Operator { accepted: false, text } => {
            Err(Failure::new(Exit::Refused, format_args!("have it done: {}", one_line(text))))
        }
        other => Err(unexpected(other)),
    }
}

/// Has the configuration read anew and tells what came of it.
///
/// # Errors
/// When the daemon cannot be reached, the configuration has faults, or the daemon does not say.
pub fn reload(at: &DaemonAt, json: bool) -> Result<(), Failure> {
    let person = std::env::var("SUDO_USER").ok();
    let reloaded = match ask(at, &Request::Reload { person })? {
        Response::Reloaded(reloaded) => reloaded,
        other => return Err(unexpected(other)),
    };
    if json {
        output::say_json(&reloaded)?;
    }
    let lines = reloaded.lines.iter().map(one_line);
    match reloaded.verdict {
        Verdict::InForce if json => Ok(()),
        Verdict::InForce => output::say(lines.collect::<Vec<_>>().join("\n")),
        Verdict::NotNow => {
            let said = lines.collect::<Vec<_>>().join("; ");
            Err(Failure::new(Exit::Refused, format_args!("have it done: {said}")))
        }
        Verdict::Faulty => {
            lines.for_each(|line| output::complain(format_args!("problem: {line}")));
            let text =
                "take over the configuration: it has the problems told above, the one before stays in force";
            Err(Failure::new(Exit::Configuration, text))
        }
    }
}

fn unexpected(response: Response) -> Failure {
    match response {
        Response::Invalid { text } => Failure::new(Exit::Refused, one_line(text)),
        Response::Unknown { text } => {
            Failure::new(Exit::Unknown, format_args!("hear the outcome: {}", one_line(text)))
        }
        _ => Failure::new(Exit::Failed, "understand the daemon's answer")
            .hint("client and daemon should be of one version: see `seakeeper version --daemon`"),
    }
}

fn ask(at: &DaemonAt, request: &Request) -> Result<Response, Failure> {
    let path = at.socket_path()?;
    let mut stream = UnixStream::connect(&path).map_err(|error| {
        let failure = Failure::new(
            Exit::Unreachable,
            format_args!("reach the daemon at {}: {error}", path.display()),
        );
        failure.hint(match error.kind() {
            io::ErrorKind::PermissionDenied => "run this as the user that the daemon runs as, for example with sudo -u",
            _ => "is it running (`seakeeper serve`), and is this its configuration (-c FILE) or socket (--socket PATH)?",
        })
    })?;
    send(&mut stream, request)
        .map_err(|error| Failure::new(Exit::Unreachable, format_args!("send the request: {error}")))?;
    receive(stream).map_err(|error| {
        Failure::new(Exit::Unknown, format_args!("read the daemon's answer: {error}"))
            .hint("what was asked for may have been done: see `seakeeper status`")
    })
}

fn send(stream: &mut UnixStream, request: &Request) -> io::Result<()> {
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    stream.set_write_timeout(Some(SEND_MAX))?;
    stream.set_read_timeout(Some(ANSWER_MAX))?;
    stream.write_all(&line)
}

fn receive(stream: UnixStream) -> io::Result<Response> {
    let mut line = Vec::new();
    BufReader::new(stream).take(ANSWER_MAX_BYTES as u64).read_until(b'\n', &mut line)?;
    if line.is_empty() {
        let why = "it closed the connection (it is ending, or has too many clients)";
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, why));
    }
    Ok(serde_json::from_slice(&line)?)
}
