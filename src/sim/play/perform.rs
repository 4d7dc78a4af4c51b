//! Plays a story from its first line to its last, or to the first claim that does not hold.

use serde::Serialize;

use super::judge::{Broken, Watched};
use super::parse::parse;
use super::stage::{START, Stage};
use super::story::{Ask, Claim, Declaration, RepositoryDecl, Statement, Story, Wait};
use super::words::Problem;
use crate::model::Pair;
use crate::world::Tree;

/// How long `wait until idle` waits at most, in milliseconds.
const IDLE_MS: i64 = 7 * 86_400_000;

/// What came of a story.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Played {
    /// The file, as it was named.
    pub file: String,
    /// What the story is about: its first comment.
    pub title: String,
    /// Whether all that it expects was so.
    pub passed: bool,
    /// Claims that were looked at.
    pub expectations: u32,
    /// How long it lasted in its own time, in milliseconds.
    pub virtual_ms: i64,
    /// Builds that were started.
    pub builds: usize,
    /// Changes that landed, in order.
    pub landed: Vec<String>,
    /// The first claim that did not hold.
    pub difference: Option<Difference>,
    /// What is wrong with the text; then nothing was played.
    pub problems: Vec<String>,
    /// What happened, line by line.
    pub transcript: Vec<String>,
}

/// A claim that did not hold.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Difference {
    /// Its line.
    pub line: usize,
    /// The statement.
    pub statement: String,
    /// What was to be.
    pub expected: String,
    /// What was.
    pub was: String,
}

/// Plays the story `text` of the file `file`.
pub fn play(file: &str, text: &str) -> Played {
    let story = match parse(text) {
        Ok(story) => story,
        Err(problems) => return unread(file, &problems),
    };
    let mut performance =
        Performance { stage: Stage::new(file, &story), expectations: 0, problems: Vec::new() };
    let difference = performance.run(&story);
    let Performance { stage, expectations, problems } = performance;
    if !problems.is_empty() {
        return unread(file, &problems);
    }
    Played {
        file: file.to_owned(),
        title: story.title,
        passed: difference.is_none(),
        expectations,
        virtual_ms: stage.now.since_ms(START),
        builds: stage.book.builds.len(),
        landed: stage.book.landed.iter().map(|(number, _)| stage.name(*number)).collect(),
        difference,
        problems: Vec::new(),
        transcript: stage.transcript,
    }
}

fn unread(file: &str, problems: &[Problem]) -> Played {
    Played {
        file: file.to_owned(),
        title: String::new(),
        passed: false,
        expectations: 0,
        virtual_ms: 0,
        builds: 0,
        landed: Vec::new(),
        difference: None,
        problems: problems.iter().map(|problem| format!("{file}:{problem}")).collect(),
        transcript: Vec::new(),
    }
}

struct Performance {
    stage: Stage,
    expectations: u32,
    problems: Vec<Problem>,
}

impl Performance {
    fn run(&mut self, story: &Story) -> Option<Difference> {
        for statement in &story.statements {
            let outcome = self.perform(statement);
            let broken = self.stage.broken.take().map(|broken| {
                let own = broken.line == 0;
                Difference {
                    line: if own { statement.line } else { broken.line },
                    statement: if own { statement.text.clone() } else { broken.text },
                    expected: broken.expected,
                    was: broken.was,
                }
            });
            let difference = broken.or_else(|| outcome.err());
            if let Some(found) = &difference {
                self.stage.say(format!("not so: {}", found.statement));
            }
            if difference.is_some() || !self.problems.is_empty() {
                return difference;
            }
        }
        None
    }

    fn perform(&mut self, statement: &Statement) -> Result<(), Difference> {
        let declares = matches!(statement.asks, Ask::Declare(_));
        if self.stage.engine.is_none() && self.stage.life == 0 && !declares {
            self.configure(statement.line);
            if !self.problems.is_empty() {
                return Ok(());
            }
            self.stage.start();
        }
        match &statement.asks {
            Ask::Declare(declaration) => self.declare(declaration, statement),
            Ask::Act(act) => {
                self.stage.say(format!("> {}", statement.text));
                self.stage.act(act);
            }
            Ask::Wait(wait) => {
                self.stage.say(format!("> {}", statement.text));
                self.wait(wait);
            }
            Ask::Expect(claim) => return self.expect(statement, claim),
            Ask::Within(claim, limit) => return self.within(statement, claim, *limit),
            Ask::Keeps(claim, holds) => {
                let (line, text) = (statement.line, statement.text.clone());
                self.expectations += 1;
                self.stage.watch.push(Watched { line, text, claim: claim.clone(), holds: *holds });
                self.stage.look_at_watched();
            }
        }
        Ok(())
    }

    fn wait(&mut self, wait: &Wait) {
        let now = self.stage.now;
        match wait {
            Wait::For(ms) => drop(self.stage.advance(now.plus_ms(*ms), |_| false)),
            Wait::At(ms) => {
                let to = START.plus_ms(*ms);
                if to < now {
                    let was = format!("it is later already: {}", self.stage.elapsed());
                    self.stage.broken = Some(Broken::of(was));
                } else {
                    self.stage.advance(to, |_| false);
                }
            }
            Wait::Idle => {
                if !self.stage.advance(now.plus_ms(IDLE_MS), Stage::is_still) && self.stage.broken.is_none() {
                    self.stage.broken = Some(Broken::of("something still moves after seven days"));
                }
            }
        }
        self.stage.settle();
    }

    fn expect(&mut self, statement: &Statement, claim: &Claim) -> Result<(), Difference> {
        self.expectations += 1;
        self.stage.settle();
        self.judge(statement, claim, "")
    }

    fn within(&mut self, statement: &Statement, claim: &Claim, limit: i64) -> Result<(), Difference> {
        self.expectations += 1;
        self.stage.settle();
        let end = self.stage.now.plus_ms(limit);
        let wanted = claim.clone();
        self.stage.advance(end, |stage| stage.judge(&wanted).is_ok());
        self.stage.settle();
        let late = format!(", after {} at most", crate::model::time::in_words(limit));
        self.judge(statement, claim, &late)
    }

    fn judge(&mut self, statement: &Statement, claim: &Claim, late: &str) -> Result<(), Difference> {
        if self.stage.broken.is_some() {
            return Ok(());
        }
        let judged = self.stage.judge(claim);
        if counts(claim) {
            self.stage.book.counted = self.stage.book.builds.keys().last().copied().unwrap_or_default();
        }
        match judged {
            Ok(()) => {
                self.stage.say(format!("ok: {}", statement.text));
                Ok(())
            }
            Err(was) => {
                let text = statement.text.trim_start_matches('-').trim();
                let expected = text.strip_prefix("expect ").unwrap_or(text);
                Err(Difference {
                    line: statement.line,
                    statement: statement.text.clone(),
                    expected: format!("{expected}{late}"),
                    was: self.stage.with_names(&was),
                })
            }
        }
    }

    fn declare(&mut self, declaration: &Declaration, statement: &Statement) {
        let stage = &mut self.stage;
        let begun = stage.life > 0;
        if begun {
            stage.say(format!("> {}", statement.text));
        }
        match declaration {
            Declaration::Repository(repository) => self.repository(repository, statement.line),
            Declaration::JobFile(repository, block) => {
                if begun {
                    self.problems.push(Problem {
                        line: statement.line,
                        word: "job file".into(),
                        what: "the story has begun: a job file changes with a change or a push".into(),
                        remedy: format!("write `push to {repository} writing seakeeper.toml:` and the block"),
                    });
                    return;
                }
                stage.setup.job_files.insert(repository.clone(), block.text.clone());
            }
            Declaration::Queue(queue) => stage.setup.add_queue(queue.clone()),
            Declaration::Site(site) => stage.setup.add_site(site.clone()),
            Declaration::QueueKeys(keys) => stage.setup.queue_keys.extend(keys.clone()),
            Declaration::Job(job) => {
                for truth in &job.truths {
                    stage.truths.add(truth.clone(), &stage.rounds);
                }
                stage.setup.add_job(job.clone());
            }
            Declaration::Truth(truth) => {
                if let (super::story::Fate::Takes(ms), Some(job)) = (&truth.fate, &truth.job) {
                    let declared = stage.setup.jobs.iter_mut().find(|known| known.name == *job);
                    declared.into_iter().for_each(|job| job.longest_ms = job.longest_ms.max(*ms));
                }
                stage.truths.add(truth.clone(), &stage.rounds);
            }
            Declaration::Slots(slots) => stage.setup.slots = Some(*slots),
            Declaration::Check(on) => stage.setup.check = Some(*on),
            Declaration::Configuration(block) => stage.setup.block = Some(block.clone()),
        }
        if begun {
            self.configure(statement.line);
            self.stage.settle();
        }
    }

    fn repository(&mut self, repository: &RepositoryDecl, line: usize) {
        let begun = self.stage.life > 0;
        let known = self.stage.setup.repositories.iter().any(|known| known.name == repository.name);
        if begun && known {
            return self.alter_repository(repository, line);
        }
        self.stage.setup.add_repository(repository.clone());
        let declared = self.stage.setup.repositories.last().cloned();
        if let Some(repository) = declared.filter(|_| begun) {
            self.found(&repository);
            for branch in &repository.branches {
                let pair = Pair::new(repository.name.as_str(), branch.as_str());
                self.stage.tell_tip(&pair);
            }
        }
    }

    /// Changes a repository that people work in: its commits stay.
    fn alter_repository(&mut self, repository: &RepositoryDecl, line: usize) {
        let (name, stage) = (repository.name.as_str(), &mut self.stage);
        if !repository.files.is_empty() {
            return self.problems.push(Problem {
                line,
                word: "files".into(),
                what: "the story has begun: a file comes with a change or a push".into(),
                remedy: format!("write `push to {name} editing {}`", repository.files.join(", ")),
            });
        }
        if let Some(form) = repository.form {
            stage.gerrit.forms.insert(name.into(), form);
            let changes = stage.gerrit.changes().filter(|change| change.pair.repository.as_str() == name);
            let changes: Vec<_> = changes.map(|change| change.number).collect();
            changes.into_iter().for_each(|number| stage.tell_change(number));
        }
        let first = stage.setup.repositories.iter().find(|known| known.name == name);
        let first = first.and_then(|known| known.branches.first()).cloned();
        let tip = first.and_then(|first| stage.gerrit.tip(&Pair::new(name, first.as_str())));
        for branch in &repository.branches {
            let pair = Pair::new(name, branch.as_str());
            if stage.gerrit.tip(&pair).is_none() {
                stage.gerrit.set_branch(&pair, tip);
                stage.tell_tip(&pair);
            }
        }
        stage.setup.add_repository(repository.clone());
    }

    /// Makes a repository's branches.
    fn found(&mut self, repository: &RepositoryDecl) {
        let stage = &mut self.stage;
        let mut tree = Tree::new();
        for file in ["README"].into_iter().chain(repository.files.iter().map(String::as_str)) {
            tree.insert(file.into(), "start".into());
        }
        if let Some(text) = stage.setup.job_files.get(&repository.name) {
            tree.insert(crate::sim::setting::JOB_FILE.into(), text.as_str().into());
        }
        let mut first = None;
        for branch in &repository.branches {
            let pair = Pair::new(repository.name.as_str(), branch.as_str());
            match first {
                None => first = Some(stage.gerrit.create_branch(&pair, tree.clone())),
                Some(tip) => stage.gerrit.set_branch(&pair, Some(tip)),
            }
        }
        if let Some(form) = repository.form {
            stage.gerrit.forms.insert(repository.name.as_str().into(), form);
        }
    }

    /// Puts in force what is declared; before the beginning it makes the world too.
    fn configure(&mut self, line: usize) {
        match self.stage.setup.configure(&self.stage.file, line) {
            Ok((policy, limits)) => {
                let begun = self.stage.life > 0;
                let same = self.stage.policy.as_ref() == Some(&policy) && self.stage.limits == limits;
                self.stage.policy = Some(policy);
                self.stage.limits = limits;
                if !begun {
                    // The one that nobody declares may be declared anew later, like the others.
                    self.stage.setup.repositories = self.stage.setup.all_repositories();
                    for repository in self.stage.setup.repositories.clone() {
                        self.found(&repository);
                    }
                } else if !same {
                    self.stage.configured();
                }
            }
            Err(problems) => self.problems.extend(problems),
        }
    }
}

/// Whether a claim counts builds: the next `more` begins there.
fn counts(claim: &Claim) -> bool {
    matches!(claim, Claim::Builds { stopped: false, .. })
}
