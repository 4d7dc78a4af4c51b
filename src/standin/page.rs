//! The pages for people: the changes, and one of them with buttons.
//!
//! Whoever can reach the page acts as any account, which is the point of it. Other web pages cannot: a
//! form is taken only when it comes from here.

use std::fmt::{Display, Write};

use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use serde_json::json;

use super::accounts::Person;
use super::change_json::{status, subject};
use super::http::{pairs, refuse};
use super::objects;
use super::operate::Switch;
use super::refusal::Refusal;
use super::site::{Shared, Site, State, time};
use crate::model::{ChangeNumber, ChangeStatus};
use crate::world::Change;
use crate::world::labels::{LABELS, REVIEW};

/// Longest difference shown, in bytes.
const PATCH_MAX: usize = 100_000;
/// Most changes in the list.
const LIST_MAX: usize = 200;

const STYLE: &str = "\
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { max-width: 60rem; margin: 1rem auto; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .3rem .6rem .3rem 0; border-bottom: 1px solid #8884; vertical-align: top; }
pre { overflow-x: auto; padding: .6rem; border: 1px solid #8884; border-radius: .3rem; font-size: .85rem; }
button, select { font: inherit; padding: .2rem .6rem; margin: .2rem .2rem .2rem 0; }
";

/// Text that is no markup.
struct Escaped<T>(T);

impl<T: Display> Display for Escaped<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for char in self.0.to_string().chars() {
            match char {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                char => f.write_char(char)?,
            }
        }
        Ok(())
    }
}

/// Answers a request for a page.
pub fn answer(site: &Shared, method: &str, path: &[String], headers: &HeaderMap, body: &[u8]) -> Response {
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    let number = path.last().and_then(|number| number.parse().ok()).map(ChangeNumber);
    let shown = match (method, &path[..], number) {
        ("GET", [], _) => Ok(list(site)),
        ("GET", ["style.css"], _) => return ([(header::CONTENT_TYPE, "text/css")], STYLE).into_response(),
        ("GET", ["c", ..], Some(number)) => one(site, number, None),
        ("POST", ["c", ..], Some(number)) => match act(site, number, headers, body) {
            Ok(()) => return Redirect::to(&format!("/{}", path.join("/"))).into_response(),
            Err(refusal) if refusal.status == 404 => Err(refusal),
            Err(refusal) => one(site, number, Some(&refusal)),
        },
        _ => Err(Refusal::not_found(&path.join("/"))),
    };
    match shown {
        Ok(page) => (
            StatusCode::OK,
            [(
                header::CONTENT_SECURITY_POLICY,
                "default-src 'self'; frame-ancestors 'none'; form-action 'self'",
            )],
            Html(page),
        )
            .into_response(),
        Err(refusal) => refuse(&refusal),
    }
}

fn frame(title: &str, content: &str) -> String {
    format!(
        "<!DOCTYPE html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <link rel=\"stylesheet\" href=\"/style.css\"><title>{}</title>{content}</html>",
        Escaped(title)
    )
}

fn list(site: &Site) -> String {
    let state = site.lock();
    let mut changes: Vec<&Change> = state.gerrit.changes().collect();
    changes.sort_by_key(|change| std::cmp::Reverse((change.updated_at, change.number)));
    let (open, closed): (Vec<_>, Vec<_>) =
        changes.into_iter().partition(|change| change.status == ChangeStatus::Open);
    let mut page =
        String::from("<h1>Changes</h1><p>A stand-in for Gerrit: everybody here may be anybody.</p>");
    for (title, changes) in [("Open", open), ("Closed", closed)] {
        // Writing to a string cannot fail.
        let _ =
            write!(page, "<h2>{title}</h2><table><tr><th>Change<th>Subject<th>Repository<th>Owner<th>Votes");
        for change in changes.into_iter().take(LIST_MAX) {
            let path = format!("/c/{}/+/{}", change.pair.repository, change.number);
            let _ = write!(
                page,
                "<tr><td><a href=\"{}\">{}</a><td>{}{}<td>{}<td>{}<td>{}",
                Escaped(&path),
                change.number,
                Escaped(subject(&state, change.revision())),
                Escaped(marks(change)),
                Escaped(&change.pair.repository),
                Escaped(&change.owner),
                Escaped(votes(change)),
            );
        }
        page.push_str("</table>");
    }
    frame("Changes", &page)
}

fn marks(change: &Change) -> String {
    let mut marks = String::new();
    let word = status(change.status);
    for (mark, is_set) in [
        ("work in progress", change.work_in_progress),
        ("private", change.private),
        (word, change.status != ChangeStatus::Open),
    ] {
        if is_set {
            let _ = write!(marks, " [{}]", mark.to_lowercase());
        }
    }
    marks
}

fn votes(change: &Change) -> String {
    let one = |vote: &crate::model::Vote| format!("{} {:+} by {}", vote.label, vote.value, vote.by);
    change.votes.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn one(site: &Site, number: ChangeNumber, refusal: Option<&Refusal>) -> Result<String, Refusal> {
    let state = site.lock();
    let change = state.gerrit.change(number).ok_or_else(|| Refusal::not_found(&number.to_string()))?;
    let title = format!("{number}: {}", subject(&state, change.revision()));
    let mut page =
        format!("<p><a href=\"/\">All changes</a></p><h1>{}{}</h1>", Escaped(&title), Escaped(marks(change)));
    if let Some(refusal) = refusal {
        let _ = write!(page, "<p role=\"alert\"><strong>Not done: {}</strong></p>", Escaped(&refusal.words));
    }
    let _ = write!(
        page,
        "<p>{} in {}, patch set {}, by {}. Votes: {}.</p>",
        Escaped(status(change.status)),
        Escaped(&change.pair),
        change.current,
        Escaped(&change.owner),
        if change.votes.is_empty() { "none".into() } else { Escaped(votes(change)).to_string() }
    );
    page.push_str(&form(site, change));
    page.push_str(&content(&state, change)?);
    page.push_str("<h2>Messages</h2>");
    for message in change.messages.iter().rev() {
        let _ = write!(
            page,
            "<p>{} at {}</p><pre>{}</pre>",
            Escaped(&message.by),
            Escaped(&time(message.at)[..19]),
            Escaped(&message.text)
        );
    }
    Ok(frame(&title, &page))
}

fn content(state: &State, change: &Change) -> Result<String, Refusal> {
    let broken = |error: git2::Error| Refusal::broken(&error);
    let git = state.git(&change.pair.repository)?;
    let message = state.gerrit.git.commit(change.revision()).map(|commit| commit.message.clone());
    let mut page =
        format!("<pre>{}</pre><h2>Files</h2><table>", Escaped(message.as_deref().unwrap_or_default()));
    for file in objects::files(&git, change.revision()).map_err(broken)? {
        let (status, inserted, deleted) = (file.status, file.inserted, file.deleted);
        let _ = write!(page, "<tr><td>{status}<td>{}<td>+{inserted} −{deleted}", Escaped(&file.path));
    }
    let patch = objects::patch_text(&git, change.revision(), PATCH_MAX).map_err(broken)?;
    let _ = write!(page, "</table><pre>{}</pre>", Escaped(&patch));
    Ok(page)
}

fn form(site: &Site, change: &Change) -> String {
    let mut form = String::from("<form method=\"post\"><label>As <select name=\"as\">");
    for person in site.people() {
        let selected = if person.user == "bob" { " selected" } else { "" };
        let _ = write!(form, "<option{selected}>{}</option>", Escaped(&person.user));
    }
    form.push_str("</select></label> ");
    let mut button = |what: &str, words: &str| {
        let _ = write!(form, "<button name=\"do\" value=\"{what}\">{words}</button>");
    };
    match change.status {
        ChangeStatus::Open => {
            for value in
                LABELS.iter().filter(|rule| rule.name == REVIEW).flat_map(|rule| rule.values.iter().rev())
            {
                let text = if value.0 == 0 { "0".to_owned() } else { format!("{:+}", value.0) };
                button(&text, &format!("{REVIEW} {text}"));
            }
            let (what, words) =
                if change.work_in_progress { ("ready", "Ready") } else { ("wip", "Work in progress") };
            button(what, words);
            button("abandon", "Abandon");
        }
        ChangeStatus::Abandoned => button("restore", "Restore"),
        ChangeStatus::Merged => {}
    }
    form + "</form>"
}

/// Whether a form was sent by a page of this server, on a name of this machine.
fn is_own(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (host, origin) = (text(header::HOST), text(header::ORIGIN));
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    matches!(name, "127.0.0.1" | "localhost" | "[::1]")
        && (origin.is_empty() || origin.trim_start_matches("http://") == host)
}

fn act(site: &Site, number: ChangeNumber, headers: &HeaderMap, body: &[u8]) -> Result<(), Refusal> {
    if !is_own(headers) {
        return Err(Refusal::forbidden("forms are taken from this server's own pages only"));
    }
    let fields = pairs(&String::from_utf8_lossy(body));
    let field = |name: &str| fields.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let who: &Person = field("as")
        .and_then(|name| site.accounts.find(name))
        .ok_or_else(|| Refusal::bad("choose the account that is to act"))?;
    let none = json!({});
    match field("do").unwrap_or_default() {
        "abandon" => site.abandon(who, number, &none),
        "restore" => site.restore(who, number, &none),
        "ready" => site.switch(who, number, Switch::Wip, false).map(drop),
        "wip" => site.switch(who, number, Switch::Wip, true).map(drop),
        value => {
            let value: i32 = value.parse().map_err(|_| Refusal::bad("choose what is to be done"))?;
            site.review(who, number, "current", &json!({ "labels": { REVIEW: value } })).map(drop)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_of_other_pages_are_not_taken() {
        let headers = |host: &'static str, origin: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, host.parse().unwrap());
            if !origin.is_empty() {
                headers.insert(header::ORIGIN, origin.parse().unwrap());
            }
            headers
        };
        assert!(is_own(&headers("127.0.0.1:8080", "http://127.0.0.1:8080")));
        assert!(is_own(&headers("localhost:8080", "")));
        assert!(!is_own(&headers("127.0.0.1:8080", "https://evil.example")));
        assert!(!is_own(&headers("rebound.example:8080", "http://rebound.example:8080")));
    }

    #[test]
    fn text_is_no_markup() {
        assert_eq!(Escaped("<a href='x'>&\"").to_string(), "&lt;a href=&#39;x&#39;&gt;&amp;&quot;");
    }
}
