//! What the loop shows to the page and the socket, and how their commands reach it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{oneshot, watch};

use super::SystemClock;
use super::reload::Reloader;
use super::run::Message;
use super::sight::Sight;
use crate::model::cost::CostOf;
use crate::model::event::Command;
use crate::model::view::View;
use crate::model::{Account, BuildId, ChangeNumber, Event, Repository, ResolvedInput};
use crate::port::Clock as _;
use crate::web::{Answer, Asked, Costing, Desk, Health, History, Metrics, Reloaded, Reloading, Verdict};

/// Begins a line that names a repository, in the list of what a build's log can show.
const REPOSITORY: &str = "repository ";
/// How long a command waits for the loop.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// What is said to whoever asks too early or too late.
const NOT_READY: &str = "the daemon is starting or stopping: ask again when it is ready";
/// A loop that has not turned for so long is taken for dead, in milliseconds.
const STUCK_MS: i64 = 120_000;

/// Looks at something outside and tells what is wrong with it.
pub type Probe = Box<dyn Fn() -> Vec<String> + Send + Sync>;

/// Brings figures up to date that are counted elsewhere.
pub type Refresh = Box<dyn Fn(&Metrics) + Send + Sync>;

/// Shared between the loop and the face.
pub struct Board {
    view: Mutex<Arc<View>>,
    /// The view as its readers may see it, made when someone looks, and the count at which it was made.
    shown: Mutex<Option<(u64, Arc<View>)>>,
    sight: Sight,
    history: History,
    refresh: Mutex<Option<Refresh>>,
    tracked: Mutex<Arc<Vec<(ChangeNumber, Repository)>>>,
    changed: watch::Sender<u64>,
    /// Figures for monitoring.
    pub metrics: Metrics,
    problems: Mutex<BTreeMap<&'static str, String>>,
    remarks: Mutex<BTreeMap<&'static str, String>>,
    reloader: Mutex<Weak<Reloader>>,
    probe: Mutex<Option<Probe>>,
    answers: Mutex<BTreeMap<u64, oneshot::Sender<Answer>>>,
    next_request: AtomicU64,
    /// When the loop last turned, in milliseconds since 1970.
    turned_at: AtomicI64,
    loop_inbox: Mutex<Sender<Message>>,
    logs: PathBuf,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Board {
    /// A board over the view of before the start. Logs of builds lie in `logs`.
    pub fn new(view: View, sight: Sight, loop_inbox: Sender<Message>, logs: PathBuf) -> Self {
        Self {
            history: History::from_view(&view),
            view: Mutex::new(Arc::new(view)),
            shown: Mutex::new(None),
            sight,
            refresh: Mutex::new(None),
            tracked: Mutex::default(),
            changed: watch::Sender::new(0),
            metrics: Metrics::new(),
            problems: Mutex::default(),
            remarks: Mutex::default(),
            reloader: Mutex::default(),
            probe: Mutex::new(None),
            answers: Mutex::default(),
            next_request: AtomicU64::new(1),
            turned_at: AtomicI64::new(SystemClock.now().0),
            loop_inbox: Mutex::new(loop_inbox),
            logs,
        }
    }

    /// Publishes a view and the changes that matter now.
    pub fn publish(&self, view: View, tracked: Vec<(ChangeNumber, Repository)>) {
        self.metrics.observe_view(&view);
        self.history.observe(&view);
        *lock(&self.view) = Arc::new(view);
        *lock(&self.tracked) = Arc::new(tracked);
        self.bump();
    }

    /// Something that is shown has changed.
    pub fn bump(&self) {
        self.changed.send_modify(|count| *count += 1);
    }

    /// Bumps whenever something that is shown changes.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// The latest view, with what its readers may not see.
    pub fn raw_view(&self) -> Arc<View> {
        lock(&self.view).clone()
    }

    /// What the readers may see.
    pub fn sight(&self) -> &Sight {
        &self.sight
    }

    /// Changes as the log may name them.
    pub fn names(&self, numbers: impl Iterator<Item = ChangeNumber>) -> String {
        let name = |number| if self.sight.shows(number) { number.to_string() } else { "(hidden)".into() };
        numbers.map(name).collect::<Vec<_>>().join(", ")
    }

    /// Sets what brings figures up to date that are counted elsewhere.
    pub fn set_refresh(&self, refresh: Refresh) {
        *lock(&self.refresh) = Some(refresh);
    }

    /// Notes which changes' content a build can show. What was noted before stays: an effect that is
    /// begun again is the same build.
    pub fn note_build(&self, build: BuildId, changes: &[ChangeNumber], inputs: &[ResolvedInput]) {
        let path = self.changes_path(build);
        let mut text: String = changes.iter().map(|number| format!("{number}\n")).collect();
        if changes.is_empty() {
            // A run at the tips shows what the repositories show.
            let line = |input: &ResolvedInput| format!("{REPOSITORY}{}\n", input.pair.repository);
            text = inputs.iter().map(line).collect();
        }
        let written = std::fs::create_dir_all(&self.logs).and_then(|()| {
            let opened = std::fs::OpenOptions::new().write(true).create_new(true).open(&path);
            std::io::Write::write_all(&mut opened?, text.as_bytes())
        });
        match written {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                tracing::warn!("failed to write {}: {error}; the build's log is not shown", path.display());
            }
            _ => {}
        }
    }

    /// Whether readers may see all that a build's log can show.
    pub fn shows_build(&self, build: BuildId) -> bool {
        if self.sight.veil().everything {
            return true;
        }
        let text = std::fs::read_to_string(self.changes_path(build)).unwrap_or_default();
        let veil = self.sight.veil();
        let shows = |line: &str| match line.strip_prefix(REPOSITORY) {
            Some(name) => veil.repositories.contains(&Repository::from(name)),
            None => line.parse().is_ok_and(|number| self.sight.shows(ChangeNumber(number))),
        };
        !text.is_empty() && text.lines().all(shows)
    }

    fn changes_path(&self, build: BuildId) -> PathBuf {
        self.logs.join(format!("{build}.changes"))
    }

    /// The changes that matter now.
    pub fn tracked(&self) -> Vec<(ChangeNumber, Repository)> {
        lock(&self.tracked).to_vec()
    }

    /// Says what is wrong with `part`, with the remedy; `None` when it is well again.
    pub fn problem(&self, part: &'static str, text: Option<String>) {
        let mut problems = lock(&self.problems);
        match text {
            Some(text) => {
                if problems.get(part) != Some(&text) {
                    tracing::error!("{part}: {}", self.sight.cover(&text, &self.raw_view()));
                }
                problems.insert(part, text);
            }
            None => {
                if problems.remove(part).is_some() {
                    tracing::info!("{part}: well again");
                }
            }
        }
    }

    /// Says what a person should see to about `part`, though it does not keep the daemon from gating; the
    /// log has it from whoever says it. `None` when there is nothing more to see to.
    pub fn remark(&self, part: &'static str, text: Option<String>) {
        let mut remarks = lock(&self.remarks);
        match text {
            Some(text) => drop(remarks.insert(part, text)),
            None => drop(remarks.remove(part)),
        }
    }

    /// Sets who reads the configuration anew.
    pub fn set_reloader(&self, reloader: &Arc<Reloader>) {
        *lock(&self.reloader) = Arc::downgrade(reloader);
    }

    /// Sets what is asked at each look at the health.
    pub fn set_probe(&self, probe: Probe) {
        *lock(&self.probe) = Some(probe);
    }

    /// The loop has turned.
    pub fn turned(&self) {
        self.turned_at.store(SystemClock.now().0, Ordering::Relaxed);
    }

    /// Gives the core's answer to whoever waits for it.
    pub fn answer(&self, request: u64, accepted: bool, text: String) {
        if let Some(waiting) = lock(&self.answers).remove(&request) {
            // Whoever asked may have gone.
            let _ = waiting.send(Answer { accepted, text });
        }
    }
}

impl Desk for Board {
    fn view(&self) -> Arc<View> {
        // The count is read first: what is newer than its count is made once more.
        let count = *self.changed.borrow();
        let mut shown = lock(&self.shown);
        if let Some((_, view)) = shown.as_ref().filter(|(made_at, _)| *made_at == count) {
            return view.clone();
        }
        let (whole, veil) = (self.raw_view(), self.sight.veil());
        let view = if veil.everything { whole } else { Arc::new(veil.over(&whole)) };
        *shown = Some((count, view.clone()));
        view
    }

    fn whole_view(&self) -> Arc<View> {
        self.raw_view()
    }

    fn history(&self) -> &History {
        &self.history
    }

    fn figures(&self) -> &Metrics {
        &self.metrics
    }

    fn changed(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    fn ask(&self, by: Account, command: Command) -> Asked {
        let request = self.next_request.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = oneshot::channel();
        lock(&self.answers).insert(request, sender);
        let event = Event::Operator { request, by, command };
        let sent = lock(&self.loop_inbox).send(Message::Events(vec![event])).is_ok();
        Box::pin(async move {
            let late = |text: &str| Answer { accepted: false, text: text.into() };
            if !sent {
                return late("the daemon is stopping; ask again when it is back");
            }
            match tokio::time::timeout(ANSWER_TIMEOUT, receiver).await {
                Ok(Ok(answer)) => answer,
                Ok(Err(_)) => {
                    late("the daemon stopped before it answered; look at its status when it is back")
                }
                Err(_) => late(
                    "no answer within 30 seconds: the command waits, look at `seakeeper status` and the daemon's log",
                ),
            }
        })
    }

    fn reload(&self, by: Account) -> Reloading {
        let reloader = lock(&self.reloader).upgrade();
        Box::pin(async move {
            let Some(reloader) = reloader else {
                return Reloaded { verdict: Verdict::NotNow, lines: vec![NOT_READY.to_owned()] };
            };
            // On a task of its own: a client that goes away must not leave it half done.
            let task = tokio::spawn(async move { reloader.reload(by.as_str()).await });
            task.await.unwrap_or_else(|error| {
                let text = format!("the daemon broke off: {error}; see its log and restart it");
                Reloaded { verdict: Verdict::NotNow, lines: vec![text] }
            })
        })
    }

    fn costs(&self, asked: Vec<CostOf>) -> Costing {
        let reloader = lock(&self.reloader).upgrade();
        Box::pin(async move {
            let Some(reloader) = reloader else { return Err(NOT_READY.to_owned()) };
            let counted = tokio::task::spawn_blocking(move || reloader.costs(&asked)).await;
            counted.unwrap_or_else(|error| Err(format!("count builds: {error}; see the daemon's log")))
        })
    }

    fn health(&self) -> Health {
        let mut problems: Vec<String> =
            lock(&self.problems).iter().map(|(part, text)| format!("{part}: {text}")).collect();
        problems.extend(lock(&self.probe).as_ref().map(|probe| probe()).unwrap_or_default());
        problems.extend(self.view().unable.iter().map(|why| format!("executor: {why}")));
        let stuck = SystemClock.now().0 - self.turned_at.load(Ordering::Relaxed) > STUCK_MS;
        if stuck {
            problems.push("the loop has not turned for two minutes; restart the daemon".into());
        }
        let whole = self.raw_view();
        let mut problems: Vec<String> =
            problems.iter().map(|problem| self.sight.cover(problem, &whole)).collect();
        let ready = problems.is_empty();
        let remarks = lock(&self.remarks);
        let remarks = remarks.iter().map(|(part, text)| format!("{part}: {}", self.sight.mask(text)));
        problems.extend(remarks);
        Health { live: !stuck, ready, problems }
    }

    fn metrics(&self) -> String {
        if let Some(refresh) = lock(&self.refresh).as_ref() {
            refresh(&self.metrics);
        }
        self.metrics.encode()
    }

    fn log_path(&self, build: BuildId) -> Option<PathBuf> {
        let path = self.logs.join(format!("{build}.log"));
        (path.exists() && self.shows_build(build)).then_some(path)
    }
}
