//! What all workers share: the settings, the stores, the caches.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base64::Engine;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::content::Contents;
use super::fetch::{self, Remote, Want};
use super::layout;
use super::lock;
use super::merge::Mergers;
use super::store::{Store, sha};
use super::trees::Parsed;
use super::{GitError, Settings, Stats};
use crate::model::{Branch, ChangeNumber, Pair, Policy, Repository, Sha};
use crate::port::Inbox;

/// For how long a tip that nobody observes is taken as it was read.
const OUTSIDE_AGE: Duration = Duration::from_secs(300);
/// How many parsed job files are remembered.
const JOB_FILES: usize = 2_000;
/// What stays readable in a project's address.
const IN_ADDRESS: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// A branch's tip as last seen.
#[derive(Clone, Copy)]
struct Tip {
    /// Its commit; `None` when there is no such branch.
    commit: Option<Sha>,
    /// When it was seen.
    at: Instant,
    /// Whether the review host's observer keeps it fresh.
    observed: bool,
}

/// See the module.
pub(super) struct Shared {
    pub settings: Settings,
    pub inbox: Inbox,
    pub mergers: Mergers,
    pub contents: Contents,
    pub counters: Counters,
    base: String,
    policy: Mutex<Arc<Policy>>,
    stores: Mutex<BTreeMap<Repository, Arc<Store>>>,
    job_files: Mutex<HashMap<(Pair, Sha), Parsed>>,
    tips: Mutex<HashMap<Pair, Tip>>,
}

/// What was done, for metrics.
#[derive(Default)]
pub(super) struct Counters {
    pub merges: AtomicU64,
    pub prepare_micros: AtomicU64,
    pub nodes: AtomicU64,
    pub pushes: AtomicU64,
    pub push_micros: AtomicU64,
}

impl Counters {
    /// The values now.
    pub fn read(&self) -> Stats {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Stats {
            nodes: get(&self.nodes),
            merges: get(&self.merges),
            prepare_micros: get(&self.prepare_micros),
            pushes: get(&self.pushes),
            push_micros: get(&self.push_micros),
        }
    }

    /// Adds to a counter.
    pub fn add(counter: &AtomicU64, amount: u64) {
        counter.fetch_add(amount, Ordering::Relaxed);
    }
}

impl Shared {
    pub fn new(settings: Settings, inbox: Inbox, policy: Arc<Policy>) -> Result<Self, GitError> {
        let base = base_of(&settings.url, settings.file_urls)?;
        Ok(Self {
            settings,
            inbox,
            base,
            policy: Mutex::new(policy),
            mergers: Mergers::default(),
            contents: Contents::default(),
            counters: Counters::default(),
            stores: Mutex::default(),
            job_files: Mutex::default(),
            tips: Mutex::default(),
        })
    }

    pub fn policy(&self) -> Arc<Policy> {
        lock(&self.policy).clone()
    }

    pub fn set_policy(&self, policy: Arc<Policy>) {
        *lock(&self.policy) = policy;
        // What a job file may say depends on the configuration, and so do the templates that it may use.
        lock(&self.job_files).clear();
        lock(&self.job_files).clear();
    }

    /// The repository's store, made when there is none.
    pub fn store(&self, repository: &Repository) -> Result<Arc<Store>, String> {
        let mut stores = lock(&self.stores);
        if let Some(store) = stores.get(repository) {
            store.note_use();
            return Ok(store.clone());
        }
        let store = Arc::new(Store::open(&self.settings.folder, repository)?);
        store.note_use();
        stores.insert(repository.clone(), store.clone());
        Ok(store)
    }

    /// Moves the store at `path` out of the way, to be deleted, if `unused` still says so; nobody can
    /// open it meanwhile.
    pub fn retire(&self, path: &Path, unused: impl FnOnce() -> bool) -> std::io::Result<Option<PathBuf>> {
        let mut stores = lock(&self.stores);
        if !unused() {
            return Ok(None);
        }
        let open = stores.iter().find(|(_, store)| store.path == path).map(|(name, _)| name.clone());
        if let Some(repository) = open {
            stores.remove(&repository);
            self.mergers.end(&repository);
        }
        let aside = path.with_extension("removed");
        std::fs::rename(path, &aside)?;
        Ok(Some(aside))
    }

    /// The stores that are open.
    pub fn opened(&self) -> Vec<Arc<Store>> {
        lock(&self.stores).values().cloned().collect()
    }

    /// The project's address.
    pub fn address(&self, repository: &Repository) -> String {
        if self.settings.file_urls {
            return format!("{}{repository}", self.base);
        }
        format!("{}{}", self.base, utf8_percent_encode(repository.as_str(), IN_ADDRESS))
    }

    /// The page of a change.
    pub fn change_address(&self, repository: &Repository, number: ChangeNumber) -> String {
        let base = self.base.strip_suffix("a/").unwrap_or(&self.base);
        format!("{base}c/{}/+/{number}", utf8_percent_encode(repository.as_str(), IN_ADDRESS))
    }

    /// The header that names the daemon to Gerrit without a first refused try.
    pub fn authorization(&self) -> String {
        authorization(&self.settings.user, &self.settings.token)
    }

    /// Where to fetch a repository from.
    pub fn remote(&self, repository: &Repository) -> Remote {
        let url = self.address(repository);
        let mut config = Vec::new();
        if !self.settings.file_urls {
            let header = format!("Authorization: {}", self.authorization());
            config.push((format!("http.{url}.extraHeader"), header));
            if is_loopback(&url) {
                config.push(("http.proxy".to_owned(), String::new()));
            }
        }
        Remote { url, config }
    }

    /// Fetches what is missing.
    pub fn fetch(&self, store: &Store, wants: &[Want]) -> Result<(), String> {
        fetch::fetch(store, &self.remote(&store.repository), wants)
    }

    /// Notes a tip; `observed` when it comes from the review host's observer. Makes no store: most
    /// projects are never gated.
    pub fn note_tip(&self, pair: &Pair, commit: Option<Sha>, observed: bool) {
        let mut tips = lock(&self.tips);
        let observed = observed || tips.get(pair).is_some_and(|tip| tip.observed);
        tips.insert(pair.clone(), Tip { commit, at: Instant::now(), observed });
    }

    /// What was seen of a branch's tip last, if anything was.
    pub fn noted_tip(&self, pair: &Pair) -> Option<Option<Sha>> {
        lock(&self.tips).get(pair).map(|tip| tip.commit)
    }

    /// The repository's store if there is one, or if it may be made.
    pub fn existing_store(
        &self,
        repository: &Repository,
        may_make: bool,
    ) -> Result<Option<Arc<Store>>, String> {
        let exists = lock(&self.stores).contains_key(repository)
            || layout::store_path(&self.settings.folder, repository).exists();
        if exists || may_make { self.store(repository).map(Some) } else { Ok(None) }
    }

    /// A branch's tip, from what was seen last or from the review host; its commit is in the store.
    pub fn tip(&self, store: &Store, branch: &Branch) -> Result<Option<Sha>, String> {
        let pair = Pair { repository: store.repository.clone(), branch: branch.clone() };
        let known = lock(&self.tips).get(&pair).copied();
        if let Some(tip) = known
            && (tip.observed || tip.at.elapsed() < OUTSIDE_AGE)
        {
            let Some(commit) = tip.commit else { return Ok(None) };
            if store.has(commit) {
                return Ok(Some(commit));
            }
        }
        self.read_tip(store, branch)
    }

    /// Reads a branch's tip from the review host.
    pub fn read_tip(&self, store: &Store, branch: &Branch) -> Result<Option<Sha>, String> {
        self.fetch(store, &[Want::tip(branch, None)])?;
        let tip = store.handle()?.refname_to_id(&layout::tip_ref(branch)).ok().map(sha);
        let pair = Pair { repository: store.repository.clone(), branch: branch.clone() };
        self.note_tip(&pair, tip, false);
        Ok(tip)
    }

    /// The job file of a blob, parsed once under each configuration.
    pub fn job_file(
        &self,
        pair: &Pair,
        blob: Sha,
        read: impl FnOnce() -> Result<Result<String, String>, String>,
    ) -> Result<Parsed, String> {
        let key = (pair.clone(), blob);
        if let Some(parsed) = lock(&self.job_files).get(&key) {
            return Ok(parsed.clone());
        }
        let policy = self.policy();
        let parsed = read()?.and_then(|text| (self.settings.parse_job_file)(pair, &text));
        let mut known = lock(&self.job_files);
        if known.len() >= JOB_FILES {
            known.clear();
        }
        if Arc::ptr_eq(&policy, &self.policy()) {
            known.insert(key, parsed.clone());
        }
        Ok(parsed)
    }
}

/// A user and a token as a header: any byte may stand in the token, a slash or a colon too.
fn authorization(user: &str, token: &str) -> String {
    let pair = format!("{user}:{token}");
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair))
}

/// The address to which a project's name is added: Gerrit's authenticated one.
fn base_of(url: &str, file_urls: bool) -> Result<String, GitError> {
    let base = format!("{}/", url.trim_end_matches('/'));
    if file_urls && base.starts_with("file://") {
        return Ok(base);
    }
    if !base.starts_with("http://") && !base.starts_with("https://") {
        return Err(GitError::Address(url.to_owned()));
    }
    Ok(if base.ends_with("/a/") { base } else { format!("{base}a/") })
}

/// Whether an address is this machine's own: then no proxy is used.
pub fn is_loopback(url: &str) -> bool {
    let host = url.split("://").nth(1).unwrap_or_default();
    ["127.", "localhost:", "localhost/", "[::1]"].iter().any(|start| host.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_the_servers_address_leads_to_its_projects() {
        for (url, expected) in [
            ("https://g.example.org", Some("https://g.example.org/a/")),
            ("https://g.example.org/r/", Some("https://g.example.org/r/a/")),
            ("https://g.example.org:8443/r", Some("https://g.example.org:8443/r/a/")),
            ("https://g.example.org/r/a/", Some("https://g.example.org/r/a/")),
            ("file:///tmp/remotes", None),
            ("ssh://g.example.org:29418/", None),
        ] {
            assert_eq!(base_of(url, false).ok().as_deref(), expected, "{url}");
        }
    }

    #[test]
    fn any_token_survives_the_header() {
        for token in ["secret", "a/b+c/d==", "with:colon/and/slash", "ü"] {
            let header = authorization("bot", token);
            let encoded = header.strip_prefix("Basic ").expect("basic authorization");
            let bytes = base64::engine::general_purpose::STANDARD.decode(encoded).expect("base64");
            assert_eq!(String::from_utf8(bytes).as_deref(), Ok(&*format!("bot:{token}")));
        }
    }
}
