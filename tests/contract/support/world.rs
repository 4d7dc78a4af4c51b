//! The world of one case: a repository of its own, and people who act in it.

use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use git2::build::TreeUpdateBuilder;
use git2::{FileMode, ObjectType, Oid, Repository, Signature};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::reply::Reply;
use super::server::Server;
use super::wait_for;

/// A change that was uploaded.
#[derive(Clone, Debug)]
pub struct Change {
    /// Its number.
    pub number: u64,
    /// Its Change-Id.
    pub id: String,
    /// The commit uploaded last.
    pub commit: Oid,
    /// Its path in REST.
    pub path: String,
}

/// See the module.
pub struct World<'s> {
    /// The server.
    pub server: &'s Server,
    /// The repository.
    pub name: String,
    /// The tip of master at first.
    pub base: Oid,
    git: Repository,
    folder: PathBuf,
    since: usize,
}

/// Unlike any other, in this process and others.
pub fn stamp() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is set");
    format!("{}-{}-{}", since.as_millis(), std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// `text` as one part of a path.
pub fn encode(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

/// A Change-Id that nobody has.
pub fn new_id() -> String {
    format!("I{}", Oid::hash_object(ObjectType::Blob, stamp().as_bytes()).expect("bytes can be hashed"))
}

impl<'s> World<'s> {
    /// Makes a repository.
    pub fn begin(server: &'s Server) -> Self {
        let name = format!("contract-{}", stamp());
        let folder = server.folder.join(&name);
        let since = server.events().count();
        let input = json!({ "create_empty_commit": true, "branches": ["master", "dev"] });
        server.ask("admin", "PUT", &format!("/projects/{name}"), Some(&input)).is(201);
        let git = Repository::init_bare(&folder).expect("a bare repository can be made");
        let mut world = Self { server, name, base: Oid::ZERO_SHA1, git, folder, since };
        world.base = world.tip("master").expect("the branch was just made");
        world
    }

    /// A request.
    pub fn ask(&self, who: &str, method: &str, path: &str, body: Value) -> Reply {
        self.server.ask(who, method, path, Some(&body))
    }

    /// Reads.
    pub fn get(&self, who: &str, path: &str) -> Reply {
        self.server.ask(who, "GET", path, None)
    }

    /// Does something to a change.
    pub fn tell(&self, who: &str, change: &Change, what: &str, body: Value) -> Reply {
        self.ask(who, "POST", &format!("{}/{what}", change.path), body)
    }

    /// Reviews the current patch set.
    pub fn review(&self, who: &str, change: &Change, body: Value) -> Reply {
        self.tell(who, change, "revisions/current/review", body)
    }

    /// Votes on the current patch set.
    pub fn vote(&self, who: &str, change: &Change, label: &str, value: i32) {
        let answer = self.review(who, change, json!({ "labels": { label: value } })).is(200);
        assert_eq!(answer["labels"][label], value);
    }

    /// Gives a change all that it needs.
    pub fn approve(&self, change: &Change) {
        self.vote("bob", change, "Code-Review", 2);
        self.vote("bot", change, "Verified", 1);
    }

    /// A change with what the daemon asks for.
    pub fn read(&self, change: &Change) -> Value {
        let options = "o=CURRENT_REVISION&o=CURRENT_COMMIT&o=DETAILED_LABELS&o=DETAILED_ACCOUNTS&o=SUBMIT_REQUIREMENTS&o=SUBMITTABLE&o=SKIP_DIFFSTAT&o=MESSAGES";
        self.get("admin", &format!("{}?{options}", change.path)).is(200)
    }

    /// The status of a change, as Gerrit calls it.
    pub fn status(&self, change: &Change) -> String {
        self.read(change)["status"].as_str().unwrap_or_default().to_owned()
    }

    /// The current patch set's number.
    pub fn patchset(&self, change: &Change) -> u64 {
        let read = self.read(change);
        let current = read["current_revision"].as_str().unwrap_or_default();
        read["revisions"][current]["_number"].as_u64().unwrap_or(0)
    }

    /// Somebody's vote on the current patch set; `None` for no entry.
    pub fn vote_of(&self, change: &Change, label: &str, who: &str) -> Option<i64> {
        let read = self.read(change);
        let all = read["labels"][label]["all"].as_array().cloned().unwrap_or_default();
        let entry = all.iter().find(|entry| entry["username"] == who)?;
        entry["value"].as_i64()
    }

    /// The numbers of the changes of this repository that a query finds.
    pub fn find(&self, who: &str, query: &str) -> Vec<u64> {
        let query = encode(&format!("project:{} {query}", self.name));
        let found = self.get(who, &format!("/changes/?q={query}")).is(200);
        let mut numbers: Vec<u64> =
            found.as_array().into_iter().flatten().filter_map(|change| change["_number"].as_u64()).collect();
        numbers.sort_unstable();
        numbers
    }

    /// The last message of a change.
    pub fn last_message(&self, change: &Change) -> Value {
        let all = self.get("admin", &format!("{}/messages", change.path)).is(200);
        all.as_array().and_then(|all| all.last()).cloned().unwrap_or_default()
    }

    /// A commit by `who` with these files changed against its first parent.
    pub fn commit_by(&self, who: &str, parents: &[Oid], message: &str, files: &[(&str, &str)]) -> Oid {
        let parents: Vec<_> = parents.iter().map(|id| self.git.find_commit(*id).expect("a parent")).collect();
        let mut update = TreeUpdateBuilder::new();
        for (path, text) in files {
            update.upsert(*path, self.git.blob(text.as_bytes()).expect("a blob"), FileMode::Blob);
        }
        let tree = update.create_updated(&self.git, &parents[0].tree().expect("a tree")).expect("a tree");
        let tree = self.git.find_tree(tree).expect("it was just written");
        static DATE: AtomicU64 = AtomicU64::new(1_700_000_000);
        let at = i64::try_from(DATE.fetch_add(1, Ordering::Relaxed)).expect("a small number");
        let signature = Signature::new(who, &format!("{who}@example.com"), &git2::Time::new(at, 0));
        let signature = signature.expect("a plain name");
        let parents: Vec<_> = parents.iter().collect();
        self.git.commit(None, &signature, &signature, message, &tree, &parents).expect("a commit")
    }

    /// A commit with a Change-Id.
    pub fn commit(&self, parent: Oid, subject: &str, id: &str, files: &[(&str, &str)]) -> Oid {
        self.commit_by("alice", &[parent], &format!("{subject}\n\nChange-Id: {id}\n"), files)
    }

    /// A merge by the bot, of commits that do not conflict.
    pub fn merge(&self, ours: Oid, theirs: Oid) -> Oid {
        let find = |id| self.git.find_commit(id).expect("a commit");
        let (ours, theirs) = (find(ours), find(theirs));
        let mut index = self.git.merge_commits(&ours, &theirs, None).expect("a merge");
        let tree = index.write_tree_to(&self.git).expect("a merge without conflict");
        let tree = self.git.find_tree(tree).expect("it was just written");
        let who = Signature::now("bot", "bot@example.com").expect("a plain name");
        self.git.commit(None, &who, &who, "Merge\n", &tree, &[&ours, &theirs]).expect("a commit")
    }

    /// The same commit on another parent, by somebody.
    pub fn rebased(&self, who: &str, commit: Oid, onto: Oid) -> Oid {
        let find = |id| self.git.find_commit(id).expect("a commit");
        let (commit, onto) = (find(commit), find(onto));
        let mut index = self.git.cherrypick_commit(&commit, &onto, 0, None).expect("a rebase");
        let tree = index.write_tree_to(&self.git).expect("a rebase without conflict");
        let tree = self.git.find_tree(tree).expect("it was just written");
        let who = Signature::now(who, &format!("{who}@example.com")).expect("a plain name");
        let message = commit.message().expect("UTF-8");
        self.git.commit(None, &commit.author(), &who, message, &tree, &[&onto]).expect("a commit")
    }

    /// git, in this world's clone: whether it succeeded, and all that it said.
    pub fn git(&self, args: &[&str]) -> (bool, String) {
        let output = Command::new("git")
            .arg("-C")
            .arg(&self.folder)
            .args(args)
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .output()
            .expect("git can be run");
        let words = [output.stdout, output.stderr].concat();
        // git pads what comes from the other side.
        let words =
            String::from_utf8_lossy(&words).lines().map(|line| format!("{}\n", line.trim_end())).collect();
        (output.status.success(), words)
    }

    /// The repository's address with `who` in it.
    pub fn url(&self, who: &str) -> String {
        let address = self.server.url.trim_start_matches("http://");
        format!("http://{who}:{}@{address}a/{}", encode(self.server.token(who)), self.name)
    }

    /// Pushes; what was said.
    ///
    /// # Errors
    /// The same when it was refused.
    pub fn push(&self, who: &str, commit: Oid, to: &str) -> Result<String, String> {
        self.push_all(who, &[&format!("{commit}:{to}")])
    }

    /// Pushes with these arguments behind the address.
    ///
    /// # Errors
    /// What was said when it was refused.
    pub fn push_all(&self, who: &str, what: &[&str]) -> Result<String, String> {
        let url = self.url(who);
        let (is_good, words) = self.git(&[&["push", &url], what].concat());
        if is_good { Ok(words) } else { Err(words) }
    }

    /// Uploads a commit; what was said.
    pub fn upload(&self, commit: Oid) -> String {
        self.push("alice", commit, "refs/for/master").unwrap_or_else(|words| panic!("{words}"))
    }

    /// A new change on `parent`.
    pub fn change_on(&self, parent: Oid, subject: &str, files: &[(&str, &str)]) -> Change {
        let id = new_id();
        let commit = self.commit(parent, subject, &id, files);
        self.upload(commit);
        self.named(&id, commit)
    }

    /// A new change on the first tip.
    pub fn change(&self, subject: &str, files: &[(&str, &str)]) -> Change {
        self.change_on(self.base, subject, files)
    }

    /// The change with this Change-Id.
    pub fn named(&self, id: &str, commit: Oid) -> Change {
        let found = self.get("admin", &format!("/changes/{}~master~{id}", self.name)).is(200);
        let number = found["_number"].as_u64().expect("a number");
        Change { number, id: id.to_owned(), commit, path: format!("/changes/{}~{number}", self.name) }
    }

    /// A new patch set with other content.
    pub fn amend(&self, change: &Change, subject: &str, files: &[(&str, &str)]) -> Change {
        let commit = self.commit(self.base, subject, &change.id, files);
        self.upload(commit);
        Change { commit, ..change.clone() }
    }

    /// The tip of a branch, fetched; `None` where there is no such branch.
    pub fn tip(&self, branch: &str) -> Option<Oid> {
        let spec = format!("+refs/heads/{branch}:refs/heads/{branch}");
        let (is_good, _) = self.git(&["fetch", "--quiet", &self.url("admin"), &spec]);
        is_good.then(|| self.git.refname_to_id(&format!("refs/heads/{branch}")).expect("it was just fetched"))
    }

    /// The parents of a commit that was fetched.
    pub fn parents(&self, commit: Oid) -> Vec<Oid> {
        self.git.find_commit(commit).expect("a commit").parent_ids().collect()
    }

    /// The events of this repository so far.
    pub fn events(&self) -> Vec<Value> {
        let all = self.server.events().since(self.since);
        let own = |event: &Value| {
            [&event["project"], &event["refUpdate"]["project"], &event["projectName"]]
                .iter()
                .any(|name| **name == self.name.as_str())
        };
        all.into_iter().filter(own).collect()
    }

    /// Waits for an event of a kind about a change.
    pub fn event(&self, kind: &str, change: &Change) -> Value {
        wait_for(&format!("{kind} of {}", change.number), || {
            let is = |event: &Value| event["type"] == kind && event["change"]["number"] == change.number;
            self.events().into_iter().rfind(is)
        })
    }

    /// Waits for an event of a ref.
    pub fn ref_event(&self, name: &str) -> Value {
        wait_for(&format!("the move of {name}"), || {
            self.events().into_iter().rfind(|event| event["refUpdate"]["refName"] == name)
        })
    }

    /// What the events are, in order: the type, or the ref that moved.
    pub fn story(&self) -> Vec<String> {
        let one = |event: &Value| {
            let word = event["refUpdate"]["refName"].as_str().or(event["type"].as_str());
            word.unwrap_or_default().to_owned()
        };
        self.events().iter().map(one).collect()
    }
}
