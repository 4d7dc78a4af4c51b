//! The language of the control socket: one JSON line asks, one JSON line answers.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::model::ChangeNumber;
use crate::model::cost::{CostOf, Costs};
use crate::model::event::Command;
use crate::model::view::View;
use crate::web::{Explanation, Reloaded};

/// The socket's name in the state folder.
pub const SOCKET_NAME: &str = "control.sock";
/// The longest request line in bytes, its newline included.
pub const REQUEST_MAX_BYTES: usize = 64 * 1024;
/// The longest answer line in bytes: room for a view of some ten thousand items.
pub const ANSWER_MAX_BYTES: usize = 64 * 1024 * 1024;
/// How long the daemon may take to answer a command, in milliseconds.
pub const COMMAND_MAX_MS: u64 = 60_000;

/// The longest reason in characters: it is shown on every page and message.
const REASON_MAX_CHARS: usize = 500;
/// The most changes that one command names.
const CHANGES_MAX: usize = 100;

/// What is asked.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Request {
    /// Whether somebody is there, and of which version.
    Version,
    /// The latest view.
    View,
    /// Why a change is where it is.
    Explain {
        /// The change.
        change: ChangeNumber,
    },
    /// What changes to these branches cost; to one branch of each gated repository where none is named.
    Costs {
        /// Of which branches.
        asked: Vec<CostOf>,
    },
    /// That the configuration be read anew.
    Reload {
        /// As for a command.
        person: Option<String>,
    },
    /// A command for the core.
    Operator {
        /// What to do.
        command: Command,
        /// The person behind a shared account, by their own account (from `sudo`). Noted beside
        /// the Unix user, never instead of it.
        person: Option<String>,
    },
}

/// What is answered.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Response {
    /// The daemon's version.
    Version {
        /// As in `0.1.0`.
        version: String,
    },
    /// The latest view.
    View(Arc<View>),
    /// Why a change is where it is; `None` when nothing is known of it.
    Explained(Option<Box<Explanation>>),
    /// What changes cost.
    Costs(Box<Costs>),
    /// What the core said to the command.
    Operator {
        /// Whether it is done.
        accepted: bool,
        /// In words.
        text: String,
    },
    /// What became of the configuration.
    Reloaded(Reloaded),
    /// The command was handed over, but nothing came back in time: it may have been done.
    Unknown {
        /// In words, with the remedy.
        text: String,
    },
    /// The request was not understood, or there is no room; nothing was done.
    Invalid {
        /// In words, with the remedy.
        text: String,
    },
}

/// Why a command is not handed to the core; the core itself is never asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CommandError {
    /// A reason is for others to read.
    #[error("accept a command without a reason; say why, others will read it")]
    NoReason,
    /// Too long for a page.
    #[error("accept a reason of more than {REASON_MAX_CHARS} characters; link to the long story")]
    LongReason,
    /// A promotion of nothing.
    #[error("promote no change at all; name at least one")]
    NoChange,
    /// A promotion of everything.
    #[error("promote more than {CHANGES_MAX} changes at once; name fewer")]
    ManyChanges,
}

/// Checks what the core relies on.
///
/// # Errors
/// When a reason is missing or overlong, or the list of changes is.
pub fn check(command: &Command) -> Result<(), CommandError> {
    match command {
        Command::Enqueue { .. } | Command::Recheck { .. } => Ok(()),
        Command::Promote { changes } if changes.is_empty() => Err(CommandError::NoChange),
        Command::Promote { changes } if changes.len() > CHANGES_MAX => Err(CommandError::ManyChanges),
        Command::Promote { .. } => Ok(()),
        Command::Dequeue { reason, .. } | Command::Pause { reason, .. } | Command::Resume { reason, .. } => {
            if reason.trim().is_empty() {
                Err(CommandError::NoReason)
            } else if reason.chars().count() > REASON_MAX_CHARS {
                Err(CommandError::LongReason)
            } else {
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_without_content_are_refused() {
        let dequeue = |reason: &str| Command::Dequeue { change: ChangeNumber(1), reason: reason.into() };
        for (command, expected) in [
            (dequeue("flaky network"), Ok(())),
            (dequeue("  "), Err(CommandError::NoReason)),
            (dequeue(&"x".repeat(501)), Err(CommandError::LongReason)),
            (Command::Promote { changes: vec![] }, Err(CommandError::NoChange)),
            (Command::Promote { changes: vec![ChangeNumber(1)] }, Ok(())),
            (Command::Promote { changes: vec![ChangeNumber(1); 101] }, Err(CommandError::ManyChanges)),
        ] {
            assert_eq!(check(&command), expected, "{command:?}");
        }
    }
}
