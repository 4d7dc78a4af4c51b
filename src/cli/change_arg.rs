//! A change as people name it: by number, or by the address that they have in their browser.

use crate::model::ChangeNumber;

/// Reads `1234`, or a Gerrit address with `/+/1234` in it.
///
/// # Errors
/// When there is no number in it.
pub fn parse(text: &str) -> Result<ChangeNumber, String> {
    let tail = text.rsplit_once("/+/").map_or(text, |(_, tail)| tail);
    let number =
        if tail.len() < text.len() { tail.split(['/', '?', '#']).next().unwrap_or("") } else { tail };
    number.parse().map(ChangeNumber).map_err(|_| {
        "a change is named by its number, as in 1234, or by its address, as in https://gerrit.example.org/c/core/+/1234".into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_named_by_number_or_address() {
        for (text, expected) in [
            ("1234", Some(1234)),
            ("https://gerrit.example.org/c/a/b/+/1234", Some(1234)),
            ("https://gerrit.example.org/c/a/b/+/1234/5?tab=comments", Some(1234)),
            ("", None),
            ("-1", None),
            ("1234/5", None),
            ("I0123", None),
        ] {
            assert_eq!(parse(text).ok(), expected.map(ChangeNumber), "{text}");
        }
    }
}
