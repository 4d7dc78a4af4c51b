//! A repository of one test: commits made in process, uploaded with git as authors do.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};

use git2::build::TreeUpdateBuilder;
use git2::{FileMode, ObjectType, Oid, Repository, Signature};

use super::people::Person;

/// A change that was uploaded.
#[derive(Clone, Debug)]
pub struct Change {
    /// Its number.
    pub number: u64,
    /// Its Change-Id.
    pub change_id: String,
    /// The commit of the patch set last uploaded here.
    pub commit: Oid,
    /// Its repository.
    pub repository: String,
    /// The first line of its message.
    pub subject: String,
}

impl Change {
    /// Its path in the REST API, in the form that needs no index.
    pub fn path(&self) -> String {
        format!("/changes/{}~{}", super::people::encode(&self.repository), self.number)
    }
}

/// A file and its new content; `None` removes it.
pub type File<'a> = (&'a str, Option<&'a str>);

/// A repository at Gerrit and a bare clone of it.
pub struct Project {
    /// Its name at Gerrit.
    pub name: String,
    /// The tip of master when it was made.
    pub base: Oid,
    author: Person,
    git: Repository,
}

impl Project {
    /// Clones the new repository `name` below `folder`; `author` uploads.
    pub fn open(folder: &Path, name: &str, author: &Person) -> Self {
        let git = Repository::init_bare(folder.join(name)).expect("a bare repository can be made");
        let mut project = Self { name: name.to_owned(), base: Oid::ZERO_SHA1, author: author.clone(), git };
        project.base = project.tip("master");
        project
    }

    /// The tip of a branch at the server, fetched.
    pub fn tip(&self, branch: &str) -> Oid {
        let spec = format!("+refs/heads/{branch}:refs/heads/{branch}");
        self.run(&["fetch", "--quiet", &self.author.git_url(&self.name), &spec]);
        self.git.refname_to_id(&format!("refs/heads/{branch}")).expect("the branch exists")
    }

    /// A commit with `files` changed against its first parent.
    pub fn commit(&self, parents: &[Oid], message: &str, files: &[File]) -> Oid {
        self.commit_by(&self.author.user.clone(), parents, message, files)
    }

    fn commit_by(&self, user: &str, parents: &[Oid], message: &str, files: &[File]) -> Oid {
        let parents: Vec<_> = parents.iter().map(|id| self.git.find_commit(*id).expect("parent")).collect();
        let mut update = TreeUpdateBuilder::new();
        for (path, content) in files {
            match content {
                Some(text) => {
                    let blob = self.git.blob(text.as_bytes()).expect("a blob can be written");
                    update.upsert(*path, blob, FileMode::Blob);
                }
                None => drop(update.remove(*path)),
            }
        }
        let tree = parents[0].tree().expect("a commit has a tree");
        let tree = update.create_updated(&self.git, &tree).expect("the tree can be written");
        let tree = self.git.find_tree(tree).expect("it was just written");
        let who = Signature::new(user, &format!("{user}@example.com"), &next_date()).expect("a plain name");
        let parents: Vec<_> = parents.iter().collect();
        self.git.commit(None, &who, &who, message, &tree, &parents).expect("a commit can be written")
    }

    /// Uploads a commit for review of `branch`; Gerrit's words.
    pub fn upload(&self, commit: Oid, branch: &str) -> String {
        self.push(&self.author, commit, &format!("refs/for/{branch}"))
            .unwrap_or_else(|words| panic!("upload to {}: {words}", self.name))
    }

    /// Pushes a commit as somebody.
    ///
    /// # Errors
    /// Git's and Gerrit's words when it is refused.
    pub fn push(&self, by: &Person, commit: Oid, to: &str) -> Result<String, String> {
        let output = self.git_command(&["push", &by.git_url(&self.name), &format!("{commit}:{to}")]);
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.success() { Ok(words) } else { Err(words) }
    }

    /// A new change on the tip that the repository had at first.
    pub fn change(&self, subject: &str, files: &[File]) -> Change {
        self.change_on(&[self.base], subject, files)
    }

    /// A new change on these parents.
    pub fn change_on(&self, parents: &[Oid], subject: &str, files: &[File]) -> Change {
        self.create("master", parents, subject, files)
    }

    /// A new change for another branch.
    pub fn change_for(&self, branch: &str, subject: &str, files: &[File]) -> Change {
        self.create(branch, &[self.base], subject, files)
    }

    /// `words` may be a whole message; its first line is the subject.
    fn create(&self, branch: &str, parents: &[Oid], words: &str, files: &[File]) -> Change {
        let change_id = new_change_id();
        self.say(branch, parents, &format!("{words}\n\nChange-Id: {change_id}\n"), &change_id, files)
    }

    /// A new change with `Depends-On` footers.
    pub fn change_needing(&self, subject: &str, needs: &[&str], files: &[File]) -> Change {
        let change_id = new_change_id();
        let footers: String = needs.iter().map(|need| format!("Depends-On: {need}\n")).collect();
        let message = format!("{subject}\n\n{footers}Change-Id: {change_id}\n");
        self.say("master", &[self.base], &message, &change_id, files)
    }

    /// A new change on these parents with exactly this message, which should name `change_id`.
    pub fn change_saying(&self, parents: &[Oid], message: &str, change_id: &str, files: &[File]) -> Change {
        self.say("master", parents, message, change_id, files)
    }

    fn say(&self, branch: &str, parents: &[Oid], message: &str, id: &str, files: &[File]) -> Change {
        let commit = self.commit(parents, message, files);
        let answer = self.upload(commit, branch);
        self.named(commit, id, message.lines().next().unwrap_or_default(), &answer)
    }

    /// The message of a commit that was fetched.
    pub fn message(&self, commit: Oid) -> String {
        let found = self.git.find_commit(commit).expect("a commit");
        String::from_utf8_lossy(found.message_bytes()).into_owned()
    }

    /// The address of a commit's author, and of its committer.
    pub fn people_of(&self, commit: Oid) -> (String, String) {
        let found = self.git.find_commit(commit).expect("a commit");
        let address = |who: &Signature| who.email().unwrap_or_default().to_owned();
        (address(&found.author()), address(&found.committer()))
    }

    /// A new patch set of `change`, on the same parents unless others are given.
    pub fn amend(&self, change: &Change, parents: Option<&[Oid]>, files: &[File]) -> Change {
        let old: Vec<Oid> =
            self.git.find_commit(change.commit).expect("uploaded here").parent_ids().collect();
        let message = format!("{}\n\nChange-Id: {}\n", change.subject, change.change_id);
        let commit = self.commit(parents.unwrap_or(&old), &message, files);
        self.upload(commit, "master");
        Change { commit, ..change.clone() }
    }

    /// `count` independent changes by one push: as the parents of a merge, which is then abandoned.
    /// Each takes 0.2 s when it is pushed alone, and Gerrit refuses two of them in one request.
    pub fn many(&self, count: usize, files_of: impl Fn(usize) -> Vec<(String, String)>) -> Vec<Change> {
        let commits: Vec<_> = (0..count)
            .map(|at| {
                let files = files_of(at);
                let files: Vec<File> = files.iter().map(|(path, text)| (&**path, Some(&**text))).collect();
                let (change_id, subject) = (new_change_id(), format!("Change {at:03}"));
                let message = format!("{subject}\n\nChange-Id: {change_id}\n");
                (self.commit(&[self.base], &message, &files), change_id, subject)
            })
            .collect();
        let parents: Vec<Oid> = commits.iter().map(|(commit, ..)| *commit).collect();
        let carrier_id = new_change_id();
        let carrier = self.commit(
            &parents,
            &format!("Carrier\n\nChange-Id: {carrier_id}\n"),
            &[("carrier", Some("x"))],
        );
        let words = self.upload(carrier, "master");
        self.author.tell(&self.named(carrier, &carrier_id, "Carrier", &words), "abandon");
        commits.into_iter().map(|(commit, id, subject)| self.named(commit, &id, &subject, &words)).collect()
    }

    /// The change whose number Gerrit's answer to an upload gives: `remote:  URL/+/NUMBER SUBJECT [NEW]`.
    fn named(&self, commit: Oid, change_id: &str, subject: &str, words: &str) -> Change {
        let number = words.lines().find_map(|line| {
            let (number, rest) = line.split_once("/+/")?.1.split_once(' ')?;
            let rest = rest.trim_end().strip_suffix("[NEW]")?.trim_end();
            let rest = rest.strip_suffix("[PRIVATE]").unwrap_or(rest).trim_end();
            (rest == subject).then(|| number.parse().ok())?
        });
        let number = number.unwrap_or_else(|| panic!("no number of `{subject}` in: {words}"));
        Change {
            number,
            change_id: change_id.to_owned(),
            commit,
            repository: self.name.clone(),
            subject: subject.to_owned(),
        }
    }

    /// The commits that the branch went through since the repository was made, oldest first.
    pub fn first_parents(&self, branch: &str) -> Vec<Oid> {
        let mut walk = self.git.revwalk().expect("a walk");
        walk.simplify_first_parent().expect("a walk");
        walk.push(self.tip(branch)).expect("the tip exists");
        walk.hide(self.base).expect("the base exists");
        let mut commits: Vec<Oid> = walk.map(|id| id.expect("a commit")).collect();
        commits.reverse();
        commits
    }

    /// All commits that came in since the repository was made, with their committer's address.
    pub fn came_in(&self, branch: &str) -> BTreeMap<Oid, String> {
        let mut walk = self.git.revwalk().expect("a walk");
        walk.push(self.tip(branch)).expect("the tip exists");
        walk.hide(self.base).expect("the base exists");
        walk.map(|id| {
            let commit = self.git.find_commit(id.expect("a commit")).expect("a commit");
            (commit.id(), commit.committer().email().unwrap_or_default().to_owned())
        })
        .collect()
    }

    /// Whether `commit` is in the history of `of`.
    pub fn contains(&self, of: Oid, commit: Oid) -> bool {
        of == commit || self.git.graph_descendant_of(of, commit).unwrap_or(false)
    }

    /// The parents of a commit.
    pub fn parents(&self, commit: Oid) -> Vec<Oid> {
        self.git.find_commit(commit).expect("a commit").parent_ids().collect()
    }

    /// The commit's files as they are, in a new folder.
    pub fn check_out(&self, commit: Oid, to: PathBuf) -> PathBuf {
        std::fs::create_dir_all(&to).expect("a folder can be made");
        let tree = self.git.find_object(commit, Some(ObjectType::Commit)).expect("a commit");
        let mut options = git2::build::CheckoutBuilder::new();
        options.target_dir(&to).force().update_index(false);
        self.git.checkout_tree(&tree, Some(&mut options)).expect("the tree can be checked out");
        to
    }

    fn run(&self, args: &[&str]) {
        let output = self.git_command(args);
        assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn git_command(&self, args: &[&str]) -> std::process::Output {
        Command::new("git")
            .arg("-C")
            .arg(self.git.path())
            .args(args)
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .output()
            .expect("git can be run")
    }
}

/// Dates that grow by a second per commit: Gerrit numbers the changes of one push in their order.
fn next_date() -> git2::Time {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let at = 1_700_000_000 + COUNT.fetch_add(1, Ordering::Relaxed);
    git2::Time::new(i64::try_from(at).expect("a small number"), 0)
}

/// A Change-Id that nobody has.
pub fn new_change_id() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let seed = format!("{}-{}", super::story::stamp(), COUNT.fetch_add(1, Ordering::Relaxed));
    let id = Oid::hash_object(ObjectType::Blob, seed.as_bytes()).expect("bytes can be hashed");
    format!("I{id}")
}
