//! A stored regression: a text file with a seed and the steps that are left out.
//!
//! ```text
//! # What went wrong, in words.
//! seed 42
//! without 0 3 4 5
//! ```

use std::collections::BTreeSet;

/// A seed with steps left out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Regression {
    /// What went wrong, in words.
    pub note: String,
    /// The seed.
    pub seed: u64,
    /// Steps of its workload that are left out.
    pub disabled: BTreeSet<usize>,
}

impl Regression {
    /// Reads a file's text.
    ///
    /// # Errors
    /// The line that makes no sense.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut found = Self { note: String::new(), seed: 0, disabled: BTreeSet::new() };
        let mut seed = None;
        for line in text.lines() {
            let line = line.trim();
            let wrong = || format!("`{line}` is neither `seed N`, `without N N`, nor a comment");
            if let Some(note) = line.strip_prefix('#') {
                found.note.push_str(note.trim());
                found.note.push('\n');
            } else if let Some(number) = line.strip_prefix("seed ") {
                seed = Some(number.trim().parse().map_err(|_| wrong())?);
            } else if let Some(steps) = line.strip_prefix("without") {
                for step in steps.split_whitespace() {
                    found.disabled.insert(step.parse().map_err(|_| wrong())?);
                }
            } else if !line.is_empty() {
                return Err(wrong());
            }
        }
        found.seed = seed.ok_or("there is no line `seed N`")?;
        Ok(found)
    }

    /// The file's text.
    pub fn text(&self) -> String {
        let notes: String = self.note.lines().map(|line| format!("# {line}\n")).collect();
        let steps: Vec<String> = self.disabled.iter().map(usize::to_string).collect();
        format!("{notes}seed {}\nwithout {}\n", self.seed, steps.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_regression_survives_being_written_and_read() {
        let regression =
            Regression { note: "two\nlines\n".into(), seed: 7, disabled: BTreeSet::from([1, 5]) };
        assert_eq!(Regression::parse(&regression.text()), Ok(regression));
        assert!(Regression::parse("without 1").is_err());
        assert!(Regression::parse("seed 1\nnonsense").is_err());
    }
}
