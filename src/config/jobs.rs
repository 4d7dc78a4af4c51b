//! Reading `[[job]]`: the same keys in the operator's configuration and in a repository's job file.

use std::collections::BTreeMap;
use std::sync::Arc;

use toml::de::DeValue;

use super::needs::read_needs;
use super::pipelines::read_job_pipelines;
use super::section::{At, Section};
use crate::model::job::{Attempts, RunsFor};
use crate::model::{BuildSpec, InputPolicy, JobName, JobPolicy, Patterns};

/// What `runs-for` may say.
const RUNS_FOR: &[(&str, RunsFor)] =
    &[("inputs", RunsFor::Inputs), ("own", RunsFor::Own), ("files", RunsFor::Files)];

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
    let name = read_name(job).map_or_else(|| JobName::new(""), |name| JobName::new(name.value));
    // A template that is not there might have had them.
    if !job.has("commands") && (job.base().is_some() || !job.has("template")) {
        job.missing("commands");
    }
    check_matcher(job);
    JobPolicy { repositories, branches, ..read_keys(job, name, trust) }
}

/// Notes what is wrong with the keys of a template, as far as they can be judged apart from a job.
pub(super) fn check_template(template: &Section<'_>) {
    let trust = template.text("trust").map_or("", |trust| trust.value);
    read_keys(template, JobName::new(""), trust);
}

/// The keys that a template may have.
fn read_keys(job: &Section<'_>, name: JobName, trust: &str) -> JobPolicy {
    JobPolicy {
        name,
        repositories: Patterns::default(),
        branches: Patterns::default(),
        inputs: read_inputs(job),
        sites: job.flag("sites", true),
        paths: job.paths("paths"),
        ignored_files: read_files(job, "ignored-files"),
        runs_for: job.choice("runs-for", RUNS_FOR, RunsFor::Inputs),
        files: read_files(job, "files"),
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
        needs: read_needs(job),
        pipelines: read_job_pipelines(job),
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

/// `files` and `runs-for = "files"` go together.
fn check_matcher(job: &Section<'_>) {
    let said = job.text("runs-for").map_or("inputs", |text| text.value);
    let names_some = job.array("files").is_some_and(|values| !values.is_empty());
    if said == "files" && !names_some {
        let remedy = "add for example `files = [\"src/*\"]`, or remove `runs-for`";
        job.problem(job.at_of("runs-for"), "runs-for", "`files` needs the files for which it runs", remedy);
    } else if ["inputs", "own"].contains(&said) && names_some {
        let what = "does nothing here: the job runs for other files, too";
        job.problem(job.at_of("files"), "files", what, "add `runs-for = \"files\"`, or remove the key");
    }
}

/// Patterns for paths within a repository.
fn read_files(job: &Section<'_>, key: &str) -> Patterns {
    let texts = job.texts(key).unwrap_or_default();
    Patterns::new(&texts.iter().map(|text| text.value).collect::<Vec<_>>())
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
        None => Vec::new(),
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

/// The job's variables, over those of its template.
fn read_environment(job: &Section<'_>) -> BTreeMap<Arc<str>, Arc<str>> {
    let mut environment = job.base().map(read_environment).unwrap_or_default();
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
