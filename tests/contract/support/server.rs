//! The two servers under one face.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use seakeeper::standin::{Faults, Options, Standin};
use serde_json::{Value, json};

use super::reply::Reply;
use super::stream::{Seen, Stream};
use super::{runtime, wait_for};

/// The script that starts and stops a real Gerrit.
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/servers/gerrit");

/// What is ended with a server.
enum Kept {
    StandIn(Box<Standin>),
    Real(PathBuf),
    Foreign,
}

/// A server.
pub struct Server {
    /// `stand-in` or `real`.
    pub name: &'static str,
    /// Its address, with a slash at the end.
    pub url: String,
    /// The port of SSH.
    pub ssh_port: u16,
    /// The bot's private key.
    pub bot_key: PathBuf,
    /// For known hosts and clones.
    pub folder: PathBuf,
    tokens: BTreeMap<String, String>,
    client: reqwest::Client,
    stream: Option<Stream>,
    kept: Kept,
}

fn client() -> reqwest::Client {
    // Before the client, for the provider of TLS is installed with it.
    let _runtime = runtime();
    reqwest::Client::builder().no_proxy().build().expect("a client without special wishes can be made")
}

impl Server {
    /// A stand-in within this process.
    pub fn stand_in(folder: &Path) -> Self {
        let options =
            Options { folder: folder.to_owned(), http_port: 0, ssh_port: 0, faults: Faults::default() };
        let standin = runtime().block_on(Standin::start(&options)).expect("loopback has free ports");
        let tokens = standin.people().into_iter().map(|person| (person.user, person.token)).collect();
        let server = Self {
            name: "stand-in",
            url: standin.url.clone(),
            ssh_port: standin.ssh_port,
            bot_key: standin.bot_key.clone(),
            folder: folder.to_owned(),
            tokens,
            client: client(),
            stream: None,
            kept: Kept::Foreign,
        };
        let known_hosts = standin.known_hosts();
        server.opened(&known_hosts, Kept::StandIn(Box::new(standin)))
    }

    /// A real Gerrit.
    ///
    /// # Errors
    /// Why there is none.
    pub fn real(folder: &Path) -> Result<Self, String> {
        let running = std::env::var_os("SEAKEEPER_GERRIT_DIR").map(PathBuf::from);
        let (place, command) = match &running {
            Some(place) => (place.clone(), "info"),
            None => (folder.join("gerrit"), "start"),
        };
        let output = Command::new("python3").arg(SCRIPT).arg(command).arg(&place).output();
        let output = output.map_err(|error| format!("python3 cannot be run: {error}"))?;
        let kept = if running.is_some() { Kept::Foreign } else { Kept::Real(place) };
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned());
        }
        let info: Value = serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let people = [&info["admin"], &info["bot"], &info["humans"]["alice"], &info["humans"]["bob"]];
        let server = Self {
            name: "real",
            url: text(&info["url"]),
            ssh_port: u16::try_from(info["ssh_port"].as_u64().unwrap_or(0)).unwrap_or(0),
            bot_key: text(&info["bot"]["ssh_key"]).into(),
            folder: folder.to_owned(),
            tokens: people.iter().map(|person| (text(&person["user"]), text(&person["token"]))).collect(),
            client: client(),
            stream: None,
            kept: Kept::Foreign,
        };
        Ok(server.opened(&text(&info["known_hosts"]), kept))
    }

    /// Begins to read events; returns when they come.
    fn opened(mut self, known_hosts: &str, kept: Kept) -> Self {
        self.kept = kept;
        std::fs::write(self.folder.join("known_hosts"), format!("{known_hosts}\n"))
            .expect("it can be written");
        let stream = Stream::open(&self, &[]);
        let mut count = 0;
        wait_for("the event stream", || {
            count += 1;
            let name = format!("probe-{}-{count}", super::world::stamp());
            self.ask("admin", "PUT", &format!("/projects/{name}"), Some(&json!({}))).ok();
            (stream.seen.count() > 0).then_some(())
        });
        self.stream = Some(stream);
        self
    }

    /// What has happened so far.
    pub fn events(&self) -> &Seen {
        &self.stream.as_ref().expect("the stream is opened with the server").seen
    }

    /// The token of an account.
    pub fn token(&self, who: &str) -> &str {
        self.tokens.get(who).map_or("no such token", String::as_str)
    }

    /// A request below `/a/` as `who`, or without it where `who` is empty.
    pub fn ask(&self, who: &str, method: &str, path: &str, body: Option<&Value>) -> Reply {
        let body = body.map(|body| body.to_string());
        self.ask_raw(who, method, path, body)
    }

    /// The same with a body of any kind.
    pub fn ask_raw(&self, who: &str, method: &str, path: &str, body: Option<String>) -> Reply {
        let prefix = if who.is_empty() { "" } else { "/a" };
        let url = format!("{}{prefix}{path}", self.url.trim_end_matches('/'));
        let method = reqwest::Method::from_bytes(method.as_bytes()).expect("a method");
        let asked = format!("{who} {method} {path}");
        let mut request = self.client.request(method, url);
        if !who.is_empty() {
            request = request.basic_auth(who, Some(self.token(who)));
        }
        if let Some(body) = body {
            request = request.header("Content-Type", "application/json").body(body);
        }
        runtime().block_on(async {
            let response = request.send().await.expect("the server answers");
            let kind = response.headers().get("Content-Type").and_then(|kind| kind.to_str().ok());
            let (status, kind) = (response.status().as_u16(), kind.unwrap_or_default().to_owned());
            Reply { asked, status, kind, text: response.text().await.expect("the answer comes whole") }
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stream.take());
        match &self.kept {
            Kept::StandIn(standin) => assert!(!standin.url.is_empty()),
            Kept::Real(place) => {
                // Nothing more can be done where it does not stop; it says so itself.
                let _ = Command::new("python3").arg(SCRIPT).arg("stop").arg(place).status();
            }
            Kept::Foreign => {}
        }
    }
}
