//! Retention: which logs and records of ended builds are too old or too many.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

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

fn list(folder: &Path) -> Vec<(SystemTime, u64, PathBuf)> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let known = entries.filter_map(|entry| {
        let about = entry.metadata().ok()?;
        Some((about.modified().ok()?, about.len(), entry.path()))
    });
    known.collect()
}
