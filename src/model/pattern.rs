//! Patterns for the names of repositories and branches: `*` and `?`, nothing more.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// A name with wildcards. `*` stands for any run of characters, slashes included (Gerrit's projects
/// are not folders), `?` for one character.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Pattern(Arc<str>);

impl Pattern {
    /// The pattern written as `text`.
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    /// The pattern as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The one name that it matches, if it has no wildcard.
    pub fn literal(&self) -> Option<&str> {
        (!self.0.contains(['*', '?'])).then_some(&*self.0)
    }

    /// Whether `name` matches, in time proportional to the product of the lengths at worst.
    pub fn matches(&self, name: &str) -> bool {
        let (pattern, name) = (self.0.as_bytes(), name.as_bytes());
        let (mut p, mut n) = (0, 0);
        let mut star: Option<(usize, usize)> = None;
        while n < name.len() {
            if p < pattern.len() && pattern[p] == b'*' {
                star = Some((p, n));
                p += 1;
            } else if p < pattern.len() && (pattern[p] == b'?' || pattern[p] == name[n]) {
                p += 1;
                n += 1;
            } else if let Some((at, from)) = star {
                p = at + 1;
                n = from + 1;
                star = Some((at, from + 1));
            } else {
                return false;
            }
        }
        pattern[p..].iter().all(|byte| *byte == b'*')
    }

    /// Whether some name matches both, by bytes as in [`Pattern::matches`], in time proportional to the
    /// product of the lengths.
    pub fn meets(&self, other: &Self) -> bool {
        match (self.literal(), other.literal()) {
            (Some(name), _) => return other.matches(name),
            (_, Some(name)) => return self.matches(name),
            _ => {}
        }
        let (one, two) = (self.0.as_bytes(), other.0.as_bytes());
        // `below[j]` says whether `one[i + 1..]` and `two[j..]` have a name in common, `row[j]` the same
        // of `one[i..]`: two patterns are walked through together, from their ends.
        let mut below = Vec::new();
        for i in (0..=one.len()).rev() {
            let mut row = vec![false; two.len() + 1];
            for j in (0..=two.len()).rev() {
                row[j] = match (one.get(i), two.get(j)) {
                    (None, None) => true,
                    // A star stands for nothing, or for what the other has next.
                    (Some(b'*'), next) => below[j] || next.is_some() && row[j + 1],
                    (next, Some(b'*')) => row[j + 1] || next.is_some() && below[j],
                    (Some(a), Some(b)) => (a == b || *a == b'?' || *b == b'?') && below[j + 1],
                    _ => false,
                };
            }
            below = row;
        }
        below[0]
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Several patterns: a name matches when one of them does.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Patterns(pub Vec<Pattern>);

impl Patterns {
    /// The patterns written as `texts`.
    pub fn new(texts: &[&str]) -> Self {
        Self(texts.iter().map(|text| Pattern::new(*text)).collect())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether some name matches one of these and one of `others`.
    pub fn meet(&self, others: &Self) -> bool {
        self.0.iter().any(|one| others.0.iter().any(|other| one.meets(other)))
    }

    /// Whether one of them matches `name`.
    pub fn matches(&self, name: &str) -> bool {
        self.0.iter().any(|pattern| pattern.matches(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_whole_names() {
        for (pattern, name, expected) in [
            ("bench-*", "bench-1", true),
            ("bench-*", "a-bench-1", false),
            ("*", "", true),
            ("a*b*c", "axxbyybzc", true),
            ("a*b*c", "axxbyybz", false),
            ("mediawiki/*", "mediawiki/extensions/Math", true),
            ("release-?", "release-7", true),
            ("release-?", "release-10", false),
            ("main", "main", true),
            ("main", "mainline", false),
        ] {
            assert_eq!(Pattern::new(pattern).matches(name), expected, "{pattern} on {name}");
        }
    }

    #[test]
    fn two_patterns_meet_where_some_name_matches_both() {
        for (one, other, expected) in [
            ("app", "app", true),
            ("app", "lib", false),
            ("web/*", "web/app", true),
            ("web/*", "*/app", true),
            ("web/*", "mobile/*", false),
            ("*-api", "web-*", true),
            ("a*b", "*c", false),
            ("a*b", "a?", true),
            ("a?", "?b", true),
            ("a??", "?b", false),
            ("*", "?", true),
            ("**", "", true),
            ("?*", "", false),
            ("a*a", "?a", true),
            ("*ab*", "*ba*", true),
            ("x*y*z", "x?z", true),
            ("x*y*z", "xz", false),
            ("x*y*z", "x??z", true),
        ] {
            assert_eq!(Pattern::new(one).meets(&Pattern::new(other)), expected, "{one} and {other}");
            assert_eq!(Pattern::new(other).meets(&Pattern::new(one)), expected, "{other} and {one}");
        }
    }

    /// All texts of at most `most` of these characters.
    fn texts(letters: &[char], most: usize) -> Vec<String> {
        let mut all = vec![String::new()];
        let mut begin = 0;
        for _ in 0..most {
            let end = all.len();
            for at in begin..end {
                all.extend(letters.iter().map(|letter| format!("{}{letter}", all[at])).collect::<Vec<_>>());
            }
            begin = end;
        }
        all
    }

    #[test]
    fn whether_patterns_meet_is_what_a_search_through_all_names_finds() {
        let names = texts(&['a', 'b'], 6);
        let patterns = texts(&['a', 'b', '?', '*'], 3);
        for one in patterns.iter().map(|text| Pattern::new(text.as_str())) {
            let matched: Vec<&String> = names.iter().filter(|name| one.matches(name)).collect();
            for other in patterns.iter().map(|text| Pattern::new(text.as_str())) {
                let found = matched.iter().any(|name| other.matches(name));
                assert_eq!(one.meets(&other), found, "{one} and {other}");
            }
        }
    }
}
