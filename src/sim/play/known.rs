//! What a story names anywhere: found before its statements are read, so that their order is free.

use std::sync::Arc;

use super::parse::Source;
use super::reader::Known;
use super::words::Line;

/// Looks through all statements for what they name.
pub fn scan(sources: &[Source<'_>]) -> Known {
    let mut known = Known::default();
    known.branches.extend(["main".to_owned()]);
    known.pipelines.extend(["check", "gate", "post"].map(str::to_owned));
    for source in sources {
        // What is wrong with a line is said when it is read in earnest.
        if let Ok(mut line) = Line::new(source.number, source.raw) {
            look(&mut line, &mut known);
        }
        if let Some(block) = &source.block {
            look_at_toml(&block.text, &mut known);
        }
    }
    derive(&mut known);
    if known.repositories.is_empty() {
        known.repositories.push("app".to_owned());
    }
    known
}

/// A queue may stand for one of each group of sites, named after the first of them, and for one of each branch.
fn derive(known: &mut Known) {
    let of_sites =
        known.queues.iter().flat_map(|queue| known.sites.iter().map(move |site| format!("{queue}-{site}")));
    known.queues.extend(of_sites.collect::<Vec<_>>());
    let of_branches = known
        .queues
        .iter()
        .flat_map(|queue| known.branches.iter().map(move |branch| format!("{queue}:{branch}")));
    known.queues.extend(of_branches.collect::<Vec<_>>());
}

fn look(line: &mut Line<'_>, known: &mut Known) {
    people(line, known);
    while let Some(word) = line.next() {
        match &*word.small {
            "repository" | "repositories" | "repo" | "project" | "projects" if is_first(line) => {
                known.repositories.extend(line.list());
                while let Some(word) = line.next() {
                    if word.small == "branches" || word.small == "branch" {
                        known.branches.extend(line.list());
                    }
                }
            }
            "branch" => known.branches.extend(line.peek().map(|word| word.text.clone())),
            "queue" if is_first(line) => known.queues.extend(line.peek().map(|word| word.text.clone())),
            "site" if is_first(line) => known.sites.extend(line.peek().map(|word| word.text.clone())),
            "job" | "jobs" if is_first(line) && !line.is(&["file"]) => known.jobs.extend(line.list()),
            "job" | "jobs" if !is_first(line) && before_is(line, "adding") => {
                let names = line.list();
                known.foreign_jobs.extend(names.iter().cloned());
                known.jobs.extend(names);
            }
            "upload" | "uploads" | "stack" | "stacks" => uploads(line, known),
            "push" | "pushes" => {
                let name = line.peek().filter(|word| word.text.starts_with(char::is_uppercase)).cloned();
                known.pushes.extend(name.map(|word| Arc::from(word.text)));
            }
            _ => {}
        }
    }
}

/// Whether the word that was just taken is the first one.
fn is_first(line: &Line<'_>) -> bool {
    line.place() == 1
}

fn before_is(line: &Line<'_>, wanted: &str) -> bool {
    line.place().checked_sub(2).and_then(|at| line.word(at)).is_some_and(|word| word.small == wanted)
}

fn uploads(line: &mut Line<'_>, known: &mut Known) {
    line.skip(&["a", "the", "new", "another"]);
    if line.phrase(&["patch set", "patchset", "version of", "ps"]) {
        let _number = line.count();
        line.eat(&["of"]);
    }
    line.skip(&["change", "changes"]);
    let mut more = true;
    while more {
        let Some(word) = line.peek().filter(|word| !word.quoted).cloned() else { return };
        line.next();
        let name: Arc<str> = word.text.into();
        if !known.changes.contains(&name) {
            known.changes.push(name);
        }
        let and = line.eat(&["and", "&"]);
        more = and || word.comma && line.peek().is_some_and(|next| !CLAUSES.contains(&&*next.small));
    }
}

/// Words that begin a clause of an upload and so are no names.
const CLAUSES: &[&str] = &[
    "to",
    "on",
    "onto",
    "by",
    "from",
    "editing",
    "edits",
    "changing",
    "touching",
    "deleting",
    "writing",
    "with",
    "without",
    "depends",
    "depending",
    "depends-on",
    "merging",
    "reverting",
    "as",
    "again",
    "topic",
    "hashtag",
    "tagged",
    "stacked",
    "based",
    "adding",
    "breaking",
    "private",
    "wip",
    "into",
    "for",
    "in",
    "which",
    "that",
    "each",
];

/// `alice uploads …`, `… by alice`.
fn people(line: &Line<'_>, known: &mut Known) {
    let mut at = 0;
    while let Some(word) = line.word(at) {
        if word.small == "by" {
            known.people.extend(line.word(at + 1).map(|word| word.text.clone()));
        }
        if word.small == "uploads" && at == 1 {
            known.people.extend(line.word(0).map(|word| word.text.clone()));
        }
        at += 1;
    }
    known.people.insert("author".into());
}

/// Jobs and queues that a block in TOML declares.
fn look_at_toml(text: &str, known: &mut Known) {
    let Ok(table) = toml::from_str::<toml::Table>(text) else { return };
    let names = |key: &str| -> Vec<String> {
        let all = table.get(key).and_then(toml::Value::as_array).cloned().unwrap_or_default();
        all.iter().filter_map(|entry| entry.get("name")?.as_str().map(str::to_owned)).collect()
    };
    let jobs = names("job");
    known.foreign_jobs.extend(jobs.iter().cloned());
    known.jobs.extend(jobs);
    known.queues.extend(names("queue"));
    let pipelines = table.get("pipeline").and_then(toml::Value::as_table);
    for kind in ["periodic", "on-demand"] {
        let all = pipelines.and_then(|all| all.get(kind)).and_then(toml::Value::as_array);
        let named = all.into_iter().flatten().filter_map(|entry| entry.get("name")?.as_str());
        known.pipelines.extend(named.map(str::to_owned));
    }
    known.sites.extend(names("site"));
}
