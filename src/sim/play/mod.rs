//! Stories: text files that a person writes, played on the real core and engine in virtual time.
//!
//! A story declares a site, lets people and systems do things, and says what is to be seen. The language is
//! described in `docs/scenarios.md`. A line is read by `parse`; what it asks for takes place on the `stage`,
//! which holds the model world and the fakes that the fault simulation uses too; `judge` says whether what is
//! claimed is so.

mod acts;
mod blocks;
mod book;
mod claims;
mod declare;
mod deeds;
mod effects;
mod fates;
mod history;
mod job_claims;
mod judge;
mod known;
mod likeness;
mod made;
mod parse;
mod perform;
mod reader;
mod setup;
mod stage;
mod story;
#[cfg(test)]
mod tests;
mod tips;
mod uploads;
mod words;

pub use perform::{Difference, Played, play};
pub use words::Problem;

use crate::model::{Departure, Pipeline};

/// How a stay ended, in words.
fn words_of(departure: &Departure) -> String {
    crate::report::ending(departure, &Pipeline::Gate, false)
}
