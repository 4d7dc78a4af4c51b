//! The real adapters, each set up from the configuration; what may change at run time they ask of the
//! configuration in force.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use tokio::sync::watch;

use super::SystemClock;
use super::desk::Board;
use super::in_force::InForce;
use super::settings::gerrit_settings;
use crate::config::{Config, parse_job_file};
use crate::executor::local::{Confinement, Local, Settings as LocalSettings};
use crate::gerrit::{Gerrit, Identity};
use crate::git::{Git, Settings as GitSettings, Submission};
use crate::model::{Pair, Policy, Repository, Timestamp};
use crate::port::Inbox;
use crate::queue::resolve::JobFile;
use crate::report::{Links, compose};

/// Pause between two attempts to learn who the daemon is on Gerrit.
const IDENTITY_PAUSE: Duration = Duration::from_secs(2);

/// Starts the Gerrit adapter; changes modified before `since` were read by an earlier run.
pub fn start_gerrit(
    config: &InForce,
    board: &Arc<Board>,
    since: Timestamp,
    inbox: Inbox,
    stop: watch::Receiver<bool>,
) -> anyhow::Result<Gerrit> {
    let settings = gerrit_settings(&config.get(), since);
    let (gated, links, tracked) = (config.clone(), config.clone(), board.clone());
    let started = Gerrit::start(
        settings,
        inbox,
        Arc::new(move |pair| concerns(&gated.get().policy, pair)),
        Arc::new(move || tracked.tracked()),
        Arc::new(move |report| {
            compose(report, &Links { public_url: Some(links.get().web.public_url.clone()) })
        }),
        stop,
    );
    started.map_err(|error| anyhow!("failed to {error}"))
}

/// Whether a branch's tip is of interest: it is gated, or jobs read its repository.
fn concerns(policy: &Policy, pair: &Pair) -> bool {
    policy.queue_of(pair).is_some() || policy.reads(&pair.repository)
}

/// Asks Gerrit who the daemon is there: its merges must carry an address that Gerrit knows.
pub async fn learn_identity(gerrit: &Gerrit, config: &Config, board: &Board) -> Identity {
    loop {
        match gerrit.identity().await {
            Ok(mut identity) => {
                board.problem("gerrit", None);
                identity.name = config.gerrit.committer_name.clone().unwrap_or(identity.name);
                identity.email = config.gerrit.committer_email.clone().unwrap_or(identity.email);
                return identity;
            }
            Err(error) => {
                board.problem("gerrit", Some(format!("failed to {error}")));
                board.turned();
                tokio::time::sleep(IDENTITY_PAUSE).await;
            }
        }
    }
}

/// Starts the git adapter, whose merges carry `identity`. `remembered` are the repositories that an earlier
/// run has seen: until Gerrit has told of all, what they read and who reads them must not be forgotten.
pub fn start_git(
    config: &InForce,
    gerrit: &Gerrit,
    identity: &Identity,
    state: &Path,
    remembered: Vec<Repository>,
    inbox: Inbox,
) -> anyhow::Result<Git> {
    let (sign_off, content_merge, read_only) = (gerrit.clone(), gerrit.clone(), gerrit.clone());
    let (default_branch, known, submit) = (gerrit.clone(), gerrit.clone(), gerrit.clone());
    let parser = config.clone();
    let config = config.get();
    let settings = GitSettings {
        folder: state.to_owned(),
        url: config.gerrit.url.clone(),
        file_urls: false,
        user: config.gerrit.user.clone(),
        token: config.gerrit.token.expose().to_owned(),
        committer_name: identity.name.clone(),
        committer_email: identity.email.clone(),
        sign_off: Arc::new(move |repository: &Repository| {
            sign_off.project(repository).is_some_and(|project| project.sign_off)
        }),
        content_merge: Arc::new(move |repository: &Repository| {
            content_merge.project(repository).is_none_or(|project| project.content_merge)
        }),
        read_only: Arc::new(move |repository: &Repository| {
            read_only.project(repository).is_some_and(|project| project.read_only)
        }),
        submit: Arc::new(move |one: &Submission| submit.submit(one.change, &one.repository, one.revision)),
        default_branch: Arc::new(move |repository: &Repository| {
            default_branch.project(repository)?.default_branch
        }),
        known: Arc::new(move || {
            let mut all = known.repositories();
            if !known.ready() {
                all.extend(remembered.iter().cloned());
            }
            all
        }),
        parse_job_file: Arc::new(move |pair: &Pair, text: &str| job_file(&parser.get(), pair, text)),
        clock: Arc::new(SystemClock),
        client: push_client(&config.gerrit.url)?,
        runtime: tokio::runtime::Handle::current(),
        workers: 4,
    };
    Git::start(settings, inbox, config.policy.clone()).map_err(|error| anyhow!("failed to {error}"))
}

/// The client for pushes to the server at `url`.
///
/// # Errors
/// When the machine's certificates cannot be used.
pub fn push_client(url: &str) -> anyhow::Result<reqwest::Client> {
    // Gerrit drops connections that were idle for half a minute.
    let client = reqwest::Client::builder().pool_idle_timeout(Duration::from_secs(20)).tcp_nodelay(true);
    let client = if crate::git::is_loopback(url) { client.no_proxy() } else { client };
    client.build().context("make an HTTP client")
}

fn job_file(config: &Config, pair: &Pair, text: &str) -> Result<JobFile, String> {
    match parse_job_file(text.as_bytes(), pair, &config.policy, &config.job_file_limits) {
        Ok(file) => Ok(JobFile { jobs: file.jobs, noop: file.noop }),
        Err(problems) => Err(problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")),
    }
}

/// Starts the local executor.
pub fn start_local(config: &InForce, state: &Path, inbox: Inbox) -> anyhow::Result<Local> {
    let stores = state.to_owned();
    let mut settings = LocalSettings {
        folder: state.to_owned(),
        confinement: Confinement {
            unconfined: false,
            network: false,
            visible: Vec::new(),
            hidden: vec![state.to_owned()],
        },
        max_output_bytes: 0,
        shim: std::env::current_exe().context("find the daemon's own program, which supervises builds")?,
        store: Arc::new(move |repository: &Repository| crate::git::store_path(&stores, repository)),
        keep_days: 0,
        keep_bytes: 0,
        min_free_bytes: 0,
    };
    configure_local(&mut settings, &config.get());
    Local::start(settings, inbox).context("start the local executor")
}

/// Takes over what the configuration says of builds on this machine.
pub fn configure_local(settings: &mut LocalSettings, config: &Config) {
    let (local, keep) = (&config.executors.local, &config.keep);
    settings.confinement.unconfined = local.unconfined;
    settings.confinement.network = local.network;
    settings.max_output_bytes = local.max_output;
    settings.keep_days = keep.log_days.into();
    settings.keep_bytes = keep.log_bytes;
    settings.min_free_bytes = keep.min_free;
}
