//! Declarations: repositories, queues, jobs, and what the jobs' builds come to.

use std::collections::BTreeMap;

use super::reader::Reader;
use super::story::{Declaration, Fate, JobDecl, QueueDecl, RepositoryDecl, SiteDecl, Truth};
use super::words::{Read, number};
use crate::model::LandingForm;

/// Verbs that say what a job's builds come to.
pub const TRUTHS: &[&str] = &[
    "takes", "lasts", "needs", "need", "passes", "succeeds", "fails", "breaks", "crashes", "aborts",
    "vanishes", "hangs", "is", "gives", "loses", "take", "pass", "fail", "break", "vanish", "hang", "times",
];

impl Reader<'_> {
    /// `repository NAME[, NAME] [with branches …] [with files …] [lands by …]`.
    pub fn declare_repositories(&mut self) -> Read<Vec<Declaration>> {
        let names = self.line.list();
        let mut declared =
            RepositoryDecl { name: String::new(), branches: Vec::new(), files: Vec::new(), form: None };
        while !self.line.is_over() {
            self.line.skip(&["with", "has", "have", "and", "which", "that", "a", "the"]);
            if self.line.eat(&["branches", "branch"]) {
                declared.branches.extend(self.line.list());
            } else if self.line.eat(&["files", "file"]) {
                declared.files.extend(self.line.list());
            } else if self.line.phrase(&[
                "lands by",
                "land by",
                "lands with",
                "submit type",
                "lands as",
                "landing by",
                "lands",
            ]) {
                declared.form = Some(self.form()?);
            } else {
                return self.fault(
                    "says nothing of a repository",
                    "write for example `repository app with branches main, stable`",
                );
            }
        }
        if names.is_empty() {
            return self.fault("the name of the repository is missing", "write for example `repository app`");
        }
        let each = names
            .into_iter()
            .map(|name| Declaration::Repository(RepositoryDecl { name, ..declared.clone() }));
        Ok(each.collect())
    }

    fn form(&mut self) -> Read<LandingForm> {
        let forms = [
            ("merge always", LandingForm::MergeAlways),
            ("merge if necessary", LandingForm::MergeIfNecessary),
            ("fast-forward only", LandingForm::FastForwardOnly),
            ("fast forward only", LandingForm::FastForwardOnly),
            ("fast-forward", LandingForm::FastForwardOnly),
            ("rebase if necessary", LandingForm::RebaseIfNecessary),
            ("rebase always", LandingForm::RebaseAlways),
            ("rebase", LandingForm::RebaseIfNecessary),
            ("cherry-pick", LandingForm::CherryPick),
            ("cherry pick", LandingForm::CherryPick),
            ("merge", LandingForm::MergeAlways),
        ];
        let found = forms.iter().find(|(phrase, _)| self.line.phrase(&[phrase]));
        match found {
            Some((_, form)) => Ok(*form),
            None => self.fault(
                "is no way of landing",
                "write `merge always`, `merge if necessary`, `fast-forward only`, `rebase if necessary`, `rebase always` or `cherry-pick`",
            ),
        }
    }

    /// `queue NAME for REPOSITORY, … [window N] [serial] [keeps approvals] [with KEY = VALUE, …]`.
    pub fn declare_queue(&mut self) -> Read<Declaration> {
        let name = self.line.need("the name of the queue", "queue main for app, lib")?;
        let mut queue = QueueDecl { name: name.text, repositories: Vec::new(), keys: BTreeMap::new() };
        while !self.line.is_over() {
            if name.colon && queue.repositories.is_empty() && !self.line.is(&["for", "with"])
                || self.line.eat(&["for", "over", "of", "gates", "has"])
            {
                self.line.skip(&["the", "repositories", "repository"]);
                let names = self.line.list();
                let (sites, repositories): (Vec<String>, Vec<String>) =
                    names.into_iter().partition(|name| name == "sites");
                if !sites.is_empty() {
                    queue.keys.insert("sites".into(), "true".into());
                }
                queue.repositories.extend(repositories);
            } else {
                self.queue_key(&mut queue.keys)?;
            }
        }
        Ok(Declaration::Queue(queue))
    }

    /// `site NAME has REPOSITORY, … [on branch BRANCH] [only groups] [with KEY = VALUE, …]`.
    pub fn declare_site(&mut self) -> Read<Declaration> {
        let name = self.line.need("the name of the site", "site web has app, lib")?;
        let mut site = SiteDecl { name: name.text, repositories: Vec::new(), keys: BTreeMap::new() };
        while !self.line.is_over() {
            self.line.skip(&["and"]);
            if self.is_keyed() {
                self.line.eat(&["with"]);
                self.keys(&mut site.keys)?;
            } else if self.line.phrase(&["on branch", "with branch", "reads branch"]) {
                let branch = self.line.need("the branch", "site web has app, lib on branch main")?.text;
                site.keys.insert("branch".into(), format!("{branch:?}"));
            } else if self.line.phrase(&["only groups", "without inputs"]) {
                site.keys.insert("inputs".into(), "false".into());
            } else if self.line.eat(&["has", "have", "of", "with", "for"])
                || name.colon && site.repositories.is_empty()
            {
                self.line.skip(&["the", "repositories", "repository"]);
                site.repositories.extend(self.line.list());
            } else {
                return self.fault("says nothing of a site", "write for example `site web has app, lib`");
            }
        }
        Ok(Declaration::Site(site))
    }

    /// One clause about a queue.
    pub fn queue_key(&mut self, keys: &mut BTreeMap<String, String>) -> Read<()> {
        if self.is_keyed() {
            self.line.eat(&["with"]);
            return self.keys(keys);
        }
        self.line.eat(&["with"]);
        self.line.skip(&["and", "is", "a", "has", "the"]);
        let mut put = |key: &str, value: String| drop(keys.insert(key.into(), value));
        if self.line.eat(&["window"]) {
            self.line.skip(&["of", "=", "is"]);
            match self.line.count() {
                Some(size) => put("window", size.to_string()),
                None => return self.fault("is no number", "write for example `window 3`"),
            }
        } else if self.line.eat(&["serial"]) {
            put("strategy", "\"serial\"".into());
        } else if self.line.eat(&["strategy"]) {
            self.line.skip(&["=", "is"]);
            let strategy = self.line.need("the strategy", "strategy serial")?.text;
            put("strategy", format!("\"{strategy}\""));
        } else if self.line.phrase(&["keeps approvals", "keeps the approval", "keep approvals", "policy b"]) {
            put("after-failure", "\"keep\"".into());
        } else if self.line.phrase(&["forgets approvals", "policy a"]) {
            put("after-failure", "\"forget\"".into());
        } else if self.line.phrase(&["lands by submit", "landing by submit", "submits"]) {
            put("landing", "\"submit\"".into());
        } else if self.line.phrase(&["merges from", "merge from"]) {
            put("merge-from", array(&self.line.list()));
        } else if self.line.eat(&["branches", "branch"]) {
            put("branches", array(&self.line.list()));
        } else {
            return self.fault(
                "says nothing of a queue",
                "write for example `queue main for app, lib with window 3`",
            );
        }
        Ok(())
    }

    /// `KEY = VALUE, KEY = VALUE` to the end of the line, values as in TOML.
    fn keys(&mut self, keys: &mut BTreeMap<String, String>) -> Read<()> {
        let text = self.line.rest().to_owned();
        let read: Result<toml::Table, _> = toml::from_str(&format!("all = {{ {text} }}"));
        let Some(toml::Value::Table(table)) = read.ok().and_then(|mut all| all.remove("all")) else {
            return self.fault(
                "is no list of keys and values as in TOML",
                "write for example `with attempts = 2, reuse = \"never\"`",
            );
        };
        keys.extend(table.into_iter().map(|(key, value)| (key, value.to_string())));
        let _ = self.line.take_rest();
        Ok(())
    }

    /// `job NAME [for …] [reads …] [takes …] [fails …] [non-voting] [with KEY = VALUE, …]`.
    pub fn declare_jobs(&mut self) -> Read<Vec<Declaration>> {
        let names = self.line.list();
        if names.is_empty() {
            return self.fault("the name of the job is missing", "write for example `job unit takes 10m`");
        }
        let mut declared = JobDecl::default();
        let mut declares = self.line.is_over();
        while !self.line.is_over() {
            self.line.skip(&["and", "which", "that", "it"]);
            if self.line.is(TRUTHS) && !self.is_about_voting() && !self.is_about_needs() {
                let truth = self.truth(None)?;
                if let Fate::Takes(ms) = truth.fate {
                    declared.longest_ms = declared.longest_ms.max(ms);
                }
                declared.truths.push(truth);
            } else {
                self.job_key(&mut declared.keys)?;
                declares = true;
            }
        }
        let mut all = Vec::new();
        for name in names {
            let truths =
                declared.truths.iter().map(|truth| Truth { job: Some(name.clone()), ..truth.clone() });
            let truths: Vec<Truth> = truths.collect();
            if declares || !self.known.foreign_jobs.contains(&name) {
                all.push(Declaration::Job(JobDecl { name, truths, ..declared.clone() }));
            } else {
                all.extend(truths.into_iter().map(Declaration::Truth));
            }
        }
        Ok(all)
    }

    fn is_about_voting(&self) -> bool {
        self.line.is(&["is"])
            && self
                .line
                .peek_at(1)
                .is_some_and(|word| ["non-voting", "nonvoting", "not", "voting"].contains(&&*word.small))
    }

    /// Whether `needs JOB` comes next, rather than `needs 10m`.
    pub fn is_about_needs(&self) -> bool {
        let mut ahead = self.line.clone();
        ahead.eat(&["needs", "need"]) && ahead.duration().is_none()
    }

    /// Whether `KEY = VALUE` comes next, perhaps behind `with`.
    fn is_keyed(&self) -> bool {
        let begin = usize::from(self.line.is(&["with"]));
        let has =
            |at: usize| self.line.peek_at(at).is_some_and(|word| !word.quoted && word.text.contains('='));
        has(begin) || self.line.peek_at(begin + 1).is_some_and(|word| word.text.starts_with('='))
    }

    fn job_key(&mut self, keys: &mut BTreeMap<String, String>) -> Read<()> {
        if self.is_keyed() {
            self.line.eat(&["with"]);
            return self.keys(keys);
        }
        let mut put = |key: &str, value: String| drop(keys.insert(key.into(), value));
        if self.line.phrase(&[
            "is non-voting",
            "non-voting",
            "nonvoting",
            "is nonvoting",
            "does not vote",
            "is not voting",
        ]) {
            put("voting", "false".into());
        } else if self.line.phrase(&["reads only", "only reads", "paths", "with paths"]) {
            put("paths", array(&self.line.list()));
        } else if self.line.phrase(&["reads", "with inputs", "with input", "inputs", "input"]) {
            put("inputs", array(&self.line.list()));
        } else if self.line.eat(&["needs", "need"]) {
            self.line.skip(&["the", "job", "jobs"]);
            put("needs", array(&self.line.list()));
        } else if self.line.phrase(&["ignores", "ignoring", "with ignored-files"]) {
            put("ignored-files", array(&self.line.list()));
        } else if self.line.phrase(&["only in", "in only"])
            || self.line.is(&["in"]) && self.names_pipeline(1) && self.line.eat(&["in"])
        {
            put("pipelines", array(&self.pipelines()?));
        } else if self.line.eat(&["for", "on", "of", "in"]) {
            self.line.skip(&["the", "repositories", "repository"]);
            if self.line.eat(&["branch", "branches"]) {
                put("branches", array(&self.line.list()));
            } else {
                put("repositories", array(&self.line.list()));
            }
        } else if self.line.phrase(&["branches", "with branches"]) {
            put("branches", array(&self.line.list()));
        } else if self.line.phrase(&["attempts", "with attempts"]) {
            match self.line.count() {
                Some(count) => put("attempts", count.to_string()),
                None if self.line.phrase(&["where it pays"]) => put("attempts", "\"where-it-pays\"".into()),
                None => return self.fault("is no number", "write for example `attempts 2`"),
            }
        } else if self.line.phrase(&[
            "runs only for its own repository",
            "runs for own",
            "only for its own repository",
        ]) {
            put("runs-for", "\"own\"".into());
        } else if self.line.eat(&["runs"]) {
            let command = self.line.need("the command", "runs \"make test\"")?.text;
            put("commands", array(&[command]));
        } else {
            return self.fault(
                "says nothing of a job",
                "write for example `job unit for app, reads lib, takes 10m, fails with A` or `job unit with attempts = 2`",
            );
        }
        Ok(())
    }

    /// What a job's builds come to, from the verb on.
    pub fn truth(&mut self, job: Option<String>) -> Read<Truth> {
        let mut truth = Truth {
            job,
            fate: Fate::Passes,
            with: Vec::new(),
            without: Vec::new(),
            home: None,
            times: None,
            attempt: None,
        };
        truth.fate = self.fate()?;
        while !self.line.is_over() {
            if !self.condition(&mut truth)? {
                break;
            }
            if self.line.last().is_some_and(|word| word.comma)
                && !self.line.is(&["with", "without", "after", "once", "when", "if"])
            {
                break;
            }
        }
        Ok(truth)
    }

    fn fate(&mut self) -> Read<Fate> {
        let verb = self.line.need("a verb", "unit fails with A")?.small;
        Ok(match &*verb {
            "takes" | "take" | "lasts" | "needs" | "need" => match self.line.duration() {
                Some(ms) => Fate::Takes(ms),
                None => return self.fault("is no duration", "write for example `unit takes 10m`"),
            },
            "passes" | "pass" | "succeeds" => Fate::Passes,
            "fails" | "fail" => Fate::Fails { after: None, known: None },
            "breaks" | "break" | "crashes" | "aborts" => Fate::Breaks(None),
            "vanishes" | "vanish" => Fate::Vanishes,
            "hangs" | "hang" => Fate::Hangs,
            "times" if self.line.eat(&["out"]) => Fate::Hangs,
            "gives" if self.line.phrase(&["no verdict"]) => Fate::Breaks(None),
            "loses" if self.line.phrase(&["its node", "its machine"]) => Fate::Breaks(None),
            "is" if self.line.eat(&["lost"]) => Fate::Vanishes,
            "is" if self.line.eat(&["aborted", "evicted", "broken", "interrupted"]) => Fate::Breaks(None),
            "is" if self.line.phrase(&["flaky"]) => Fate::Fails { after: None, known: None },
            _ => {
                return self.line.fault_at(
                    &verb,
                    "says nothing of what a build comes to",
                    "write `takes 10m`, `passes`, `fails`, `breaks`, `vanishes` or `hangs`",
                );
            }
        })
    }

    /// Takes how often a truth applies; false where nothing is said of it.
    fn times(&mut self, truth: &mut Truth) -> bool {
        if self.line.phrase(&["the first time", "once", "at first", "on the first attempt"]) {
            truth.times = Some(1);
        } else if self.line.eat(&["always"]) {
            truth.times = None;
        } else if self.line.eat(&["twice"]) {
            truth.times = Some(2);
        } else if self.line.phrase(&["on attempt", "attempt", "in attempt"]) {
            truth.attempt = self.line.count();
        } else if self.line.peek().is_some_and(|word| number(&word.small).is_some())
            && self.line.peek_at(1).is_some_and(|word| word.small == "times" || word.small == "time")
        {
            truth.times = self.line.count();
            self.line.next();
        } else if self.line.phrase(&["the first"]) {
            truth.times = self.line.count();
            self.line.skip(&["times", "builds"]);
        } else {
            return false;
        }
        true
    }

    /// One condition of a truth; false where the next word begins something else.
    fn condition(&mut self, truth: &mut Truth) -> Read<bool> {
        if self.line.is(&["with"]) && self.line.peek_at(2).is_some_and(|word| word.text.starts_with('=')) {
            return Ok(false);
        }
        if self.line.eat(&["without"]) || self.line.phrase(&["unless with", "unless"]) {
            truth.without.extend(self.ways()?.into_iter().flatten());
            self.line.phrase(&["is in the tree", "are in the tree", "is there"]);
        } else if self.times(truth) {
            // How often it applies.
        } else if self.line.eat(&["after"]) {
            let after = self.line.duration();
            match (&mut truth.fate, after) {
                (Fate::Fails { after, .. }, Some(ms)) => *after = Some(ms),
                (Fate::Breaks(after), Some(ms)) => *after = Some(ms),
                (_, Some(_)) => {
                    return self.fault(
                        "only `fails` and `breaks` have a time",
                        "write for example `unit fails after 2m`",
                    );
                }
                (_, None) => return self.fault("is no duration", "write for example `fails after 2m`"),
            }
        } else if self.line.phrase(&[
            "known after",
            "which is known after",
            "seen after",
            "as is known after",
        ]) {
            match (&mut truth.fate, self.line.duration()) {
                (Fate::Fails { known, .. }, Some(ms)) => *known = Some(ms),
                _ => {
                    return self.fault(
                        "is no duration of a failure",
                        "write for example `fails with A known after 2m`",
                    );
                }
            }
        } else if self.line.is(&["on", "for", "in", "of"])
            && self.line.peek_at(1).is_some_and(|word| self.known.repositories.contains(&word.text))
        {
            self.line.next();
            truth.home = Some(self.repository()?);
        } else if self.line.eat(&["with", "on", "for", "when", "if", "whenever", "where"]) {
            self.line.phrase(&["the tree has", "the tree contains"]);
            truth.with.extend(self.ways()?);
            self.line.phrase(&[
                "is in the tree",
                "are in the tree",
                "are in it",
                "is in it",
                "are together",
                "is there",
                "together",
            ]);
        } else {
            return Ok(false);
        }
        Ok(true)
    }
}

/// A TOML array of texts.
pub fn array(items: &[String]) -> String {
    toml::Value::Array(items.iter().map(|item| toml::Value::String(item.clone())).collect()).to_string()
}
