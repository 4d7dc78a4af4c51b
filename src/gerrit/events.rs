//! Lines of `gerrit stream-events`, reduced to what they hint at. Events are hints, never facts:
//! what is true is read over REST.

use serde_json::Value;

use super::wire::{account, branch_name, clip, list, text};
use crate::model::{Account, ChangeNumber, Pair, Repository, Sha};

/// So many bytes of a comment are looked at.
const COMMENT_MAX: usize = 4_000;

/// What a line of the stream hints at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hint {
    /// A change's meta ref moved: a commit that a fresh reading must contain.
    Meta {
        /// The repository.
        repository: Repository,
        /// The change.
        number: ChangeNumber,
        /// The new `meta_rev_id`; `None` when the change was deleted.
        meta: Option<Sha>,
    },
    /// Something happened to a change.
    Change {
        /// Where it would land.
        pair: Pair,
        /// The change.
        number: ChangeNumber,
        /// Who did it, where told.
        by: Option<Account>,
        /// Whether it is being deleted.
        deleted: bool,
        /// What was said on it, where something was; cut where it is long.
        comment: Option<String>,
        /// Whether a vote was given or taken back with that.
        voted: bool,
    },
    /// A branch moved, appeared, or (`None`) vanished.
    Tip {
        /// The branch.
        pair: Pair,
        /// Its commit.
        commit: Option<Sha>,
    },
    /// Repositories came or changed: all tips are to be read.
    Tips,
    /// Events were lost.
    Dropped,
}

/// A line that is no event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("read an event: {0}")]
pub struct Malformed(String);

/// The hint in `line`; `None` for events that say nothing here, such as those of plug-ins.
///
/// # Errors
/// When the line is no event at all.
pub fn read_line(line: &[u8]) -> Result<Vec<Hint>, Malformed> {
    let event: Value = serde_json::from_slice(line).map_err(|error| Malformed(error.to_string()))?;
    let kind = text(&event, "type").ok_or_else(|| Malformed("it has no type".into()))?;
    let lacking = || Malformed(format!("{kind} lacks what it is about"));
    match kind {
        "ref-updated" => {
            let update = event.get("refUpdate").ok_or_else(lacking)?;
            Ok(ref_update(update).ok_or_else(lacking)?.into_iter().collect())
        }
        "batch-ref-updated" => {
            Ok(list(&event, "refUpdates").iter().filter_map(ref_update).flatten().collect())
        }
        "dropped-output" => Ok(vec![Hint::Dropped]),
        "project-created" => Ok(vec![Hint::Tips]),
        _ if event.get("change").is_some() => Ok(vec![change_event(kind, &event).ok_or_else(lacking)?]),
        _ => Ok(Vec::new()),
    }
}

fn change_event(kind: &str, event: &Value) -> Option<Hint> {
    let change = event.get("change")?;
    let actor = ["author", "uploader", "submitter", "abandoner", "restorer", "changer", "editor", "deleter"];
    Some(Hint::Change {
        pair: Pair::new(text(change, "project")?, branch_name(text(change, "branch")?)),
        number: ChangeNumber(change.get("number")?.as_u64()?),
        by: actor.iter().find_map(|field| event.get(field)).and_then(account),
        deleted: kind == "change-deleted",
        comment: text(event, "comment").map(|comment| clip(comment, COMMENT_MAX).to_owned()),
        // Votes that stay as they were are told too, without the value that they had.
        voted: list(event, "approvals").iter().any(|vote| vote.get("oldValue").is_some()),
    })
}

/// The hint in one ref update; the outer `None` when it lacks what is needed.
fn ref_update(update: &Value) -> Option<Option<Hint>> {
    let name = text(update, "refName")?;
    let repository = text(update, "project")?;
    let new = Sha::parse(text(update, "newRev")?)?;
    let commit = (!new.is_zero()).then_some(new);
    if let Some(rest) = name.strip_prefix("refs/changes/") {
        let number = rest.strip_suffix("/meta").and_then(|rest| rest.split_once('/'));
        let number = number.and_then(|(_, number)| number.parse().ok()).map(ChangeNumber);
        return Some(number.map(|number| Hint::Meta { repository: repository.into(), number, meta: commit }));
    }
    // Some versions name a branch without its prefix; what lies elsewhere always has one.
    if name.starts_with("refs/") && !name.starts_with("refs/heads/") {
        return Some(None);
    }
    Some(Some(Hint::Tip { pair: Pair::new(repository, branch_name(name)), commit }))
}

/// Cuts a byte stream into lines; a line that is too long is dropped and counted as one.
#[derive(Debug, Default)]
pub struct Lines {
    rest: Vec<u8>,
    skipping: bool,
}

impl Lines {
    /// Longest line kept, in bytes: a commit message of 3 MB escaped twice over still fits.
    pub const MAX: usize = 8 << 20;

    /// Takes bytes in; `take` is given each whole line, or `None` for one that was too long.
    pub fn feed(&mut self, bytes: &[u8], mut take: impl FnMut(Option<&[u8]>)) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let ends = piece.ends_with(b"\n");
            if !self.skipping {
                self.rest.extend_from_slice(piece);
            }
            if self.rest.len() > Self::MAX {
                self.skipping = true;
                self.rest = Vec::new();
            }
            if ends {
                let line = self.rest.trim_ascii();
                if self.skipping {
                    take(None);
                } else if !line.is_empty() {
                    take(Some(line));
                }
                self.rest.clear();
                self.skipping = false;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORDED: &str = include_str!("../../fixtures/gerrit/events.jsonl");

    #[test]
    fn a_comment_is_told_as_it_was_written() {
        let line = br#"{"type":"comment-added","change":{"project":"p","branch":"main","number":7},
            "author":{"username":"bob"},"comment":"Patch Set 1:\n\nrecheck"}"#;
        let hints = read_line(line).unwrap();
        assert!(
            matches!(&hints[..], [Hint::Change { comment: Some(said), .. }] if said.ends_with("recheck"))
        );
    }

    #[test]
    fn recorded_events_are_all_understood() {
        let hints: Vec<Hint> = RECORDED
            .lines()
            .flat_map(|line| read_line(line.as_bytes()).unwrap_or_else(|e| panic!("{e}: {line}")))
            .collect();
        assert!(hints.iter().any(|hint| matches!(hint, Hint::Meta { meta: Some(_), .. })));
        assert!(hints.iter().any(|hint| matches!(hint, Hint::Tip { commit: Some(_), .. })));
        assert!(
            hints
                .iter()
                .any(|hint| matches!(hint, Hint::Change { by: Some(by), .. } if by.as_str() == "bot"))
        );
    }

    #[test]
    fn branches_and_other_refs_are_told_apart() {
        let check = |name: &str, new: &str, expected: Option<Hint>| {
            let line = format!(
                r#"{{"type":"ref-updated","refUpdate":{{"newRev":"{new}","refName":"{name}","project":"p"}}}}"#
            );
            assert_eq!(read_line(line.as_bytes()), Ok(expected.into_iter().collect()), "{name}");
        };
        let (one, none) = ("1".repeat(40), "0".repeat(40));
        let tip = |commit| Some(Hint::Tip { pair: Pair::new("p", "a/b"), commit });
        check("refs/heads/a/b", &one, tip(Sha::parse(&one)));
        check("refs/heads/a/b", &none, tip(None));
        check("a/b", &one, tip(Sha::parse(&one)));
        check("refs/changes/01/1/1", &one, None);
        check("refs/meta/config", &one, None);
        let meta = Hint::Meta { repository: "p".into(), number: ChangeNumber(4201), meta: Sha::parse(&one) };
        check("refs/changes/01/4201/meta", &one, Some(meta));
        check("refs/changes/x/meta", &one, None);
    }

    #[test]
    fn no_damage_to_a_line_does_harm() {
        let mut seed: u64 = 7;
        let mut draw = |below: usize| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(seed >> 33).unwrap_or(0) % below.max(1)
        };
        let mut refused = 0;
        for line in RECORDED.lines() {
            for _ in 0..200 {
                let mut bytes = line.as_bytes().to_vec();
                match draw(3) {
                    0 => bytes.truncate(draw(line.len())),
                    1 => bytes[draw(line.len())] = u8::try_from(draw(256)).unwrap_or(0),
                    _ => drop(bytes.drain(draw(line.len() / 2)..line.len() / 2 + draw(line.len() / 2))),
                }
                refused += usize::from(read_line(&bytes).is_err());
            }
        }
        assert!(refused > 0, "most damaged lines are refused, none panics");
    }

    #[test]
    fn odd_values_are_refused_and_unknown_types_ignored() {
        for line in
            ["", "null", "[]", "{}", r#"{"type":7}"#, r#"{"type":"comment-added","change":{"number":-1}}"#]
        {
            assert!(read_line(line.as_bytes()).is_err(), "{line}");
        }
        assert_eq!(read_line(br#"{"type":"plugin-thing"}"#), Ok(vec![]));
        assert_eq!(read_line(br#"{"type":"dropped-output"}"#), Ok(vec![Hint::Dropped]));
    }

    #[test]
    fn lines_are_cut_wherever_the_pieces_end() {
        let mut lines = Lines::default();
        let mut seen = Vec::new();
        for piece in [&b"a\nb"[..], b"c\n\n", b"d"] {
            lines.feed(piece, |line| seen.push(line.map(<[u8]>::to_vec)));
        }
        assert_eq!(seen, [Some(b"a".to_vec()), Some(b"bc".to_vec())]);
    }

    #[test]
    fn an_endless_line_is_dropped_and_the_next_one_read() {
        let mut lines = Lines::default();
        let mut seen = Vec::new();
        for _ in 0..10 {
            lines.feed(&vec![b'x'; 1 << 20], |line| seen.push(line.map(<[u8]>::len)));
        }
        lines.feed(b"\nok\n", |line| seen.push(line.map(<[u8]>::len)));
        assert_eq!(seen, [None, Some(2)]);
    }
}
