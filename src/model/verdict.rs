//! Verdicts and the keys that they belong to.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest, Sha256};

use super::id::digest_order;
use super::{BuildSpec, JobName, Pair, ResolvedInput};

/// What a finished build says.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Verdict {
    /// All its commands ended with 0.
    Pass,
    /// The job's own failure: blamed on the change.
    Fail {
        /// In words, as in `exit code 3` or `timed out after 30m 00s`.
        why: Arc<str>,
    },
    /// The infrastructure failed: says nothing about the change.
    NoVerdict {
        /// In words for the operator.
        why: Arc<str>,
    },
}

/// Digest (SHA-256) of all that a build could depend on; equal keys, equal facts.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct VerdictKey(pub [u8; 32]);

impl Ord for VerdictKey {
    fn cmp(&self, other: &Self) -> Ordering {
        digest_order(&self.0, &other.0)
    }
}

impl PartialOrd for VerdictKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl VerdictKey {
    /// The same, for one node alone: a verdict that serves nowhere else.
    pub fn at_node(&self, node: super::NodeId) -> Self {
        let mut hasher = Sha256::new();
        hasher.update(self.0);
        hasher.update(node.0.to_be_bytes());
        Self(hasher.finalize().into())
    }

    /// The same, for a job that needs others, by their keys in the order of their names. Where there are
    /// none it is the key itself.
    pub fn after(self, needs: &[Self]) -> Self {
        if needs.is_empty() {
            return self;
        }
        let mut hasher = Sha256::new();
        hasher.update(b"seakeeper verdict key 1 after ");
        hasher.update(self.0);
        needs.iter().for_each(|need| hasher.update(need.0));
        Self(hasher.finalize().into())
    }

    /// The key of a job with these `inputs` (see design: *key(job, i, n)*).
    ///
    /// Every field goes in with its length, so that no two descriptions share a byte stream.
    pub fn new(name: &JobName, home: &Pair, spec: &BuildSpec, inputs: &[ResolvedInput]) -> Self {
        let mut hash = Sha256::new();
        let mut put = |bytes: &[u8]| {
            hash.update(u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_be_bytes());
            hash.update(bytes);
        };
        put(b"seakeeper verdict key 1");
        put(name.as_str().as_bytes());
        put(home.repository.as_str().as_bytes());
        put(home.branch.as_str().as_bytes());
        spec.feed(&mut put);
        for input in inputs {
            put(input.pair.repository.as_str().as_bytes());
            put(input.pair.branch.as_str().as_bytes());
            put(&input.content.0);
            put(&[u8::from(input.history)]);
            for path in &input.paths {
                put(path.as_bytes());
            }
            put(b"end of input");
        }
        Self(hash.finalize().into())
    }
}

impl fmt::Display for VerdictKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for VerdictKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl Serialize for VerdictKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for VerdictKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        let wrong = || de::Error::custom("a verdict key has 64 hex digits");
        if text.len() != 64 || !text.is_ascii() {
            return Err(wrong());
        }
        let mut bytes = [0; 32];
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).map_err(|_| wrong())?;
        }
        Ok(Self(bytes))
    }
}
