//! A repository's own job file, `seakeeper.toml`: jobs that its authors declare, within the operator's
//! limits. It is read strictly, for what is not understood might be what was meant to protect.

use std::collections::BTreeSet;

use toml::de::DeTable;

use super::jobs::read_job;
use super::needs::check_needs;
use super::pipelines::refuse_unknown_pipelines;
use super::problem::{Problem, Source};
use super::section::Section;
use super::templates::{Templates, tell_of_lent};
use crate::model::{JobPolicy, Pair, Pattern, Patterns, Policy};

/// Its name in the repository.
pub const JOB_FILE: &str = "seakeeper.toml";

/// The largest job file that is read.
const MAX_BYTES: usize = 256 * 1024;

/// What job files may ask for at most.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JobFileLimits {
    /// The longest time limit of a job, in milliseconds.
    pub longest_timeout_ms: i64,
    /// The most jobs in one file.
    pub most_jobs: u32,
}

impl Default for JobFileLimits {
    fn default() -> Self {
        Self { longest_timeout_ms: 4 * 3_600_000, most_jobs: 100 }
    }
}

/// What a job file says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JobFile {
    /// Its jobs, for its own repository and branch.
    pub jobs: Vec<JobPolicy>,
    /// Changes may land without any job.
    pub noop: bool,
}

/// Reads the job file of `home`. Its jobs share a trust domain of their repository's own, since what
/// a repository says decides what they run.
///
/// # Errors
/// All that is wrong with it, for the author.
pub fn parse_job_file(
    bytes: &[u8],
    home: &Pair,
    policy: &Policy,
    limits: &JobFileLimits,
) -> Result<JobFile, Vec<Problem>> {
    if bytes.len() > MAX_BYTES {
        let what = format!("the file has {} bytes", bytes.len());
        return Err(vec![Problem::of_file(JOB_FILE, what, format!("keep it below {MAX_BYTES}"))]);
    }
    let text = super::decode(JOB_FILE, bytes, false)?;
    let source = Source::new(JOB_FILE, text, false);
    let (table, errors) = DeTable::parse_recoverable(text);
    source.syntax(&errors);
    let file = read(&source, table.get_ref(), home, policy, limits);
    let (problems, _) = source.finish(errors.len());
    if problems.is_empty() { Ok(file) } else { Err(problems) }
}

fn read(
    source: &Source<'_>,
    table: &DeTable<'_>,
    home: &Pair,
    policy: &Policy,
    limits: &JobFileLimits,
) -> JobFile {
    let top = Section::new(source, "job-file", Some(table), 0);
    let noop = top.flag("noop", false);
    let lent = Source::new("the operator's configuration", &policy.templates, false);
    let (lent_table, _) = DeTable::parse_recoverable(&policy.templates);
    let lent_top = Section::new(&lent, "", Some(lent_table.get_ref()), 0);
    let jobs = read_jobs(&top, &lent_top, home, policy, limits);
    tell_of_lent(lent, source);
    JobFile { jobs, noop }
}

fn read_jobs(
    top: &Section<'_>,
    lent: &Section<'_>,
    home: &Pair,
    policy: &Policy,
    limits: &JobFileLimits,
) -> Vec<JobPolicy> {
    let repositories = Patterns(vec![Pattern::new(home.repository.as_str())]);
    let branches = Patterns(vec![Pattern::new(home.branch.as_str())]);
    let trust = format!("repository {}", home.repository);
    let templates = Templates::read(top, "job-file.template").or_lent(Templates::read(lent, "template"));
    let mut names = BTreeSet::new();
    let mut jobs = Vec::new();
    let sections = top.tables("job", "job-file.job");
    if sections.len() > usize::try_from(limits.most_jobs).unwrap_or(usize::MAX) {
        let what = format!("has {} jobs", sections.len());
        top.problem(top.at_of("job"), "job", what, format!("declare at most {}", limits.most_jobs));
        return Vec::new();
    }
    for section in sections {
        let section = templates.under(section);
        let job = read_job(&section, repositories.clone(), branches.clone(), &trust);
        let at = section.at_of("name");
        if !names.insert(job.name.clone()) {
            section.problem(at, "name", format!("`{}` is declared twice", job.name), "rename one");
        } else if is_enforced(&job, home, policy) {
            let what =
                format!("`{}` is a job of the operator's, which a repository cannot replace", job.name);
            section.problem(at, "name", what, "choose another name");
        }
        if job.spec.timeout_ms > limits.longest_timeout_ms {
            let longest = crate::model::time::in_words(limits.longest_timeout_ms);
            let what = format!("is longer than the operator allows ({longest})");
            section.problem(
                section.at_of("timeout"),
                "timeout",
                what,
                "write a shorter one, or split the job",
            );
        }
        refuse_unknown_pipelines(&section, &job, &policy.pipelines);
        jobs.push((section, job));
    }
    let enforced: Vec<&JobPolicy> = policy.jobs.iter().filter(|job| is_for(job, home)).collect();
    check_needs(&jobs, &enforced);
    jobs.into_iter().map(|(_, job)| job).collect()
}

fn is_enforced(job: &JobPolicy, home: &Pair, policy: &Policy) -> bool {
    policy.jobs.iter().any(|enforced| enforced.name == job.name && is_for(enforced, home))
}

fn is_for(enforced: &JobPolicy, home: &Pair) -> bool {
    enforced.repositories.matches(home.repository.as_str()) && enforced.branches.matches(home.branch.as_str())
}
