//! Start and stop: what is opened in which order, and what waits for what.

use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::SystemClock;
use super::desk::Board;
use super::run::{Adapters, Loop, Message};
use super::settings::{gerrit_settings, needs};
use crate::config::{Config, parse_job_file};
use crate::engine::Engine;
use crate::executor::local::{Confinement, Local, Settings as LocalSettings};
use crate::gerrit::{Gerrit, Identity, Needs};
use crate::git::{Early, Git, Settings as GitSettings};
use crate::model::{Event, Pair, Policy, Repository, Timestamp};
use crate::port::{Clock as _, Inbox};
use crate::queue::resolve::JobFile;
use crate::report::{Links, compose};
use crate::store::{Settings as StoreSettings, Store};
use crate::web::{Options, control::ControlSocket};

/// Entries of the journal are kept for so many days.
const KEEP_DAYS: u32 = 14;
/// Logs and records of builds are kept for so many days.
const KEEP_LOG_DAYS: u64 = 30;
/// Logs together may have so many bytes.
const KEEP_LOG_BYTES: u64 = 10 << 30;
/// Pause between two attempts to learn who the daemon is on Gerrit.
const IDENTITY_PAUSE: Duration = Duration::from_secs(2);
/// How often the executor is asked for all its builds.
const LIST_EVERY: Duration = Duration::from_secs(300);
/// How often the mark of what was read is written down.
const MARK_EVERY: Duration = Duration::from_secs(10);
/// How often old logs are looked for.
const CLEAN_EVERY: Duration = Duration::from_secs(3_600);

/// Runs the daemon until a signal.
///
/// # Errors
/// As [`super::serve`].
pub async fn serve(config: Arc<Config>) -> anyhow::Result<()> {
    let state = make_state_folder(&config.state_folder)?;
    let store = Store::open(&state, StoreSettings { keep_days: KEEP_DAYS })?;
    let mut opened = Engine::open(store, SystemClock.now()).map_err(|error| anyhow!("failed to {error}"))?;
    let configured = Event::PolicyChanged { policy: config.policy.clone() };
    let accepted = opened
        .engine
        .accept(SystemClock.now(), vec![configured])
        .map_err(|error| anyhow!("failed to {error}"))?;

    let (sender, receiver) = mpsc::channel();
    let view = opened.engine.queue().view(SystemClock.now());
    let board = Arc::new(Board::new(view, sender.clone(), state.join("logs")));
    board.set_probe(Box::new(|| vec!["starting: Gerrit has not answered yet".to_owned()]));
    let (stop_sender, stop) = watch::channel(false);
    let mut signals = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let face = open_face(&config, &board, &state, stop.clone()).await?;

    let high_water = HighWater(state.join("high-water"));
    let gerrit = start_gerrit(&config, &board, high_water.read(), inbox_of(&sender), stop.clone())?;
    let identity = tokio::select! {
        identity = learn_identity(&gerrit, &config, &board) => identity,
        _ = signals.0.recv() => return Ok(()),
        _ = signals.1.recv() => return Ok(()),
    };
    let git = start_git(&config, &gerrit, &identity, &state, inbox_of(&sender))?;
    let local = start_local(&config, &state, inbox_of(&sender))?;
    watch_health(&board, &gerrit);
    report_setup(gerrit.clone(), needs(&config), board.clone());
    fetch_open(gerrit.clone(), git.early());
    let housekeeping = tokio::spawn(keep_house(local.clone()));
    let watermark = tokio::spawn(keep_high_water(gerrit.clone(), high_water.clone()));
    let last = gerrit.clone();

    let mut begun = opened.effects;
    begun.extend(accepted.effects);
    let mut engine_loop = Loop {
        engine: Some(opened.engine),
        adapters: Adapters { gerrit, git, local },
        board: board.clone(),
        inbox: receiver,
    };
    tracing::info!("ready to gate; status on {}", config.web.public_url);
    let mut running = tokio::task::spawn_blocking(move || engine_loop.run(begun));
    let ended = tokio::select! {
        ended = &mut running => ended,
        _ = signals.0.recv() => finish(&sender, running).await,
        _ = signals.1.recv() => finish(&sender, running).await,
    };
    // Receivers may have ended before.
    let _ = stop_sender.send(true);
    housekeeping.abort();
    watermark.abort();
    high_water.write(last.high_water());
    face.abort();
    ended.context("run the loop")?.map_err(|error| anyhow!("failed to {error}"))
}

async fn finish<T>(
    sender: &Sender<Message>,
    running: tokio::task::JoinHandle<T>,
) -> Result<T, tokio::task::JoinError> {
    // A loop that is gone has nothing left to stop.
    let _ = sender.send(Message::Stop);
    running.await
}

fn make_state_folder(folder: &Path) -> anyhow::Result<PathBuf> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.with_context(|| {
        format!("make the state folder {}: give the daemon's account the right to", folder.display())
    })?;
    folder.canonicalize().with_context(|| format!("use the state folder {}", folder.display()))
}

fn inbox_of(sender: &Sender<Message>) -> Inbox {
    let sender = Mutex::new(sender.clone());
    Inbox::new(move |events| {
        let sender = sender.lock().unwrap_or_else(PoisonError::into_inner);
        // A loop that has ended takes nothing more; what it missed is seen again after a start.
        let _ = sender.send(Message::Events(events));
    })
}

async fn open_face(
    config: &Config,
    board: &Arc<Board>,
    state: &Path,
    stop: watch::Receiver<bool>,
) -> anyhow::Result<tokio::task::JoinHandle<()>> {
    let listener = TcpListener::bind(config.web.listen).await.with_context(|| {
        format!("listen on {}: choose another address in [web] listen, or stop who has it", config.web.listen)
    })?;
    let socket = ControlSocket::open(&state.join(crate::web::wire::SOCKET_NAME))?;
    let options = Options { review_url: Some(config.gerrit.url.clone()) };
    let (page, control) = (board.clone(), board.clone());
    let mut stopped = stop;
    Ok(tokio::spawn(async move {
        let stop = async move {
            // An error means that the sender is gone: then it is time to stop as well.
            let _ = stopped.wait_for(|stop| *stop).await;
        };
        let page = crate::web::serve(listener, page, options, stop);
        let (served, _) = tokio::join!(page, socket.serve(control));
        if let Err(error) = served {
            tracing::error!("the page ended: {error}");
        }
    }))
}

fn start_gerrit(
    config: &Arc<Config>,
    board: &Arc<Board>,
    since: Timestamp,
    inbox: Inbox,
    stop: watch::Receiver<bool>,
) -> anyhow::Result<Gerrit> {
    let settings = gerrit_settings(config, since);
    let (gated, links) = (config.policy.clone(), Links { public_url: Some(config.web.public_url.clone()) });
    let tracked = board.clone();
    let started = Gerrit::start(
        settings,
        inbox,
        Arc::new(move |pair| concerns(&gated, pair)),
        Arc::new(move || tracked.tracked()),
        Arc::new(move |report| compose(report, &links)),
        stop,
    );
    started.map_err(|error| anyhow!("failed to {error}"))
}

/// Whether a branch's tip is of interest: it is gated, or a job reads its repository.
fn concerns(policy: &Policy, pair: &Pair) -> bool {
    let read =
        |job: &crate::model::JobPolicy| job.inputs.iter().any(|input| input.repository == pair.repository);
    policy.queue_of(pair).is_some() || policy.jobs.iter().any(read)
}

/// Asks Gerrit who the daemon is there: its merges must carry an address that Gerrit knows.
async fn learn_identity(gerrit: &Gerrit, config: &Config, board: &Board) -> Identity {
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

fn start_git(
    config: &Arc<Config>,
    gerrit: &Gerrit,
    identity: &Identity,
    state: &Path,
    inbox: Inbox,
) -> anyhow::Result<Git> {
    let (form, sign_off, default_branch, known) =
        (gerrit.clone(), gerrit.clone(), gerrit.clone(), gerrit.clone());
    let parser = config.clone();
    let settings = GitSettings {
        folder: state.to_owned(),
        url: config.gerrit.url.clone(),
        file_urls: false,
        user: config.gerrit.user.clone(),
        token: config.gerrit.token.expose().to_owned(),
        committer_name: identity.name.clone(),
        committer_email: identity.email.clone(),
        form: Arc::new(move |repository: &Repository| super::form::landing_form(&form.project(repository))),
        sign_off: Arc::new(move |repository: &Repository| {
            sign_off.project(repository).is_some_and(|project| project.sign_off)
        }),
        default_branch: Arc::new(move |repository: &Repository| {
            default_branch.project(repository)?.default_branch
        }),
        known: Arc::new(move || known.repositories()),
        parse_job_file: Arc::new(move |pair: &Pair, text: &str| job_file(&parser, pair, text)),
        clock: Arc::new(SystemClock),
        client: push_client(&config.gerrit.url)?,
        runtime: tokio::runtime::Handle::current(),
        workers: 4,
    };
    Git::start(settings, inbox, config.policy.clone()).map_err(|error| anyhow!("failed to {error}"))
}

/// The client for pushes.
pub(super) fn push_client(url: &str) -> anyhow::Result<reqwest::Client> {
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

fn start_local(config: &Config, state: &Path, inbox: Inbox) -> anyhow::Result<Local> {
    let local = &config.executors.local;
    let stores = state.to_owned();
    let settings = LocalSettings {
        folder: state.to_owned(),
        confinement: Confinement {
            unconfined: local.unconfined,
            network: local.network,
            visible: Vec::new(),
            hidden: vec![state.to_owned()],
        },
        max_output_bytes: local.max_output,
        shim: std::env::current_exe().context("find the daemon's own program, which supervises builds")?,
        store: Arc::new(move |repository: &Repository| crate::git::store_path(&stores, repository)),
        keep_days: KEEP_LOG_DAYS,
        keep_bytes: KEEP_LOG_BYTES,
    };
    Local::start(settings, inbox).context("start the local executor")
}

fn watch_health(board: &Board, gerrit: &Gerrit) {
    let gerrit = gerrit.clone();
    board.set_probe(Box::new(move || {
        let ready = gerrit.ready();
        let text = "gerrit: the event stream is not up, or what was missed is still being read; see the log";
        if ready { Vec::new() } else { vec![text.to_owned()] }
    }));
}

/// Looks once for what is missing on Gerrit, and keeps saying it.
fn report_setup(gerrit: Gerrit, needs: Needs, board: Arc<Board>) {
    tokio::spawn(async move {
        // What can be seen depends on the tips that were read.
        while !gerrit.ready() {
            tokio::time::sleep(IDENTITY_PAUSE).await;
        }
        let problems: Vec<String> = gerrit.probe(&needs).await.iter().map(ToString::to_string).collect();
        for problem in &problems {
            tracing::error!("gerrit: {problem}");
        }
        if !problems.is_empty() {
            board.problem("gerrit set-up", Some(problems.join("; ")));
        }
    });
}

/// Fetches what may soon be approved, so that an approval need not wait for it.
fn fetch_open(gerrit: Gerrit, early: Early) {
    tokio::spawn(async move {
        match gerrit.open_changes().await {
            Ok(open) => open.iter().for_each(|(repository, number, patchset, revision)| {
                early.patch_set(repository, *number, *patchset, *revision);
            }),
            Err(error) => tracing::warn!("failed to {error}; patch sets are fetched when they are approved"),
        }
    });
}

/// Up to which modification changes were read: after a restart the catch-up begins there. Losing it
/// costs nothing but patch sets that are not checked until something else happens to them.
#[derive(Clone)]
struct HighWater(PathBuf);

impl HighWater {
    fn read(&self) -> Timestamp {
        let text = fs::read_to_string(&self.0).unwrap_or_default();
        Timestamp(text.trim().parse().unwrap_or(0))
    }

    fn write(&self, mark: Timestamp) {
        let fresh = self.0.with_extension("new");
        let written = fs::write(&fresh, mark.0.to_string()).and_then(|()| fs::rename(&fresh, &self.0));
        if let Err(error) = written {
            tracing::warn!("failed to write {}: {error}", self.0.display());
        }
    }
}

async fn keep_high_water(gerrit: Gerrit, file: HighWater) {
    let mut written = file.read();
    loop {
        tokio::time::sleep(MARK_EVERY).await;
        let mark = gerrit.high_water();
        if mark > written {
            file.write(mark);
            written = mark;
        }
    }
}

async fn keep_house(local: Local) {
    let mut cleaned = std::time::Instant::now();
    loop {
        tokio::time::sleep(LIST_EVERY).await;
        local.list(SystemClock.now());
        if cleaned.elapsed() >= CLEAN_EVERY {
            let cleaning = local.clone();
            // Cleaning again an hour later is all that a failure calls for.
            let _ = tokio::task::spawn_blocking(move || cleaning.clean()).await;
            cleaned = std::time::Instant::now();
        }
    }
}
