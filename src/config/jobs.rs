//! Reading `[[job]]`: the same keys in the operator's configuration and in a repository's job file.

use std::collections::BTreeMap;
use std::sync::Arc;

use toml::de::DeValue;

use super::section::{At, Section};
use crate::model::job::{Attempts, RunsFor};
use crate::model::{BuildSpec, InputPolicy, JobName, JobPolicy, Patterns};

/// The default time limit of a build: long enough for most suites, short enough to notice a hang.
pub(super) const DEFAULT_TIMEOUT_MS: i64 = 30 * 60_000;

/// More attempts would be a lottery.
const MOST_ATTEMPTS: u32 = 100;
/// A job that fails in one of five builds without cause does so in one of 125 three times running.
const ATTEMPTS_WHERE_IT_PAYS: u32 = 3;

/// Reads one job for the homes `repositories` and `branches`. What is wrong is noted in the section's
/// source; the job is then of no use.
pub(super) fn read_job(
    job: &Section<'_>,
    repositories: Patterns,
    branches: Patterns,
    trust: &str,
) -> JobPolicy {
    JobPolicy {
        name: read_name(job).map_or_else(|| JobName::new(""), |name| JobName::new(name.value)),
        repositories,
        branches,
        inputs: read_inputs(job),
        sites: job.flag("sites", true),
        paths: job.paths("paths"),
        ignored_files: job
            .texts("ignored-files")
            .map(|texts| Patterns::new(&texts.iter().map(|text| text.value).collect::<Vec<_>>()))
            .unwrap_or_default(),
        runs_for: job.choice(
            "runs-for",
            &[("inputs", RunsFor::Inputs), ("own", RunsFor::Own)],
            RunsFor::Inputs,
        ),
        spec: Arc::new(BuildSpec {
            commands: read_commands(job),
            environment: read_environment(job),
            timeout_ms: job.duration_of_at_least("timeout", DEFAULT_TIMEOUT_MS, 1_000),
            trust: trust.into(),
        }),
        voting: job.flag("voting", true),
        history: job.flag("history", false),
        reuse_ms: job.duration_or("reuse", &[("always", None), ("never", Some(0))], None),
        attempts: read_attempts(job),
    }
}

/// The job's or queue's name: letters, digits and `-_./`, so that it can stand in paths and messages.
pub(super) fn read_name<'a>(section: &Section<'a>) -> Option<At<&'a str>> {
    let name = section.required("name")?;
    let plain = name.value.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    if !plain || name.value.starts_with(['.', '-']) || name.value.len() > 100 {
        let remedy = "use letters, digits, `-`, `_` and `.`, at most 100, a letter, digit or `_` first";
        section.problem(name.at, "name", format!("`{}` is no name", name.value), remedy);
        return None;
    }
    Some(name)
}

/// A number of attempts, or a word.
fn read_attempts(job: &Section<'_>) -> Attempts {
    if !job.is_text("attempts") {
        return Attempts::UpTo(job.count("attempts", 1, 1, MOST_ATTEMPTS));
    }
    let where_it_pays = Attempts::WhereItPays { where_it_pays: ATTEMPTS_WHERE_IT_PAYS };
    job.choice("attempts", &[("where-it-pays", where_it_pays)], Attempts::UpTo(1))
}

fn read_commands(job: &Section<'_>) -> Vec<Arc<str>> {
    match job.texts("commands") {
        None => {
            if job.array("commands").is_none() && !job.has("commands") {
                job.missing("commands");
            }
            Vec::new()
        }
        Some(texts) => {
            if texts.is_empty() && job.array("commands").is_some_and(|values| values.is_empty()) {
                job.problem(
                    job.at_of("commands"),
                    "commands",
                    "is empty",
                    "write at least one command, `true` to do nothing",
                );
            }
            texts.into_iter().map(|text| text.value.into()).collect()
        }
    }
}

fn read_environment(job: &Section<'_>) -> BTreeMap<Arc<str>, Arc<str>> {
    let mut environment = BTreeMap::new();
    for (name, value) in job.pairs("environment") {
        let plain = name.value.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if plain && name.value.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
            environment.insert(name.value.into(), value.value.into());
        } else {
            let what = format!("`{}` is no name of a variable", name.value);
            job.problem(name.at, "environment", what, "use letters, digits and `_`, no digit first");
        }
    }
    environment
}

fn read_inputs(job: &Section<'_>) -> Vec<InputPolicy> {
    let mut inputs: Vec<InputPolicy> = Vec::new();
    for value in job.array("inputs").unwrap_or_default() {
        let at = value.span().start;
        let input = if let DeValue::String(name) = value.get_ref() {
            InputPolicy { repository: name.as_ref().into(), branch: None, paths: Vec::new() }
        } else {
            let Some(input) = job.nested("inputs", "job.inputs", value) else { continue };
            let Some(repository) = input.required("repository") else { continue };
            InputPolicy {
                repository: repository.value.into(),
                branch: input.text("branch").map(|branch| branch.value.into()),
                paths: input.paths("paths"),
            }
        };
        let name = input.repository.as_str();
        if name.trim().is_empty() || name.contains(['*', '?', '\0', '\n']) {
            job.problem(
                at,
                "inputs",
                format!("`{name}` names no repository"),
                "write one repository's full name",
            );
        } else if inputs
            .iter()
            .any(|other| other.repository == input.repository && other.branch == input.branch)
        {
            job.problem(at, "inputs", format!("`{name}` is named twice"), "remove one");
        } else {
            inputs.push(input);
        }
    }
    inputs
}
