//! Writing to the terminal. A reader that has gone (as in `| head`) is no failure.

use std::fmt;
use std::io::{self, Write};

use serde::Serialize;

use super::exit::Exit;
use super::failure::Failure;

/// Writes `text` and a newline to standard output.
///
/// # Errors
/// When standard output takes nothing more for another reason than a reader that has gone.
pub fn say(text: impl fmt::Display) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::new(Exit::Failed, format_args!("write the output: {error}")))
        }
        _ => Ok(()),
    }
}

/// Writes `value` as JSON on one line.
///
/// # Errors
/// As [`say`].
pub fn say_json(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string(value)
        .map_err(|error| Failure::new(Exit::Failed, format_args!("write the output as JSON: {error}")))?;
    say(text)
}

/// Writes to standard error; where that fails there is nobody to tell.
pub fn complain(text: impl fmt::Display) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}
