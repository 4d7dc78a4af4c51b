//! Checkouts of ended builds, kept for the next build of the same repositories: it writes over their
//! files instead of making as many anew and having as many removed. File systems pay more for a new
//! file than for its bytes, and one without a journal passes over each that was removed of late.
//!
//! What the build has made or changed is removed, as its output may be large. And nothing in what is left
//! is trusted: a file's bytes, rights and owner are all written again, and what is anything but a plain
//! file with one name is left to be removed.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use rustix::fs::{
    AtFlags, CWD, FileType, IFlags, Mode, OFlags, RenameFlags, Timespec, Timestamps, UTIME_NOW,
};
use rustix::io::Errno;

use super::sandbox;
use crate::model::{BuildId, ResolvedInput};

/// The file of a build's folder whose time says when its checkout was laid out.
const LAID_OUT: &str = "started";

/// A folder of an ended build's checkout, with nobody left who could change it.
pub struct Old(OwnedFd);

impl Old {
    /// The folder of `repository` in the kept checkout `work`, if there is one.
    pub fn open(work: &Path, repository: &str) -> Option<Self> {
        let top = Self(rustix::fs::open(work, folder_flags(), Mode::empty()).ok()?);
        repository.split('/').try_fold(top, |folder, name| folder.folder(OsStr::new(name)))
    }

    /// A folder in it; `None` where there is none, or a link to one.
    pub fn folder(&self, name: &OsStr) -> Option<Self> {
        Some(Self(rustix::fs::openat(&self.0, name, folder_flags(), Mode::empty()).ok()?))
    }

    /// Moves its file `name` to the new path `to`, empty and with the rights `mode`; `None` where it has
    /// none that can be written over.
    ///
    /// # Errors
    /// That `to` exists, or whatever else the file system says once the file is moved.
    pub fn take(&self, name: &OsStr, to: &Path, mode: u32) -> Option<io::Result<File>> {
        let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.0, name, flags, Mode::empty()).ok()?;
        let about = rustix::fs::fstat(&file).ok()?;
        let is_plain = FileType::from_raw_mode(about.st_mode) == FileType::RegularFile && about.st_nlink == 1;
        if !is_plain || has_attributes(&file) {
            return None;
        }
        match rustix::fs::renameat_with(&self.0, name, CWD, to, RenameFlags::NOREPLACE) {
            Err(Errno::EXIST) => return Some(Err(Errno::EXIST.into())),
            Err(_) => return None,
            Ok(()) => {}
        }
        let emptied = rustix::fs::ftruncate(&file, 0)
            .and_then(|()| rustix::fs::fchmod(&file, Mode::from_raw_mode(mode)));
        Some(emptied.map(|()| File::from(file)).map_err(io::Error::from))
    }
}

fn folder_flags() -> OFlags {
    OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC
}

/// Whether a file has lists of rights or other attributes, but for the label that the system gives to each.
fn has_attributes(file: &OwnedFd) -> bool {
    let mut names = [0_u8; 256];
    match rustix::fs::flistxattr(file, &mut names) {
        Ok(length) => {
            names[..length].split(|byte| *byte == 0).any(|name| !matches!(name, b"" | b"security.selinux"))
        }
        Err(error) => error != Errno::NOTSUP,
    }
}

/// The checkouts that are kept: never more than builds have run at once.
pub struct Spares {
    folder: PathBuf,
    pool: Mutex<Pool>,
}

#[derive(Default)]
struct Pool {
    running: usize,
    most: usize,
    /// What each holds, and where it lies; the oldest first.
    kept: VecDeque<(String, PathBuf)>,
}

impl Spares {
    /// Makes `folder`, or has what an earlier daemon kept there removed.
    ///
    /// # Errors
    /// Whatever the file system says about `folder`.
    pub fn new(folder: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&folder)?;
        let old: Vec<PathBuf> = fs::read_dir(&folder)?.flatten().map(|entry| entry.path()).collect();
        if !old.is_empty() {
            thread::Builder::new().name("spares".to_owned()).spawn(move || remove(&old))?;
        }
        Ok(Self { folder, pool: Mutex::default() })
    }

    fn pool(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A build begins.
    pub fn begin(&self) {
        let mut pool = self.pool();
        pool.running += 1;
        pool.most = pool.most.max(pool.running);
    }

    /// A build has ended.
    pub fn end(&self) {
        let mut pool = self.pool();
        pool.running = pool.running.saturating_sub(1);
    }

    /// Moves a checkout of the repositories of `inputs` to `to`, if one is kept.
    pub fn lend(&self, inputs: &[ResolvedInput], to: &Path) {
        let wanted = contents(inputs);
        let found = {
            let mut pool = self.pool();
            let at = pool.kept.iter().rposition(|(holds, _)| *holds == wanted);
            at.and_then(|at| pool.kept.remove(at))
        };
        // One that cannot be moved is no loss, and is removed at the next start.
        let _ = found.map(|(_, path)| fs::rename(path, to));
    }

    /// Keeps the checkout of a build that has ended and whose folder is `folder`, as long as there is a
    /// place for it.
    pub fn keep(&self, build: BuildId, inputs: &[ResolvedInput], folder: &Path) {
        let (work, to) = (folder.join("work"), self.folder.join(format!("{}-{build}", std::process::id())));
        let kept = fs::metadata(folder.join(LAID_OUT))
            .and_then(|mark| trim(&work, (mark.mtime(), mark.mtime_nsec())))
            .and_then(|()| fs::rename(work, &to));
        if kept.is_err() {
            // Whoever removes the build's folders removes this one.
            return;
        }
        let mut pool = self.pool();
        pool.kept.push_back((contents(inputs), to));
        let over = pool.kept.len().saturating_sub(pool.most);
        let gone: Vec<PathBuf> = pool.kept.drain(..over).map(|(_, path)| path).collect();
        drop(pool);
        remove(&gone);
    }

    /// Removes all that is kept.
    pub fn clear(&self) {
        let gone: Vec<PathBuf> = self.pool().kept.drain(..).map(|(_, path)| path).collect();
        remove(&gone);
    }
}

/// Tells the file system that what lies in the folders of `folder` has nothing to do with each other, so
/// that it looks for room for each elsewhere. One that knows no such hint does as it does.
pub fn spread(folder: &Path) {
    let hinted = rustix::fs::open(folder, folder_flags(), Mode::empty()).and_then(|folder| {
        let flags = rustix::fs::ioctl_getflags(&folder)?;
        rustix::fs::ioctl_setflags(&folder, flags | IFlags::TOPDIR)
    });
    if let Err(error) = hinted {
        tracing::debug!("{} is not spread over its volume: {error}", folder.display());
    }
}

/// Notes in a build's folder that its checkout is laid out and nothing has run yet.
///
/// # Errors
/// Whatever the file system says.
pub fn mark_laid_out(folder: &Path) -> io::Result<()> {
    let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
    let now = Timestamps { last_access: now, last_modification: now };
    Ok(rustix::fs::utimensat(CWD, folder.join(LAID_OUT), &now, AtFlags::empty())?)
}

/// Removes what was made or changed in `folder` after `since` (by the file system's clock, which no build
/// can set back), git's own folders, and folders that are empty.
fn trim(folder: &Path, since: (i64, i64)) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let (path, about) = (entry.path(), entry.metadata()?);
        if !about.is_dir() {
            if (about.ctime(), about.ctime_nsec()) > since {
                fs::remove_file(path)?;
            }
        } else if entry.file_name() == ".git" {
            sandbox::remove_folder(&path)?;
        } else {
            trim(&path, since)?;
            // Mostly there is something in it.
            let _ = fs::remove_dir(&path);
        }
    }
    Ok(())
}

/// What fails now is tried again at the next start.
fn remove(paths: &[PathBuf]) {
    for path in paths {
        let _ = sandbox::remove_folder(path);
    }
}

fn contents(inputs: &[ResolvedInput]) -> String {
    inputs.iter().map(|input| input.pair.repository.as_str()).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    /// The flag by which a folder of ext4 is known.
    const EXTENTS: u32 = 0x0008_0000;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("seakeeper-spare-{}-{name}", std::process::id()));
            let _ = fs::remove_dir_all(&path);
            fs::create_dir_all(path.join("work/a/b")).unwrap();
            Self(path)
        }

        fn at(&self, name: &str) -> PathBuf {
            self.0.join(name)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn only_plain_files_with_one_name_are_taken_and_never_through_links() {
        let folder = Folder::new("take");
        let put = |name: &str| fs::write(folder.at(&format!("work/a/b/{name}")), "old old old").unwrap();
        ["plain", "twice", "there"].into_iter().for_each(put);
        fs::set_permissions(folder.at("work/a/b/plain"), fs::Permissions::from_mode(0o4777)).unwrap();
        fs::hard_link(folder.at("work/a/b/twice"), folder.at("outside")).unwrap();
        symlink(folder.at("outside"), folder.at("work/a/b/link")).unwrap();
        fs::create_dir(folder.at("work/a/b/folder")).unwrap();
        symlink("b", folder.at("work/a/c")).unwrap();
        fs::write(folder.at("new-there"), "new").unwrap();

        let old = Old::open(&folder.at("work"), "a/b").unwrap();
        let take = |name: &str| old.take(OsStr::new(name), &folder.at(&format!("new-{name}")), 0o644);
        for name in ["twice", "link", "folder", "nothing"] {
            assert!(take(name).is_none() && !folder.at(&format!("new-{name}")).exists(), "{name}");
        }
        assert_eq!(take("there").unwrap().unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        take("plain").unwrap().unwrap().write_all(b"new").unwrap();
        assert_eq!(fs::read(folder.at("new-plain")).unwrap(), b"new");
        assert_eq!(folder.at("new-plain").metadata().unwrap().mode() & 0o7777, 0o644);
        assert_eq!(fs::read(folder.at("outside")).unwrap(), b"old old old");
        assert!(Old::open(&folder.at("work"), "a/c").is_none(), "a link to a folder");
    }

    #[test]
    fn a_folder_is_marked_as_one_of_unrelated_things_where_that_can_be_said() {
        let folder = Folder::new("spread");
        let flags = || {
            let folder = rustix::fs::open(&folder.0, folder_flags(), Mode::empty()).unwrap();
            rustix::fs::ioctl_getflags(folder)
        };
        let before = flags();
        spread(&folder.0);
        if before.is_ok_and(|flags| flags.contains(IFlags::from_bits_retain(EXTENTS))) {
            assert!(flags().unwrap().contains(IFlags::TOPDIR), "ext4 takes the hint");
        }
    }

    #[test]
    fn what_a_build_has_made_or_changed_is_trimmed() {
        let folder = Folder::new("trim");
        for name in ["a/b/same", "a/b/changed"] {
            fs::write(folder.at(&format!("work/{name}")), "x").unwrap();
        }
        fs::write(folder.at(LAID_OUT), "").unwrap();
        mark_laid_out(&folder.0).unwrap();
        let mark = folder.at(LAID_OUT).metadata().unwrap();
        let changed = || {
            fs::write(folder.at("work/a/b/changed"), "y").unwrap();
            fs::create_dir_all(folder.at("work/new/.git")).unwrap();
            fs::write(folder.at("work/new/file"), "z").unwrap();
            folder.at("work/a/b/changed").metadata().unwrap()
        };
        // The file system's clock moves in steps.
        while changed().ctime_nsec() == mark.mtime_nsec() {}
        trim(&folder.at("work"), (mark.mtime(), mark.mtime_nsec())).unwrap();
        assert!(folder.at("work/a/b/same").exists());
        assert!(!folder.at("work/a/b/changed").exists() && !folder.at("work/new").exists());
    }
}
