//! The part of the configuration that adapters need: addresses, accounts, files, folders.

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::section::{At, Section};

/// The longest token that is read; Gerrit's have fewer than a hundred bytes.
const MAX_TOKEN_BYTES: u64 = 4096;

/// Text that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<str>);

impl Secret {
    /// Wraps `text`.
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one who must send it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// How Gerrit is reached.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GerritConfig {
    /// Its address, ending in `/`.
    pub url: String,
    /// Other addresses under which people know it.
    pub other_urls: Vec<String>,
    /// The daemon's user name.
    pub user: String,
    /// Its HTTP token.
    pub token: Secret,
    /// Where the token was read.
    pub token_file: PathBuf,
    /// Host of the SSH server.
    pub ssh_host: String,
    /// Port of the SSH server.
    pub ssh_port: u16,
    /// The private key's file.
    pub ssh_key: PathBuf,
    /// The file of host keys.
    pub known_hosts: PathBuf,
    /// Name in merge commits.
    pub committer_name: Option<String>,
    /// Address in merge commits.
    pub committer_email: Option<String>,
    /// Milliseconds between queries for recent changes.
    pub poll_ms: i64,
    /// Milliseconds between full sweeps.
    pub sweep_ms: i64,
}

/// The page and the API.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WebConfig {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Its address for people, ending in `/`.
    pub public_url: String,
    /// Whose eyes the page has.
    pub visible_to: VisibleTo,
}

/// Whose right to read decides what page, API, stream, metrics and logs show.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum VisibleTo {
    /// Whoever has not signed in to Gerrit.
    Anonymous,
    /// The daemon's own account.
    Bot,
}

impl WebConfig {
    /// The page's address for people on this machine: the usual `public-url`.
    pub fn usual_url(&self) -> String {
        format!("http://{}/", self.listen)
    }
}

/// How much is kept on the disk, and for how long.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KeepConfig {
    /// Days that entries of the journal are kept behind the snapshots that contain them.
    pub journal_days: u32,
    /// Days without use after which the store of a repository goes that nothing in the configuration means.
    pub unused_days: u32,
    /// Bytes of room on the state folder's volume below which no new build begins.
    pub min_free: u64,
    /// Days that logs and records of builds are kept.
    pub log_days: u32,
    /// Bytes that all logs together may take.
    pub log_bytes: u64,
}

/// Builds on this machine.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LocalConfig {
    /// Builds at once.
    pub slots: u32,
    /// Whether builds may run without confinement.
    pub unconfined: bool,
    /// Whether builds may use the network.
    pub network: bool,
    /// Bytes of output that are kept.
    pub max_output: u64,
}

/// Reads `[gerrit]`; `folder` is where relative paths begin.
pub(super) fn read_gerrit(gerrit: &Section<'_>, folder: &Path) -> GerritConfig {
    let url = gerrit.required("url").and_then(|text| read_url(gerrit, "url", &text)).unwrap_or_default();
    let user = gerrit.required("user").map_or("", |user| user.value);
    let (ssh_host, ssh_port) =
        gerrit.required("ssh").and_then(|text| read_host(gerrit, &text)).unwrap_or_default();
    let path =
        |key: &str| gerrit.required(key).map(|text| At { value: folder.join(text.value), at: text.at });
    let token_file = path("token-file");
    let ssh_key = path("ssh-key");
    let known_hosts = path("known-hosts");
    let token = token_file.as_ref().map(|file| read_token(gerrit, file, user));
    if let Some(file) = &ssh_key {
        let remedy = format!(
            "make one with `ssh-keygen -t ed25519 -N \"\" -f {0}` and add `{0}.pub` to the account in Gerrit",
            file.value.display()
        );
        refuse_unreadable(gerrit, "ssh-key", file, &remedy, true);
    }
    if let Some(file) = &known_hosts {
        let host = if ssh_host.is_empty() { "HOST" } else { &ssh_host };
        let port = if ssh_port == 0 { 29_418 } else { ssh_port };
        let remedy = format!(
            "write it with `ssh-keyscan -p {port} {host} > {}` and compare the keys with Gerrit's",
            file.value.display()
        );
        refuse_unreadable(gerrit, "known-hosts", file, &remedy, false);
    }
    let host = reqwest::Url::parse(&url).ok().and_then(|url| url.host_str().map(str::to_owned));
    let is_near = host.as_deref().is_some_and(|host| {
        host == "localhost" || host.trim_matches(['[', ']']).parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
    });
    if url.starts_with("http:") && !is_near {
        let what = "sends the token in clear text over the network";
        gerrit.source.warn(gerrit.at_of("url"), "gerrit.url", what, "use https where the server has it");
    }
    let other_urls = gerrit.texts("other-urls").unwrap_or_default();
    let other_urls = other_urls.iter().filter_map(|text| read_url(gerrit, "other-urls", text)).collect();
    GerritConfig {
        other_urls,
        token: token.unwrap_or_else(|| Secret::new("")),
        token_file: token_file.map(|file| file.value).unwrap_or_default(),
        ssh_host,
        ssh_port,
        ssh_key: ssh_key.map(|file| file.value).unwrap_or_default(),
        known_hosts: known_hosts.map(|file| file.value).unwrap_or_default(),
        committer_name: read_identity(gerrit, "committer-name"),
        committer_email: read_identity(gerrit, "committer-email"),
        poll_ms: gerrit.duration_of_at_least("poll-interval", 30_000, 100),
        sweep_ms: gerrit.duration_of_at_least("sweep-interval", 600_000, 1_000),
        user: user.to_owned(),
        url,
    }
}

/// A name or address as git takes it.
fn read_identity(gerrit: &Section<'_>, key: &str) -> Option<String> {
    let text = gerrit.text(key)?;
    if text.value.contains(['<', '>', '\n']) {
        gerrit.problem(text.at, key, "git cannot take it", "remove `<`, `>` and line ends");
    }
    Some(text.value.to_owned())
}

fn read_url(section: &Section<'_>, key: &str, text: &At<&str>) -> Option<String> {
    let complain = |what: String| {
        section.problem(
            text.at,
            key,
            what,
            "write it like `https://host.example.org/` or with a path after it",
        );
    };
    let url = match reqwest::Url::parse(text.value) {
        Ok(url) => url,
        Err(error) => {
            complain(format!("`{}` is no address ({error})", text.value));
            return None;
        }
    };
    if !["http", "https"].contains(&url.scheme()) {
        complain(format!("`{}` begins with neither http:// nor https://", text.value));
    } else if !url.username().is_empty() || url.password().is_some() {
        complain("holds a user name or password".to_owned());
    } else if url.query().is_some() || url.fragment().is_some() {
        complain("holds `?` or `#`".to_owned());
    } else {
        let mut url = url.to_string();
        if !url.ends_with('/') {
            url.push('/');
        }
        return Some(url);
    }
    None
}

/// `host:port`, `host`, `[address]:port` or an IPv6 address alone.
fn host_and_port(text: &str) -> Option<(String, u16)> {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => (host, port.parse().ok()),
        _ => (text, Some(29_418)),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let plain = !host.is_empty() && !host.contains(['/', '@', ' ']) && !host.starts_with('-');
    port.filter(|port| plain && *port > 0).map(|port| (host.to_owned(), port))
}

/// Reads `host:port`; the port is Gerrit's usual one when it is left out.
fn read_host(gerrit: &Section<'_>, text: &At<&str>) -> Option<(String, u16)> {
    match host_and_port(text.value) {
        Some(found) => Some(found),
        None => {
            let what = format!("`{}` is no host and port", text.value);
            gerrit.problem(text.at, "ssh", what, "write for example `gerrit.example.org:29418`");
            None
        }
    }
}

fn read_token(gerrit: &Section<'_>, file: &At<PathBuf>, user: &str) -> Secret {
    let name = file.value.display();
    let remedy = format!(
        "make a token for `{user}` in Gerrit under Settings, HTTP Credentials, and write it to {name} with mode 0600"
    );
    let mut text = String::new();
    let read =
        File::open(&file.value).and_then(|open| open.take(MAX_TOKEN_BYTES + 1).read_to_string(&mut text));
    let token = text.trim();
    match read {
        Err(error) => {
            gerrit.problem(file.at, "token-file", format!("{name} cannot be read ({error})"), remedy);
        }
        Ok(_) if token.is_empty() => {
            gerrit.problem(file.at, "token-file", format!("{name} is empty"), remedy)
        }
        Ok(_) if text.len() as u64 > MAX_TOKEN_BYTES || token.chars().any(char::is_control) => {
            gerrit.problem(file.at, "token-file", format!("{name} holds no token on one line"), remedy);
        }
        Ok(_) => warn_when_open(gerrit, "token-file", file),
    }
    Secret::new(token)
}

fn refuse_unreadable(gerrit: &Section<'_>, key: &str, file: &At<PathBuf>, remedy: &str, secret: bool) {
    let name = file.value.display();
    let opened = File::open(&file.value).and_then(|open| open.metadata());
    match opened {
        Err(error) => gerrit.problem(file.at, key, format!("{name} cannot be read ({error})"), remedy),
        Ok(found) if !found.is_file() => gerrit.problem(file.at, key, format!("{name} is no file"), remedy),
        Ok(found) if found.len() == 0 => gerrit.problem(file.at, key, format!("{name} is empty"), remedy),
        Ok(_) if secret => warn_when_open(gerrit, key, file),
        Ok(_) => {}
    }
}

fn warn_when_open(gerrit: &Section<'_>, key: &str, file: &At<PathBuf>) {
    let mode = std::fs::metadata(&file.value).map_or(0, |found| found.permissions().mode());
    if mode & 0o004 != 0 {
        let name = file.value.display();
        let what = format!("{name} can be read by every user of this machine");
        gerrit.source.warn(file.at, &format!("gerrit.{key}"), what, format!("run `chmod 600 {name}`"));
    }
}

/// Reads `[web]`.
pub(super) fn read_web(web: &Section<'_>) -> WebConfig {
    let mut listen = SocketAddr::from(([127, 0, 0, 1], 8888));
    if let Some(text) = web.text("listen") {
        match text.value.replace("localhost:", "127.0.0.1:").parse() {
            Ok(address) => listen = address,
            Err(_) => {
                let what = format!("`{}` is no address with a port", text.value);
                web.problem(text.at, "listen", what, "write for example `127.0.0.1:8888` or `[::]:8888`");
            }
        }
    }
    let public = web.text("public-url").and_then(|text| read_url(web, "public-url", &text));
    let words = [("anonymous", VisibleTo::Anonymous), ("bot", VisibleTo::Bot)];
    let visible_to = web.choice("visible-to", &words, VisibleTo::Anonymous);
    let mut read = WebConfig { listen, public_url: String::new(), visible_to };
    read.public_url = public.unwrap_or_else(|| read.usual_url());
    read
}

/// Reads what `[state]` and `[logs]` say of room and time.
pub(super) fn read_keep(state: &Section<'_>, logs: &Section<'_>) -> KeepConfig {
    KeepConfig {
        journal_days: state.count("keep-days", 14, 0, 36_500),
        unused_days: state.count("unused-days", 30, 1, 36_500),
        min_free: state.size("min-free", 1 << 30),
        log_days: logs.count("keep-days", 30, 1, 36_500),
        log_bytes: logs.size("keep-bytes", 10 << 30),
    }
}

/// Reads `[executor.local]`.
pub(super) fn read_local(local: &Section<'_>) -> LocalConfig {
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    LocalConfig {
        slots: local.count("slots", u32::try_from(processors).unwrap_or(1), 1, 10_000),
        unconfined: local.flag("unconfined", false),
        network: local.flag("network", true),
        max_output: local.size("max-output", 64 << 20),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ssh_servers_may_listen_on_any_port() {
        for (text, expected) in [
            ("g.example.org", Some(("g.example.org", 29_418))),
            ("g.example.org:22", Some(("g.example.org", 22))),
            ("[2001:db8::1]:65535", Some(("2001:db8::1", 65_535))),
            ("2001:db8::1", Some(("2001:db8::1", 29_418))),
            ("g.example.org:0", None),
            ("g.example.org:65536", None),
            ("ssh://g.example.org:22", None),
            ("-oProxyCommand=x:22", None),
        ] {
            let found = host_and_port(text);
            assert_eq!(found.as_ref().map(|(host, port)| (host.as_str(), *port)), expected, "{text}");
        }
    }
}
