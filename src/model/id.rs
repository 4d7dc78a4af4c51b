//! Identifiers. Names are shared strings, numbers are counters of the daemon or of Gerrit.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

macro_rules! name {
    ($(#[$doc:meta])* $type:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $type(Arc<str>);

        impl $type {
            /// Wraps a name as it stands; nothing is checked.
            pub fn new(text: impl Into<Arc<str>>) -> Self {
                Self(text.into())
            }

            /// The name itself.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl From<&str> for $type {
            fn from(text: &str) -> Self {
                Self(text.into())
            }
        }

        impl From<String> for $type {
            fn from(text: String) -> Self {
                Self(text.into())
            }
        }
    };
}

name!(
    /// A Gerrit project, for example `mediawiki/core`.
    Repository
);
name!(
    /// A branch by its short name, for example `main` (never `refs/heads/main`).
    Branch
);
name!(
    /// A Change-Id footer: `I` and 40 hexadecimal digits.
    ChangeId
);
name!(
    /// A Gerrit account by user name, or `id:NUMBER` where it has none.
    Account
);
name!(
    /// A Gerrit label, for example `Code-Review`.
    Label
);
name!(
    /// A queue by its configured name.
    QueueName
);
name!(
    /// A job by its configured name.
    JobName
);
name!(
    /// A pipeline by its name.
    PipelineName
);
name!(
    /// A site by its configured name.
    SiteName
);

macro_rules! number {
    ($(#[$doc:meta])* $type:ident) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $type(pub u64);

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }
    };
}

number!(
    /// A change's number, unique on one Gerrit server.
    ChangeNumber
);
impl ChangeNumber {
    /// Stands in views for a change that the reader may not see; Gerrit counts from 1.
    pub const UNSEEN: Self = Self(0);

    /// `change 12`, or that the reader may not see it.
    pub fn named(self) -> String {
        if self == Self::UNSEEN { "a change that you may not see".into() } else { format!("change {self}") }
    }
}

number!(
    /// A patch set's number within its change, from 1.
    PatchSet
);
number!(
    /// One stay of one or more changes in a queue; a new stay has a new id.
    ItemId
);
number!(
    /// A speculative state.
    NodeId
);
number!(
    /// One execution of a job.
    BuildId
);
number!(
    /// One effect that was asked of the world outside; never used twice.
    EffectId
);

/// A branch of a repository: what has a tip.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Pair {
    /// The repository.
    pub repository: Repository,
    /// The branch in it.
    pub branch: Branch,
}

impl Pair {
    /// The branch `branch` of `repository`.
    pub fn new(repository: impl Into<Repository>, branch: impl Into<Branch>) -> Self {
        Self { repository: repository.into(), branch: branch.into() }
    }
}

impl fmt::Display for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.repository, self.branch)
    }
}

/// The id of a git object (SHA-1); written as 40 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Sha(pub [u8; 20]);

impl Ord for Sha {
    fn cmp(&self, other: &Self) -> Ordering {
        digest_order(&self.0, &other.0)
    }
}

impl PartialOrd for Sha {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// How two digests stand to each other, byte by byte. Nearly always the first eight tell.
pub(super) fn digest_order<const N: usize>(one: &[u8; N], other: &[u8; N]) -> Ordering {
    let first = |bytes: &[u8; N]| bytes.first_chunk().map(|first| u64::from_be_bytes(*first));
    first(one).cmp(&first(other)).then_with(|| one.cmp(other))
}

impl Sha {
    /// Reads 40 hexadecimal digits; anything else is `None`.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.as_bytes();
        if digits.len() != 40 {
            return None;
        }
        let mut bytes = [0; 20];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let high = char::from(pair[0]).to_digit(16)?;
            let low = char::from(pair[1]).to_digit(16)?;
            *byte = u8::try_from(high * 16 + low).ok()?;
        }
        Some(Self(bytes))
    }

    /// Whether this is the all-zero id with which git says "no object".
    pub fn is_zero(&self) -> bool {
        self.0 == [0; 20]
    }

    /// The first ten digits, for people.
    pub fn short(&self) -> String {
        let mut text = self.to_string();
        text.truncate(10);
        text
    }
}

impl fmt::Display for Sha {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Sha {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl Serialize for Sha {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Sha {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| de::Error::custom("an object id has 40 hex digits"))
    }
}

impl ChangeId {
    /// The last `Change-Id` footer in the last paragraph of a commit message, as Gerrit reads it.
    pub fn in_message(message: &str) -> Option<Self> {
        let lines = message.trim_end().lines().rev().take_while(|line| !line.trim().is_empty());
        lines.filter_map(Self::footer).next()
    }

    fn footer(line: &str) -> Option<Self> {
        let (key, value) = line.split_once(':')?;
        let value = value.trim();
        let digits = value.strip_prefix('I')?;
        let fits = key.eq_ignore_ascii_case("Change-Id")
            && digits.len() == 40
            && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        fits.then(|| Self::new(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn change_ids_are_read_from_the_last_paragraph() {
        let one = format!("I{}", "1".repeat(40));
        let two = format!("I{}", "2".repeat(40));
        for (message, expected) in [
            (format!("Subject\n\nChange-Id: {one}\n"), Some(&one)),
            (format!("Subject\n\nchange-id:{one}\nSigned-off-by: A <a@b>\n\n"), Some(&one)),
            (format!("Subject\n\nChange-Id: {one}\nChange-Id: {two}\n"), Some(&two)),
            (format!("Subject\n\nChange-Id: {one}\n\nMore.\n"), None),
            ("Subject\n\nChange-Id: I12\n".to_owned(), None),
            (String::new(), None),
        ] {
            let found = ChangeId::in_message(&message);
            assert_eq!(found.as_ref().map(ChangeId::as_str), expected.map(String::as_str), "{message:?}");
        }
    }

    #[test]
    fn an_object_id_survives_being_written_and_read() {
        let text = "0123456789abcdef0123456789abcdef01234567";
        assert_eq!(Sha::parse(text).map(|sha| sha.to_string()).as_deref(), Some(text));
    }

    #[test]
    fn what_is_no_object_id_is_refused() {
        for text in ["", "0123", "g123456789abcdef0123456789abcdef01234567", "é"] {
            assert_eq!(Sha::parse(text), None, "{text}");
        }
    }
}
