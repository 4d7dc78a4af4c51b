//! What was found: one line each, with the remedy where something lacks.

use serde::Serialize;
use serde_json::Value;

/// How much a finding matters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// It is as it should be.
    Well,
    /// It is good to know.
    Note,
    /// The daemon works, but something may go wrong.
    Warning,
    /// It cannot be told with the rights at hand; the remedy says how to find out.
    Unknown,
    /// The daemon cannot do its work before it is mended.
    Lack,
}

/// One finding.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Finding {
    /// What was looked at; stable, for programs.
    pub id: &'static str,
    /// How much it matters.
    pub level: Level,
    /// Which repositories or which part of the world it concerns.
    #[serde(rename = "where")]
    pub place: String,
    /// What was found, without full stop.
    pub text: String,
    /// What to do: words, permission lines, or command lines that begin with `curl`.
    pub remedy: Option<String>,
    /// The remedy's requests, for whoever may send them.
    #[serde(skip)]
    pub calls: Vec<Call>,
}

impl Finding {
    /// A finding without a remedy.
    pub fn new(id: &'static str, level: Level, place: impl Into<String>, text: impl Into<String>) -> Self {
        Self { id, level, place: place.into(), text: text.into(), remedy: None, calls: Vec::new() }
    }

    /// Something that is as it should be.
    pub fn well(id: &'static str, place: impl Into<String>, text: impl Into<String>) -> Self {
        Self::new(id, Level::Well, place, text)
    }

    /// With a remedy in words.
    #[must_use]
    pub fn remedy(mut self, words: impl Into<String>) -> Self {
        self.remedy = Some(words.into());
        self
    }

    /// With requests as the remedy, as for the server at `url`.
    #[must_use]
    pub fn calls(mut self, url: &str, calls: Vec<Call>) -> Self {
        let lines: Vec<String> = calls.iter().map(|call| call.curl(url)).collect();
        self.remedy = Some(lines.join("\n"));
        self.calls = calls;
        self
    }

    /// An error in words, cut where the remedy begins.
    pub fn of_error(id: &'static str, place: &str, error: &dyn std::fmt::Display, otherwise: &str) -> Self {
        let words = error.to_string();
        let (what, remedy) = words.split_once("; ").unwrap_or((&words, otherwise));
        Self::new(id, Level::Lack, place, format!("failed to {what}")).remedy(remedy)
    }
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.place, self.text)?;
        match &self.remedy {
            Some(remedy) => write!(f, "; {}", remedy.replace('\n', "; ")),
            None => Ok(()),
        }
    }
}

/// A request that an administrator may send.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Call {
    /// The method.
    pub method: &'static str,
    /// The path below `/a/`.
    pub path: String,
    /// What is sent.
    pub body: Body,
}

/// What a request carries.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Body {
    /// JSON.
    Json(Value),
    /// Plain text.
    Text(String),
}

impl Call {
    /// A request with JSON.
    pub fn json(method: &'static str, path: impl Into<String>, body: Value) -> Self {
        Self { method, path: path.into(), body: Body::Json(body) }
    }

    /// The request as a person reads it.
    pub fn in_words(&self) -> String {
        let body = match &self.body {
            Body::Json(value) => value.to_string(),
            Body::Text(text) => text.clone(),
        };
        format!("{} /a/{} {body}", self.method, self.path)
    }

    /// The request as a line for the shell. The variable `GERRIT_ADMIN` holds the administrator's name
    /// and token.
    pub fn curl(&self, url: &str) -> String {
        let (kind, data) = match &self.body {
            Body::Json(value) => ("application/json; charset=UTF-8", value.to_string()),
            Body::Text(text) => ("text/plain", text.clone()),
        };
        format!(
            "curl -sS --fail-with-body -u \"$GERRIT_ADMIN\" -X {} -H 'Content-Type: {kind}' --data-raw {} {}",
            self.method,
            quoted(&data),
            quoted(&format!("{}/a/{}", url.trim_end_matches('/'), self.path)),
        )
    }
}

/// `text` as one word of a shell's command line.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_call_is_a_line_that_a_shell_takes_as_it_is() {
        let call = Call::json("PUT", "projects/a%2Fb/labels/Verified", json!({"values": {" 0": "it's"}}));
        let expected = r#"curl -sS --fail-with-body -u "$GERRIT_ADMIN" -X PUT -H 'Content-Type: application/json; charset=UTF-8' --data-raw '{"values":{" 0":"it'\''s"}}' 'https://g.example.org/r/a/projects/a%2Fb/labels/Verified'"#;
        assert_eq!(call.curl("https://g.example.org/r/"), expected);
    }

    #[test]
    fn an_error_is_cut_where_its_remedy_begins() {
        let finding = Finding::of_error("ssh", "SSH", &"sign in: refused; add the key", "look");
        assert_eq!(
            (finding.text.as_str(), finding.remedy.as_deref()),
            ("failed to sign in: refused", Some("add the key"))
        );
        assert_eq!(Finding::of_error("ssh", "SSH", &"break", "look").remedy.as_deref(), Some("look"));
    }
}
