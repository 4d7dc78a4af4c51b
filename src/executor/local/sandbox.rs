//! The walls around a build: bubblewrap with a read-only view of the system, the build's own folders
//! and nothing else. When the daemon runs as root, each build gets an account number of its own:
//! an account that merely looks unprivileged from inside would still own root's files and sockets.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use rustix::fs::{AtFlags, CWD, Gid, Uid};

use super::record::Confinement;
use crate::model::BuildId;

/// First of the account numbers for builds; a range that systemd leaves to the machine's owner.
const FIRST_UID: u32 = 1_900_000_000;
/// How many there are: builds in flight at once must differ.
const UIDS: u64 = 10_000;

/// The parts of `/etc` that programs need and that hold no secrets; only what everybody may read.
const ETC: [&str; 26] = [
    "alternatives",
    "bash.bashrc",
    "ca-certificates",
    "ca-certificates.conf",
    "crypto-policies",
    "debian_version",
    "host.conf",
    "inputrc",
    "java-11-openjdk",
    "java-17-openjdk",
    "java-21-openjdk",
    "java-25-openjdk",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "localtime",
    "login.defs",
    "maven",
    "mime.types",
    "nsswitch.conf",
    "os-release",
    "pki",
    "protocols",
    "services",
    "ssl",
    "timezone",
];
/// The parts that change while builds run, so that they are shown as they are.
const LIVE_ETC: [&str; 2] = ["hosts", "resolv.conf"];
/// The parts that are made for each build.
const OWN_ETC: [&str; 2] = ["passwd", "group"];

/// Brings the copy of `/etc` up to date that all builds are shown: one mount instead of one for each
/// part saves 4 ms a build. Nothing is taken away, for builds may be reading it.
///
/// # Errors
/// Whatever the file system says about `etc`; parts of `/etc` that cannot be read are left out.
fn copy_etc(etc: &Path) -> io::Result<()> {
    fs::create_dir_all(etc)?;
    fs::set_permissions(etc, fs::Permissions::from_mode(0o755))?;
    for name in LIVE_ETC.iter().chain(&OWN_ETC) {
        fs::write(etc.join(name), "")?;
    }
    ETC.iter().try_for_each(|name| copy(&Path::new("/etc").join(name), etc, name.as_ref()))
}

fn copy(from: &Path, folder: &Path, name: &OsStr) -> io::Result<()> {
    let to = folder.join(name);
    let Ok(about) = fs::symlink_metadata(from) else { return Ok(()) };
    if about.is_symlink() {
        let Ok(target) = fs::read_link(from) else { return Ok(()) };
        if fs::read_link(&to).is_ok_and(|known| known == target) {
            return Ok(());
        }
        return replace(&to, |new| symlink(&target, new));
    }
    if about.permissions().mode() & 0o004 == 0 {
        return Ok(());
    }
    if about.is_dir() {
        fs::create_dir_all(&to)?;
        fs::set_permissions(&to, fs::Permissions::from_mode(0o755))?;
        let mut parts = fs::read_dir(from)?.flatten();
        return parts.try_for_each(|part| copy(&part.path(), &to, &part.file_name()));
    }
    let Ok(data) = fs::read(from) else { return Ok(()) };
    if fs::read(&to).is_ok_and(|known| known == data) {
        return Ok(());
    }
    replace(&to, |new| {
        fs::write(new, &data)?;
        fs::set_permissions(new, fs::Permissions::from_mode(0o644))
    })
}

/// Makes `path` anew beside it, then puts it in its place.
fn replace(path: &Path, make: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let new = Path::new(&new);
    if new.symlink_metadata().is_ok() {
        fs::remove_file(new)?;
    }
    make(new)?;
    fs::rename(new, path)
}

/// What the walls must let happen, and what not.
const PROBE: &str = "touch /build/x && ! test -e /etc/shadow && echo held";

/// Whether this process may give builds accounts of their own.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// The account number of a build's processes when the daemon runs as root.
pub fn uid_of(build: BuildId) -> u32 {
    FIRST_UID + u32::try_from(build.0 % UIDS).unwrap_or(0)
}

/// Makes the folders of a build (`work`, `tmp`, `home`, `etc`) in `folder`.
///
/// # Errors
/// Whatever the file system says.
pub fn make_folders(folder: &Path, uid: u32) -> io::Result<()> {
    for name in ["work", "tmp", "home", "etc"] {
        fs::create_dir(folder.join(name))?;
    }
    let uid = if is_root() { uid } else { rustix::process::getuid().as_raw() };
    let account = format!("root:x:0:0:root:/:/bin/sh\nbuilder:x:{uid}:{uid}:builder:/home/builder:/bin/sh\n");
    fs::write(folder.join("etc/passwd"), account)?;
    fs::write(folder.join("etc/group"), format!("root:x:0:\nbuilder:x:{uid}:\n"))
}

/// Gives all that lies in `folder` to `uid`, never through symbolic links.
///
/// # Errors
/// Whatever the file system says.
pub fn give_to(folder: &Path, uid: u32) -> io::Result<()> {
    let (owner, group) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(uid)));
    rustix::fs::chownat(CWD, folder, owner, group, AtFlags::SYMLINK_NOFOLLOW)?;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            give_to(&entry.path(), uid)?;
        } else {
            rustix::fs::chownat(CWD, entry.path(), owner, group, AtFlags::SYMLINK_NOFOLLOW)?;
        }
    }
    Ok(())
}

/// Removes a folder that a build has written in, also where it took its own rights away.
///
/// # Errors
/// Whatever the file system says, other than that there is no such folder.
pub fn remove_folder(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            allow_removal(folder)?;
            fs::remove_dir_all(folder)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn allow_removal(folder: &Path) -> io::Result<()> {
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            allow_removal(&entry.path())?;
        }
    }
    Ok(())
}

/// The command that runs `script` with `arguments` for the build in `folder`, in the folder `home` of
/// its work folder. Standard streams are the caller's to set.
pub fn command(folder: &Path, home: &str, uid: u32, walls: &Confinement, script: &str) -> Command {
    let mut command;
    if walls.unconfined {
        command = Command::new("sh");
        command.current_dir(folder.join("work").join(home));
        command.env_clear().env("HOME", folder.join("home")).env("TMPDIR", folder.join("tmp"));
    } else {
        command = Command::new("bwrap");
        // A working folder that is gone or out of reach must not matter.
        command.current_dir("/");
        add_walls(&mut command, folder, home, walls);
        command.env_clear().env("HOME", "/home/builder");
        if is_root() {
            let uid = uid.to_string();
            command.args(["setpriv", "--reuid", &uid, "--regid", &uid, "--clear-groups"]);
            command.args(["--inh-caps=-all", "--bounding-set=-all"]);
        }
        command.arg("sh");
    }
    command.env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    command.env("LANG", "C.UTF-8").env("CI", "true").env("TERM", "dumb");
    command.args(["-c", script, "sh"]);
    command
}

/// Where the copy of `/etc` lies, beside the folder of builds.
fn etc_of(folder: &Path) -> PathBuf {
    folder.join("../../etc")
}

fn add_walls(command: &mut Command, folder: &Path, home: &str, walls: &Confinement) {
    command.args(["--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"]);
    command.args(["--die-with-parent", "--new-session", "--hostname", "build"]);
    if !walls.network {
        command.arg("--unshare-net");
    }
    if is_root() {
        for capability in ["CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP"] {
            command.args(["--cap-add", capability]);
        }
    } else {
        command.args(["--unshare-user", "--cap-drop", "ALL"]);
    }
    // Folders on the way to a mount would otherwise be closed to all but root.
    for name in ["/home", "/var"] {
        command.args(["--perms", "0755", "--dir", name]);
    }
    command.args(["--symlink", "../tmp", "/var/tmp"]);
    command.args(["--ro-bind", "/usr", "/usr"]);
    for name in ["/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"] {
        match fs::read_link(name) {
            Ok(target) => command.arg("--symlink").arg(target).arg(name),
            Err(_) => command.args(["--ro-bind-try", name, name]),
        };
    }
    command.arg("--ro-bind").arg(etc_of(folder)).arg("/etc");
    for path in LIVE_ETC.map(|name| Path::new("/etc").join(name)) {
        command.arg("--ro-bind-try").arg(&path).arg(&path);
    }
    for name in OWN_ETC {
        command.arg("--ro-bind").arg(folder.join("etc").join(name)).arg(Path::new("/etc").join(name));
    }
    for path in &walls.visible {
        command.arg("--ro-bind-try").arg(path).arg(path);
    }
    let shown = |path: &Path| path.starts_with("/usr") || walls.visible.iter().any(|v| path.starts_with(v));
    for path in walls.hidden.iter().filter(|path| shown(path)) {
        command.arg("--tmpfs").arg(path);
    }
    command.args(["--proc", "/proc", "--dev", "/dev"]);
    for (name, place) in [("work", "/build"), ("tmp", "/tmp"), ("home", "/home/builder")] {
        command.arg("--bind").arg(folder.join(name)).arg(place);
    }
    // The root itself lies in memory: a build must not fill that.
    command.args(["--remount-ro", "/", "--chdir"]).arg(Path::new("/build").join(home)).arg("--");
}

/// Prepares the walls and tries them once, in `folder` (beside builds; made and removed here). `None` when they hold.
pub fn probe(folder: &Path, walls: &Confinement) -> Option<String> {
    if walls.unconfined {
        return None;
    }
    let uid = uid_of(BuildId(UIDS - 1));
    let tried = remove_folder(folder)
        .and_then(|()| fs::create_dir_all(folder))
        .and_then(|()| copy_etc(&etc_of(folder)))
        .and_then(|()| make_folders(folder, uid))
        .and_then(|()| if is_root() { give_to(&folder.join("work"), uid) } else { Ok(()) })
        .and_then(|()| run(command(folder, "", uid, walls, PROBE)));
    // What is left of a probe is removed by the next.
    let _ = remove_folder(folder);
    let why = match tried {
        Ok(output) if output.stdout == b"held\n" => return None,
        Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => "there is no bwrap".to_owned(),
        Err(error) => error.to_string(),
    };
    Some(format!(
        "builds cannot be kept apart ({why}): install bubblewrap (apt-get install bubblewrap) and allow user \
         namespaces, or set `unconfined = true` in [executor.local] if all code that is built is trusted"
    ))
}

fn run(mut command: Command) -> io::Result<Output> {
    command.stdin(Stdio::null()).output()
}
