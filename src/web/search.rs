//! What a search looks for: a number, a part of a Change-Id, a subject, an owner or a repository.

use crate::model::ItemChange;

/// The longest query that is looked at, in characters.
pub const QUERY_MAX_CHARS: usize = 200;

/// A query as it is compared.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wanted {
    /// Its words in lower case; a change must fit them all.
    words: Vec<String>,
}

impl Wanted {
    /// Reads a query.
    pub fn read(query: &str) -> Self {
        let cut: String = query.chars().take(QUERY_MAX_CHARS).collect();
        Self { words: cut.split_whitespace().map(str::to_lowercase).collect() }
    }

    /// Whether a change fits. Nothing fits an empty query.
    pub fn is_met_by(&self, change: &ItemChange) -> bool {
        !self.words.is_empty() && self.words.iter().all(|word| fits(change, word))
    }
}

fn fits(change: &ItemChange, word: &str) -> bool {
    let number = change.number.to_string();
    let within = |text: &str| text.to_lowercase().contains(word);
    let id = word.len() >= 4 && within(change.change_id.as_str());
    number.starts_with(word)
        || word.strip_prefix('#').is_some_and(|rest| number == rest)
        || id
        || within(&change.subject)
        || within(change.owner.as_str())
        || within(change.pair.repository.as_str())
}

/// A query as part of an address.
pub fn escape(query: &str) -> String {
    percent_encoding::utf8_percent_encode(query, percent_encoding::NON_ALPHANUMERIC).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ChangeNumber, Pair, PatchSet, Sha};

    #[test]
    fn a_change_is_found_by_each_of_its_names() {
        let change = ItemChange {
            number: ChangeNumber(1234),
            change_id: "I8f3a6c0000000000000000000000000000000000".into(),
            patchset: PatchSet(1),
            revision: Sha([0; 20]),
            pair: Pair::new("mediawiki/core", "main"),
            subject: "Speed up the Parser".into(),
            owner: "alice".into(),
        };
        for (query, found) in [
            ("1234", true),
            ("12", true),
            ("#1234", true),
            ("#123", false),
            ("34", false),
            ("I8f3a6c", true),
            ("parser speed", true),
            ("parser 99", false),
            ("ALICE", true),
            ("wiki/core", true),
            ("", false),
            ("  ", false),
        ] {
            assert_eq!(Wanted::read(query).is_met_by(&change), found, "{query}");
        }
    }
}
