//! Templates: keys that several jobs share. Those of the operator's file serve job files too, for which they
//! are written into the policy.

use std::sync::Arc;

use super::jobs::check_template;
use super::keys::did_you_mean;
use super::problem::Source;
use super::section::Section;

/// The templates that a file's jobs may name.
pub(super) struct Templates<'a>(Vec<Template<'a>>);

struct Template<'a> {
    name: &'a str,
    keys: Section<'a>,
    /// It is the operator's, and named in a job file.
    lent: bool,
}

impl<'a> Templates<'a> {
    /// The templates of a file, read as the table `name`; what is wrong with them is noted, whether or not a
    /// job names them.
    pub(super) fn read(top: &Section<'a>, name: &'static str) -> Self {
        let own = top.named_tables("template", name).into_iter().map(|(name, keys)| {
            check_template(&keys);
            Template { name: name.value, keys, lent: false }
        });
        Self(own.collect())
    }

    /// These, and those of the operator's that these do not replace.
    pub(super) fn or_lent(mut self, operators: Self) -> Self {
        self.0.extend(operators.0.into_iter().map(|template| Template { lent: true, ..template }));
        self
    }

    /// The job with the keys of the template that it names.
    pub(super) fn under<'t>(&'t self, job: Section<'a>) -> Section<'t> {
        let Some(name) = job.text("template") else { return job };
        let found = self.0.iter().find(|template| template.name == name.value);
        let Some(template) = found else {
            let known: Vec<&str> = self.0.iter().map(|template| template.name).collect();
            let remedy = if known.is_empty() {
                format!("declare `[template.{}]`, or remove the key", name.value)
            } else {
                did_you_mean(name.value, &known)
            };
            job.problem(name.at, "template", format!("there is no template `{}`", name.value), remedy);
            return job;
        };
        if template.lent && template.keys.has("trust") {
            let what = format!("`{}` sets `trust`, which only the operator's own jobs may have", name.value);
            job.problem(name.at, "template", what, "name another template, or write the keys here");
        }
        job.on(&template.keys)
    }
}

/// The templates of the operator's file as job files get them: the same text whenever they say the same.
pub(super) fn written(top: &Section<'_>) -> Arc<str> {
    if !top.has("template") {
        return "".into();
    }
    let mut file: toml::Table = toml::from_str(top.source.text()).unwrap_or_default();
    file.retain(|key, _| key == "template");
    toml::to_string(&file).unwrap_or_default().into()
}

/// What is wrong with templates that were lent, for the author of a job file, who cannot mend them there.
pub(super) fn tell_of_lent(lent: Source<'_>, job_file: &Source<'_>) {
    let (problems, _) = lent.finish(0);
    for problem in problems {
        let what =
            format!("a template of the operator's cannot be used here: `{}` {}", problem.key, problem.what);
        job_file.problem(0, "template", what, "write that key in the job, or ask the operator");
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{JobFile, Problem, parse_job_file, parse_policy};
    use crate::model::job::Attempts;
    use crate::model::{JobPolicy, Pair};

    const QUEUE: &str = "[[queue]]\nname = \"main\"\nrepositories = [\"*\"]\n";

    fn lines(problems: Vec<Problem>) -> String {
        problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    }

    fn operators(text: &str) -> Result<Vec<JobPolicy>, String> {
        let read = parse_policy(format!("{QUEUE}{text}").as_bytes(), "seakeeper.toml", "bot");
        read.map(|(policy, _)| policy.jobs.clone()).map_err(lines)
    }

    /// The job file `text` beside the operator's `templates`.
    fn beside(templates: &str, text: &str) -> Result<JobFile, String> {
        let read = parse_policy(format!("{QUEUE}{templates}").as_bytes(), "seakeeper.toml", "bot");
        let (policy, limits) = read.map_err(lines)?;
        parse_job_file(text.as_bytes(), &Pair::new("app", "main"), &policy, &limits).map_err(lines)
    }

    const USUAL: &str = r#"
[template.usual]
timeout = "5m"
attempts = 3
commands = ["make"]
environment = { A = "template", B = "template" }
"#;

    #[test]
    fn a_template_gives_what_the_job_does_not_say() {
        let jobs = operators(&format!(
            "{USUAL}[[job]]\nname = \"a\"\ntemplate = \"usual\"\nattempts = 1\nenvironment = {{ B = \"job\", C = \"job\" }}\n[[job]]\nname = \"b\"\ncommands = [\"true\"]\n"
        ))
        .unwrap();
        let environment: Vec<String> =
            jobs[0].spec.environment.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(environment, ["A=template", "B=job", "C=job"]);
        assert_eq!(
            (jobs[0].spec.timeout_ms, jobs[0].attempts, &*jobs[0].spec.commands[0]),
            (300_000, Attempts::UpTo(1), "make")
        );
        assert_eq!(
            (jobs[1].spec.timeout_ms, jobs[1].attempts),
            (1_800_000, Attempts::UpTo(1)),
            "who names none has none"
        );
        assert_eq!(operators("[template.unused]\nvoting = false\n").map(|jobs| jobs.len()), Ok(0));
    }

    #[test]
    fn a_fault_is_told_where_it_lies() {
        for (text, expected) in [
            (
                "[template.a]\ntimeout = 5\n[[job]]\nname = \"x\"\ncommands = [\"true\"]\ntemplate = \"a\"\n[[job]]\nname = \"y\"\ncommands = [\"true\"]\ntemplate = \"a\"\n",
                "seakeeper.toml:5:11: key `template.timeout`: expected a text, found a whole number; write for example `timeout = \"30m\"`",
            ),
            (
                "[template.a]\nenvironment = { \"A-B\" = \"1\" }\n[[job]]\nname = \"x\"\ncommands = [\"true\"]\ntemplate = \"a\"\nenvironment = { C = \"1\" }\n",
                "seakeeper.toml:5:17: key `template.environment`: `A-B` is no name of a variable",
            ),
            (
                "[template.a]\ninputs = [{ repository = \"x\", paths = 1 }]\n",
                "seakeeper.toml:5:39: key `job.inputs.paths`: expected a list",
            ),
            (
                "[template.usual]\n[[job]]\nname = \"x\"\ncommands = [\"true\"]\ntemplate = \"usaul\"\n",
                "seakeeper.toml:8:12: key `job.template`: there is no template `usaul`; did you mean `usual`?",
            ),
            (
                "[[job]]\nname = \"x\"\ncommands = [\"true\"]\ntemplate = \"usual\"\n",
                "key `job.template`: there is no template `usual`; declare `[template.usual]`, or remove the key",
            ),
            (
                "[template.a]\nrepositories = [\"*\"]\n",
                "key `template.repositories`: unknown key; each job says that for itself; write it in the `[[job]]`",
            ),
            (
                "[template.a]\ntimout = \"5m\"\n",
                "key `template.timout`: unknown key; did you mean `timeout`?",
            ),
            (
                "[template]\ntimeout = \"5m\"\n",
                "key `template`: expected a table, found a text; write for example `[template.NAME]`",
            ),
            ("template = 3\n", "unknown"),
            (
                "[template.a]\nfiles = [\"x\"]\n[[job]]\nname = \"x\"\ncommands = [\"true\"]\ntemplate = \"a\"\n",
                "seakeeper.toml:5:9: key `template.files`: does nothing here: the job runs for other files, too; add `runs-for = \"files\"`, or remove the key",
            ),
            (
                "[[job]]\nname = \"x\"\nrepositories = [\"*\"]\ncommands = [\"true\"]\nruns-for = \"files\"\n",
                "key `job.runs-for`: `files` needs the files for which it runs; add for example `files = [\"src/*\"]`",
            ),
        ] {
            let found = operators(text).unwrap_err();
            assert!(found.contains(expected), "{text}\nexpected: {expected}\nfound: {found}");
            assert_eq!(found.lines().count(), 1, "{text}: one complaint expected, found\n{found}");
        }
    }

    #[test]
    fn a_job_file_has_its_own_templates_and_the_operators() {
        let job = |template: &str| format!("[[job]]\nname = \"own\"\ntemplate = \"{template}\"\n");
        let file = beside(USUAL, &job("usual")).unwrap();
        assert_eq!((file.jobs[0].attempts, &*file.jobs[0].spec.trust), (Attempts::UpTo(3), "repository app"));
        let own = "[template.usual]\nattempts = 2\ncommands = [\"own\"]\n";
        let file = beside(USUAL, &(own.to_owned() + &job("usual"))).unwrap();
        assert_eq!(
            (file.jobs[0].attempts, &*file.jobs[0].spec.commands[0]),
            (Attempts::UpTo(2), "own"),
            "its own go first"
        );
        for (templates, text, expected) in [
            (
                "[template.a]\ntrust = \"deploy\"\ncommands = [\"true\"]\n",
                job("a"),
                "seakeeper.toml:3: key `job.template`: `a` sets `trust`, which only the operator's own jobs may have",
            ),
            (
                "[template.a]\nneeds = [\"x\"]\ncommands = [\"true\"]\n",
                job("a"),
                "a template of the operator's cannot be used here: `template.needs` there is no job `x`",
            ),
            (
                USUAL,
                "[template.own]\ntrust = \"x\"\n".to_owned(),
                "only the operator's configuration may say that",
            ),
            (USUAL, "[template.own]\nname = \"x\"\n".to_owned(), "each job says that for itself"),
            (USUAL, job("usaul"), "there is no template `usaul`; did you mean `usual`?"),
        ] {
            let found = beside(templates, &text).unwrap_err();
            assert!(found.contains(expected), "{text}\nexpected: {expected}\nfound: {found}");
            assert_eq!(found.lines().count(), 1, "{text}: one complaint expected, found\n{found}");
        }
    }

    #[test]
    fn other_templates_are_another_policy_and_other_words_for_the_same_are_not() {
        let policy = |text: &str| parse_policy(format!("{text}{QUEUE}").as_bytes(), "f", "bot").unwrap().0;
        let (one, same, other) = (
            policy("[template.a]\nattempts = 2\nvoting = false\n"),
            policy("template.a.voting = false # no\ntemplate.a.attempts = 2\n"),
            policy("[template.a]\nattempts = 3\n"),
        );
        assert!(one.finds_the_same_jobs(&same) && !one.finds_the_same_jobs(&other));
        assert_eq!(one.templates, same.templates);
    }
}
