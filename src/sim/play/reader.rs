//! A line read with what the story knows: names of changes, jobs, repositories, queues.

use std::collections::BTreeSet;

use super::story::{Content, Name, Together};
use super::words::{Line, Problem, Read, meant};
use crate::model::Pair;

/// What a story names anywhere: found before its statements are read, so that their order is free.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// Changes, in the order in which they are first uploaded.
    pub changes: Vec<Name>,
    /// Pushes of others that have a name.
    pub pushes: BTreeSet<Name>,
    /// Jobs.
    pub jobs: BTreeSet<String>,
    /// Jobs that the configuration in TOML, or a job file, declares.
    pub foreign_jobs: BTreeSet<String>,
    /// Repositories, in order.
    pub repositories: Vec<String>,
    /// Branches of any repository.
    pub branches: BTreeSet<String>,
    /// Queues.
    pub queues: BTreeSet<String>,
    /// Pipelines.
    pub pipelines: BTreeSet<String>,
    /// Sites.
    pub sites: BTreeSet<String>,
    /// People.
    pub people: BTreeSet<String>,
}

impl Known {
    /// The change or push of this name.
    pub fn content(&self, word: &str) -> Option<Name> {
        self.change(word).or_else(|| self.pushes.get(word).cloned())
    }

    /// The change of this name.
    pub fn change(&self, word: &str) -> Option<Name> {
        self.changes.iter().find(|name| &***name == word).cloned()
    }
}

/// See the module.
pub struct Reader<'a> {
    /// The line.
    pub line: Line<'a>,
    /// What is known.
    pub known: &'a Known,
    /// Who acts, where the line says so.
    pub by: Option<String>,
    /// The lines of the block that follows.
    pub block: Option<super::story::Block>,
}

/// Words that may stand before a name and say nothing.
pub const ARTICLES: &[&str] = &["the", "change", "changes", "a", "an"];

impl Reader<'_> {
    /// Takes the name of a change, if one comes next.
    pub fn maybe_change(&mut self) -> Option<Name> {
        let before = self.line.clone();
        self.line.skip(ARTICLES);
        let found =
            self.line.peek().filter(|word| !word.quoted).and_then(|word| self.known.change(&word.text));
        match found {
            Some(_) => drop(self.line.next()),
            None => self.line = before,
        }
        found
    }

    /// The name of a change.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn change(&mut self) -> Read<Name> {
        match self.maybe_change() {
            Some(name) => Ok(name),
            None => {
                self.line.skip(ARTICLES);
                self.unknown("change", self.known.changes.iter().map(|name| name.to_string()).collect())
            }
        }
    }

    /// One or more changes: `A`, `A, B and C`.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn changes(&mut self) -> Read<Vec<Name>> {
        if self.line.phrase(&["all changes", "every change", "all", "everything"]) {
            return Ok(self.known.changes.clone());
        }
        let mut names = vec![self.change()?];
        while let Some(last) = self.line.last() {
            let comma = last.comma;
            let and = self.line.eat(&["and", "&", "then"]);
            if comma || and {
                match self.maybe_change() {
                    Some(name) => names.push(name),
                    // `A and then …` or a sentence that goes on: not ours to judge.
                    None if comma && !and && self.line.is_over() => break,
                    None => names.push(self.change()?),
                }
            } else if let Some(name) = self.maybe_change() {
                names.push(name);
            } else {
                break;
            }
        }
        Ok(names)
    }

    /// Complains that the next word is none of `kind`.
    pub fn unknown<T>(&self, kind: &str, known: Vec<String>) -> Read<T> {
        let word = self.line.peek().map(|word| word.text.clone()).unwrap_or_default();
        if word.is_empty() {
            return self.line.fault(format!("the name of a {kind} is missing"), "say which one");
        }
        let what = if kind == "change" {
            "no change of this name is uploaded in this story".to_owned()
        } else {
            format!("there is no {kind} of this name")
        };
        self.line.fault(what, meant(&word, known))
    }

    /// A content as a condition: `A`, `A patch set 2`, `patch set 2 of A`, `any patch set of A`.
    fn content(&mut self) -> Read<Content> {
        let any = self.line.phrase(&["any patch set of", "every patch set of", "any version of"]);
        let mut round = self.patch_set();
        if round.is_some() {
            self.line.eat(&["of"]);
        }
        self.line.skip(ARTICLES);
        self.line.skip(&["push"]);
        let found =
            self.line.peek().filter(|word| !word.quoted).and_then(|word| self.known.content(&word.text));
        let Some(name) = found else {
            let names = self.known.changes.iter().chain(&self.known.pushes).map(|name| name.to_string());
            return self.unknown("change", names.collect());
        };
        self.line.next();
        round = round.or_else(|| self.patch_set());
        Ok(Content { name, round, any })
    }

    /// Takes `patch set 2` or `patchset 2`.
    pub fn patch_set(&mut self) -> Option<u32> {
        let before = self.line.clone();
        let found = self.line.phrase(&["patch set", "patchset", "ps"]);
        let number = if found { self.line.count() } else { None };
        if number.is_none() {
            self.line = before;
        }
        number
    }

    /// Conditions after `with`: `A and B`, `A or B`, `A+B`; each list is one way to hold.
    ///
    /// # Errors
    /// A name that is not known.
    pub fn ways(&mut self) -> Read<Vec<Vec<Content>>> {
        let mut ways = Vec::new();
        let mut together = Vec::new();
        self.line.skip(&["both", "either"]);
        loop {
            let sum = self.line.peek().map(|word| word.text.clone()).unwrap_or_default();
            if sum.contains('+') {
                let comma = self.line.next().is_some_and(|word| word.comma);
                for name in self.together(&sum)? {
                    together.push(Content { name, round: None, any: false });
                }
                if comma {
                    self.line.skip(&[]);
                }
            } else {
                together.push(self.content()?);
            }
            let comma = self.line.last().is_some_and(|word| word.comma);
            if self.line.eat(&["or"]) {
                ways.push(std::mem::take(&mut together));
            } else if self.line.eat(&["and", "&"]) {
                self.line.eat(&["with"]);
            } else if !(comma && self.line.peek().is_some_and(|w| self.known.content(&w.text).is_some())) {
                break;
            }
        }
        ways.push(together);
        Ok(ways)
    }

    /// The changes of `A+B`.
    fn together(&self, sum: &str) -> Read<Together> {
        let mut names = Together::new();
        for part in sum.split('+').filter(|part| !part.is_empty()) {
            match self.known.change(part) {
                Some(name) => drop(names.insert(name)),
                None if ["main", "master", "tip"].contains(&part) && sum.contains('+') => {}
                None => {
                    let remedy = meant(part, &self.known.changes);
                    return self.line.fault_at(
                        part,
                        "no change of this name is uploaded in this story",
                        remedy,
                    );
                }
            }
        }
        Ok(names)
    }

    /// One tree or item: `A+B`, or `A on top of B`.
    ///
    /// # Errors
    /// A name that is not known.
    pub fn tree(&mut self) -> Read<Together> {
        self.line.skip(ARTICLES);
        self.line.skip(&["tree", "of"]);
        if self.line.phrase(&["tip", "tips", "main", "branches alone", "branch alone"]) {
            return Ok(Together::new());
        }
        let Some(word) = self.line.peek().cloned() else { return self.unknown("change", Vec::new()) };
        if !word.text.contains('+') && self.known.change(&word.text).is_none() {
            let names = self.known.changes.iter().map(|name| name.to_string()).collect();
            return self.unknown("change", names);
        }
        self.line.next();
        let mut tree = self.together(&word.text)?;
        while self.line.phrase(&["on top of", "with", "on"]) {
            let below = self.line.need("a change", "A on top of B")?;
            tree.extend(self.together(&below.text)?);
        }
        Ok(tree)
    }

    /// Trees or items with commas or `and` between them; `nothing` is none.
    ///
    /// # Errors
    /// A name that is not known.
    pub fn trees(&mut self) -> Read<Vec<Together>> {
        let mut trees = Vec::new();
        if self.line.is_over() || self.line.eat(&["nothing", "none", "empty"]) {
            return Ok(trees);
        }
        loop {
            trees.push(self.tree()?);
            let comma = self.line.last().is_some_and(|word| word.comma);
            let and = self.line.eat(&["and", "then", "&"]);
            let goes_on = self
                .line
                .peek()
                .is_some_and(|word| word.text.contains('+') || self.known.change(&word.text).is_some());
            if !(goes_on || comma || and) {
                return Ok(trees);
            }
            self.line.eat(&["on"]);
        }
    }

    /// A branch: `app`, `app main`, `app:main`, `app on main`, `app branch main`, `main of app`.
    ///
    /// # Errors
    /// The repository is not declared.
    pub fn pair(&mut self) -> Read<Pair> {
        self.line.skip(&["the", "repository", "repo", "project"]);
        if self.line.eat(&["branch"]) || self.line.peek_at(1).is_some_and(|word| word.small == "of") {
            let branch = self.line.need("the branch", "to branch stable of app")?.text;
            if self.line.eat(&["of", "in"]) {
                let repository = self.repository()?;
                return Ok(Pair::new(repository, branch));
            }
        }
        let word = self.line.peek().cloned();
        let split = word.as_ref().and_then(|word| word.text.split_once(':'));
        let repository = match split {
            Some((repository, branch)) => {
                let pair = Pair::new(repository, branch);
                if !self.known.repositories.iter().any(|name| name == repository) {
                    return self.unknown("repository", self.known.repositories.clone());
                }
                self.line.next();
                return Ok(pair);
            }
            None => self.repository()?,
        };
        let plain = self.line.peek().is_some_and(|word| {
            self.known.branches.contains(&word.text) && self.known.content(&word.text).is_none()
        });
        let mut branch = None;
        let before = self.line.clone();
        if plain || self.line.phrase(&["on branch", "on the branch", "branch"]) {
            branch = self.line.next();
        } else if self.line.eat(&["on"]) {
            branch = self.line.next().filter(|word| self.known.branches.contains(&word.text));
            if branch.is_none() {
                self.line = before;
            }
        }
        let branch = branch.map(|word| word.text);
        Ok(Pair::new(repository, branch.as_deref().unwrap_or("main")))
    }

    /// A repository.
    ///
    /// # Errors
    /// It is not declared.
    pub fn repository(&mut self) -> Read<String> {
        self.line.skip(&["the", "repository", "repo", "project"]);
        let found = self.line.peek().filter(|word| self.known.repositories.contains(&word.text)).cloned();
        match found {
            Some(word) => {
                self.line.next();
                Ok(word.text)
            }
            None => self.unknown("repository", self.known.repositories.clone()),
        }
    }

    /// Takes the name of a job, if one comes next.
    pub fn maybe_job(&mut self) -> Option<String> {
        let before = self.line.clone();
        self.line.skip(&["the", "a", "job", "jobs"]);
        let found = self.line.peek().filter(|word| self.known.jobs.contains(&word.text)).cloned();
        match found {
            Some(_) => drop(self.line.next()),
            None => self.line = before,
        }
        found.map(|word| word.text)
    }

    /// Takes `by NAME`.
    ///
    /// # Errors
    /// The name is missing.
    pub fn person(&mut self) -> Read<()> {
        if self.line.eat(&["by"]) {
            self.line.eat(&["the"]);
            self.by = Some(self.line.need("the name of a person", "by alice")?.text);
        }
        Ok(())
    }

    /// What is wrong with the next word.
    pub fn fault<T>(&self, what: impl Into<String>, remedy: impl Into<String>) -> Result<T, Problem> {
        self.line.fault(what, remedy)
    }
}
