//! What a `Depends-On` footer names.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{ChangeId, ChangeNumber, ChangeSnapshot, ChangeStatus, Pair};

/// A change, or changes, named by a footer.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum Reference {
    /// One change, by its address.
    Number(ChangeNumber),
    /// All changes with this Change-Id, on whatever branch.
    Id(ChangeId),
    /// Nothing that can be waited for.
    Wrong {
        /// The footer's value, as written.
        text: Arc<str>,
        /// What is wrong with it, fit for "which {why}", with the remedy.
        why: Arc<str>,
    },
}

/// A change that a footer names, as far as whoever depends on it is concerned.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Target {
    /// Its number.
    pub number: ChangeNumber,
    /// Its Change-Id.
    pub change_id: ChangeId,
    /// Where it lands, or has landed.
    pub pair: Pair,
    /// How it stands; `None` when it can be seen no more.
    pub status: Option<ChangeStatus>,
}

impl Target {
    /// What `snapshot` is to those that depend on it.
    pub fn of(snapshot: &ChangeSnapshot) -> Self {
        Self {
            number: snapshot.number,
            change_id: snapshot.change_id.clone(),
            pair: snapshot.pair(),
            status: Some(snapshot.status),
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "change {number}"),
            Self::Id(id) => write!(f, "{id}"),
            Self::Wrong { text, .. } => write!(f, "{text}"),
        }
    }
}
