//! The configuration: TOML in, a checked policy and the adapters' settings out. All that is wrong is
//! said at once, each fault with its place and remedy. Floor 4.

mod hosts;
mod job_file;
mod jobs;
mod keys;
mod needs;
mod pipelines;
mod policy;
mod priority;
mod problem;
mod quantity;
mod reference;
mod section;
mod sites;
mod strategy;
mod templates;
#[cfg(test)]
mod tests;
mod timetable;

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::de::DeTable;

pub use hosts::{GerritConfig, KeepConfig, LocalConfig, Secret, VisibleTo, WebConfig};
pub use job_file::{JOB_FILE, JobFile, JobFileLimits, parse_job_file};
pub use keys::{Absent, KeyDoc, reference};
pub use problem::{Problem, Warning};
pub use reference::{example_file, reference_page};
pub use timetable::{Timetable, Timetables};

use crate::model::Policy;
use problem::Source;
use section::Section;

/// The largest configuration file that is read.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// A configuration in which nothing is wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    /// The file that it was read from.
    pub file: PathBuf,
    /// What the core decides by.
    pub policy: Arc<Policy>,
    /// The review host.
    pub gerrit: GerritConfig,
    /// Where the daemon keeps its things; made by whoever needs it first.
    pub state_folder: PathBuf,
    /// How much is kept there, and for how long.
    pub keep: KeepConfig,
    /// The page.
    pub web: WebConfig,
    /// What runs builds.
    pub executors: Executors,
    /// What repositories may ask for.
    pub job_file_limits: JobFileLimits,
}

/// The executors that are configured.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Executors {
    /// Processes on this machine.
    pub local: LocalConfig,
}

impl Config {
    /// Reads the file at `path` and the files that it names.
    ///
    /// # Errors
    /// All that is wrong, in the order of the file.
    pub fn load(path: &Path) -> Result<(Self, Vec<Warning>), Vec<Problem>> {
        let name = path.display().to_string();
        let complain = |what: String, remedy: &str| vec![Problem::of_file(&name, what, remedy)];
        let file = File::open(path).map_err(|error| {
            complain(format!("cannot be read ({error})"), "check the path and who may read it")
        })?;
        let mut bytes = Vec::new();
        file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(|error| {
            complain(format!("cannot be read ({error})"), "check that it is a file and its volume is sound")
        })?;
        if bytes.len() as u64 > MAX_FILE_BYTES {
            return Err(complain(
                format!("has more than {MAX_FILE_BYTES} bytes"),
                "check that it is the right file",
            ));
        }
        Self::parse(&bytes, path)
    }

    /// Reads `bytes` as the content of the file at `path`, in whose folder relative paths begin.
    ///
    /// # Errors
    /// All that is wrong, in the order of the file.
    pub fn parse(bytes: &[u8], path: &Path) -> Result<(Self, Vec<Warning>), Vec<Problem>> {
        let name = path.display().to_string();
        let text = decode(&name, bytes, true)?;
        let source = Source::new(&name, text, true);
        let (table, errors) = DeTable::parse_recoverable(text);
        source.syntax(&errors);
        let config = read(&source, table.get_ref(), path);
        let (problems, warnings) = source.finish(errors.len());
        if problems.is_empty() { Ok((config, warnings)) } else { Err(problems) }
    }
}

fn read(source: &Source<'_>, table: &DeTable<'_>, path: &Path) -> Config {
    let folder = path.parent().unwrap_or(Path::new(""));
    let top = Section::new(source, "", Some(table), 0);
    let gerrit = hosts::read_gerrit(&top.table("gerrit", "gerrit"), folder);
    let state = top.table("state", "state");
    let logs = top.table("logs", "logs");
    let web = hosts::read_web(&top.table("web", "web"));
    let local = hosts::read_local(&top.table("executor", "executor").table("local", "executor.local"));
    let (policy, job_file_limits) = read_judged(&top, &gerrit.user, local.slots);
    Config {
        file: path.to_owned(),
        policy: policy.shared(),
        state_folder: folder.join(state.text("folder").map_or("state", |text| text.value)),
        keep: hosts::read_keep(&state, &logs),
        gerrit,
        web,
        executors: Executors { local },
        job_file_limits,
    }
}

/// Reads what the core decides by and leaves the rest alone: addresses and files play no part where there
/// is no server. `account` is the daemon's own.
///
/// # Errors
/// All that is wrong with that part, in the order of the text.
pub fn parse_policy(
    bytes: &[u8],
    name: &str,
    account: &str,
) -> Result<(Arc<Policy>, JobFileLimits), Vec<Problem>> {
    let text = decode(name, bytes, true)?;
    let source = Source::new(name, text, true);
    let (table, errors) = DeTable::parse_recoverable(text);
    source.syntax(&errors);
    let top = Section::new(&source, "", Some(table.get_ref()), 0);
    let local = hosts::read_local(&top.table("executor", "executor").table("local", "executor.local"));
    let (policy, limits) = read_judged(&top, account, local.slots);
    let (problems, _) = source.finish(errors.len());
    if problems.is_empty() { Ok((policy.shared(), limits)) } else { Err(problems) }
}

/// What the core decides by, and what job files may ask for.
fn read_judged(top: &Section<'_>, account: &str, slots: u32) -> (Policy, JobFileLimits) {
    let repositories = top.table("repositories", "repositories");
    let usual = JobFileLimits::default();
    let job_file_limits = JobFileLimits {
        longest_timeout_ms: repositories.duration_of_at_least(
            "longest-timeout",
            usual.longest_timeout_ms,
            1_000,
        ),
        most_jobs: repositories.count("most-jobs", usual.most_jobs, 0, 10_000),
    };
    let job_files = repositories.flag("job-files", true);
    (policy::read_policy(top, account, job_files, slots), job_file_limits)
}

/// The text in `bytes`, without a byte order mark.
fn decode<'a>(name: &str, bytes: &'a [u8], columns: bool) -> Result<&'a str, Vec<Problem>> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text.strip_prefix('\u{feff}').unwrap_or(text)),
        Err(error) => {
            let sound = bytes.get(..error.valid_up_to()).unwrap_or_default();
            let sound = std::str::from_utf8(sound).unwrap_or_default();
            let source = Source::new(name, sound, columns);
            source.problem(sound.len(), "", "the file is not UTF-8", "save it as UTF-8");
            Err(source.finish(0).0)
        }
    }
}
