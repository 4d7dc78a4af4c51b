//! Retention: which logs and records of ended builds are too old or too many, and how much room is left.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::Settings;

/// The entries of `folder` last changed more than `days` days ago.
pub fn old_entries(folder: &Path, days: u64) -> Vec<PathBuf> {
    let limit = Duration::from_secs(days.saturating_mul(86_400));
    let now = SystemTime::now();
    let old = |changed: &SystemTime| now.duration_since(*changed).is_ok_and(|age| age > limit);
    list(folder).into_iter().filter(|(changed, ..)| old(changed)).map(|(_, _, path)| path).collect()
}

/// Removes logs older than `days` days, then the oldest until the rest has at most `max_bytes`.
/// Those for which `keep` holds stay.
pub fn clean_logs(folder: &Path, days: u64, max_bytes: u64, keep: impl Fn(&Path) -> bool) {
    let remove = |path: &Path| !keep(path) && fs::remove_file(path).is_ok();
    for path in old_entries(folder, days) {
        remove(&path);
    }
    let mut logs = list(folder);
    logs.sort();
    let mut total: u64 = logs.iter().map(|(_, bytes, _)| bytes).sum();
    for (_, bytes, path) in logs {
        if total <= max_bytes {
            break;
        }
        if remove(&path) {
            total = total.saturating_sub(bytes);
        }
    }
}

/// Why there is too little room for a build; `None` when there is enough, or nobody can tell.
pub fn lack_of_room(settings: &Settings) -> Option<Arc<str>> {
    let least = settings.min_free_bytes;
    let volume = rustix::fs::statvfs(&settings.folder).ok()?;
    let free = volume.f_bavail.saturating_mul(volume.f_frsize);
    (free < least).then(|| {
        let (folder, free, least) = (settings.folder.display(), mebibytes(free), mebibytes(least));
        format!(
            "the volume of {folder} has {free} MiB free, and builds need {least}: free some space, or lower `[state] min-free`"
        )
        .into()
    })
}

fn mebibytes(bytes: u64) -> u64 {
    bytes.div_ceil(1 << 20)
}

fn list(folder: &Path) -> Vec<(SystemTime, u64, PathBuf)> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let known = entries.filter_map(|entry| {
        let about = entry.metadata().ok()?;
        Some((about.modified().ok()?, about.len(), entry.path()))
    });
    known.collect()
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    /// A folder with files of these names, ages in days and sizes, gone at the end.
    struct Folder(PathBuf);

    impl Folder {
        fn with(name: &str, files: &[(&str, u64, u64)]) -> Self {
            let path = std::env::temp_dir().join(format!("seakeeper-clean-{}-{name}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            for (file, days, bytes) in files {
                let file = File::create(path.join(file)).unwrap();
                file.set_len(*bytes).unwrap();
                file.set_modified(SystemTime::now() - Duration::from_secs(days * 86_400 + 60)).unwrap();
            }
            Self(path)
        }

        fn names(&self) -> Vec<String> {
            let names = fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().file_name());
            let mut names: Vec<String> = names.map(|name| name.into_string().unwrap()).collect();
            names.sort();
            names
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn old_logs_go_and_those_of_running_builds_stay() {
        let folder = Folder::with("old", &[("1.log", 40, 1), ("2.log", 40, 1), ("3.log", 20, 1)]);
        clean_logs(&folder.0, 30, 1_000, |path| path.ends_with("2.log"));
        assert_eq!(folder.names(), ["2.log", "3.log"]);
    }

    #[test]
    fn the_oldest_logs_go_until_the_rest_fits() {
        let folder = Folder::with("many", &[("1.log", 3, 600), ("2.log", 2, 600), ("3.log", 1, 600)]);
        clean_logs(&folder.0, 30, 1_200, |_| false);
        assert_eq!(folder.names(), ["2.log", "3.log"]);
    }
}
