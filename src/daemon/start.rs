//! Start and stop: what is opened in which order, and what waits for what.

use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, anyhow};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use super::SystemClock;
use super::adapters::{learn_identity, start_gerrit, start_git, start_local};
use super::desk::Board;
use super::in_force::InForce;
use super::log::Log;
use super::reload::{Reloader, Running};
use super::run::{Adapters, Loop, Message};
use super::sight::{Sight, keep_looking};
use super::upkeep::{HighWater, House, fetch_open, keep_high_water, keep_house, report_setup, watch_health};
use crate::config::Config;
use crate::engine::{Engine, Opened};
use crate::gerrit::Gerrit;
use crate::model::{Effect, Event};
use crate::port::{Clock as _, Inbox, JournalError};
use crate::store::{Settings as StoreSettings, Store};
use crate::web::{Options, control::ControlSocket, metrics::GerritCounts};

/// Runs the daemon until a signal.
///
/// # Errors
/// As [`super::serve`].
pub async fn serve(config: Config, log: Log) -> anyhow::Result<()> {
    let state = make_state_folder(&config.state_folder)?;
    let store = Store::open(&state, StoreSettings { keep_days: config.keep.journal_days })?;
    let keep = store.keep();
    let (engine, begun) = open_engine(store, &config)?;

    let (sender, receiver) = mpsc::channel();
    let view = engine.queue().view(SystemClock.now());
    let remembered = engine.queue().repositories();
    let sight = Sight::new(config.web.visible_to);
    let board = Arc::new(Board::new(view, sight, sender.clone(), state.join("logs")));
    log.follow(&board);
    board.set_probe(Box::new(|| vec!["starting: Gerrit has not answered yet".to_owned()]));
    let (stop_sender, stop) = watch::channel(false);
    let mut signals = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let config = InForce::new(config);
    let reloader = Arc::new(Reloader::new(config.clone(), board.clone(), sender.clone(), keep));
    board.set_reloader(&reloader);
    let hangups = tokio::spawn(heed_hangups(signal(SignalKind::hangup())?, reloader.clone()));
    let face = open_face(&config.get(), &board, &state, stop.clone()).await?;

    let high_water = HighWater::of(&state);
    let gerrit = start_gerrit(&config, &board, high_water.read(), inbox_of(&sender), stop.clone())?;
    let now = config.get();
    let identity = tokio::select! {
        identity = learn_identity(&gerrit, &now, &board) => identity,
        _ = signals.0.recv() => return Ok(()),
        _ = signals.1.recv() => return Ok(()),
    };
    let git = start_git(&config, &gerrit, &identity, &state, remembered, inbox_of(&sender))?;
    let local = start_local(&config, &state, inbox_of(&sender))?;
    watch_health(&board, &gerrit);
    count_requests(&board, &gerrit);
    let looking = tokio::spawn(keep_looking(board.clone(), gerrit.clone()));
    report_setup(gerrit.clone(), config.clone(), board.clone());
    fetch_open(gerrit.clone(), git.early());
    reloader.begin(Running { gerrit: gerrit.clone(), git: git.upkeep(), local: local.clone() });
    let house = House {
        config: config.clone(),
        board: board.clone(),
        gerrit: gerrit.clone(),
        git: git.upkeep(),
        local: local.clone(),
    };
    let housekeeping = tokio::spawn(keep_house(house));
    let watermark = tokio::spawn(keep_high_water(gerrit.clone(), high_water.clone()));
    let last = gerrit.clone();

    let mut engine_loop = Loop::new(engine, Adapters { gerrit, git, local }, board.clone(), receiver);
    tracing::info!("ready to gate; status on {}", config.get().web.public_url);
    let mut running = tokio::task::spawn_blocking(move || engine_loop.run(begun));
    let ended = tokio::select! {
        ended = &mut running => ended,
        _ = signals.0.recv() => finish(&sender, running).await,
        _ = signals.1.recv() => finish(&sender, running).await,
    };
    // Receivers may have ended before.
    let _ = stop_sender.send(true);
    for task in [hangups, housekeeping, watermark, looking] {
        task.abort();
    }
    high_water.write(last.high_water());
    face.abort();
    ended.context("run the loop")?.map_err(|error| anyhow!("failed to {error}"))
}

/// The engine where the last run has left it, under the configuration of this one, and the effects to
/// begin with.
fn open_engine(store: Store, config: &Config) -> anyhow::Result<(Engine<Store>, Vec<Effect>)> {
    let failed = |error: JournalError| anyhow!("failed to {error}");
    let Opened { mut engine, mut effects, .. } = Engine::open(store, SystemClock.now()).map_err(failed)?;
    let configured = Event::PolicyChanged { policy: config.policy.clone() };
    let accepted = engine.accept(SystemClock.now(), vec![configured]).map_err(failed)?;
    effects.extend(accepted.effects);
    Ok((engine, effects))
}

/// Reads the configuration anew at each SIGHUP.
async fn heed_hangups(mut hangups: Signal, reloader: Arc<Reloader>) {
    while hangups.recv().await.is_some() {
        reloader.reload("a SIGHUP").await;
    }
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
    let options =
        Options { review_url: Some(config.gerrit.url.clone()), public_url: config.web.public_url.clone() };
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

/// Gives monitoring what the adapter counts.
fn count_requests(board: &Board, gerrit: &Gerrit) {
    let stats = gerrit.stats();
    board.set_refresh(Box::new(move |metrics| {
        let [all, denied, rejected, unavailable, malformed] =
            [&stats.requests, &stats.denied, &stats.rejected, &stats.unavailable, &stats.malformed_answers]
                .map(|count| count.load(Ordering::Relaxed));
        let ok = all.saturating_sub(denied + rejected + unavailable + malformed);
        metrics.gerrit(&GerritCounts {
            requests: [
                ("ok", ok),
                ("denied", denied),
                ("rejected", rejected),
                ("unavailable", unavailable),
                ("malformed", malformed),
            ],
            events: stats.events.load(Ordering::Relaxed),
            reconnects: stats.reconnects.load(Ordering::Relaxed),
            streaming: stats.streaming.load(Ordering::Relaxed),
        });
        stats.take_lags_ms().into_iter().for_each(|lag_ms| metrics.event_lag(lag_ms));
    }));
}
