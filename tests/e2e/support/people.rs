//! People at Gerrit: accounts that vote, abandon and look, over REST.

use std::sync::OnceLock;
use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Client, Method};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::project::Change;

/// An account and its token.
#[derive(Clone)]
pub struct Person {
    port: u16,
    /// The user name.
    pub user: String,
    /// The token.
    pub token: String,
}

impl Person {
    /// `user` at the server on `port`.
    pub fn new(port: u16, user: String, token: String) -> Self {
        Self { port, user, token }
    }

    /// The address of a repository for git, with the credentials in it.
    pub fn git_url(&self, repository: &str) -> String {
        let (user, token) = (encode(&self.user), encode(&self.token));
        format!("http://{user}:{token}@127.0.0.1:{}/a/{repository}", self.port)
    }

    /// One request.
    ///
    /// # Errors
    /// Gerrit's status and words when it does not answer with a success.
    pub fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, String> {
        let (runtime, client) = wire();
        let url = format!("http://127.0.0.1:{}/a{path}", self.port);
        let mut request = client.request(method, url).basic_auth(&self.user, Some(&self.token));
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = runtime.block_on(async {
            let response = request.send().await?;
            Ok::<_, reqwest::Error>((response.status(), response.text().await?))
        });
        let (status, text) = answer.map_err(|error| error.to_string())?;
        if !status.is_success() {
            return Err(format!("{status}: {text}"));
        }
        let json = text.strip_prefix(")]}'").unwrap_or(&text).trim();
        Ok(serde_json::from_str(json).unwrap_or_else(|_| Value::String(json.to_owned())))
    }

    /// Reads what must be there.
    pub fn get(&self, path: &str) -> Value {
        self.ask(Method::GET, path, None).unwrap_or_else(|error| panic!("GET {path}: {error}"))
    }

    /// Does what must succeed.
    pub fn post(&self, path: &str, body: &Value) -> Value {
        self.ask(Method::POST, path, Some(body)).unwrap_or_else(|error| panic!("POST {path}: {error}"))
    }

    /// Posts plain text that must be taken.
    pub fn post_text(&self, path: &str, text: &str) {
        let (runtime, client) = wire();
        let url = format!("http://127.0.0.1:{}/a{path}", self.port);
        let request = client.post(url).basic_auth(&self.user, Some(&self.token));
        let request = request.header("Content-Type", "text/plain").body(text.to_owned());
        let answer = runtime.block_on(async { request.send().await }).expect("the server answers");
        assert!(answer.status().is_success(), "POST {path}: {}", answer.status());
    }

    /// Puts what must succeed.
    pub fn put(&self, path: &str, body: &Value) -> Value {
        self.ask(Method::PUT, path, Some(body)).unwrap_or_else(|error| panic!("PUT {path}: {error}"))
    }

    /// Votes on the change's patch set.
    pub fn vote(&self, change: &Change, label: &str, value: i32) {
        let path = format!("{}/revisions/{}/review", change.path(), change.commit);
        let answer = self.post(&path, &json!({ "labels": { label: value } }));
        // Gerrit drops what it does not know and says 200.
        assert_eq!(answer["labels"][label], value, "the vote of {} on {} stands", self.user, change.number);
    }

    /// A comment on the change.
    pub fn say(&self, change: &Change, text: &str) {
        let path = format!("{}/revisions/{}/review", change.path(), change.commit);
        self.post(&path, &json!({ "message": text }));
    }

    /// Code-Review +2: what admits a change to the gate.
    pub fn approve(&self, change: &Change) {
        self.vote(change, "Code-Review", 2);
    }

    /// A command on a change that needs no more words: `abandon`, `restore`, `wip`, `ready`, `private`.
    pub fn tell(&self, change: &Change, command: &str) {
        self.post(&format!("{}/{command}", change.path()), &json!({}));
    }

    /// Takes back what a command of the same name has made: `private`.
    pub fn untell(&self, change: &Change, command: &str) {
        let path = format!("{}/{command}", change.path());
        self.ask(Method::DELETE, &path, None).unwrap_or_else(|error| panic!("DELETE {path}: {error}"));
    }

    /// The change with its messages, votes and current revision.
    pub fn read(&self, change: &Change) -> Value {
        let options = "o=CURRENT_REVISION&o=DETAILED_LABELS&o=DETAILED_ACCOUNTS&o=MESSAGES";
        self.get(&format!("{}?{options}", change.path()))
    }

    /// The numbers of the changes that a query finds.
    pub fn query(&self, query: &str) -> Vec<u64> {
        let found = self.get(&format!("/changes/?n=500&q={}", encode(query)));
        found.as_array().into_iter().flatten().filter_map(|change| change["_number"].as_u64()).collect()
    }
}

/// `text` as one segment of a path or one value of a query.
pub fn encode(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

/// A GET without credentials, as of the daemon's own pages: status and text.
pub fn fetch(url: &str) -> Option<(u16, String)> {
    let (runtime, client) = wire();
    runtime.block_on(async {
        let response = client.get(url).send().await.ok()?;
        Some((response.status().as_u16(), response.text().await.ok()?))
    })
}

/// One client for all, so that connections are kept.
fn wire() -> &'static (Runtime, Client) {
    static WIRE: OnceLock<(Runtime, Client)> = OnceLock::new();
    WIRE.get_or_init(|| {
        // An error means that one is installed already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("the system gives a thread");
        let client = Client::builder().no_proxy().timeout(Duration::from_secs(60)).build();
        (runtime, client.expect("a client without special wishes can be made"))
    })
}
