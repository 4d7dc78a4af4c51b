//! git over HTTP. What is read is answered by git's own `upload-pack`; what is pushed is unpacked by
//! git's `index-pack` and then judged by the site, command by command.

use std::io::Read;
use std::path::Path;
use std::process::Stdio;

use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use flate2::read::GzDecoder;
use percent_encoding::percent_decode_str;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::accounts::Person;
use super::pkt;
use super::receive::broken_pack;
use super::site::{Shared, meta_ref};
use crate::model::Repository;

/// Largest request once it is unpacked, in bytes.
const UNPACKED_MAX: u64 = 512 << 20;

/// git's two services.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Service {
    Upload,
    Receive,
}

impl Service {
    fn named(name: &str) -> Option<Self> {
        match name {
            "git-upload-pack" => Some(Self::Upload),
            "git-receive-pack" => Some(Self::Receive),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Upload => "git-upload-pack",
            Self::Receive => "git-receive-pack",
        }
    }
}

/// A request of git's.
#[derive(Debug, PartialEq, Eq)]
pub struct Request {
    repository: Repository,
    service: Service,
    is_advertisement: bool,
}

impl Request {
    /// The request at this path, if it is one of git's.
    pub fn read(path: &str, query: &str) -> Option<Self> {
        let (name, service, is_advertisement) = match path.strip_suffix("/info/refs") {
            Some(name) => (name, Service::named(query.strip_prefix("service=")?)?, true),
            None => {
                let (name, service) = path.rsplit_once('/')?;
                (name, Service::named(service)?, false)
            }
        };
        let name = percent_decode_str(name.trim_matches('/')).decode_utf8_lossy().into_owned();
        let name = name.strip_suffix(".git").unwrap_or(&name);
        Some(Self { repository: name.into(), service, is_advertisement })
    }
}

fn plain(status: StatusCode, words: &str) -> Response {
    (status, words.to_owned()).into_response()
}

/// Answers it.
pub async fn answer(
    site: &Shared,
    who: Option<&Person>,
    request: &Request,
    headers: &HeaderMap,
    body: Vec<u8>,
) -> Response {
    if request.service == Service::Receive && who.is_none() {
        let challenge = [(header::WWW_AUTHENTICATE, "Basic realm=\"Gerrit Code Review\"")];
        return (StatusCode::UNAUTHORIZED, challenge, "Unauthorized").into_response();
    }
    let path = match site.lock().path(&request.repository) {
        Ok(path) => path,
        // Gerrit does not tell what is missing from what is forbidden.
        Err(_) => return plain(StatusCode::FORBIDDEN, "Not found or not permitted"),
    };
    let body = match unpacked(headers, body) {
        Ok(body) => body,
        Err(error) => return plain(StatusCode::BAD_REQUEST, &error.to_string()),
    };
    let result = match (request.service, request.is_advertisement, who) {
        (Service::Receive, false, Some(who)) => receive(site, who, &request.repository, &path, &body).await,
        _ => {
            let hidden = hidden_refs(site, who, &request.repository);
            serve(request, &path, headers, &hidden, &body).await
        }
    };
    match result {
        Ok(answer) => {
            let kind = if request.is_advertisement { "advertisement" } else { "result" };
            let kind = format!("application/x-{}-{kind}", request.service.name());
            let headers = [(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-cache".to_owned())];
            (headers, answer).into_response()
        }
        Err(error) => plain(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

fn unpacked(headers: &HeaderMap, body: Vec<u8>) -> std::io::Result<Vec<u8>> {
    if headers.get(header::CONTENT_ENCODING).is_none_or(|value| value != "gzip") {
        return Ok(body);
    }
    let mut unpacked = Vec::new();
    GzDecoder::new(&body[..]).take(UNPACKED_MAX).read_to_end(&mut unpacked)?;
    Ok(unpacked)
}

/// The refs of changes that `who` may not see.
fn hidden_refs(site: &Shared, who: Option<&Person>, repository: &Repository) -> Vec<String> {
    let state = site.lock();
    let changes = state.gerrit.changes().filter(|change| change.pair.repository == *repository);
    let hidden = changes.filter(|change| match who {
        Some(who) => !who.may_see(change),
        None => change.private,
    });
    hidden.map(|change| meta_ref(change.number).trim_end_matches("/meta").to_owned()).collect()
}

/// git itself, with nothing of the user's configuration.
fn git(path: &Path) -> Command {
    let mut command = Command::new("git");
    command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1").env("LC_ALL", "C");
    command.env_remove("GIT_DIR").env_remove("GIT_WORK_TREE").arg("-C").arg(path);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

async fn run(mut command: Command, input: &[u8]) -> std::io::Result<std::process::Output> {
    let mut child = command.spawn()?;
    let stdin = child.stdin.take();
    let writing = async {
        if let Some(mut stdin) = stdin {
            // git may have read enough; its status tells.
            let _ = stdin.write_all(input).await;
        }
    };
    let (output, ()) = tokio::join!(child.wait_with_output(), writing);
    output
}

async fn serve(
    request: &Request,
    path: &Path,
    headers: &HeaderMap,
    hidden: &[String],
    body: &[u8],
) -> std::io::Result<Vec<u8>> {
    let mut command = git(path);
    for name in hidden {
        command.arg("-c").arg(format!("transfer.hideRefs={name}"));
    }
    if let Some(protocol) = headers.get("git-protocol").and_then(|value| value.to_str().ok()) {
        // Pushing has no second version; git itself sends the header all the same.
        command.env("GIT_PROTOCOL", protocol);
    }
    command.arg(request.service.name().trim_start_matches("git-")).arg("--stateless-rpc");
    let mut answer = Vec::new();
    if request.is_advertisement {
        command.arg("--http-backend-info-refs");
        answer.extend(pkt::line(format!("# service={}\n", request.service.name()).as_bytes()));
        answer.extend(b"0000");
    }
    command.arg(".");
    let output = run(command, body).await?;
    if !output.status.success() && output.stdout.is_empty() {
        return Err(std::io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned()));
    }
    answer.extend(output.stdout);
    Ok(answer)
}

async fn receive(
    site: &Shared,
    who: &Person,
    repository: &Repository,
    path: &Path,
    body: &[u8],
) -> std::io::Result<Vec<u8>> {
    let Some(push) = pkt::read_push(body) else {
        return Err(std::io::Error::other("the request is no push"));
    };
    if !push.pack.is_empty() {
        let mut command = git(path);
        command.args(["index-pack", "--stdin", "--fix-thin"]);
        let output = run(command, push.pack).await?;
        if !output.status.success() {
            let words = String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ");
            return Ok(broken_pack(&push, &words));
        }
    }
    let (site, who, repository, body) = (site.clone(), who.clone(), repository.clone(), body.to_vec());
    // Objects are read from the disk meanwhile, which must not hold up others.
    let answer = tokio::task::spawn_blocking(move || {
        pkt::read_push(&body).map(|push| site.receive(&who, &repository, &push)).unwrap_or_default()
    });
    answer.await.map_err(std::io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_of_git_are_told_from_others() {
        let read = |path, query| {
            Request::read(path, query)
                .map(|request| (request.repository.to_string(), request.service, request.is_advertisement))
        };
        assert_eq!(
            read("/a/b/info/refs", "service=git-upload-pack"),
            Some(("a/b".into(), Service::Upload, true))
        );
        assert_eq!(read("/a%2Fb.git/git-receive-pack", ""), Some(("a/b".into(), Service::Receive, false)));
        assert_eq!(read("/a/info/refs", ""), None);
        assert_eq!(read("/changes/1", ""), None);
    }
}
