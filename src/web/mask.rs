//! Takes names out of running text: those of what readers may not see.

use std::collections::BTreeSet;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::veil::HIDDEN;
use crate::model::view::View;
use crate::model::{ChangeNumber, ItemChange, Repository};

/// What addresses and names of files keep of a repository's name.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
/// Digits of a commit's name that are enough to know it by; shorter ones stand in no message.
const SHORT: usize = 7;

/// Words that may not be told, the longest first.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Mask(Vec<String>);

impl Mask {
    /// Of repositories, by their names as they are and as addresses and paths have them.
    pub fn of<'a>(repositories: impl IntoIterator<Item = &'a Repository>) -> Self {
        let mut words = BTreeSet::new();
        for repository in repositories {
            words.insert(repository.to_string());
            words.insert(utf8_percent_encode(repository.as_str(), PLAIN).to_string());
        }
        Self::of_words(words)
    }

    /// The same, and all by which the changes of `view` that are in `hidden` could be told but their
    /// numbers.
    #[must_use]
    pub fn and_changes(self, view: &View, hidden: &BTreeSet<ChangeNumber>) -> Self {
        let mut words: BTreeSet<String> = self.0.into_iter().collect();
        let items = view.queues.iter().flat_map(|queue| &queue.items).chain(&view.checks);
        let changes = items.flat_map(|item| &item.changes);
        let changes = changes.chain(view.waiting.iter().map(|entry| &entry.change));
        let changes = changes.chain(view.departed.iter().flat_map(|entry| &entry.changes));
        let moves = view.runs.iter().flat_map(|run| &run.blames).flat_map(|blame| &blame.moves);
        let changes = changes.chain(moves.flat_map(|moved| &moved.changes));
        for change in changes.filter(|change| hidden.contains(&change.number)) {
            words.extend(words_of(change));
        }
        Self::of_words(words)
    }

    fn of_words(words: BTreeSet<String>) -> Self {
        let mut words: Vec<String> = words.into_iter().filter(|word| !word.is_empty()).collect();
        words.sort_by_key(|word| std::cmp::Reverse(word.len()));
        Self(words)
    }

    /// `text` without the words, where they stand as words of their own.
    pub fn over(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, word| without(text, word))
    }
}

fn words_of(change: &ItemChange) -> Vec<String> {
    let revision = change.revision.to_string();
    let lengths = SHORT..=revision.len();
    let mut words: Vec<String> = lengths.map(|length| revision[..length].to_owned()).collect();
    let others = [change.change_id.to_string(), change.subject.to_string(), change.pair.to_string()];
    words.extend(others);
    words
}

fn without(text: String, word: &str) -> String {
    if !text.contains(word) {
        return text;
    }
    let inside = |c: char| c.is_alphanumeric() || c == '-' || c == '_';
    let (mut kept, mut from) = (String::with_capacity(text.len()), 0);
    for (at, _) in text.match_indices(word) {
        let end = at + word.len();
        let begins = !text[..at].ends_with(inside) || !word.starts_with(inside);
        let ends = !text[end..].starts_with(inside) || !word.ends_with(inside);
        if begins && ends {
            kept.push_str(&text[from..at]);
            kept.push_str(HIDDEN);
            from = end;
        }
    }
    kept.push_str(&text[from..]);
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_out_where_they_stand_as_words() {
        let names = ["a/secret", "core"].map(Repository::from);
        let mask = Mask::of(&names);
        for (text, expected) in [
            ("", ""),
            ("the branch a/secret main is gone", "the branch (hidden) main is gone"),
            ("/state/repositories/a%2Fsecret.git: No space", "/state/repositories/(hidden).git: No space"),
            ("curl 'https://g/a/projects/a%2Fsecret/access'", "curl 'https://g/a/projects/(hidden)/access'"),
            ("score core-dump core cored", "score core-dump (hidden) cored"),
            ("core", "(hidden)"),
            ("écore core é", "écore (hidden) é"),
        ] {
            assert_eq!(mask.over(text), expected);
        }
        assert_eq!(Mask::default().over("core"), "core");
    }
}
