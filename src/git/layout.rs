//! Where things lie: the folder of a repository's store, and the names of the refs in it.
//!
//! Names come from other people. Each becomes one path component by an injective encoding, so that
//! no name reaches out of its folder and no two names share one.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::model::{Branch, ChangeNumber, NodeId, PatchSet, Repository, Sha};

/// The folder of all stores, under the state folder.
pub(super) const STORES: &str = "repositories";

/// Longest encoded name that is used as it is; file systems take 255 bytes, some are for suffixes.
const LONGEST_NAME: usize = 200;

/// The folder of the bare repository that mirrors `repository`, under the state folder `folder`.
pub fn store_path(folder: &Path, repository: &Repository) -> PathBuf {
    folder.join(STORES).join(format!("{}.git", encode(repository.as_str())))
}

/// `name` as one path component that is also one component of a ref.
///
/// Letters, digits, `_`, `-` and dots inside stay; all else is percent-encoded. What is too long is
/// cut and completed by a digest after `%%`, which nothing else contains.
pub(super) fn encode(name: &str) -> String {
    let mut encoded = String::with_capacity(name.len());
    let bytes = name.as_bytes();
    for (at, byte) in bytes.iter().enumerate() {
        let inner_dot = *byte == b'.' && at > 0 && at + 1 < bytes.len() && bytes[at - 1] != b'.';
        if byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-') || inner_dot {
            encoded.push(char::from(*byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    if encoded.ends_with(".lock") {
        encoded.truncate(encoded.len() - 5);
        encoded.push_str("%2Elock");
    }
    if encoded.len() > LONGEST_NAME {
        let digest = Sha256::digest(name.as_bytes());
        encoded.truncate(LONGEST_NAME - 42);
        encoded.push_str("%%");
        digest.iter().take(20).for_each(|byte| encoded.push_str(&format!("{byte:02x}")));
    }
    encoded
}

/// The review host's ref of a patch set; the store keeps it under the same name.
pub(super) fn change_ref(change: ChangeNumber, patchset: PatchSet) -> String {
    format!("refs/changes/{:02}/{change}/{patchset}", change.0 % 100)
}

/// A branch's ref on the review host.
pub(super) fn head_ref(branch: &Branch) -> String {
    format!("refs/heads/{branch}")
}

/// Where the store keeps a branch's tip: flat, so that `a` may give way to `a/b`.
pub(super) fn tip_ref(branch: &Branch) -> String {
    format!("refs/seakeeper/tips/{}", encode(branch.as_str()))
}

/// Where the store keeps what a node writes in a branch.
pub(super) fn node_ref(node: NodeId, branch: &Branch) -> String {
    format!("refs/seakeeper/nodes/{node}/{}", encode(branch.as_str()))
}

/// Where the store keeps that a commit is the daemon's own, and which patch set it stands for if it
/// is a copy of one.
pub(super) fn own_ref(node: NodeId, commit: Sha, stands_for: Option<Sha>) -> String {
    match stands_for {
        None => format!("refs/seakeeper/own/{node}/{commit}"),
        Some(revision) => format!("refs/seakeeper/own/{node}/{commit}/{revision}"),
    }
}

/// The patch set that the commit kept under such a name stands for.
pub(super) fn stands_for(own_ref: &str) -> Option<Sha> {
    own_ref.split('/').nth(5).and_then(Sha::parse)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_single_harmless_components() {
        let long = "x/".repeat(300);
        let names = [
            "core",
            "a/b",
            "a%2Fb",
            "..",
            ".",
            ".git",
            "a..b",
            "a.b",
            "a.",
            "-x",
            "x.lock",
            "A",
            "a",
            "é",
            "a b",
            "a\nb",
            "",
            "x.git",
            long.as_str(),
        ];
        let mut seen = std::collections::BTreeSet::new();
        for name in names {
            let encoded = encode(name);
            assert!(seen.insert(encoded.clone()), "{name} shares {encoded}");
            assert!(encoded.len() <= LONGEST_NAME && !encoded.contains('/'), "{encoded}");
            let reference = format!("refs/seakeeper/tips/{encoded}");
            assert!(name.is_empty() || git2::Reference::is_valid_name(&reference), "{reference}");
            let path = store_path(Path::new("/state"), &name.into());
            assert_eq!(path.parent(), Some(Path::new("/state/repositories")), "{name:?}");
        }
    }

    #[test]
    fn change_refs_are_spread_by_the_last_two_digits() {
        assert_eq!(change_ref(ChangeNumber(7), PatchSet(2)), "refs/changes/07/7/2");
        assert_eq!(change_ref(ChangeNumber(12_345), PatchSet(1)), "refs/changes/45/12345/1");
    }
}
