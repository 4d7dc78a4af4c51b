//! The local executor: builds on this machine, each supervised by a shim process of its own.
//!
//! A build is a folder, `builds/<id>`, whose name says that it was started: asking twice starts it
//! once, and a daemon that comes back finds there what runs, what ended and what was lost.

mod checkout;
mod clean;
mod record;
mod sandbox;
mod shim;
mod spare;

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use rustix::fs::{CWD, Mode, OFlags};

pub use record::Confinement;
pub use shim::shim_main;

use crate::model::event::BuildPhase;
use crate::model::{BuildId, BuildSpec, Effect, EffectKind, Event, JobName, Repository, ResolvedInput};
use crate::model::{Timestamp, Verdict};
use crate::port::{Executor, Inbox};
use record::{Ended, Order};
use spare::Spares;

/// Finds the bare repository that holds the objects of a project.
pub type Store = Arc<dyn Fn(&Repository) -> PathBuf + Send + Sync>;

/// What the operator sets, and where things are.
#[derive(Clone)]
pub struct Settings {
    /// Where `builds/` and `logs/` lie; must be an absolute path.
    pub folder: PathBuf,
    /// How builds are kept apart.
    pub confinement: Confinement,
    /// Output beyond this is cut from a log, in bytes; 64 MiB is a good value.
    pub max_output_bytes: u64,
    /// The program that has the sub-command `build-shim`: usually the daemon's own.
    pub shim: PathBuf,
    /// Where objects come from.
    pub store: Store,
    /// Logs and records of ended builds are kept for so many days.
    pub keep_days: u64,
    /// Logs together may have so many bytes; the oldest go first.
    pub keep_bytes: u64,
    /// No new build is to begin while the folder's volume has fewer bytes of room.
    pub min_free_bytes: u64,
}

/// Why the executor cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum ExecutorError {
    /// Its folders cannot be used.
    #[error("make the folder of builds {0}; give the daemon's account the right to write there")]
    Folder(PathBuf, #[source] io::Error),
}

/// What the executor has done since it was started.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Stats {
    /// Builds that run now.
    pub running: u64,
    /// Builds begun, without those adopted.
    pub started: u64,
    /// Builds found running at the start.
    pub adopted: u64,
    /// Builds whose end was told.
    pub finished: u64,
}

#[derive(Clone)]
enum State {
    Running { stop: bool },
    Finished(Ended),
}

struct Inner {
    settings: Mutex<Arc<Settings>>,
    inbox: Inbox,
    able: Mutex<Able>,
    builds: Mutex<BTreeMap<BuildId, State>>,
    spares: Spares,
    started: AtomicU64,
    adopted: AtomicU64,
    finished: AtomicU64,
}

/// What stands against builds, each in words with the remedy.
#[derive(Clone, PartialEq, Eq, Default)]
struct Able {
    /// Nothing keeps builds apart.
    walls: Option<Arc<str>>,
    /// There is too little room.
    room: Option<Arc<str>>,
}

impl Able {
    fn event(&self) -> Event {
        Event::CapabilitiesSeen { unable: self.walls.clone().or_else(|| self.room.clone()) }
    }
}

/// The local executor. Cheap to clone.
#[derive(Clone)]
pub struct Local(Arc<Inner>);

/// Why builds cannot be kept apart on this machine, if so; tried once in `folder`, which is made and
/// removed.
pub fn unable(folder: &Path, walls: &Confinement) -> Option<String> {
    sandbox::probe(folder, walls)
}

impl Local {
    /// Makes the folders, tries the walls, tells what it can do and adopts the builds found.
    ///
    /// # Errors
    /// See [`ExecutorError`].
    pub fn start(mut settings: Settings, inbox: Inbox) -> Result<Self, ExecutorError> {
        for name in ["builds", "logs"] {
            let folder = settings.folder.join(name);
            fs::create_dir_all(&folder).map_err(|error| ExecutorError::Folder(folder, error))?;
        }
        // A new file is found room for near others of its folder's, past each that was removed of late.
        spare::spread(&settings.folder.join("builds"));
        let spare = settings.folder.join("spare");
        let spares = Spares::new(spare.clone()).map_err(|error| ExecutorError::Folder(spare, error))?;
        settings.confinement.hidden.push(settings.folder.clone());
        let able = Able { walls: probe_walls(&settings), room: clean::lack_of_room(&settings) };
        inbox.deliver(vec![able.event()]);
        let local = Self(Arc::new(Inner {
            settings: Mutex::new(Arc::new(settings)),
            inbox,
            able: Mutex::new(able),
            builds: Mutex::default(),
            spares,
            started: AtomicU64::new(0),
            adopted: AtomicU64::new(0),
            finished: AtomicU64::new(0),
        }));
        local.adopt();
        Ok(local)
    }

    /// Puts other settings in force for the builds begun from now on, all but the folder. Blocks while
    /// the walls are tried, when they are others.
    pub fn reconfigure(&self, change: impl FnOnce(&mut Settings)) {
        let before = self.settings();
        let mut settings = Settings::clone(&before);
        change(&mut settings);
        settings.folder = before.folder.clone();
        if !settings.confinement.hidden.contains(&settings.folder) {
            settings.confinement.hidden.push(settings.folder.clone());
        }
        let walls = (settings.confinement != before.confinement).then(|| probe_walls(&settings));
        let room = clean::lack_of_room(&settings);
        *lock(&self.0.settings) = Arc::new(settings);
        self.note_able(|able| {
            able.walls = walls.unwrap_or(able.walls.take());
            able.room = room;
        });
    }

    /// Tells when the room on the volume has become too little for new builds, or enough again. Blocks
    /// while what is only kept for speed is removed.
    pub fn look_for_room(&self) {
        let mut room = clean::lack_of_room(&self.settings());
        if room.is_some() {
            self.0.spares.clear();
            room = clean::lack_of_room(&self.settings());
        }
        self.note_able(|able| {
            // The words name how much room there is, which varies without news in it.
            if able.room.is_some() != room.is_some() {
                able.room = room;
            }
        });
    }

    fn note_able(&self, change: impl FnOnce(&mut Able)) {
        let mut able = lock(&self.0.able);
        let before = able.clone();
        change(&mut able);
        if *able != before {
            // Within the lock, so that the last word told is the last one noted.
            self.0.inbox.deliver(vec![able.event()]);
        }
    }

    fn settings(&self) -> Arc<Settings> {
        lock(&self.0.settings).clone()
    }

    /// The log of a build; there may be none yet, or no more.
    pub fn log_path(&self, build: BuildId) -> PathBuf {
        self.settings().folder.join("logs").join(format!("{build}.log"))
    }

    /// Tells all builds that it has, as an answer to a question asked at `asked_at`.
    pub fn list(&self, asked_at: Timestamp) {
        let known = self.builds().keys().copied().collect();
        self.0.inbox.deliver(vec![Event::BuildsListed { asked_at, known }]);
    }

    /// Drops the record of an ended build; its log stays as long as the settings say.
    pub fn forget(&self, build: BuildId) {
        let mut builds = self.builds();
        if matches!(builds.get(&build), Some(State::Finished(_))) {
            // A record that cannot be removed now goes with the next clean-up.
            let _ = sandbox::remove_folder(&self.build_folder(build));
            builds.remove(&build);
        }
    }

    /// Removes records and logs that are older or more than the settings allow.
    pub fn clean(&self) {
        self.0.spares.clear();
        let settings = self.settings();
        let old = clean::old_entries(&settings.folder.join("builds"), settings.keep_days);
        old.iter().filter_map(|path| build_of(path)).for_each(|build| self.forget(build));
        let ended = |state: &State| matches!(state, State::Finished(_));
        let ended: Vec<BuildId> =
            self.builds().iter().filter(|(_, state)| ended(state)).map(|(build, _)| *build).collect();
        ended.iter().for_each(|build| remove_work(&self.build_folder(*build)));
        let running = |path: &Path| {
            let build = build_of(path);
            build.is_some_and(|build| matches!(self.builds().get(&build), Some(State::Running { .. })))
        };
        clean::clean_logs(&settings.folder.join("logs"), settings.keep_days, settings.keep_bytes, running);
    }

    /// What was done until now.
    pub fn stats(&self) -> Stats {
        let running = self.builds().values().filter(|state| matches!(state, State::Running { .. })).count();
        Stats {
            running: u64::try_from(running).unwrap_or(u64::MAX),
            started: self.0.started.load(Ordering::Relaxed),
            adopted: self.0.adopted.load(Ordering::Relaxed),
            finished: self.0.finished.load(Ordering::Relaxed),
        }
    }

    fn builds(&self) -> MutexGuard<'_, BTreeMap<BuildId, State>> {
        lock(&self.0.builds)
    }

    fn build_folder(&self, build: BuildId) -> PathBuf {
        self.settings().folder.join("builds").join(build.to_string())
    }

    fn tell(&self, build: BuildId, phase: BuildPhase) {
        self.0.inbox.deliver(vec![Event::BuildSeen { build, phase }]);
    }

    fn tell_end(&self, build: BuildId, ended: Ended) {
        let Ended { verdict, duration_ms } = ended;
        self.tell(build, BuildPhase::Finished { verdict, duration_ms });
    }

    /// Finds the builds of a daemon before this one: watches what runs, tells what ended.
    fn adopt(&self) {
        let entries = fs::read_dir(self.settings().folder.join("builds"));
        let mut events = Vec::new();
        for entry in entries.into_iter().flatten().flatten() {
            let Some(build) = build_of(&entry.path()) else { continue };
            if let Some(ended) = record::read::<Ended>(&entry.path(), "ended") {
                let Ended { verdict, duration_ms } = ended.clone();
                self.builds().insert(build, State::Finished(ended));
                let phase = BuildPhase::Finished { verdict, duration_ms };
                events.push(Event::BuildSeen { build, phase });
                remove_work(&entry.path());
                continue;
            }
            self.builds().insert(build, State::Running { stop: false });
            self.0.spares.begin();
            self.0.adopted.fetch_add(1, Ordering::Relaxed);
            let local = self.clone();
            self.in_thread(build, move || local.watch(build, None));
        }
        self.0.inbox.deliver(events);
    }

    /// Each build in flight has a thread that sleeps until its shim ends.
    fn in_thread(&self, build: BuildId, task: impl FnOnce() + Send + 'static) {
        if let Err(error) = thread::Builder::new().name(format!("build {build}")).spawn(task) {
            self.end(
                build,
                no_verdict(format!("could not start a thread: {error}; raise the process limit")),
            );
        }
    }

    fn start_build(&self, build: BuildId, job: JobName, spec: &Arc<BuildSpec>, inputs: Vec<ResolvedInput>) {
        let known = {
            let mut builds = self.builds();
            let known = builds.get(&build).cloned();
            if known.is_none() {
                builds.insert(build, State::Running { stop: false });
            }
            known
        };
        match known {
            Some(State::Running { .. }) => return self.tell(build, BuildPhase::Running),
            Some(State::Finished(ended)) => return self.tell_end(build, ended),
            None => (),
        }
        self.0.spares.begin();
        // Want of room keeps the core from asking; what was asked for before it knew of it is done.
        let walls = lock(&self.0.able).walls.clone();
        if let Some(walls) = walls {
            return self.end(build, no_verdict(walls.to_string()));
        }
        let settings = self.settings();
        let order = Order {
            build,
            job,
            spec: BuildSpec::clone(spec),
            stores: inputs.iter().map(|input| (settings.store)(&input.pair.repository)).collect(),
            inputs,
            log: self.log_path(build),
            confinement: settings.confinement.clone(),
            max_output_bytes: settings.max_output_bytes,
        };
        let local = self.clone();
        self.in_thread(build, move || local.run(build, &order));
    }

    fn run(&self, build: BuildId, order: &Order) {
        match self.spawn_shim(build, order) {
            Ok(child) => {
                self.0.started.fetch_add(1, Ordering::Relaxed);
                self.tell(build, BuildPhase::Running);
                self.watch(build, Some(child));
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => self.watch(build, None),
            Err(error) => {
                let _ = sandbox::remove_folder(&self.build_folder(build));
                let settings = self.settings();
                let folder = settings.folder.display();
                self.end(build, no_verdict(format!("could not start the build in {folder}: {error}")));
            }
        }
    }

    /// Starts the shim. From the moment that the folder exists until the shim has the FIFO's lock, this
    /// process holds it, so whoever finds the lock free knows that nothing runs.
    fn spawn_shim(&self, build: BuildId, order: &Order) -> io::Result<Child> {
        let folder = self.build_folder(build);
        fs::create_dir(&folder)?;
        let control = folder.join("control");
        rustix::fs::mkfifoat(CWD, &control, Mode::RUSR | Mode::WUSR)?;
        let mut control = OpenOptions::new().read(true).write(true).open(control)?;
        control.lock()?;
        record::write(&folder, "order", order)?;
        self.0.spares.lend(&order.inputs, &folder.join("spare"));
        if matches!(self.builds().get(&build), Some(State::Running { stop: true })) {
            control.write_all(b"s")?;
        }
        let mut command = Command::new(&self.settings().shim);
        command.arg("build-shim").arg(&folder).current_dir("/");
        command.stdin(Stdio::from(control)).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn()
    }

    /// Sleeps until the shim is gone, then tells what it recorded.
    fn watch(&self, build: BuildId, child: Option<Child>) {
        let folder = self.build_folder(build);
        match child {
            Some(mut child) => drop(child.wait()),
            // Not a child of this process: its lock ends with it. No lock, no shim.
            None => drop(open_control(&folder).and_then(|control| control.lock())),
        }
        let lost = || no_verdict("the build's supervisor died before the build ended".to_owned());
        self.end(build, record::read(&folder, "ended").unwrap_or_else(lost));
        // Only after the end is told: nobody waits for it.
        let order = record::read::<Order>(&folder, "order");
        // Without walls what the build has started may still be there and write.
        if let Some(order) = order.filter(|order| !order.confinement.unconfined) {
            self.0.spares.keep(build, &order.inputs, &folder);
        }
        remove_work(&folder);
    }

    fn end(&self, build: BuildId, ended: Ended) {
        self.0.finished.fetch_add(1, Ordering::Relaxed);
        self.0.spares.end();
        self.builds().insert(build, State::Finished(ended.clone()));
        self.tell_end(build, ended);
    }

    fn stop_build(&self, build: BuildId) {
        let ended = match self.builds().get_mut(&build) {
            Some(State::Running { stop }) => {
                *stop = true;
                None
            }
            Some(State::Finished(ended)) => Some(ended.clone()),
            None => Some(no_verdict("stopped".to_owned())),
        };
        if let Some(ended) = ended {
            return self.tell_end(build, ended);
        }
        // No reader: either the shim ended and its end is on the way, or it is not there yet and will
        // find the mark set above.
        if let Ok(mut control) = open_control(&self.build_folder(build)) {
            let _ = control.write_all(b"s");
        }
    }
}

impl Executor for Local {
    fn begin(&mut self, effect: Effect, _again: bool) {
        match effect.kind {
            EffectKind::StartBuild { build, job, spec, inputs } => {
                self.start_build(build, job, &spec, inputs)
            }
            EffectKind::StopBuild { build } => self.stop_build(build),
            other => tracing::error!(?other, "the local executor was given what is not its own"),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn probe_walls(settings: &Settings) -> Option<Arc<str>> {
    sandbox::probe(&settings.folder.join("builds/probe"), &settings.confinement).map(Arc::from)
}

fn no_verdict(why: String) -> Ended {
    Ended { verdict: Verdict::NoVerdict { why: why.into() }, duration_ms: 0 }
}

/// Removes what an ended build has written; what fails now is tried at the next start or clean-up.
fn remove_work(folder: &Path) {
    if !folder.join("order").exists() {
        return;
    }
    for name in ["work", "spare", "tmp", "home", "etc"] {
        let _ = sandbox::remove_folder(&folder.join(name));
    }
    let _ = fs::remove_file(folder.join("order"));
}

/// The build that a folder or a log belongs to.
fn build_of(path: &Path) -> Option<BuildId> {
    path.file_stem()?.to_str()?.parse().ok().map(BuildId)
}

fn open_control(folder: &Path) -> io::Result<File> {
    let flags = i32::try_from((OFlags::NONBLOCK | OFlags::NOFOLLOW).bits()).unwrap_or(0);
    OpenOptions::new().read(true).write(true).custom_flags(flags).open(folder.join("control"))
}
