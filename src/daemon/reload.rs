//! Another configuration while the daemon runs.
//!
//! The file is read and checked whole. A faulty one changes nothing: the one before stays in force, and
//! the page says so until a good one is read. A good one is taken over by all at once: first by the
//! trees, so that no node that the core asks for under it is judged by the old one; then, through the
//! journal, by the core; then by the other adapters. What is fixed for the life of the process keeps its
//! value and is named.

use std::path::Path;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use super::adapters::configure_local;
use super::desk::Board;
use super::in_force::InForce;
use super::run::Message;
use super::settings::rules_of;
use super::upkeep::report_setup;
use crate::config::{Config, GerritConfig, Problem, Warning};
use crate::executor::local::Local;
use crate::gerrit::Gerrit;
use crate::git::Upkeep;
use crate::model::Policy;
use crate::model::cost::{CostOf, Costs};
use crate::store::Keep;
use crate::web::{Reloaded, Verdict};

/// How long the core may take to journal another policy before the answer goes out without its word.
const JOURNAL_TIMEOUT: Duration = Duration::from_secs(30);
/// Problems whose place the page shows; the answer and the log have them all.
const PROBLEMS_SHOWN: usize = 3;

/// The adapters that take over another configuration, once they run.
pub struct Running {
    /// Labels, branches, intervals.
    pub gerrit: Gerrit,
    /// Jobs and job files.
    pub git: Upkeep,
    /// Walls, room, retention.
    pub local: Local,
}

/// Reads the configuration anew and has it taken over.
pub struct Reloader {
    config: InForce,
    board: Arc<Board>,
    loop_inbox: Mutex<Sender<Message>>,
    keep: Keep,
    running: OnceLock<Running>,
    /// One at a time.
    turn: tokio::sync::Mutex<()>,
}

impl Reloader {
    /// One for the configuration in force, before the adapters are there.
    pub fn new(config: InForce, board: Arc<Board>, loop_inbox: Sender<Message>, keep: Keep) -> Self {
        let (running, turn) = (OnceLock::new(), tokio::sync::Mutex::new(()));
        Self { config, board, loop_inbox: Mutex::new(loop_inbox), keep, running, turn }
    }

    /// The adapters are there: from now on there is someone to take another configuration over.
    pub fn begin(&self, running: Running) {
        // They are started once in the life of a process.
        let _ = self.running.set(running);
    }

    /// Counts the builds that changes cause, under the configuration in force. Blocks: not for an async task.
    ///
    /// # Errors
    /// In words with the remedy.
    pub fn costs(&self, asked: &[CostOf]) -> Result<Costs, String> {
        let running = self
            .running
            .get()
            .ok_or("the daemon is starting and waits for Gerrit: ask again when it is ready")?;
        super::cost::count(running, &self.config.get().policy, asked)
    }

    /// Reads the file anew; `by` is who asked for it, for the log.
    pub async fn reload(&self, by: &str) -> Reloaded {
        let _turn = self.turn.lock().await;
        let Some(running) = self.running.get() else {
            tracing::warn!("{by} asks for another configuration before the daemon has started; ask again");
            let text =
                "the daemon is starting and waits for Gerrit: ask again when it is ready, or restart it";
            return Reloaded { verdict: Verdict::NotNow, lines: vec![text.to_owned()] };
        };
        let before = self.config.get();
        let file = before.file.clone();
        let read = tokio::task::spawn_blocking(move || Config::load(&file)).await;
        match read {
            Ok(Ok((config, warnings))) => self.take_over(running, &before, config, &warnings, by).await,
            Ok(Err(problems)) => self.refuse(&before.file, &problems, by),
            Err(error) => {
                Reloaded { verdict: Verdict::NotNow, lines: vec![format!("reading ended: {error}")] }
            }
        }
    }

    fn refuse(&self, file: &Path, problems: &[Problem], by: &str) -> Reloaded {
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        lines.iter().for_each(|line| tracing::error!("the configuration that {by} asks for: {line}"));
        self.board.metrics.configuration_read(false);
        let (file, places) = (file.display(), places(problems));
        let text = format!(
            "{file} cannot be used ({places}), and what was read from it before stays in force; correct it and run `seakeeper reload`, which tells all its faults. A restart would fail"
        );
        self.board.remark("configuration", Some(text));
        Reloaded { verdict: Verdict::Faulty, lines }
    }

    async fn take_over(
        &self,
        running: &Running,
        before: &Config,
        mut config: Config,
        warnings: &[Warning],
        by: &str,
    ) -> Reloaded {
        let fixed = keep_fixed(before, &mut config);
        let config = Arc::new(config);
        self.config.set(config.clone());
        running.git.set_policy(config.policy.clone());
        let journaled = config.policy == before.policy || self.tell_core(config.policy.clone()).await;
        running.gerrit.set_rules(rules_of(&config));
        self.keep.set_days(config.keep.journal_days);
        let (local, settings) = (running.local.clone(), config.clone());
        let walls = move || local.reconfigure(|now| configure_local(now, &settings));
        if let Err(error) = tokio::task::spawn_blocking(walls).await {
            tracing::error!("failed to set up builds anew: {error}; restart the daemon");
        }
        report_setup(running.gerrit.clone(), self.config.clone(), self.board.clone());
        self.board.metrics.configuration_read(true);
        let waits = (!fixed.is_empty()).then(|| {
            let keys: Vec<String> = fixed.iter().map(|key| format!("`{key}`")).collect();
            format!(
                "{} changed, which counts after a restart of the daemon; all else is in force",
                keys.join(", ")
            )
        });
        self.board.remark("configuration", waits.clone());
        let mut lines = vec![summary(&config)];
        lines.extend(waits);
        if !journaled {
            lines.push("the core has not taken it over yet: the journal cannot be written now, see `seakeeper status` and the page".to_owned());
        }
        lines.extend(warnings.iter().map(|warning| format!("warning: {warning}")));
        lines.iter().for_each(|line| tracing::info!("the configuration that {by} asks for: {line}"));
        Reloaded { verdict: Verdict::InForce, lines }
    }

    /// Hands a policy to the core; says whether it is in the journal.
    async fn tell_core(&self, policy: Arc<Policy>) -> bool {
        let (done, heard) = oneshot::channel();
        let sent = {
            let inbox = self.loop_inbox.lock().unwrap_or_else(PoisonError::into_inner);
            inbox.send(Message::Policy(policy, done)).is_ok()
        };
        sent && matches!(tokio::time::timeout(JOURNAL_TIMEOUT, heard).await, Ok(Ok(())))
    }
}

/// Where the problems are. Not what they are: a wrong value may be a secret in the wrong place, and
/// everybody may read the page.
fn places(problems: &[Problem]) -> String {
    let shown = problems.iter().take(PROBLEMS_SHOWN).map(|problem| match problem.line {
        Some(line) if problem.key.is_empty() => format!("line {line}"),
        Some(line) => format!("line {line}: `{}`", problem.key),
        None => problem.what.clone(),
    });
    let mut places: Vec<String> = shown.collect();
    if let Some(more @ 1..) = problems.len().checked_sub(PROBLEMS_SHOWN) {
        places.push(format!("and {more} more"));
    }
    places.join(", ")
}

fn summary(config: &Config) -> String {
    let policy = &config.policy;
    let (file, queues, jobs) = (config.file.display(), policy.queues.len(), policy.jobs.len());
    format!("{file} is in force: queues {queues}, jobs {jobs}, slots {}", policy.slots)
}

/// Gives `config` the values of `before` where they cannot change at run time, and names those keys.
fn keep_fixed(before: &Config, config: &mut Config) -> Vec<&'static str> {
    let (old, new) = (&before.gerrit, &config.gerrit);
    let ssh = |gerrit: &GerritConfig| (gerrit.ssh_host.clone(), gerrit.ssh_port);
    let changed = [
        ("gerrit.url", old.url != new.url),
        ("gerrit.user", old.user != new.user),
        ("gerrit.token-file", old.token != new.token),
        ("gerrit.ssh", ssh(old) != ssh(new)),
        ("gerrit.ssh-key", old.ssh_key != new.ssh_key),
        ("gerrit.known-hosts", old.known_hosts != new.known_hosts),
        ("gerrit.committer-name", old.committer_name != new.committer_name),
        ("gerrit.committer-email", old.committer_email != new.committer_email),
        ("state.folder", before.state_folder != config.state_folder),
        ("web.listen", before.web.listen != config.web.listen),
    ];
    config.gerrit = GerritConfig { poll_ms: new.poll_ms, sweep_ms: new.sweep_ms, ..old.clone() };
    config.state_folder.clone_from(&before.state_folder);
    if config.web.public_url == config.web.usual_url() {
        config.web.public_url = before.web.usual_url();
    }
    config.web.listen = before.web.listen;
    if config.policy.account != before.policy.account {
        Arc::make_mut(&mut config.policy).account = before.policy.account.clone();
    }
    changed.into_iter().filter(|(_, changed)| *changed).map(|(key, _)| key).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// The smallest configuration with `edits` made to it.
    fn config(folder: &Path, edits: &[(&str, &str)]) -> Config {
        let mut text = include_str!("../../config/minimal.toml").to_owned();
        for (from, to) in edits {
            assert!(text.contains(from), "{from}");
            text = text.replace(from, to);
        }
        let (config, _) = Config::parse(text.as_bytes(), &folder.join("seakeeper.toml")).unwrap();
        config
    }

    #[test]
    fn what_is_fixed_keeps_its_value_and_is_named() {
        let folder = std::env::temp_dir().join(format!("seakeeper-fixed-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        for file in ["bot.token", "id_ed25519", "known_hosts", "other"] {
            fs::write(folder.join(file), file).unwrap();
        }
        let before = config(&folder, &[]);
        for (edits, expected) in [
            (&[("slots = 8", "slots = 9")][..], &[][..]),
            (&[("\"http://127.0.0.1:8080/\"", "\"http://127.0.0.1:8081/\"")], &["gerrit.url"]),
            (&[("\"bot\"", "\"other\"")], &["gerrit.user"]),
            (&[("\"bot.token\"", "\"other\"")], &["gerrit.token-file"]),
            (&[("29418", "29419"), ("\"id_ed25519\"", "\"other\"")], &["gerrit.ssh", "gerrit.ssh-key"]),
            (&[("\"known_hosts\"", "\"other\"")], &["gerrit.known-hosts"]),
            (&[("folder = \"state\"", "folder = \"else\"")], &["state.folder"]),
            (&[(":8888", ":9999")], &["web.listen"]),
        ] {
            let mut after = config(&folder, edits);
            assert_eq!(keep_fixed(&before, &mut after), expected);
            let slots = after.policy.slots;
            Arc::make_mut(&mut after.policy).slots = before.policy.slots;
            after.executors.clone_from(&before.executors);
            assert_eq!(after, before);
            assert_eq!(slots, if expected.is_empty() { 9 } else { 8 });
        }
        let mut named = config(&folder, &[("[web]", "[web]\npublic-url = \"https://ci.example.org/\"")]);
        assert!(keep_fixed(&before, &mut named).is_empty());
        assert_eq!(named.web.public_url, "https://ci.example.org/");
        fs::remove_dir_all(&folder).unwrap();
    }
}
