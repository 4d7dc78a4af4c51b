//! The configuration of a story: what its declarations say, and what it says in the daemon's own language.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use super::declare::array;
use super::story::{Block, JobDecl, QueueDecl, RepositoryDecl, SiteDecl};
use super::words::Problem;
use crate::config::{JobFileLimits, parse_policy};
use crate::model::Policy;
use crate::sim::setting::BOT;

/// How many builds run at once unless the story says otherwise.
const SLOTS: u32 = 100;
/// The time limit of a job unless its builds last longer, in milliseconds.
const LIMIT_MS: i64 = 30 * 60_000;

/// What a story has declared so far.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    /// Repositories, in order.
    pub repositories: Vec<RepositoryDecl>,
    /// Job files with which repositories begin.
    pub job_files: BTreeMap<String, String>,
    /// Queues, in order.
    pub queues: Vec<QueueDecl>,
    /// Sites, in order.
    pub sites: Vec<SiteDecl>,
    /// Keys of the queues that the story does not declare.
    pub queue_keys: BTreeMap<String, String>,
    /// Jobs, in order.
    pub jobs: Vec<JobDecl>,
    /// Slots.
    pub slots: Option<u32>,
    /// Whether new patch sets are checked.
    pub check: Option<bool>,
    /// The configuration in the daemon's own language.
    pub block: Option<Block>,
}

impl Setup {
    /// The repositories; where none is declared there is one.
    pub fn all_repositories(&self) -> Vec<RepositoryDecl> {
        if !self.repositories.is_empty() {
            return self.repositories.clone();
        }
        let (branches, files) = (vec!["main".to_owned()], Vec::new());
        vec![RepositoryDecl { name: "app".into(), branches, files, form: None }]
    }

    /// Adds a repository, or changes in the one of its name what is said of it.
    pub fn add_repository(&mut self, mut repository: RepositoryDecl) {
        match self.repositories.iter_mut().find(|known| known.name == repository.name) {
            Some(known) => {
                if !repository.branches.is_empty() {
                    known.branches = repository.branches;
                }
                if !repository.files.is_empty() {
                    known.files = repository.files;
                }
                known.form = repository.form.or(known.form);
            }
            None => {
                if repository.branches.is_empty() {
                    repository.branches.push("main".into());
                }
                self.repositories.push(repository);
            }
        }
    }

    /// Adds a job, or gives one that is there further keys.
    pub fn add_job(&mut self, job: JobDecl) {
        match self.jobs.iter_mut().find(|known| known.name == job.name) {
            Some(known) => {
                known.longest_ms = known.longest_ms.max(job.longest_ms);
                known.keys.extend(job.keys);
            }
            None => self.jobs.push(job),
        }
    }

    /// Adds a queue, or replaces the one of its name.
    pub fn add_queue(&mut self, queue: QueueDecl) {
        match self.queues.iter_mut().find(|known| known.name == queue.name) {
            Some(known) => {
                if !queue.repositories.is_empty() {
                    known.repositories = queue.repositories;
                }
                known.keys.extend(queue.keys);
            }
            None => self.queues.push(queue),
        }
    }

    /// Adds a site, or gives the one of its name other repositories and further keys.
    pub fn add_site(&mut self, site: SiteDecl) {
        match self.sites.iter_mut().find(|known| known.name == site.name) {
            Some(known) => {
                if !site.repositories.is_empty() {
                    known.repositories = site.repositories;
                }
                known.keys.extend(site.keys);
            }
            None => self.sites.push(site),
        }
    }

    /// The policy, and what job files may ask for.
    ///
    /// # Errors
    /// All that is wrong with the configuration, each with its line in the story.
    pub fn configure(&self, file: &str, line: usize) -> Result<(Arc<Policy>, JobFileLimits), Vec<Problem>> {
        let parsed = parse_policy(self.text().as_bytes(), file, BOT);
        parsed.map_err(|problems| problems.into_iter().map(|problem| self.place(problem, line)).collect())
    }

    fn place(&self, problem: crate::config::Problem, line: usize) -> Problem {
        let block =
            self.block.as_ref().map_or(0..0, |block| block.line..block.line + block.text.lines().count() + 1);
        let at = problem.line.filter(|line| block.contains(line)).unwrap_or(line);
        Problem { line: at, word: problem.key, what: problem.what, remedy: problem.remedy }
    }

    /// The whole configuration; the story's own lines stand where they stand in the story.
    fn text(&self) -> String {
        let (line, block) = self.block.as_ref().map_or((1, ""), |block| (block.line, &*block.text));
        let own: toml::Table = toml::from_str(block).unwrap_or_default();
        let has = |table: &str| own.contains_key(table);
        let mut text = "\n".repeat(line.saturating_sub(1));
        text.push_str(block);
        text.push('\n');
        // Writing to a string cannot fail.
        if !has("executor") {
            let _ = writeln!(text, "[executor.local]\nslots = {}", self.slots.unwrap_or(SLOTS));
        }
        let checks = own.get("pipeline").and_then(|pipeline| pipeline.get("check")).is_some();
        if !checks {
            let _ = writeln!(text, "[pipeline.check]\nenabled = {}", self.check.unwrap_or(false));
        }
        self.write_queues(&mut text, has("queue"));
        for site in &self.sites {
            let _ = writeln!(text, "[[site]]\nname = {:?}", site.name);
            let _ = writeln!(text, "repositories = {}", array(&site.repositories));
            write_keys(&mut text, &site.keys);
        }
        let named = own.get("job").and_then(toml::Value::as_array).cloned().unwrap_or_default();
        let named: Vec<&str> = named.iter().filter_map(|job| job.get("name")?.as_str()).collect();
        for job in self.jobs.iter().filter(|job| !named.contains(&&*job.name)) {
            write_job(&mut text, job);
        }
        text
    }

    fn write_queues(&self, text: &mut String, own: bool) {
        for queue in &self.queues {
            let mut repositories = queue.repositories.clone();
            if repositories.is_empty() && !queue.keys.contains_key("sites") {
                repositories =
                    self.all_repositories().into_iter().map(|repository| repository.name).collect();
            }
            write_queue(text, &queue.name, &repositories, [&self.queue_keys, &queue.keys]);
        }
        if !own && self.queues.is_empty() {
            let all: Vec<String> =
                self.all_repositories().into_iter().map(|repository| repository.name).collect();
            write_queue(text, "main", &all, [&self.queue_keys, &BTreeMap::new()]);
        }
    }
}

fn write_queue(text: &mut String, name: &str, repositories: &[String], keys: [&BTreeMap<String, String>; 2]) {
    let mut all = BTreeMap::from([("strategy".to_owned(), "\"dependent\"".to_owned())]);
    for keys in keys {
        all.extend(keys.iter().map(|(key, value)| (key.clone(), value.clone())));
    }
    let _ = writeln!(text, "[[queue]]\nname = {name:?}");
    if !repositories.is_empty() {
        let _ = writeln!(text, "repositories = {}", array(repositories));
    }
    write_keys(text, &all);
}

fn write_job(text: &mut String, job: &JobDecl) {
    let mut keys = job.keys.clone();
    keys.entry("commands".into()).or_insert_with(|| array(&[format!("make {}", job.name)]));
    if job.longest_ms >= LIMIT_MS {
        keys.entry("timeout".into()).or_insert_with(|| format!("\"{}s\"", job.longest_ms / 500));
    }
    let _ = writeln!(text, "[[job]]\nname = {:?}", job.name);
    write_keys(text, &keys);
}

fn write_keys(text: &mut String, keys: &BTreeMap<String, String>) {
    for (key, value) in keys {
        let _ = writeln!(text, "{key} = {value}");
    }
}
