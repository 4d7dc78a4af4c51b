//! One bare repository per Gerrit project: its handles, what its branches and nodes are, and which
//! commits are the daemon's own.

use std::collections::{BTreeSet, HashMap};
use std::fs::{self, DirBuilder, Permissions};
use std::ops::Deref;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex};
use std::time::{Duration, Instant};

use git2::Oid;

use super::fetch::Fetches;
use super::layout;
use super::lock;
use crate::model::{Branch, NodeId, Repository, Sha};

/// How often it is written down that a store is used.
const NOTE_EVERY: Duration = Duration::from_secs(3_600);
/// How many idle handles a store keeps.
const HANDLES: usize = 4;

/// A repository's store.
pub(super) struct Store {
    /// The project.
    pub repository: Repository,
    /// The bare repository's folder.
    pub path: PathBuf,
    /// The fetches, one at a time.
    pub fetches: Mutex<Fetches>,
    /// Told when a fetch has ended.
    pub fetched: Condvar,
    handles: Mutex<Vec<git2::Repository>>,
    set_aside: AtomicBool,
    nodes: Mutex<HashMap<(NodeId, Branch), Sha>>,
    /// Nodes that have refs here, of this run or an earlier one.
    held: Mutex<BTreeSet<NodeId>>,
    own: Mutex<HashMap<Sha, Option<Sha>>>,
    /// When its use was last written down.
    noted: Mutex<Option<Instant>>,
}

/// A commit that the daemon made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Own {
    pub commit: Sha,
    /// The patch set that it is a copy of; `None` for a merge commit.
    pub stands_for: Option<Sha>,
}

impl Store {
    /// Opens the store, making it if there is none. One that is no repository is moved aside.
    pub fn open(folder: &Path, repository: &Repository) -> Result<Self, String> {
        let path = layout::store_path(folder, repository);
        let failed = |error: &dyn std::fmt::Display| {
            format!("open the store of {repository}: {error}{}", remedy(error))
        };
        let parent = path.parent().unwrap_or(folder);
        DirBuilder::new().recursive(true).mode(0o700).create(parent).map_err(|error| failed(&error))?;
        let handle = match git2::Repository::open_bare(&path) {
            Ok(handle) => handle,
            Err(error) if error.code() == git2::ErrorCode::NotFound => {
                create(&path).map_err(|error| failed(&error))?
            }
            Err(error) => return Err(failed(&error)),
        };
        let store = Self {
            repository: repository.clone(),
            path,
            fetches: Mutex::default(),
            fetched: Condvar::new(),
            handles: Mutex::default(),
            set_aside: AtomicBool::new(false),
            nodes: Mutex::default(),
            held: Mutex::default(),
            own: Mutex::default(),
            noted: Mutex::default(),
        };
        store.load(&handle).map_err(|error| failed(&error))?;
        lock(&store.handles).push(handle);
        Ok(store)
    }

    /// The nodes and the daemon's own commits that an earlier run has kept.
    fn load(&self, handle: &git2::Repository) -> Result<(), git2::Error> {
        let mut own = lock(&self.own);
        for reference in handle.references_glob("refs/seakeeper/own/*")? {
            let reference = reference?;
            let stands_for = reference.name().ok().and_then(layout::stands_for);
            own.extend(reference.target().map(|commit| (sha(commit), stands_for)));
        }
        for reference in handle.references_glob("refs/seakeeper/nodes/*")? {
            let name = reference?.name().map(str::to_owned)?;
            let node = name.split('/').nth(3).and_then(|number| number.parse().ok());
            lock(&self.held).extend(node.map(NodeId));
        }
        Ok(())
    }

    /// A handle for the calling thread alone; it goes back when dropped.
    pub fn handle(&self) -> Result<Handle<'_>, String> {
        let kept = lock(&self.handles).pop();
        let handle = match kept {
            Some(handle) => handle,
            None => git2::Repository::open_bare(&self.path).map_err(|error| self.failed("open", &error))?,
        };
        Ok(Handle { store: self, handle: Some(handle) })
    }

    /// In words for the operator: what failed in which repository, and what to do.
    pub fn failed(&self, what: &str, error: &git2::Error) -> String {
        format!("{what} in the store of {}: {}{}", self.repository, error.message(), remedy(error))
    }

    /// What a node writes in a branch, if it was prepared and not released.
    pub fn node(&self, node: NodeId, branch: &Branch) -> Result<Option<Sha>, String> {
        if let Some(commit) = lock(&self.nodes).get(&(node, branch.clone())) {
            return Ok(Some(*commit));
        }
        let handle = self.handle()?;
        match handle.refname_to_id(&layout::node_ref(node, branch)) {
            Ok(commit) => Ok(Some(sha(commit))),
            Err(error) if error.code() == git2::ErrorCode::NotFound => Ok(None),
            Err(error) => Err(self.failed("read a node", &error)),
        }
    }

    /// Keeps what a node writes in a branch, and that the commits `own` are the daemon's.
    pub fn keep_node(&self, node: NodeId, branch: &Branch, commit: Sha, own: &[Own]) -> Result<(), String> {
        let handle = self.handle()?;
        let set = |name: &str, target: Sha| {
            let kept = handle.reference(name, oid(target), true, "prepared");
            kept.map(drop).map_err(|error| self.failed("keep a node", &error))
        };
        lock(&self.held).insert(node);
        for made in own {
            set(&layout::own_ref(node, made.commit, made.stands_for), made.commit)?;
            lock(&self.own).insert(made.commit, made.stands_for);
        }
        set(&layout::node_ref(node, branch), commit)?;
        lock(&self.nodes).insert((node, branch.clone()), commit);
        Ok(())
    }

    /// Lets a node's commits go. What is its own stays known as such while the daemon runs.
    pub fn release(&self, node: NodeId) -> Result<(), String> {
        if !lock(&self.held).remove(&node) {
            return Ok(());
        }
        lock(&self.nodes).retain(|(kept, _), _| *kept != node);
        let handle = self.handle()?;
        let failed = |error: git2::Error| self.failed("release a node", &error);
        for glob in [format!("refs/seakeeper/nodes/{node}/*"), format!("refs/seakeeper/own/{node}/*")] {
            for reference in handle.references_glob(&glob).map_err(failed)? {
                reference.and_then(|mut reference| reference.delete()).map_err(failed)?;
            }
        }
        Ok(())
    }

    /// A commit as one that the daemon made, if it is.
    pub fn own(&self, commit: Sha) -> Option<Own> {
        lock(&self.own).get(&commit).map(|stands_for| Own { commit, stands_for: *stands_for })
    }

    /// Whether the store has the object.
    pub fn has(&self, commit: Sha) -> bool {
        let Ok(handle) = self.handle() else { return false };
        handle.odb().is_ok_and(|odb| odb.exists(oid(commit)))
    }

    /// Moves a store that cannot be read aside, once, so that the next fetch gets all of it anew.
    /// Says whether it did.
    pub fn set_aside(&self) -> Result<bool, String> {
        if self.set_aside.swap(true, Ordering::Relaxed) {
            return Ok(false);
        }
        lock(&self.handles).clear();
        lock(&self.nodes).clear();
        let made = create(&self.path).map(|_| true);
        made.map_err(|error| format!("make the store of {} anew: {error}", self.repository))
    }

    /// Writes down, every hour at most, that the store is used.
    pub fn note_use(&self) {
        let mut noted = lock(&self.noted);
        if noted.is_none_or(|at| at.elapsed() > NOTE_EVERY) {
            super::upkeep::mark(&self.path.join(super::upkeep::USED));
            *noted = Some(Instant::now());
        }
    }

    /// Whether nothing was ever fetched: the first fetch takes longer than all others.
    pub fn is_new(&self) -> bool {
        fs::read_dir(self.path.join("objects/pack")).is_ok_and(|mut packs| packs.next().is_none())
    }
}

/// Makes an empty bare repository; what lies in its place is moved aside, replacing what was there.
fn create(path: &Path) -> Result<git2::Repository, git2::Error> {
    let io = |error: std::io::Error| git2::Error::from_str(&error.to_string());
    if path.exists() {
        let aside = path.with_extension("broken");
        if aside.exists() {
            fs::remove_dir_all(&aside).map_err(io)?;
        }
        fs::rename(path, &aside).map_err(io)?;
        tracing::warn!(store = %path.display(), "a store could not be read; it was moved aside and is fetched anew");
    }
    let mut options = git2::RepositoryInitOptions::new();
    options.bare(true).no_reinit(true).external_template(false);
    let handle = git2::Repository::init_opts(path, &options)?;
    fs::set_permissions(path, Permissions::from_mode(0o700)).map_err(io)?;
    Ok(handle)
}

/// What an operator does about an error, where its text tells.
pub(super) fn remedy(error: &dyn std::fmt::Display) -> &'static str {
    let text = error.to_string();
    if text.contains("No space left") || text.contains("Disk quota") {
        "; free some space on the volume of the state folder, it is tried again by itself"
    } else if text.contains("Permission denied") {
        "; let the daemon's user write in its state folder"
    } else {
        ""
    }
}

/// Whether an error's text means that the store itself is damaged.
pub(super) fn is_damage(text: &str) -> bool {
    let signs = [
        "corrupt",
        "bad object",
        "object not found",
        "unable to read tree",
        "missing blob",
        "is empty",
        "inflate",
        "does not match index",
    ];
    signs.iter().any(|sign| text.contains(sign))
}

/// A handle on loan.
pub(super) struct Handle<'a> {
    store: &'a Store,
    handle: Option<git2::Repository>,
}

impl Deref for Handle<'_> {
    type Target = git2::Repository;

    fn deref(&self) -> &git2::Repository {
        // The loan is only taken back on drop, so there is always a handle here.
        match &self.handle {
            Some(handle) => handle,
            None => unreachable!("a handle is on loan until it is dropped"),
        }
    }
}

impl Drop for Handle<'_> {
    fn drop(&mut self) {
        let mut handles = lock(&self.store.handles);
        if handles.len() < HANDLES {
            handles.extend(self.handle.take());
        }
    }
}

/// git2's id of an object.
pub(super) fn oid(sha: Sha) -> Oid {
    Oid::from_bytes(&sha.0).unwrap_or(Oid::ZERO_SHA1)
}

/// The model's id of an object.
pub(super) fn sha(oid: Oid) -> Sha {
    let mut bytes = [0; 20];
    bytes.copy_from_slice(&oid.as_bytes()[..20]);
    Sha(bytes)
}
