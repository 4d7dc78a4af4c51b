//! An answer over HTTP, and what a case may say of it.

use serde_json::Value;

/// An answer.
#[derive(Debug)]
pub struct Reply {
    /// The request, for messages.
    pub asked: String,
    /// The status.
    pub status: u16,
    /// The content type.
    pub kind: String,
    /// All of the body.
    pub text: String,
}

impl Reply {
    /// The JSON of a success.
    pub fn ok(&self) -> Value {
        assert!((200..300).contains(&self.status), "{self:?}");
        let Some(json) = self.text.strip_prefix(")]}'\n") else {
            assert!(self.text.is_empty(), "no guard before the answer: {self:?}");
            return Value::Null;
        };
        serde_json::from_str(json).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Asserts the status of a success.
    pub fn is(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}: {self:?}", self.asked);
        self.ok()
    }

    /// Asserts a refusal with exactly these words.
    pub fn refused(&self, status: u16, words: &str) {
        assert_eq!((self.status, self.text.trim_end()), (status, words), "{}", self.asked);
    }
}
