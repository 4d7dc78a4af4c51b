//! What authors and reviewers do at Gerrit: make commits, upload them, vote.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Client, Method};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::host::{Account, Host};

/// How long one request may take.
const REQUEST_MAX: Duration = Duration::from_secs(30);

/// Gerrit as one account sees it.
#[derive(Clone)]
pub struct Person {
    client: Client,
    url: String,
    account: Account,
}

impl Person {
    /// `account` at `host`.
    pub fn at(host: &Host, account: &Account) -> Result<Self> {
        let client =
            Client::builder().no_proxy().timeout(REQUEST_MAX).build().context("make an HTTP client")?;
        Ok(Self { client, url: host.url.clone(), account: account.clone() })
    }

    /// Makes a repository with one empty commit.
    pub async fn create_repository(&self, name: &str) -> Result<()> {
        let body = json!({ "create_empty_commit": true, "branches": ["master"] });
        self.ask(Method::PUT, &format!("projects/{name}"), &body).await
    }

    /// Votes Code-Review +2 on the first patch set.
    pub async fn approve(&self, change: &Uploaded) -> Result<()> {
        let path = format!("changes/{}~{}/revisions/1/review", change.repository, change.number);
        self.ask(Method::POST, &path, &json!({ "labels": { "Code-Review": 2 } })).await
    }

    async fn ask(&self, method: Method, path: &str, body: &Value) -> Result<()> {
        let url = format!("{}a/{path}", self.url);
        let request =
            self.client.request(method, url).basic_auth(&self.account.user, Some(&self.account.token));
        let response = request.json(body).send().await.with_context(|| format!("ask Gerrit for {path}"))?;
        let status = response.status();
        ensure!(status.is_success(), "ask Gerrit for {path}: {status}: {}", response.text().await?.trim());
        Ok(())
    }

    fn git_url(&self, repository: &str) -> String {
        let [user, token] =
            [&self.account.user, &self.account.token].map(|text| utf8_percent_encode(text, NON_ALPHANUMERIC));
        let rest = self.url.trim_start_matches("http://");
        format!("http://{user}:{token}@{rest}a/{repository}")
    }
}

/// A change at Gerrit.
#[derive(Clone)]
pub struct Uploaded {
    /// Its number.
    pub number: u64,
    /// Its repository.
    pub repository: String,
    /// The first line of its message.
    pub subject: String,
    /// Its commit, to rest another change on.
    pub commit: String,
}

/// An author's clone of a repository.
pub struct Clone {
    folder: PathBuf,
    repository: String,
    author: Person,
    base: String,
}

impl Clone {
    /// Clones `repository` into `folder`.
    pub async fn make(author: &Person, repository: &str, folder: &Path) -> Result<Self> {
        let folder = folder.join(repository);
        tokio::fs::create_dir_all(&folder).await.context("make a folder for a clone")?;
        let mut clone =
            Self { folder, repository: repository.to_owned(), author: author.clone(), base: String::new() };
        clone.git(&["init", "--quiet", "--bare"], "").await?;
        clone.git(&["fetch", "--quiet", &author.git_url(repository), "master"], "").await?;
        clone.base = clone.git(&["rev-parse", "FETCH_HEAD"], "").await?.0;
        Ok(clone)
    }

    /// Uploads a change that writes one file; on the branch, or on another change.
    pub async fn upload(&self, subject: &str, file: (&str, &str), on: Option<&Uploaded>) -> Result<Uploaded> {
        let parent = on.map_or(&self.base, |change| &change.commit);
        let (path, text) = file;
        let digest = Sha256::digest(format!("{}\0{subject}\0{parent}\0{path}", self.folder.display()));
        let change_id: String = digest.iter().take(20).map(|byte| format!("{byte:02x}")).collect();
        let message = format!("{subject}\n\nChange-Id: I{change_id}\n");
        let who = format!("{name} <{name}@example.com> now", name = self.author.account.user);
        let script = format!(
            "commit refs/heads/upload\nauthor {who}\ncommitter {who}\ndata {}\n{message}from {parent}\nM 644 inline {path}\ndata {}\n{text}\n",
            message.len(),
            text.len(),
        );
        self.git(&["fast-import", "--quiet", "--force", "--date-format=now"], &script).await?;
        let commit = self.git(&["rev-parse", "refs/heads/upload"], "").await?.0;
        let url = self.author.git_url(&self.repository);
        let (_, words) = self.git(&["push", &url, "refs/heads/upload:refs/for/master"], "").await?;
        let number = number_in(&words).with_context(|| format!("find a change's number in: {words}"))?;
        Ok(Uploaded { number, repository: self.repository.clone(), subject: subject.to_owned(), commit })
    }

    /// Runs git; what it wrote to standard output and standard error.
    async fn git(&self, args: &[&str], input: &str) -> Result<(String, String)> {
        let mut child = Command::new("git")
            .arg("-C")
            .arg(&self.folder)
            .args(args)
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("run git; install it (2.39 or later)")?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(input.as_bytes()).await.context("write to git")?;
        }
        let output = child.wait_with_output().await.context("run git")?;
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        // Neither arguments nor words are shown whole: a token is in the address.
        ensure!(output.status.success(), "run git {}: {}", args[0], self.without_token(&words));
        Ok((String::from_utf8_lossy(&output.stdout).trim().to_owned(), words))
    }

    fn without_token(&self, words: &str) -> String {
        words.replace(&self.author.git_url(&self.repository), &self.repository).trim().to_owned()
    }
}

/// The number in Gerrit's answer to an upload: `remote:   URL/+/NUMBER SUBJECT [NEW]`.
fn number_in(words: &str) -> Option<u64> {
    let line = words.lines().rfind(|line| line.contains("/+/") && line.contains("[NEW]"))?;
    line.split_once("/+/")?.1.split(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_an_upload_is_that_of_its_last_new_change() {
        let stack = "remote:   http://h/c/p/+/7 Old\nremote:   http://h/c/p/+/8 Parent [NEW]\nremote:   http://h/c/p/+/9 Child [NEW]  \n";
        for (words, expected) in [(stack, Some(9)), ("remote: error", None), ("", None)] {
            assert_eq!(number_in(words), expected, "{words}");
        }
    }
}
