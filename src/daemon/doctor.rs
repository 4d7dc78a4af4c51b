//! `seakeeper doctor`: all that the daemon will need, looked at beforehand; and mended where asked for.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;

use super::SystemClock;
use super::adapters::push_client;
use super::cost;
use super::settings::{gerrit_settings, is_pushed, needs};
use crate::config::Config;
use crate::executor::local::{Confinement, unable};
use crate::gerrit::{Call, Doctor, DoctorReport, Finding, Identity, Landing, Level, RestError};
use crate::git::{Settings as GitSettings, Trial};
use crate::model::job::RunsFor;
use crate::model::{Branch, JobName, Outcome, Pair, Timestamp};
use crate::queue::resolve::JobFile;

/// Rounds of mending: what is mended first may show what else lacks.
const ROUNDS: usize = 3;

/// What is asked for.
pub struct Asked<'a> {
    /// An administrator's name and token.
    pub admin: Option<(&'a str, &'a str)>,
    /// Whether to send the remedies' requests.
    pub fix: bool,
    /// The branch to push a merge to in each repository; made for it and removed again.
    pub push_to: Option<&'a str>,
    /// How long jobs probably take, in milliseconds, where a daemon that runs has told.
    pub durations: BTreeMap<JobName, i64>,
    /// Takes a line about what is being done.
    pub tell: &'a dyn Fn(String),
}

/// Why nothing could be found out.
#[derive(Debug, thiserror::Error)]
pub enum DoctorError {
    /// Gerrit cannot be reached.
    #[error("{0}")]
    Unreachable(RestError),
    /// This machine lacks something that the doctor itself needs.
    #[error("{0:#}")]
    Machine(#[from] anyhow::Error),
}

/// Looks at everything, and mends what it may.
///
/// # Errors
/// When Gerrit cannot be reached at all.
pub fn doctor(config: &Config, asked: &Asked<'_>) -> Result<Vec<Finding>, DoctorError> {
    // Someone else may have set one up: then theirs serves.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("start the runtime: raise the limit of processes")?;
    let scratch = Scratch::make()?;
    let mut findings = machine(config, &scratch.0);
    let doctor = Doctor::new(gerrit_settings(config, Timestamp::default()), needs(config), asked.admin)
        .map_err(|why| anyhow::anyhow!("use the Gerrit settings: {why}"))?;
    let look = || runtime.block_on(doctor.look()).map_err(DoctorError::Unreachable);
    let mut report = look()?;
    if asked.fix {
        let mut sent: Vec<Call> = Vec::new();
        for _ in 0..ROUNDS {
            if !runtime.block_on(mend(&doctor, &report, &mut sent, asked.tell)) {
                break;
            }
            report = look()?;
        }
    }
    findings.extend(jobs(config));
    findings.extend(queues(config, &report.landings));
    let gated: Vec<Pair> = report.landings.iter().map(|landing| landing.pair.clone()).collect();
    findings.extend(cost::look(&config.policy, &gated, &asked.durations));
    findings.append(&mut report.findings);
    if let Some(branch) = asked.push_to {
        let trial = trial(config, &report, &scratch.0, runtime.handle())?;
        for landing in report.landings.iter().filter(|landing| is_pushed(&config.policy, &landing.pair)) {
            findings.push(push(&doctor, &trial, runtime.handle(), landing, branch));
        }
    }
    Ok(findings)
}

/// Sends the requests that were not sent before; whether there were any.
async fn mend(doctor: &Doctor, report: &DoctorReport, sent: &mut Vec<Call>, tell: &dyn Fn(String)) -> bool {
    let before = sent.len();
    for call in report.findings.iter().flat_map(|finding| &finding.calls) {
        if sent.contains(call) {
            continue;
        }
        sent.push(call.clone());
        let words = call.in_words();
        match doctor.apply(call).await {
            Ok(()) => tell(format!("done: {words}")),
            Err(error) => tell(format!("failed to {error}: {words}")),
        }
    }
    sent.len() > before
}

/// A folder for trials, removed at the end.
struct Scratch(PathBuf);

impl Scratch {
    fn make() -> anyhow::Result<Self> {
        let folder = std::env::temp_dir().join(format!("seakeeper-doctor-{}", std::process::id()));
        std::fs::create_dir_all(&folder).with_context(|| format!("make the folder {}", folder.display()))?;
        Ok(Self(folder))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed lies in the system's folder for such.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// What this machine must have.
fn machine(config: &Config, scratch: &Path) -> Vec<Finding> {
    let place = "this machine";
    let git = match crate::git::check_version() {
        Ok(()) => Finding::well("git", place, "git is new enough"),
        Err(error) => Finding::of_error("git", place, &error, "install git 2.39 or newer"),
    };
    let local = &config.executors.local;
    let walls = Confinement {
        unconfined: local.unconfined,
        network: local.network,
        visible: Vec::new(),
        hidden: vec![scratch.to_owned()],
    };
    let walls = match unable(&scratch.join("probe"), &walls) {
        None if local.unconfined => {
            let what = "builds are not kept apart: `unconfined` is set, they can read the daemon's token";
            Finding::new("bubblewrap", Level::Warning, place, what)
                .remedy("remove `unconfined` from [executor.local], unless all code that is built is trusted")
        }
        None => Finding::well("bubblewrap", place, "bubblewrap keeps builds apart"),
        Some(why) => {
            let (what, remedy) = why.split_once("): ").unwrap_or((&why, "install bubblewrap"));
            Finding::new("bubblewrap", Level::Lack, place, format!("{what})")).remedy(remedy)
        }
    };
    vec![git, walls]
}

/// Jobs that do not run whenever what they read changes.
fn jobs(config: &Config) -> Vec<Finding> {
    let tell = |job: &crate::model::JobPolicy| {
        let inputs: Vec<&str> = job.inputs.iter().map(|input| input.repository.as_str()).collect();
        let of = if inputs.is_empty() { "what else it reads".to_owned() } else { inputs.join(", ") };
        let what = match job.runs_for {
            RunsFor::Inputs => return None,
            RunsFor::Own => format!(
                "it runs for changes of its own repositories only (`runs-for = \"own\"`): a change of {of} lands without it and may break it"
            ),
            RunsFor::Files => {
                let files: Vec<&str> = job.files.0.iter().map(|pattern| pattern.as_str()).collect();
                format!(
                    "it runs for changes of {} only (`runs-for = \"files\"`): a change of other files that it reads lands without it and may break it",
                    files.join(", ")
                )
            }
        };
        Some(Finding::new("runs-for", Level::Note, format!("job {}", job.name), what))
    };
    let apart = config.policy.jobs.iter().filter(|job| !job.sites && job.runs_for != RunsFor::Own);
    let apart = apart.filter_map(|job| {
        let mut sites = config.policy.sites.iter().filter(|site| site.inputs);
        let site = sites.find(|site| site.repositories.meet(&job.repositories))?;
        let what = format!(
            "it does not read the rest of its sites (`sites = false`): a change elsewhere in site {} lands without it and may break it",
            site.name
        );
        Some(Finding::new("sites", Level::Note, format!("job {}", job.name), what))
    });
    config.policy.jobs.iter().filter_map(tell).chain(apart).collect()
}

/// Queues without repositories.
fn queues(config: &Config, landings: &[Landing]) -> Vec<Finding> {
    let queues = config.policy.queues.iter().map(|queue| {
        let place = format!("queue {}", queue.name);
        let is_of = |landing: &&Landing| {
            config.policy.queue_of(&landing.pair).is_some_and(|found| found.declared().name == queue.name)
        };
        let count = landings.iter().filter(is_of).count();
        if count > 0 {
            let noun = if count == 1 { "repository" } else { "repositories" };
            return Finding::well("queue", place, format!("it gates {count} {noun}"));
        }
        let what = "it gates no repository that can be seen";
        Finding::new("queue", Level::Lack, place, what).remedy(
            "correct `repositories` and `branches`, make the repository, or grant the daemon's account Read on refs/heads/*",
        )
    });
    queues.collect()
}

fn trial(
    config: &Config,
    report: &DoctorReport,
    folder: &Path,
    runtime: &tokio::runtime::Handle,
) -> anyhow::Result<Trial> {
    let gerrit = &config.gerrit;
    let own = report.identity.clone();
    let own = own.unwrap_or_else(|| Identity { name: gerrit.user.clone(), email: String::new() });
    let signed: Vec<_> = report.landings.iter().filter(|landing| landing.project.sign_off).cloned().collect();
    let settings = GitSettings {
        folder: folder.to_owned(),
        url: gerrit.url.clone(),
        file_urls: false,
        user: gerrit.user.clone(),
        token: gerrit.token.expose().to_owned(),
        committer_name: gerrit.committer_name.clone().unwrap_or(own.name),
        committer_email: gerrit.committer_email.clone().unwrap_or(own.email),
        sign_off: Arc::new(move |repository| {
            signed.iter().any(|landing| landing.pair.repository == *repository)
        }),
        content_merge: Arc::new(|_| true),
        read_only: Arc::new(|_| false),
        submit: Arc::new(|_| Outcome::Failed("a trial submits nothing".into())),
        default_branch: Arc::new(|_| None),
        known: Arc::new(Vec::new),
        parse_job_file: Arc::new(|_, _| Ok(JobFile { jobs: Vec::new(), noop: false })),
        clock: Arc::new(SystemClock),
        client: push_client(&gerrit.url)?,
        runtime: runtime.clone(),
        workers: 1,
    };
    Trial::new(settings, config.policy.clone()).map_err(|error| anyhow::anyhow!("failed to {error}"))
}

/// Pushes a merge to a branch made for it, and removes that.
fn push(
    doctor: &Doctor,
    trial: &Trial,
    runtime: &tokio::runtime::Handle,
    landing: &Landing,
    branch: &str,
) -> Finding {
    let place = landing.pair.repository.to_string();
    let lack = |what: String| Finding::new("push-trial", Level::Lack, place.clone(), what);
    match runtime.block_on(doctor.make_branch(&landing.pair, branch)) {
        Ok(Some(())) => {}
        Ok(None) => {
            let what = format!("no merge was pushed: there is a branch {branch}");
            return Finding::new("push-trial", Level::Unknown, place, what)
                .remedy("give --push-to a name that is free");
        }
        Err(error) => {
            let what = format!("no merge was pushed: failed to make the branch {branch}: {error}");
            let who = doctor.branch_maker();
            return Finding::new("push-trial", Level::Unknown, place, what).remedy(format!(
                "grant the account {who} Create Reference and Delete Reference on refs/heads/{branch}"
            ));
        }
    }
    let pair = Pair { repository: landing.pair.repository.clone(), branch: Branch::from(branch) };
    let pushed = trial.push(&pair);
    let removed = runtime.block_on(doctor.remove_branch(&pair.repository, branch));
    let found = match pushed {
        Ok(Outcome::Applied) => {
            Finding::well("push-trial", place.clone(), "Gerrit took a merge pushed for trial")
        }
        Ok(Outcome::Refused(why) | Outcome::Failed(why) | Outcome::Gone(why) | Outcome::Unknown(why)) => {
            let (what, remedy) = why.rsplit_once("; ").unwrap_or((&why, "see Gerrit's error log"));
            lack(format!("a merge pushed for trial: {what}")).remedy(remedy)
        }
        Err(why) => lack(format!("a merge pushed for trial: failed to {why}")),
    };
    match removed {
        Ok(()) => found,
        Err(error) => {
            let text = format!("{}; the branch {branch} stays: failed to {error}", found.text);
            Finding { text, level: found.level.max(Level::Warning), ..found }
        }
    }
}
