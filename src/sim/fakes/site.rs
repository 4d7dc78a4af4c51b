//! What a tree says to the jobs: job files, contents, and the hidden truth about them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::model::job::RunsFor;
use crate::model::{
    Branch, ItemChange, JobName, JobPolicy, Pair, Pattern, Patterns, Repository, ResolvedInput, ResolvedJob,
    Sha,
};
use crate::queue::resolve::{FoundJobFile, JobFile, Trees};
use crate::sim::setting::{JOB_FILE, Poison, job};
use crate::world::Gerrit;
use crate::world::git::{Tree, id_of};

/// How a job file is read at a commit.
pub type ReadJobFile<'a> = &'a dyn Fn(&Gerrit, &Pair, Sha) -> Option<FoundJobFile>;

/// Steps from one commit, or none, to another, by branch.
pub type Steps = BTreeMap<Pair, Vec<(Option<Sha>, Sha)>>;

/// What changes do to branches: as `made` says (from the first commit to the second), and by themselves.
pub fn steps<'a>(
    gerrit: &Gerrit,
    changes: impl IntoIterator<Item = &'a ItemChange>,
    made: impl IntoIterator<Item = (&'a Pair, Sha, Sha)>,
) -> Steps {
    let mut steps = Steps::new();
    for (pair, onto, commit) in made {
        steps.entry(pair.clone()).or_default().push((Some(onto), commit));
    }
    for change in changes {
        let commit = gerrit.git.commit(change.revision);
        let parent = commit.and_then(|commit| commit.parents.first().copied());
        steps.entry(change.pair.clone()).or_default().push((parent, change.revision));
    }
    steps
}

/// The trees of one node: what items write there, and the tips for the rest.
pub struct NodeTrees<'a> {
    /// The server, for its objects.
    pub gerrit: &'a Gerrit,
    /// Branches as the node has them.
    pub here: BTreeMap<Pair, Sha>,
    /// Branches as they are elsewhere.
    pub tips: &'a BTreeMap<Pair, Sha>,
    /// Branches whose job file the item alters.
    pub altered: BTreeSet<Pair>,
    /// What the item does to branches, each step from one commit to another.
    pub steps: &'a Steps,
    /// How job files are read.
    pub read_job_file: ReadJobFile<'a>,
}

impl Trees for NodeTrees<'_> {
    fn commit(&mut self, pair: &Pair) -> Result<Option<Sha>, String> {
        Ok(self.here.get(pair).or_else(|| self.tips.get(pair)).copied())
    }

    fn job_file(&mut self, pair: &Pair, commit: Sha) -> Result<Option<FoundJobFile>, String> {
        Ok((self.read_job_file)(self.gerrit, pair, commit))
    }

    fn content(
        &mut self,
        _: &Pair,
        commit: Sha,
        paths: &[Arc<str>],
        ignored: &Patterns,
    ) -> Result<Sha, String> {
        let tree = self.gerrit.git.tree_of(commit);
        let read = visible(&tree, paths, ignored);
        Ok(id_of(read.flat_map(|(path, token)| [path.as_bytes(), token.as_bytes()])))
    }

    fn alters_job_file(&mut self, pair: &Pair) -> Result<bool, String> {
        Ok(self.altered.contains(pair))
    }

    fn alters_files(&mut self, pair: &Pair, files: &Patterns) -> Result<bool, String> {
        let mut steps = self.steps.get(pair).into_iter().flatten();
        Ok(steps.any(|(old, new)| self.gerrit.git.differs(*old, *new, |path| files.matches(path))))
    }

    fn repositories(&self) -> Vec<Repository> {
        self.gerrit.repositories()
    }

    fn default_branch(&mut self, repository: &Repository) -> Result<Option<Branch>, String> {
        Ok(self.gerrit.default_branch(repository))
    }
}

/// The files of a tree that an input with these paths and ignored files shows, with their contents.
pub fn visible<'a>(
    tree: &'a Tree,
    paths: &'a [Arc<str>],
    ignored: &'a Patterns,
) -> impl Iterator<Item = (&'a Arc<str>, &'a Arc<str>)> {
    let wanted = |path: &Arc<str>| {
        paths.is_empty()
            || paths.iter().any(|prefix| path == prefix || path.starts_with(&format!("{prefix}/")))
    };
    tree.iter().filter(move |(path, _)| wanted(path) && !ignored.matches(path))
}

/// The blob of the job file at a commit.
pub fn job_file_blob(gerrit: &Gerrit, commit: Sha) -> Option<Sha> {
    gerrit.git.tree_of(commit).get(JOB_FILE).map(|token| id_of([token.as_bytes()]))
}

/// The job file at a commit, read. Its token is `jobs NAME… ROUND`, where `NAME+REPOSITORY` is a job that
/// reads that repository too, `NAME>JOB` one that needs that job, and `NAME~PATTERN` one for these files
/// alone; any other is broken.
pub fn job_file(gerrit: &Gerrit, _: &Pair, commit: Sha) -> Option<FoundJobFile> {
    let tree = gerrit.git.tree_of(commit);
    let token = tree.get(JOB_FILE)?;
    let blob = id_of([token.as_bytes()]);
    let mut words = token.split(' ');
    if words.next() != Some("jobs") {
        return Some((blob, Err("seakeeper.toml: line 1: it makes no sense".into())));
    }
    let words: Vec<&str> = words.collect();
    let (round, names) = words.split_last().map_or(("", &[][..]), |(round, names)| (*round, names));
    let jobs = names.iter().map(|name| own_job(name, round)).collect();
    Some((blob, Ok(JobFile { jobs, noop: false })))
}

fn own_job(declared: &str, round: &str) -> JobPolicy {
    const MARKS: [char; 3] = ['+', '>', '~'];
    let end = declared.find(MARKS).unwrap_or(declared.len());
    let (name, mut rest) = declared.split_at(end);
    let (mut inputs, mut needs, mut files) = (Vec::new(), Vec::new(), Vec::new());
    while let Some(mark) = rest.chars().next() {
        let end = rest[1..].find(MARKS).map_or(rest.len(), |at| at + 1);
        let word = &rest[1..end];
        match mark {
            '+' => inputs.push(word),
            '>' => needs.push(JobName::from(word)),
            _ => files.push(word),
        }
        rest = &rest[end..];
    }
    let mut own = job(name, &[], &inputs, round);
    own.repositories = Patterns(vec![Pattern::new("*")]);
    own.runs_for = if files.is_empty() { RunsFor::Inputs } else { RunsFor::Files };
    own.files = Patterns::new(&files);
    own.needs = needs;
    own
}

/// Whether a job passes on these inputs: a function of what its key covers and nothing else.
pub fn passes(gerrit: &Gerrit, poison: &[Poison], name: &JobName, inputs: &[ResolvedInput]) -> bool {
    let trees: Vec<(Arc<Tree>, &ResolvedInput)> =
        inputs.iter().map(|input| (gerrit.git.tree_of(input.commit), input)).collect();
    let mut tokens: BTreeSet<&str> = BTreeSet::new();
    for (tree, input) in &trees {
        tokens.extend(visible(tree, &input.paths, &input.ignored_files).map(|(_, token)| &**token));
    }
    !poison.iter().any(|bad| {
        bad.job.as_deref().is_none_or(|job| job == name.as_str())
            && bad.tokens.iter().all(|token| tokens.contains(&**token))
    })
}

/// Whether a job that reads one whole tree passes on it.
pub fn passes_in(tree: &Tree, poison: &[Poison], name: &JobName) -> bool {
    let has = |token: &Arc<str>| tree.values().any(|known| known == token);
    !poison
        .iter()
        .any(|bad| bad.job.as_deref().is_none_or(|job| job == name.as_str()) && bad.tokens.iter().all(has))
}

/// The voting jobs that fail in truth; not those that are never built because one that they need fails.
pub fn failing(gerrit: &Gerrit, poison: &[Poison], jobs: &[ResolvedJob]) -> Vec<JobName> {
    let mut by_depth: Vec<&ResolvedJob> = jobs.iter().collect();
    by_depth.sort_by_key(|job| job.depth);
    let mut unpassed: BTreeSet<(&JobName, &Pair)> = BTreeSet::new();
    let mut failed = Vec::new();
    for job in by_depth {
        if job.needs.iter().any(|need| unpassed.contains(&(need, &job.home))) {
            unpassed.insert((&job.name, &job.home));
        } else if !passes(gerrit, poison, &job.name, &job.inputs) {
            unpassed.insert((&job.name, &job.home));
            failed.extend(job.voting.then(|| job.name.clone()));
        }
    }
    failed
}
