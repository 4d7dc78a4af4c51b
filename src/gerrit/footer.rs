//! `Depends-On` footers: what they name on the configured server.

use std::sync::Arc;

use reqwest::Url;

use super::wire::clip;
use crate::model::{ChangeId, ChangeNumber, Reference, Sha};

/// Most footers read.
const FOOTERS_MAX: usize = 100;
/// Longest value of a footer kept, in bytes.
const TEXT_MAX: usize = 1_000;

/// The addresses under which people know the server; the first is the daemon's own.
#[derive(Clone, Debug, Default)]
pub struct Addresses(Arc<[Url]>);

impl Addresses {
    /// Those of `urls` that are addresses at all.
    pub fn new<'a>(urls: impl IntoIterator<Item = &'a str>) -> Self {
        Self(urls.into_iter().filter_map(|url| Url::parse(url).ok()).collect())
    }

    /// What the footers of a commit message name, in order, each once.
    ///
    /// In the last paragraph each of them counts. Before that, as in messages written for Zuul, those do
    /// that name a change; others may be prose.
    pub fn references(&self, message: &str) -> Vec<Reference> {
        let mut found: Vec<Reference> = Vec::new();
        for (value, is_footer) in values(message) {
            let reference = self.reference(value);
            let counts = is_footer || !matches!(reference, Reference::Wrong { .. });
            if counts && !found.contains(&reference) {
                found.push(reference);
            }
        }
        found
    }

    fn reference(&self, value: &str) -> Reference {
        if let Some(id) = change_id(value) {
            return Reference::Id(id);
        }
        let wrong = |why: String| Reference::Wrong { text: clip(value, TEXT_MAX).into(), why: why.into() };
        let own = self.0.first().map(|url| format!("{}/", url.as_str().trim_end_matches('/')));
        let own = own.unwrap_or_default();
        let Some(url) = Url::parse(value).ok().filter(|url| matches!(url.scheme(), "http" | "https")) else {
            return wrong(format!(
                "is neither the address of a change, as in {own}c/PROJECT/+/NUMBER, nor a Change-Id: write one of them, one for each footer"
            ));
        };
        let Some(path) = self.0.iter().find_map(|known| path_on(known, &url)) else {
            return wrong(format!(
                "lies on another server than {own}: only changes of this one can be waited for"
            ));
        };
        match named(&path) {
            Some(reference) => reference,
            None => wrong(format!("is no address of a change: write it as in {own}c/PROJECT/+/NUMBER")),
        }
    }
}

/// The values of the footers as written, in order, and whether each stands in the last paragraph.
pub fn values(message: &str) -> impl Iterator<Item = (&str, bool)> {
    let message = message.trim_end();
    let last = message.lines().rev().take_while(|line| !line.trim().is_empty()).count();
    let first_of_last = message.lines().count() - last;
    let lines = message.lines().enumerate().filter_map(move |(at, line)| {
        let (key, value) = line.split_once(':')?;
        let value = value.trim();
        let fits = key.eq_ignore_ascii_case("depends-on") && !value.is_empty();
        fits.then_some((value, at >= first_of_last))
    });
    lines.take(FOOTERS_MAX)
}

fn change_id(text: &str) -> Option<ChangeId> {
    let digits = text.strip_prefix(['I', 'i'])?;
    Sha::parse(&digits.to_ascii_lowercase()).map(|id| ChangeId::new(format!("I{id}")))
}

/// What follows the server's address in `url`, without the `#` of old addresses.
fn path_on(server: &Url, url: &Url) -> Option<String> {
    let rest = url.path().strip_prefix(server.path().trim_end_matches('/'))?;
    let is_same = server.host_str() == url.host_str() && server.port() == url.port();
    if !is_same || !(rest.is_empty() || rest.starts_with('/')) {
        return None;
    }
    match (rest.trim_matches('/'), url.fragment()) {
        ("", Some(fragment)) => Some(fragment.trim_matches('/').to_owned()),
        (path, _) => Some(path.to_owned()),
    }
}

/// `c/PROJECT/+/NUMBER`, `c/NUMBER`, `NUMBER` and `q/CHANGE-ID`, each with anything after it.
fn named(path: &str) -> Option<Reference> {
    let parts: Vec<&str> = path.split('/').collect();
    let number = |text: &str| text.parse().ok().filter(|number| *number > 0).map(ChangeNumber);
    let number = match parts.as_slice() {
        ["q", id] => return change_id(id).map(Reference::Id),
        ["c", rest @ ..] => match rest.iter().position(|part| *part == "+") {
            Some(plus) => rest.get(plus + 1).and_then(|text| number(text)),
            None => rest.first().and_then(|text| number(text)),
        },
        [first, ..] => number(first),
        [] => None,
    };
    number.map(Reference::Number)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "I0123456789abcdef0123456789abcdef01234567";

    fn read(server: &str, message: &str) -> Vec<Reference> {
        Addresses::new([server, "https://review.example.org/r/"]).references(message)
    }

    #[test]
    fn addresses_of_the_server_name_changes_in_all_their_forms() {
        for value in [
            "https://host/c/project/+/123",
            "https://host/c/deep/er%20project/+/123/",
            "https://host/c/project/+/123/4/src/main.rs#17",
            "https://host/c/project/+/123?tab=comments",
            "http://HOST/c/123",
            "https://host/123",
            "https://host/123/",
            "https://host/#/c/123/",
            "https://host/#/c/project/+/123",
            "https://review.example.org/r/c/project/+/123",
            "https://review.example.org/r/#/c/123/2",
        ] {
            let found = read("https://host/", &format!("Subject\n\nDepends-On: {value}\n"));
            assert_eq!(found, [Reference::Number(ChangeNumber(123))], "{value}");
        }
    }

    #[test]
    fn change_ids_name_changes() {
        for value in [ID, &ID.to_lowercase(), &ID.to_uppercase(), &format!("https://host/q/{ID}")] {
            let found = read("https://host", &format!("Subject\n\ndepends-ON:{value}"));
            assert_eq!(found, [Reference::Id(ID.into())], "{value}");
        }
    }

    #[test]
    fn what_names_no_change_here_is_told_with_the_remedy() {
        for (value, expected) in [
            ("https://elsewhere/c/project/+/123", "another server"),
            ("https://review.example.org/c/project/+/123", "another server"),
            ("https://host:8443/123", "another server"),
            ("https://host/q/topic:x", "no address of a change"),
            ("https://host/c/project/+/", "no address of a change"),
            ("https://host/0", "no address of a change"),
            ("123", "nor a Change-Id"),
            ("I0123", "nor a Change-Id"),
            ("ftp://host/123", "nor a Change-Id"),
            ("https://host/1, https://host/2", "no address of a change"),
        ] {
            match &read("https://host/", &format!("Subject\n\nDepends-On: {value}"))[..] {
                [Reference::Wrong { text, why }] => {
                    assert_eq!(&**text, value);
                    assert!(why.contains(expected) && why.contains("https://host/"), "{value}: {why}");
                }
                other => panic!("{value}: {other:?}"),
            }
        }
    }

    #[test]
    fn footers_are_read_in_order_each_once_and_prose_is_left_alone() {
        let message = format!(
            "Subject\n\nDepends-On: the weather\nDepends-On: https://host/7\n\nDepends-On: {ID}\nDepends-on: https://host/c/p/+/8\nDEPENDS-ON: https://host/8\nDepends-On:\nDepends-On: nonsense\nChange-Id: {ID}\n"
        );
        let found = read("https://host/", &message);
        let [seven, id, eight, Reference::Wrong { text, .. }] = &found[..] else { panic!("{found:?}") };
        assert_eq!(seven, &Reference::Number(ChangeNumber(7)));
        assert_eq!(id, &Reference::Id(ID.into()));
        assert_eq!(eight, &Reference::Number(ChangeNumber(8)));
        assert_eq!(&**text, "nonsense");
    }

    #[test]
    fn a_huge_message_is_survived() {
        let message = format!("s\n\n{}", "Depends-On: é\n".repeat(200_000));
        assert_eq!(read("https://host/", &message).len(), 1);
    }
}
