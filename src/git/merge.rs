//! Merges by long-lived `git merge-tree --stdin` processes.
//!
//! git answers a merge with `STATUS 0 TREE 0 (FILE 0)* 0 MESSAGES 0`. It flushes after the
//! messages but before the last NUL, and only when messages are asked for; so an answer is taken as
//! complete at the end of the files, and what is left of it is skipped before the next one is read.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::lock;
use super::process;
use crate::model::{Repository, Sha};

/// How long one merge may take.
const MERGE_LIMIT: Duration = Duration::from_secs(60);
/// How many processes are kept for the next merge.
const KEPT: usize = 8;
/// How long one is kept unused.
const KEPT_FOR: Duration = Duration::from_secs(300);
/// After so many merges a process is replaced: it never forgets a commit that it has seen.
const MERGES: u32 = 2_000;
/// Longest token that is taken from git, in bytes; paths are far shorter.
const LONGEST_TOKEN: usize = 1 << 16;

/// What a merge gives.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Merged {
    /// The merged tree.
    Tree(Sha),
    /// The files in conflict, lossy, at most 20.
    Conflict(Vec<Arc<str>>),
    /// The two commits have no common history.
    Unrelated,
}

/// The processes that wait for their next merge.
#[derive(Default)]
pub(super) struct Mergers(Mutex<BTreeMap<Repository, Merger>>);

impl Mergers {
    /// Merges `revision` onto `onto` in the store at `folder`. A process that died is replaced once.
    pub fn merge(
        &self,
        repository: &Repository,
        folder: &Path,
        onto: Sha,
        revision: Sha,
    ) -> Result<Merged, String> {
        let kept = lock(&self.0).remove(repository);
        if let Some(mut merger) = kept
            && let Ok(merged) = merger.merge(onto, revision)
        {
            self.keep(repository, merger);
            return Ok(merged);
        }
        let mut merger = Merger::start(folder)?;
        match merger.merge(onto, revision) {
            Ok(merged) => {
                self.keep(repository, merger);
                Ok(merged)
            }
            Err(why) if why.contains("unrelated histories") => Ok(Merged::Unrelated),
            Err(why) => Err(why),
        }
    }

    /// Ends the process that works in a store.
    pub fn end(&self, repository: &Repository) {
        lock(&self.0).remove(repository);
    }

    /// Kills the process that waits, as the host might; says whether there was one.
    #[cfg(test)]
    pub fn kill(&self, repository: &Repository) -> bool {
        let mut kept = lock(&self.0);
        kept.get_mut(repository).map(|merger| process::end(&mut merger.child)).is_some()
    }

    fn keep(&self, repository: &Repository, mut merger: Merger) {
        merger.used_at = Instant::now();
        let mut ended: Vec<Merger> = Vec::new();
        let mut kept = lock(&self.0);
        if merger.merges < MERGES {
            ended.extend(kept.insert(repository.clone(), merger));
        } else {
            ended.push(merger);
        }
        let old = kept.iter().filter(|(_, merger)| merger.used_at.elapsed() > KEPT_FOR);
        let mut surplus: Vec<Repository> = old.map(|(name, _)| name.clone()).collect();
        if kept.len() - surplus.len() > KEPT {
            let oldest = kept.iter().min_by_key(|(_, merger)| merger.used_at);
            surplus.extend(oldest.map(|(name, _)| name.clone()));
        }
        ended.extend(surplus.iter().filter_map(|name| kept.remove(name)));
        // Ending a process takes a moment, for which nobody else has to wait.
        drop(kept);
    }
}

/// One process.
struct Merger {
    child: Child,
    input: Option<ChildStdin>,
    output: Receiver<Vec<u8>>,
    errors: Receiver<Vec<u8>>,
    buffer: Vec<u8>,
    at: usize,
    unfinished: bool,
    merges: u32,
    used_at: Instant,
}

impl Merger {
    fn start(folder: &Path) -> Result<Self, String> {
        let mut command = process::git(folder, &[]);
        command.args(["merge-tree", "--write-tree", "--stdin", "--name-only", "--messages"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| format!("run git merge-tree: {error}"))?;
        let (input, output, errors) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(output), Some(errors)) = (output, errors) else {
            return Err("run git merge-tree: it has no output".into());
        };
        let (output, errors) = (forward(output), forward(errors));
        let used_at = Instant::now();
        Ok(Self {
            child,
            input,
            output,
            errors,
            buffer: Vec::new(),
            at: 0,
            unfinished: false,
            merges: 0,
            used_at,
        })
    }

    fn merge(&mut self, onto: Sha, revision: Sha) -> Result<Merged, String> {
        let deadline = Instant::now() + MERGE_LIMIT;
        self.merges += 1;
        let line = format!("{onto} {revision}\n");
        let sent = self.input.as_mut().map(|input| input.write_all(line.as_bytes()));
        if !matches!(sent, Some(Ok(()))) {
            return Err(self.ended());
        }
        self.skip_rest(deadline)?;
        let status = self.token(deadline)?;
        let tree = self.token(deadline)?;
        let mut files: Vec<Arc<str>> = Vec::new();
        loop {
            let file = self.token(deadline)?;
            if file.is_empty() {
                break;
            }
            if files.len() < 20 {
                files.push(String::from_utf8_lossy(&file).into());
            }
        }
        self.unfinished = true;
        let tree = std::str::from_utf8(&tree).ok().and_then(Sha::parse);
        match (status.as_slice(), tree) {
            (b"1", Some(tree)) => Ok(Merged::Tree(tree)),
            (b"0", Some(_)) => Ok(Merged::Conflict(files)),
            _ => Err("understand git merge-tree's answer".into()),
        }
    }

    /// Skips the messages of the last answer: each has a count of paths, the paths, a kind, a text.
    fn skip_rest(&mut self, deadline: Instant) -> Result<(), String> {
        while self.unfinished {
            let count = self.token(deadline)?;
            if count.is_empty() {
                self.unfinished = false;
                break;
            }
            let count = std::str::from_utf8(&count).ok().and_then(|text| text.parse::<u32>().ok());
            let count = count.ok_or("understand git merge-tree's messages")?;
            for _ in 0..count.saturating_add(2) {
                self.token(deadline)?;
            }
        }
        Ok(())
    }

    /// The bytes up to the next NUL.
    fn token(&mut self, deadline: Instant) -> Result<Vec<u8>, String> {
        let mut searched = self.at;
        loop {
            if let Some(length) = self.buffer[searched..].iter().position(|byte| *byte == 0) {
                let end = searched + length;
                let token = self.buffer[self.at..end].to_vec();
                self.at = end + 1;
                return Ok(token);
            }
            if self.buffer.len() - self.at > LONGEST_TOKEN {
                return Err("understand git merge-tree's answer: it is too long".into());
            }
            self.buffer.drain(..self.at);
            self.at = 0;
            searched = self.buffer.len();
            match self.output.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(bytes) => self.buffer.extend(bytes),
                Err(RecvTimeoutError::Timeout) => {
                    return Err("wait for git merge-tree: no answer in time".into());
                }
                Err(RecvTimeoutError::Disconnected) => return Err(self.ended()),
            }
        }
    }

    /// Why the process ended.
    fn ended(&mut self) -> String {
        self.input = None;
        let mut said = Vec::new();
        while said.len() < 4_096
            && let Ok(bytes) = self.errors.recv_timeout(Duration::from_secs(1))
        {
            said.extend(bytes);
        }
        format!("merge: git merge-tree ended: {}", String::from_utf8_lossy(&said).trim())
    }
}

impl Drop for Merger {
    fn drop(&mut self) {
        self.input = None;
        process::end(&mut self.child);
    }
}

/// Reads on a thread of its own, so that waiting can have a deadline; ends with the process.
fn forward(mut from: impl Read + Send + 'static) -> Receiver<Vec<u8>> {
    let (sender, receiver) = sync_channel(64);
    std::thread::spawn(move || {
        let mut buffer = vec![0; 1 << 14];
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            if sender.send(buffer[..length].to_vec()).is_err() {
                break;
            }
        }
    });
    receiver
}
