//! `seakeeper check-config`: says all that is wrong with a configuration, at once.

use std::path::{Path, PathBuf};

use clap::Args;

use super::exit::Exit;
use super::failure::Failure;
use super::output;
use crate::config::{Config, example_file, reference_page};

/// What it takes.
#[derive(Args, Debug)]
pub struct CheckConfig {
    /// The configuration file.
    #[arg(value_name = "FILE", required_unless_present_any = ["config", "reference", "example"])]
    #[arg(conflicts_with = "config")]
    file: Option<PathBuf>,
    /// The same, as other sub-commands have it.
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Write the reference of all keys (docs/configuration.md) instead.
    #[arg(long, conflicts_with_all = ["file", "config", "example"])]
    reference: bool,
    /// Write a file with every key and its default (config/example.toml) instead.
    #[arg(long, conflicts_with_all = ["file", "config"])]
    example: bool,
}

impl CheckConfig {
    /// For `--help`.
    pub const EXAMPLES: &str = "\
EXAMPLES:
  seakeeper check-config seakeeper.toml
  seakeeper check-config seakeeper.toml && systemctl reload seakeeper
  seakeeper check-config --reference | less
  seakeeper check-config --example > seakeeper.toml";

    /// Runs it.
    ///
    /// # Errors
    /// When the configuration cannot be used.
    pub fn run(self) -> Result<(), Failure> {
        if self.reference {
            return output::say(reference_page().trim_end());
        }
        if self.example {
            return output::say(example_file().trim_end());
        }
        // Clap sees to it that there is one.
        let path = self.file.or(self.config).unwrap_or_default();
        load(&path)?;
        output::say(format_args!("{}: nothing is wrong", path.display()))
    }
}

/// Reads a configuration; warnings and problems go to standard error, one per line.
///
/// # Errors
/// When there is a problem.
pub fn load(path: &Path) -> Result<Config, Failure> {
    match Config::load(path) {
        Ok((config, warnings)) => {
            warnings.iter().for_each(|warning| output::complain(format_args!("warning: {warning}")));
            Ok(config)
        }
        Err(problems) => {
            problems.iter().for_each(|problem| output::complain(format_args!("problem: {problem}")));
            let count = problems.len();
            let noun = if count == 1 { "problem" } else { "problems" };
            Err(Failure::new(
                Exit::Configuration,
                format_args!("use {}: it has {count} {noun}, told above", path.display()),
            ))
        }
    }
}
