//! `seakeeper doctor`: says what the daemon lacks on Gerrit and on this machine, and what mends it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;

use super::check_config::load;
use super::client::fetch_view;
use super::daemon_at::DaemonAt;
use super::exit::Exit;
use super::failure::Failure;
use super::output;
use crate::config::Config;
use crate::daemon::{Asked, DoctorError};
use crate::gerrit::{Finding, Level};
use crate::model::JobName;
use crate::web::History;

/// What it takes.
#[derive(Args, Debug)]
pub struct Doctor {
    /// The configuration file.
    #[arg(short, long, value_name = "FILE")]
    config: PathBuf,
    /// Write the findings as JSON: a list of {id, level, where, text, remedy}.
    #[arg(long)]
    json: bool,
    /// An administrator of Gerrit, who may see more than the daemon's account.
    #[arg(long, value_name = "USER", requires = "admin_token_file")]
    admin_user: Option<String>,
    /// File with the administrator's HTTP token.
    #[arg(long, value_name = "FILE", requires = "admin_user")]
    admin_token_file: Option<PathBuf>,
    /// Send the requests that it would print, as the administrator, and look again.
    #[arg(long, requires = "admin_user")]
    fix: bool,
    /// Push a real merge to this branch in each repository; it must be free, and is removed again.
    #[arg(long, value_name = "REF", value_parser = parse_branch)]
    push_to: Option<String>,
}

impl Doctor {
    /// For `--help`.
    pub const EXAMPLES: &str = "\
EXAMPLES:
  seakeeper doctor -c seakeeper.toml
  seakeeper doctor -c seakeeper.toml --admin-user me --admin-token-file me.token --fix
  seakeeper doctor -c seakeeper.toml --push-to refs/heads/seakeeper-trial
  seakeeper doctor -c seakeeper.toml --json | jq '.[] | select(.level == \"lack\")'

It ends with 0 when nothing lacks (warnings and what cannot be seen do not count), with 1 when
something does, with 3 when the configuration cannot be used, with 4 when Gerrit cannot be reached.";

    /// Runs it.
    ///
    /// # Errors
    /// When something lacks, or nothing can be found out.
    pub fn run(&self) -> Result<(), Failure> {
        let config = load(&self.config)?;
        let token = self.admin_token_file.as_deref().map(read_token).transpose()?;
        let asked = Asked {
            admin: self.admin_user.as_deref().zip(token.as_deref()),
            fix: self.fix,
            push_to: self.push_to.as_deref(),
            durations: durations(&config),
            tell: &|line| output::complain(line),
        };
        let findings = crate::daemon::doctor(&config, &asked).map_err(|error| match error {
            DoctorError::Unreachable(_) => Failure::new(Exit::Unreachable, error),
            DoctorError::Machine(_) => Failure::new(Exit::Failed, error),
        })?;
        match self.json {
            true => output::say_json(&findings)?,
            false => output::say(in_words(&findings).join("\n"))?,
        }
        let lacks = count(&findings, Level::Lack);
        if lacks == 0 {
            return Ok(());
        }
        let noun = if lacks == 1 { "thing lacks" } else { "things lack" };
        Err(Failure::new(
            Exit::Failed,
            format_args!("find all that the daemon needs: {lacks} {noun}, told above"),
        ))
    }
}

/// What a daemon that runs with this configuration remembers of its jobs; nothing where none answers.
fn durations(config: &Config) -> BTreeMap<JobName, i64> {
    let at = DaemonAt::in_folder(&config.state_folder);
    fetch_view(&at).map(|view| History::from_view(&view).estimates()).unwrap_or_default()
}

fn count(findings: &[Finding], level: Level) -> usize {
    findings.iter().filter(|finding| finding.level == level).count()
}

/// The findings, each on a line with its remedy below it, and what they come to.
fn in_words(findings: &[Finding]) -> Vec<String> {
    let mut lines = Vec::new();
    if findings.iter().any(|finding| finding.remedy.as_deref().is_some_and(|words| words.contains("curl "))) {
        lines.push(
            "The lines with curl are for an administrator of Gerrit: set GERRIT_ADMIN=NAME:TOKEN first."
                .to_owned(),
        );
    }
    for finding in findings {
        let level = match finding.level {
            Level::Well => "ok",
            Level::Note => "note",
            Level::Warning => "WARNING",
            Level::Unknown => "unknown",
            Level::Lack => "LACK",
        };
        lines.push(format!("{level:<8}{}: {}", finding.place, finding.text));
        let remedy = finding.remedy.iter().flat_map(|remedy| remedy.lines());
        lines.extend(remedy.map(|line| format!("        {line}")));
    }
    let [lacks, warnings, unknown] =
        [Level::Lack, Level::Warning, Level::Unknown].map(|level| count(findings, level));
    lines.push(format!("{lacks} lacking, {warnings} warnings, {unknown} unknown"));
    lines
}

/// The name of a branch, given with or without `refs/heads/`.
fn parse_branch(text: &str) -> Result<String, String> {
    let name = text.strip_prefix("refs/heads/").unwrap_or(text);
    if name.is_empty()
        || name.starts_with("refs/")
        || !git2::Reference::is_valid_name(&format!("refs/heads/{name}"))
    {
        return Err("give a branch, for example refs/heads/seakeeper-trial".to_owned());
    }
    Ok(name.to_owned())
}

fn read_token(path: &Path) -> Result<String, Failure> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        Failure::new(Exit::Failed, format_args!("read {}: {error}", path.display()))
            .hint("make a token in Gerrit under Settings, HTTP Credentials, and write it there")
    })?;
    Ok(text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn branches_are_taken_in_both_forms() {
        for (text, expected) in [
            ("refs/heads/trial", Some("trial")),
            ("trial/one", Some("trial/one")),
            ("refs/meta/config", None),
            ("refs/heads/", None),
            ("a..b", None),
        ] {
            assert_eq!(parse_branch(text).ok().as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn each_remedy_stands_below_its_finding() {
        let lack =
            Finding::new("label", Level::Lack, "core", "there is no label").remedy("curl one\ncurl two");
        let lines = in_words(&[Finding::well("git", "here", "git is there"), lack]);
        assert_eq!(
            lines[1..],
            [
                "ok      here: git is there",
                "LACK    core: there is no label",
                "        curl one",
                "        curl two",
                "1 lacking, 0 warnings, 0 unknown",
            ]
        );
    }
}
