//! A writer of HTML in which only text fixed in this program is markup: whatever is computed or
//! comes from outside goes through the escape.

use std::fmt::{self, Write};

use super::clean::is_deceptive;

/// A page under construction.
#[derive(Default)]
pub struct Html(String);

impl Html {
    /// Appends markup. It must stand in the source, so that no outside text can become markup.
    pub fn raw(&mut self, markup: &'static str) -> &mut Self {
        self.0.push_str(markup);
        self
    }

    /// Appends text; safe in content and in quoted attributes.
    pub fn text(&mut self, text: impl fmt::Display) -> &mut Self {
        // Writing to a string cannot fail.
        let _ = write!(Escape(&mut self.0), "{text}");
        self
    }

    /// Appends one element with text in it.
    pub fn element(&mut self, open: &'static str, text: impl fmt::Display, close: &'static str) -> &mut Self {
        self.raw(open).text(text).raw(close)
    }

    /// The page.
    pub fn finish(self) -> String {
        self.0
    }
}

struct Escape<'a>(&'a mut String);

impl Write for Escape<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for char in text.chars() {
            match char {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                _ if is_deceptive(char) => self.0.push(char::REPLACEMENT_CHARACTER),
                _ => self.0.push(char),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_never_becomes_markup() {
        for (text, expected) in [
            ("<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"),
            ("\" onload='x'", "&quot; onload=&#39;x&#39;"),
            ("a & b", "a &amp; b"),
            ("x\u{202e}y\0", "x\u{fffd}y\u{fffd}"),
        ] {
            let mut html = Html::default();
            html.element("<p>", text, "</p>");
            assert_eq!(html.finish(), format!("<p>{expected}</p>"));
        }
    }
}
