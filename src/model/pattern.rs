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
}
