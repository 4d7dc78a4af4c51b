//! Text from outside (subjects, reasons, names) made safe to show: without characters that steer a
//! terminal or turn the direction of the text around them.

use std::fmt::{self, Write};

/// Whether `char` would change how its surroundings are shown rather than show something itself.
pub fn is_deceptive(char: char) -> bool {
    let steers = char.is_control() && char != '\n' && char != '\t';
    let turns = matches!(char, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    steers || turns
}

/// `text` on one line, with deceptive characters replaced: fit for a terminal.
pub fn one_line(text: impl fmt::Display) -> String {
    let mut line = OneLine(String::new());
    // Writing to a string cannot fail; a Display that fails of itself has said what it could.
    let _ = write!(line, "{text}");
    line.0
}

struct OneLine(String);

impl Write for OneLine {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.extend(text.chars().map(|char| match char {
            '\n' | '\t' => ' ',
            _ if is_deceptive(char) => char::REPLACEMENT_CHARACTER,
            _ => char,
        }));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_steer_a_terminal() {
        for (text, expected) in [
            ("plain — ok", "plain — ok"),
            ("a\x1b[2Jb", "a\u{fffd}[2Jb"),
            ("two\nlines\tand\ra bell\x07", "two lines and\u{fffd}a bell\u{fffd}"),
            ("right\u{202e}left", "right\u{fffd}left"),
        ] {
            assert_eq!(one_line(text), expected);
        }
    }
}
