//! Lays out a build's inputs: fresh folders with exactly the restricted trees.
//!
//! Trees are hostile: they may hold duplicate entries, symbolic links where folders follow, and names
//! such as `..`. Every folder and file is new at its place, be it made or moved there to be written over,
//! so nothing is ever written through something that the tree planted.

use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use git2::{ErrorCode, ObjectType, Odb, Oid, Repository, RepositoryOpenFlags, Signature, Time, Tree};

use super::spare::Old;
use crate::model::ResolvedInput;

/// Up to so many objects are copied one by one; above, one pack of them is cheaper.
const LOOSE_OBJECTS: usize = 4;
/// Up to so many objects are packed in this process; above, a `git pack-objects` process is cheaper.
const PACKED_HERE: usize = 1_000;
/// How deep folders may lie in each other.
const MAX_DEPTH: usize = 200;

/// Why an input could not be laid out.
#[derive(Debug, thiserror::Error)]
pub enum CheckoutError {
    /// The tree itself cannot be checked out, here or anywhere: the change's own failure.
    #[error("check out {path:?}: {why}; rename it")]
    Hostile { path: String, why: &'static str },
    /// The repository's or branch's configuration asks for what cannot be.
    #[error("check out {0:?}: not a folder name that a build can have; rename the project or drop the input")]
    Name(String),
    /// The store lacks something or is damaged.
    #[error("read {what} from {store}: {why}; the daemon fetches it again when the build is repeated")]
    Store { what: String, store: String, why: String },
    /// The file system said no.
    #[error("write the checkout: {0}; look at the volume of the builds folder")]
    Disk(#[from] io::Error),
}

/// The folder of `repository` below `work`, if its name is fit for one.
///
/// # Errors
/// When the name would leave `work` or hide in a `.git`.
pub fn folder_of(work: &Path, repository: &str) -> Result<PathBuf, CheckoutError> {
    let fit = |part: &str| is_fit(part.as_bytes());
    if repository.split('/').all(fit) {
        Ok(work.join(repository))
    } else {
        Err(CheckoutError::Name(repository.to_owned()))
    }
}

fn is_fit(part: &[u8]) -> bool {
    !part.is_empty()
        && part != b"."
        && part != b".."
        && !part.eq_ignore_ascii_case(b".git")
        && !part.iter().any(|byte| matches!(byte, 0 | b'/'))
}

/// Lays out `input` from the bare repository `store` in its folder below `work`; files of the kept
/// checkout `spare` are written over where there are such.
///
/// # Errors
/// See [`CheckoutError`]; what was written until then is left for the caller to remove.
pub fn lay_out(store: &Path, work: &Path, spare: &Path, input: &ResolvedInput) -> Result<(), CheckoutError> {
    let target = folder_of(work, input.pair.repository.as_str())?;
    let old = Old::open(spare, input.pair.repository.as_str());
    if let Some(parent) = target.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::create_dir(&target)?;
    let unread = |what: String| {
        move |error: git2::Error| CheckoutError::Store {
            what,
            store: store.display().to_string(),
            why: error.message().to_owned(),
        }
    };
    let flags = RepositoryOpenFlags::NO_SEARCH | RepositoryOpenFlags::BARE;
    let from =
        Repository::open_ext(store, flags, &[] as &[&OsStr]).map_err(unread("the repository".to_owned()))?;
    let commit = Oid::from_bytes(&input.commit.0).map_err(unread(format!("commit {}", input.commit)))?;
    let tree = from
        .find_commit(commit)
        .and_then(|commit| commit.tree())
        .map_err(unread(format!("commit {}", input.commit)))?;
    make_git_folder(&target)?;
    let to = Repository::open(&target).map_err(unread("the new checkout".to_owned()))?;
    let from_odb = from.odb().map_err(unread("the objects".to_owned()))?;
    let to_odb = to.odb().map_err(unread("the new objects".to_owned()))?;
    let mut layer =
        Layer { from: &from, from_odb: &from_odb, to_odb: &to_odb, input, store, copied: Vec::new() };
    let top =
        layer.write_tree(&tree, Place { target: &target, old: old.as_ref() }, &mut Vec::new(), false, 0)?;
    let copied = std::mem::take(&mut layer.copied);
    drop(layer);
    let head = if input.history {
        pack(store, &target, &format!("{commit}\n"), true)?;
        commit
    } else {
        copy_objects(store, &target, &from, &to_odb, &copied)?;
        let top = match top {
            Some(top) => top,
            None => to_odb.write(ObjectType::Tree, &[]).map_err(unread("the empty tree".to_owned()))?,
        };
        write_root_commit(&to, top).map_err(unread("the new commit".to_owned()))?
    };
    fs::write(target.join(".git/HEAD"), format!("{head}\n"))?;
    write_index(&to, head, top).map_err(unread("the new index".to_owned()))
}

fn make_git_folder(target: &Path) -> io::Result<()> {
    let git = target.join(".git");
    for folder in ["", "objects", "objects/pack", "refs"] {
        fs::create_dir(git.join(folder))?;
    }
    fs::write(git.join("HEAD"), "ref: refs/heads/main\n")?;
    fs::write(
        git.join("config"),
        "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = false\n",
    )
}

/// The one commit of a checkout without history: same tree, same commit, whoever made the change.
fn write_root_commit(to: &Repository, tree: Oid) -> Result<Oid, git2::Error> {
    let who = Signature::new("Seakeeper", "seakeeper@localhost", &Time::new(946_684_800, 0))?;
    to.commit(None, &who, &who, "Tree under test\n", &to.find_tree(tree)?, &[])
}

/// An index that agrees with what was written, so that `git status` shows a clean folder.
fn write_index(to: &Repository, head: Oid, top: Option<Oid>) -> Result<(), git2::Error> {
    to.odb()?.refresh()?;
    let tree = match top.map(|top| to.find_tree(top)) {
        Some(Ok(tree)) => tree,
        _ => to.find_commit(head)?.tree()?,
    };
    let mut index = to.index()?;
    index.read_tree(&tree)?;
    index.write()
}

/// A new folder, and the one of a kept checkout whose files may be moved there.
#[derive(Clone, Copy)]
struct Place<'a> {
    target: &'a Path,
    old: Option<&'a Old>,
}

struct Layer<'a> {
    from: &'a Repository,
    from_odb: &'a Odb<'a>,
    to_odb: &'a Odb<'a>,
    input: &'a ResolvedInput,
    store: &'a Path,
    /// Objects that go over as they are.
    copied: Vec<Oid>,
}

impl Layer<'_> {
    /// Writes what of `tree` (at `path`) is wanted into the existing folder `place`; gives the id of
    /// the tree that holds just that, `None` when it is empty. `inside`: all below `path` is wanted.
    fn write_tree(
        &mut self,
        tree: &Tree,
        place: Place,
        path: &mut Vec<u8>,
        inside: bool,
        depth: usize,
    ) -> Result<Option<Oid>, CheckoutError> {
        if depth > MAX_DEPTH {
            return Err(hostile(path, "folders lie too deep in each other"));
        }
        let mark = path.len();
        let mut kept: Vec<u8> = Vec::new();
        let mut whole = true;
        for entry in tree {
            let name = entry.name_bytes();
            path.truncate(mark);
            if mark > 0 {
                path.push(b'/');
            }
            path.extend_from_slice(name);
            if !is_fit(name) {
                return Err(hostile(path, "no file in a checkout may have such a name"));
            }
            let wanted = if inside { Wanted::All } else { self.wanted(path) };
            let name = OsStr::from_bytes(name);
            let file = place.target.join(name);
            let id = match (wanted, entry.kind()) {
                (Wanted::No, _) => None,
                (_, Some(ObjectType::Tree)) => {
                    let tree = self.from.find_tree(entry.id()).map_err(|error| self.unread(path, &error))?;
                    fresh(path, fs::create_dir(&file))?;
                    let old = place.old.and_then(|old| old.folder(name));
                    let below = Place { target: &file, old: old.as_ref() };
                    let id = self.write_tree(&tree, below, path, wanted == Wanted::All, depth + 1)?;
                    if id.is_none() {
                        fs::remove_dir(&file)?;
                    }
                    id
                }
                (Wanted::Below, _) => None,
                _ if self.ignores(path) => None,
                (_, Some(ObjectType::Commit)) => {
                    fresh(path, fs::create_dir(&file))?;
                    Some(entry.id())
                }
                _ => {
                    self.write_file(place, name, path, entry.id(), entry.filemode_raw())?;
                    Some(entry.id())
                }
            };
            whole &= id == Some(entry.id());
            if let Some(id) = id {
                kept.extend_from_slice(format!("{:o} ", entry.filemode_raw()).as_bytes());
                kept.extend_from_slice(name.as_bytes());
                kept.push(0);
                kept.extend_from_slice(id.as_bytes());
            }
        }
        path.truncate(mark);
        if whole && !kept.is_empty() {
            self.copied.push(tree.id());
            return Ok(Some(tree.id()));
        }
        if kept.is_empty() {
            return Ok(None);
        }
        let id = self.to_odb.write(ObjectType::Tree, &kept).map_err(|error| self.unread(path, &error))?;
        Ok(Some(id))
    }

    fn write_file(
        &mut self,
        place: Place,
        name: &OsStr,
        path: &[u8],
        id: Oid,
        mode: i32,
    ) -> Result<(), CheckoutError> {
        let blob = self.from_odb.read(id).map_err(|error| self.unread(path, &error))?;
        if blob.kind() != ObjectType::Blob {
            return Err(hostile(path, "its entry is no file"));
        }
        self.copied.push(id);
        let file = &place.target.join(name);
        if mode == 0o120_000 {
            return fresh(path, symlink(OsStr::from_bytes(blob.data()), file));
        }
        let mode = if mode & 0o111 == 0 { 0o644 } else { 0o755 };
        let taken = place.old.and_then(|old| old.take(name, file, mode));
        let made =
            taken.unwrap_or_else(|| OpenOptions::new().write(true).create_new(true).mode(mode).open(file));
        made.and_then(|mut out| out.write_all(blob.data())).or_else(|error| fresh(path, Err(error)))
    }

    fn wanted(&self, path: &[u8]) -> Wanted {
        if self.input.paths.is_empty() {
            return Wanted::All;
        }
        let below = |long: &[u8], short: &[u8]| {
            long.starts_with(short) && matches!(long.get(short.len()), None | Some(b'/'))
        };
        let mut wanted = Wanted::No;
        for limit in &self.input.paths {
            let limit = limit.trim_matches('/').as_bytes();
            if limit.is_empty() || below(path, limit) {
                return Wanted::All;
            }
            if below(limit, path) {
                wanted = Wanted::Below;
            }
        }
        wanted
    }

    fn ignores(&self, path: &[u8]) -> bool {
        !self.input.ignored_files.0.is_empty()
            && self.input.ignored_files.matches(&String::from_utf8_lossy(path))
    }

    fn unread(&self, path: &[u8], error: &git2::Error) -> CheckoutError {
        let store = self.store.display().to_string();
        let why = if error.code() == ErrorCode::NotFound { "it is missing" } else { error.message() };
        CheckoutError::Store { what: String::from_utf8_lossy(path).into_owned(), store, why: why.to_owned() }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    No,
    /// Something below it may be.
    Below,
    All,
}

fn hostile(path: &[u8], why: &'static str) -> CheckoutError {
    CheckoutError::Hostile { path: String::from_utf8_lossy(path).into_owned(), why }
}

/// Tells the errors that the tree is to blame for from those of the machine.
fn fresh(path: &[u8], result: io::Result<()>) -> Result<(), CheckoutError> {
    result.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => hostile(path, "the tree has the name twice"),
        io::ErrorKind::InvalidFilename | io::ErrorKind::InvalidInput | io::ErrorKind::NotFound => {
            hostile(path, "the name or link is too long, empty or malformed")
        }
        _ => CheckoutError::Disk(error),
    })
}

fn copy_objects(
    store: &Path,
    target: &Path,
    from: &Repository,
    to: &Odb,
    ids: &[Oid],
) -> Result<(), CheckoutError> {
    let unread = |what: String| {
        move |error: git2::Error| CheckoutError::Store {
            what,
            store: store.display().to_string(),
            why: error.message().to_owned(),
        }
    };
    if ids.len() > PACKED_HERE {
        let list: String = ids.iter().map(|id| format!("{id}\n")).collect();
        return pack(store, target, &list, false);
    }
    if ids.len() > LOOSE_OBJECTS {
        return pack_here(target, from, ids).map_err(unread("the objects".to_owned()));
    }
    let odb = from.odb().map_err(unread("the objects".to_owned()))?;
    for id in ids {
        let copied = odb.read(*id).and_then(|object| to.write(object.kind(), object.data()));
        copied.map_err(unread(format!("object {id}")))?;
    }
    Ok(())
}

/// Packs objects into the checkout: one file instead of many.
fn pack_here(target: &Path, from: &Repository, ids: &[Oid]) -> Result<(), git2::Error> {
    let mut builder = from.packbuilder()?;
    builder.set_threads(1);
    ids.iter().try_for_each(|id| builder.insert_object(*id, None))?;
    builder.write(&target.join(".git/objects/pack"), 0o444)
}

/// Packs objects of `store` into the checkout: those listed, or all reachable from them (`walk`).
fn pack(store: &Path, target: &Path, list: &str, walk: bool) -> Result<(), CheckoutError> {
    let mut command = Command::new("git");
    command.arg("--git-dir").arg(store);
    command.args(["pack-objects", "-q", "--delta-base-offset", "--threads=1", "--window=0"]);
    if walk {
        command.arg("--revs");
    }
    command.arg(target.join(".git/objects/pack/pack"));
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    if let Some(mut input) = child.stdin.take() {
        // A broken pipe shows in the status below.
        let _ = input.write_all(list.as_bytes());
    }
    let output = child.wait_with_output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(CheckoutError::Store {
        what: "the objects (git pack-objects)".to_owned(),
        store: store.display().to_string(),
        why: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    })
}
