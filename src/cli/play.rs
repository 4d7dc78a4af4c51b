//! `seakeeper play`: plays stories on the real core and says whether what they expect is so.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;

use super::exit::Exit;
use super::failure::Failure;
use super::output;
use crate::sim::play::{Played, play};

/// The largest story that is read.
const MAX_BYTES: u64 = 1 << 20;

/// What it takes.
#[derive(Args, Debug)]
pub struct Play {
    /// Stories, or folders of them (files that end in .txt or .story).
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Say only what is not as expected, and a last line.
    #[arg(short, long, conflicts_with = "json")]
    quiet: bool,
    /// Write one JSON object for each story, one per line.
    #[arg(long)]
    json: bool,
}

impl Play {
    /// For `--help`.
    pub const EXAMPLES: &str = "\
EXAMPLES:
  seakeeper play simulations/scenarios/failures
  seakeeper play my-story.txt
  seakeeper play --quiet simulations/scenarios
  seakeeper play --json my-story.txt | jq .difference

The language of stories is described in docs/scenarios.md. An expectation that is not met ends with
code 1, a story that cannot be read with code 3.";

    /// Runs it.
    ///
    /// # Errors
    /// When a story cannot be read, or something is not as it expects.
    pub fn run(self) -> Result<(), Failure> {
        let began = Instant::now();
        let mut files = Vec::new();
        for path in &self.files {
            collect(path, &mut files)?;
        }
        if files.is_empty() {
            let error = "find a story: the folders have no file that ends in .txt or .story";
            return Err(Failure::new(Exit::Failed, error));
        }
        let (mut failed, mut unread) = (Vec::new(), Vec::new());
        for path in &files {
            let played = play_file(path)?;
            self.tell(&played)?;
            if !played.problems.is_empty() {
                unread.push(played.file);
            } else if !played.passed {
                failed.push(played.file);
            }
        }
        let total = files.len();
        let wrong = failed.len() + unread.len();
        if !self.json {
            let stories = if total == 1 { "story" } else { "stories" };
            let ms = began.elapsed().as_millis();
            output::say(format_args!("{} of {total} {stories} as expected ({ms} ms)", total - wrong))?;
        }
        match (unread.first(), failed.first()) {
            (Some(file), _) => {
                let error = format!("read {} of {total}: {file} and what is told above", unread.len());
                Err(Failure::new(Exit::Configuration, error).hint("docs/scenarios.md describes the language"))
            }
            (None, Some(file)) => Err(Failure::new(Exit::Failed, format_args!("meet what {file} expects"))),
            (None, None) => Ok(()),
        }
    }

    fn tell(&self, played: &Played) -> Result<(), Failure> {
        if self.json {
            return output::say_json(played);
        }
        if !self.quiet && played.problems.is_empty() {
            output::say(format_args!("{}: {}", played.file, played.title))?;
            played.transcript.iter().try_for_each(output::say)?;
        }
        for problem in &played.problems {
            output::complain(format_args!("problem: {problem}"));
        }
        if let Some(difference) = &played.difference {
            output::complain(format_args!("{}:{}: {}", played.file, difference.line, difference.statement));
            output::complain(format_args!("  expected: {}", difference.expected));
            output::complain(format_args!("  was:      {}", difference.was));
        } else if !self.quiet && played.passed {
            output::say(format_args!("{}: {} expectations met\n", played.file, played.expectations))?;
        }
        Ok(())
    }
}

/// Adds a file, or the stories of a folder and of those in it, by name.
fn collect(path: &Path, files: &mut Vec<PathBuf>) -> Result<(), Failure> {
    let failed = |error: &dyn std::fmt::Display| {
        Failure::new(Exit::Failed, format_args!("read {}: {error}", path.display()))
    };
    if !path.is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    let mut entries = Vec::new();
    for entry in fs::read_dir(path).map_err(|error| failed(&error))? {
        entries.push(entry.map_err(|error| failed(&error))?.path());
    }
    entries.sort();
    for entry in entries {
        let story = entry.extension().is_some_and(|ending| ending == "txt" || ending == "story");
        if entry.is_dir() || story {
            collect(&entry, files)?;
        }
    }
    Ok(())
}

fn play_file(path: &Path) -> Result<Played, Failure> {
    let shown = path.display().to_string();
    let failed = |error: &dyn std::fmt::Display| {
        Failure::new(Exit::Failed, format_args!("read {shown}: {error}; check the path and that it is UTF-8"))
    };
    let size = fs::metadata(path).map_err(|error| failed(&error))?.len();
    if size > MAX_BYTES {
        return Err(failed(&format_args!("it has more than {MAX_BYTES} bytes")));
    }
    let text = fs::read_to_string(path).map_err(|error| failed(&error))?;
    Ok(play(&shown, &text))
}
