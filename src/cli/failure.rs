//! How a command ends badly: what happened, what to do, and the exit code.

use std::fmt;

use super::exit::Exit;
use super::output;

/// A failure as a person sees it.
#[derive(Debug)]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    /// What happened: follows "failed to".
    pub error: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Failure {
    /// A failure without a hint.
    pub fn new(exit: Exit, error: impl fmt::Display) -> Self {
        Self { exit, error: error.to_string(), hint: None }
    }

    /// Of an error with its causes.
    pub fn from_error(exit: Exit, error: &anyhow::Error) -> Self {
        Self::new(exit, format_args!("{error:#}"))
    }

    /// The same with a hint.
    #[must_use]
    pub fn hint(self, hint: impl fmt::Display) -> Self {
        Self { hint: Some(hint.to_string()), ..self }
    }

    /// Tells the person on standard error.
    pub fn tell(&self) {
        output::complain(format_args!("error: failed to {}", self.error));
        if let Some(hint) = &self.hint {
            output::complain(format_args!("hint: {hint}"));
        }
    }
}
