//! What is answered when something cannot be done: Gerrit's status and words.

/// A refusal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// The words, without a line's end.
    pub words: String,
}

impl Refusal {
    fn new(status: u16, words: impl Into<String>) -> Self {
        Self { status, words: words.into() }
    }

    /// 400.
    pub fn bad(words: impl Into<String>) -> Self {
        Self::new(400, words)
    }

    /// 403.
    pub fn forbidden(words: impl Into<String>) -> Self {
        Self::new(403, words)
    }

    /// 404.
    pub fn not_found(what: &str) -> Self {
        Self::new(404, format!("Not found: {what}"))
    }

    /// 409.
    pub fn conflict(words: impl Into<String>) -> Self {
        Self::new(409, words)
    }

    /// 422.
    pub fn unprocessable(words: impl Into<String>) -> Self {
        Self::new(422, words)
    }

    /// 500: the stand-in itself failed.
    pub fn broken(error: &dyn std::fmt::Display) -> Self {
        Self::new(500, format!("Internal server error: {error}"))
    }
}
