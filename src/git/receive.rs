//! The push itself: one request of git's smart HTTP protocol, sent over a connection that is kept.
//!
//! git's own client costs two processes, a new connection and a list of all refs before it says
//! what it wants; the expected old tip is in the request, so none of that is needed.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Stdio;
use std::time::Duration;

use git2::{ObjectType, Oid, Repository as Handle};

use super::closure::{self, WalkError};
use super::process;
use super::shared::Shared;
use super::store::{Store, oid};
use crate::model::Sha;

/// How long a push may take before its outcome counts as unknown; Gerrit's own limit is longer.
const PUSH_LIMIT: Duration = Duration::from_secs(100);
/// Largest answer that is read, in bytes.
const ANSWER_LIMIT: usize = 4 << 20;
/// Deepest folder that is followed.
const DEEPEST: usize = 256;

/// A ref to move.
pub(super) struct Move {
    pub reference: String,
    pub old: Sha,
    pub new: Sha,
}

/// What the other side said.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Its word on each ref (`Err` with its reason), and what else it said.
    Report { refs: BTreeMap<String, Result<(), String>>, said: String },
    /// It refused the whole request, for good.
    Refused(String),
    /// The request was not taken; nothing was done.
    NotSent(String),
    /// Nobody knows.
    Unknown(String),
}

/// The request: the commands, and a pack with all objects that the old tips do not have.
pub(super) fn request(store: &Store, moves: &[Move]) -> Result<Vec<u8>, String> {
    let failed = |error: git2::Error| store.failed("make a pack", &error);
    let mut body = Vec::new();
    for (at, wanted) in moves.iter().enumerate() {
        let mut line = format!("{} {} {}", wanted.old, wanted.new, wanted.reference).into_bytes();
        if at == 0 {
            line.extend(b"\0report-status side-band-64k agent=seakeeper");
        }
        line.push(b'\n');
        body.extend(format!("{:04x}", line.len() + 4).into_bytes());
        body.extend(line);
    }
    body.extend(b"0000");
    let handle = store.handle()?;
    let mut objects = BTreeSet::new();
    for wanted in moves {
        let commits = closure::between(store, wanted.old, wanted.new).map_err(|error| match error {
            WalkError::TooLong => "push: it holds more than 10,000 commits".to_owned(),
            WalkError::Unreadable(why) => why,
        })?;
        for commit in commits {
            collect(&handle, oid(commit), &mut objects).map_err(failed)?;
        }
    }
    let mut pack = handle.packbuilder().map_err(failed)?;
    pack.set_threads(1);
    for object in objects {
        pack.insert_object(object, None).map_err(failed)?;
    }
    let mut packed = git2::Buf::new();
    pack.write_buf(&mut packed).map_err(failed)?;
    body.extend_from_slice(&packed);
    Ok(body)
}

/// A commit, and what its tree has that the trees of its parents do not have at the same place.
fn collect(handle: &Handle, commit: Oid, objects: &mut BTreeSet<Oid>) -> Result<(), git2::Error> {
    let commit = handle.find_commit(commit)?;
    objects.insert(commit.id());
    let parents = commit.parents().map(|parent| parent.tree_id()).collect::<Vec<_>>();
    collect_tree(handle, commit.tree_id(), &parents, objects, 0)
}

fn collect_tree(
    handle: &Handle,
    tree: Oid,
    known: &[Oid],
    objects: &mut BTreeSet<Oid>,
    depth: usize,
) -> Result<(), git2::Error> {
    if known.contains(&tree) {
        return Ok(());
    }
    if depth > DEEPEST {
        return Err(git2::Error::from_str("folders lie too deep in one another"));
    }
    objects.insert(tree);
    let known = known.iter().map(|id| handle.find_tree(*id)).collect::<Result<Vec<_>, _>>()?;
    for entry in &handle.find_tree(tree)? {
        let same_place: Vec<_> =
            known.iter().filter_map(|tree| entry_named(tree, entry.name_bytes())).collect();
        if same_place.iter().any(|(id, _)| *id == entry.id()) {
            continue;
        }
        match entry.kind() {
            Some(ObjectType::Tree) => {
                let trees = same_place.iter().filter(|(_, kind)| *kind == Some(ObjectType::Tree));
                let trees: Vec<Oid> = trees.map(|(id, _)| *id).collect();
                collect_tree(handle, entry.id(), &trees, objects, depth + 1)?;
            }
            Some(ObjectType::Blob) => {
                objects.insert(entry.id());
            }
            // A submodule's commit lies in another repository.
            _ => {}
        }
    }
    Ok(())
}

fn entry_named(tree: &git2::Tree<'_>, name: &[u8]) -> Option<(Oid, Option<ObjectType>)> {
    let entry = tree.get_name_bytes(name)?;
    Some((entry.id(), entry.kind()))
}

/// Sends a request.
pub(super) fn send(shared: &Shared, store: &Store, body: Vec<u8>) -> Answer {
    if shared.settings.file_urls {
        return send_to_folder(shared, store, body);
    }
    let url = format!("{}/git-receive-pack", shared.address(&store.repository));
    let request = shared
        .settings
        .client
        .post(url)
        .header("Authorization", shared.authorization())
        .header("Content-Type", "application/x-git-receive-pack-request")
        .header("Accept", "application/x-git-receive-pack-result")
        .timeout(PUSH_LIMIT)
        .body(body);
    let answered = shared.settings.runtime.block_on(async {
        let mut response = request.send().await?;
        let mut answer = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            if answer.len() + chunk.len() <= ANSWER_LIMIT {
                answer.extend_from_slice(&chunk);
            }
        }
        Ok::<_, reqwest::Error>((response.status().as_u16(), answer))
    });
    match answered {
        Ok((200, answer)) => parse(&answer),
        Ok((401, _)) => {
            Answer::NotSent("Gerrit does not accept the daemon's token: give it a valid one".into())
        }
        Ok((403 | 404, _)) => Answer::Refused(
            "Gerrit does not let the daemon push here: grant its account Read and Push on the branch".into(),
        ),
        Ok((429, _)) => Answer::NotSent("Gerrit has no room for a push now".into()),
        Ok((status, _)) => Answer::Unknown(format!("Gerrit answered the push with status {status}")),
        Err(error) if error.is_connect() || error.is_builder() => {
            Answer::NotSent(format!("no connection to Gerrit: {error}"))
        }
        Err(error) => Answer::Unknown(format!("the push ended without an answer: {error}")),
    }
}

/// The same request to a repository in a folder, for tests without a server.
fn send_to_folder(shared: &Shared, store: &Store, body: Vec<u8>) -> Answer {
    let address = shared.address(&store.repository);
    let folder = std::path::PathBuf::from(address.trim_start_matches("file://"));
    let mut command = process::git(&folder, &[]);
    command.args(["receive-pack", "--stateless-rpc"]).arg(&folder).stdin(Stdio::piped());
    match process::run(command, body, PUSH_LIMIT) {
        Ok(finished) if finished.success => parse(&finished.stdout),
        Ok(finished) => Answer::Unknown(finished.stderr),
        Err(why) => Answer::Unknown(why),
    }
}

/// Splits pkt-lines; `None` when the bytes are none. Flush packets are left out.
fn packets(mut bytes: &[u8]) -> Option<Vec<&[u8]>> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let length = std::str::from_utf8(bytes.get(..4)?).ok()?;
        let length = usize::from_str_radix(length, 16).ok()?;
        if length == 0 {
            bytes = &bytes[4..];
            continue;
        }
        found.push(bytes.get(4..length)?);
        bytes = &bytes[length..];
    }
    Some(found)
}

/// Reads a report that comes through a side band: 1 is the report, 2 and 3 are for people.
fn parse(answer: &[u8]) -> Answer {
    let unreadable = || Answer::Unknown("Gerrit's answer to the push could not be read".into());
    let Some(bands) = packets(answer) else { return unreadable() };
    let (mut report, mut said) = (Vec::new(), String::new());
    for packet in bands {
        match packet.split_first() {
            Some((1, rest)) => report.extend_from_slice(rest),
            Some((2 | 3, rest)) => said.push_str(&String::from_utf8_lossy(rest)),
            _ => {}
        }
    }
    let Some(lines) = packets(&report) else { return unreadable() };
    let said = what_people_need(&said);
    let (mut refs, mut unpacked) = (BTreeMap::new(), false);
    for line in lines {
        let line = String::from_utf8_lossy(line);
        let line = line.trim_end();
        if let Some(state) = line.strip_prefix("unpack ") {
            unpacked = state == "ok";
            if !unpacked {
                return Answer::NotSent(format!("Gerrit could not unpack the push: {state} {said}"));
            }
        } else if let Some(name) = line.strip_prefix("ok ") {
            refs.insert(name.to_owned(), Ok(()));
        } else if let Some((name, why)) = line.strip_prefix("ng ").and_then(|rest| rest.split_once(' ')) {
            refs.insert(name.to_owned(), Err(why.to_owned()));
        }
    }
    if unpacked {
        Answer::Report { refs, said }
    } else {
        Answer::Unknown(format!("Gerrit gave no report of the push: {said}"))
    }
}

/// Progress is left out, errors and hints stay; at most 500 characters.
fn what_people_need(said: &str) -> String {
    let lines = said.split(['\n', '\r']).map(str::trim).filter(|line| !line.is_empty());
    let lines = lines.filter(|line| {
        !["Processing changes", "Resolving deltas", "Updating references", "Checking connectivity"]
            .iter()
            .any(|start| line.starts_with(start))
    });
    lines.collect::<Vec<_>>().join("; ").chars().take(500).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(bytes: &[u8]) -> Vec<u8> {
        [format!("{:04x}", bytes.len() + 4).as_bytes(), bytes].concat()
    }

    fn banded(lines: &[&str]) -> Vec<u8> {
        let report: Vec<u8> = lines.iter().flat_map(|line| packet(line.as_bytes())).chain(*b"0000").collect();
        let said = packet(b"\x02Processing changes: refs: 1\rERROR: commit abc: no\n");
        [said, packet(&[b"\x01", report.as_slice()].concat()), b"0000".to_vec()].concat()
    }

    #[test]
    fn reports_are_read_per_ref() {
        let answer = banded(&["unpack ok\n", "ok refs/heads/a\n", "ng refs/heads/b failed to lock\n"]);
        let refs = BTreeMap::from([
            ("refs/heads/a".to_owned(), Ok(())),
            ("refs/heads/b".to_owned(), Err("failed to lock".to_owned())),
        ]);
        assert_eq!(parse(&answer), Answer::Report { refs, said: "ERROR: commit abc: no".into() });
    }

    #[test]
    fn an_answer_that_cannot_be_read_leaves_the_outcome_unknown() {
        for answer in [&b""[..], b"00", b"zzzz", b"ffff", b"0001", b"<html>"] {
            assert!(matches!(parse(answer), Answer::Unknown(_)), "{answer:?}");
        }
    }
}
