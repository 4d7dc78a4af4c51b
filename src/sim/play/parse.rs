//! A story's text, line by line. All that is wrong is said at once.

use std::sync::Arc;

use super::declare::TRUTHS;
use super::deeds::DEEDS;
use super::known::scan;
use super::reader::{Known, Reader};
use super::story::{Act, Ask, Block, Claim, Declaration, Statement, Story, Wait, Weather};
use super::words::{Line, Problem, Read, meant};

/// Words that begin a statement which is no deed, for suggestions.
const OTHERS: &[&str] = &[
    "repository",
    "queue",
    "site",
    "job",
    "slots",
    "window",
    "check",
    "configuration",
    "wait",
    "after",
    "at",
    "expect",
    "never",
    "always",
    "gerrit",
    "executor",
    "before",
    "eventually",
];

/// How long `wait until` and `eventually` wait, in milliseconds.
const PATIENCE_MS: i64 = 86_400_000;

/// A line of the file that is a statement, with the block that belongs to it.
pub struct Source<'a> {
    /// Its number.
    pub number: usize,
    /// As it stands.
    pub raw: &'a str,
    /// What follows it.
    pub block: Option<Block>,
}

/// Reads a story.
///
/// # Errors
/// All that is wrong with it.
pub fn parse(text: &str) -> Result<Story, Vec<Problem>> {
    let mut problems = Vec::new();
    let sources = super::blocks::cut(text, &mut problems);
    let known = scan(&sources);
    let mut story = Story { title: title(text), statements: Vec::new(), changes: known.changes.clone() };
    for source in &sources {
        match statements(source, &known) {
            Ok(made) => story.statements.extend(made),
            Err(problem) => problems.push(problem),
        }
    }
    problems.sort();
    if problems.is_empty() { Ok(story) } else { Err(problems) }
}

/// The first comment.
fn title(text: &str) -> String {
    let lines = text.lines().map(str::trim).skip_while(|line| line.is_empty());
    let lines = lines.map_while(|line| line.strip_prefix('#'));
    lines.map(str::trim).take_while(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}

/// The statements of one line: a time may stand before another statement.
fn statements(source: &Source<'_>, known: &Known) -> Read<Vec<Statement>> {
    let line = Line::new(source.number, source.raw)?;
    let mut reader = Reader { line, known, by: None, block: source.block.clone() };
    let mut asked = Vec::new();
    while !reader.line.is_over() {
        asked.extend(statement(&mut reader)?);
        let goes_on = asked.last().is_some_and(|ask| matches!(ask, Ask::Wait(_)));
        if !goes_on {
            reader.line.end("wait 10m")?;
        }
    }
    if let Some(block) = &reader.block {
        return Err(Problem {
            line: block.line,
            word: String::new(),
            what: "this block belongs to nothing".into(),
            remedy:
                "a block follows `configuration:`, `reload:`, `job file of app:`, an upload or `reword A:`"
                    .into(),
        });
    }
    let text: Arc<str> = source.raw.trim().into();
    let make = |asks| Statement { line: source.number, text: text.to_string(), asks };
    Ok(asked.into_iter().map(make).collect())
}

fn statement(reader: &mut Reader<'_>) -> Read<Vec<Ask>> {
    reader.line.skip(&["and", "then", "now", "given", "when", "but", "next"]);
    if let Some(wait) = time(reader)? {
        return Ok(vec![wait]);
    }
    if let Some(ask) = expectation(reader)? {
        return Ok(vec![ask]);
    }
    if let Some(declared) = declaration(reader)? {
        return Ok(declared.into_iter().map(Ask::Declare).collect());
    }
    if let Some(act) = weather(reader)? {
        return Ok(vec![Ask::Act(act)]);
    }
    if reader.line.phrase(&[
        "before the next push",
        "just before the next push",
        "right before the next push",
    ]) {
        let act = deed(reader)?;
        return Ok(vec![Ask::Act(Act::BeforePush(Box::new(act)))]);
    }
    deed(reader).map(|act| vec![Ask::Act(act)])
}

/// `wait 10m`, `after 10m`, `10m later`, `at 1h`, `wait until …`.
fn time(reader: &mut Reader<'_>) -> Read<Option<Ask>> {
    let before = reader.line.clone();
    if let (Some(ms), true) = (reader.line.duration(), reader.line.eat(&["later", "pass", "passes", "go"])) {
        reader.line.eat(&["by"]);
        return Ok(Some(Ask::Wait(Wait::For(ms))));
    }
    reader.line = before;
    if reader.line.eat(&["wait", "after", "advance", "sleep", "in"]) {
        if reader.line.phrase(&[
            "until idle",
            "until everything is idle",
            "until nothing moves",
            "until all is quiet",
            "until nothing happens",
            "for everything",
            "until the end",
        ]) {
            return Ok(Some(Ask::Wait(Wait::Idle)));
        }
        if reader.line.eat(&["until"]) {
            let claim = reader.claim()?;
            let limit = within(reader)?.unwrap_or(PATIENCE_MS);
            return Ok(Some(Ask::Within(claim, limit)));
        }
        reader.line.skip(&["for", "another", "by"]);
        return match reader.line.duration() {
            Some(ms) => {
                reader.line.skip(&["more", "later", "then"]);
                Ok(Some(Ask::Wait(Wait::For(ms))))
            }
            None => reader.fault(
                "is no duration",
                "write for example `wait 10m`, `wait until idle` or `wait until A has landed`",
            ),
        };
    }
    if reader.line.eat(&["at"]) {
        return match reader.line.duration() {
            Some(ms) => Ok(Some(Ask::Wait(Wait::At(ms)))),
            None => reader.fault("is no time since the story's beginning", "write for example `at 1h30m`"),
        };
    }
    Ok(None)
}

fn within(reader: &mut Reader<'_>) -> Read<Option<i64>> {
    if !reader.line.eat(&["within"]) {
        return Ok(None);
    }
    match reader.line.duration() {
        Some(ms) => Ok(Some(ms)),
        None => reader.fault("is no duration", "write for example `within 1h`"),
    }
}

fn expectation(reader: &mut Reader<'_>) -> Read<Option<Ask>> {
    if reader.line.eat(&["never"]) {
        reader.line.eat(&["expect"]);
        return Ok(Some(Ask::Keeps(reader.claim()?, false)));
    }
    if reader.line.eat(&["always"]) {
        reader.line.eat(&["expect"]);
        return Ok(Some(Ask::Keeps(reader.claim()?, true)));
    }
    if reader.line.eat(&["eventually"]) {
        reader.line.eat(&["expect"]);
        let claim = reader.claim()?;
        let limit = within(reader)?.unwrap_or(PATIENCE_MS);
        return Ok(Some(Ask::Within(claim, limit)));
    }
    if !reader.line.eat(&["expect", "expects", "assert", "check"]) {
        return Ok(None);
    }
    // `check is on` is a declaration.
    if reader.line.last().is_some_and(|word| word.small == "check") {
        if let Some(on) = switch(reader) {
            return Ok(Some(Ask::Declare(Declaration::Check(on))));
        }
        return reader
            .fault("is no switch", "write `check on` or `check off`; expectations begin with `expect`");
    }
    if reader.line.eat(&["never"]) {
        return Ok(Some(Ask::Keeps(reader.claim()?, false)));
    }
    if reader.line.eat(&["always"]) {
        return Ok(Some(Ask::Keeps(reader.claim()?, true)));
    }
    let first = if reader.line.eat(&["eventually"]) { Some(PATIENCE_MS) } else { within(reader)? };
    let claim = reader.claim()?;
    let limit =
        if reader.line.phrase(&["eventually", "in the end"]) { Some(PATIENCE_MS) } else { within(reader)? };
    Ok(Some(match first.or(limit) {
        Some(ms) => Ask::Within(claim, ms),
        None => expected(claim),
    }))
}

fn expected(claim: Claim) -> Ask {
    Ask::Expect(claim)
}

fn switch(reader: &mut Reader<'_>) -> Option<bool> {
    reader.line.skip(&["pipeline", "is", "the"]);
    let on = reader.line.eat(&["on", "enabled"]);
    (on || reader.line.eat(&["off", "disabled"])).then_some(on)
}

fn declaration(reader: &mut Reader<'_>) -> Read<Option<Vec<Declaration>>> {
    let before = reader.line.clone();
    let first = reader.line.peek().map(|word| word.small.clone()).unwrap_or_default();
    let made = match &*first {
        "repository" | "repositories" | "repo" | "project" | "projects" => {
            reader.line.next();
            reader.declare_repositories()?
        }
        "queue" => {
            reader.line.next();
            vec![reader.declare_queue()?]
        }
        "site" => {
            reader.line.next();
            vec![reader.declare_site()?]
        }
        "job" if reader.line.phrase(&["job file of", "job file in", "job file for"]) => {
            let repository = reader.repository()?;
            match reader.block.take() {
                Some(block) => vec![Declaration::JobFile(repository, block)],
                None => {
                    return reader.fault(
                        "the job file's text is missing",
                        "write `job file of app:` and the TOML below it, indented",
                    );
                }
            }
        }
        "job" | "jobs" => {
            reader.line.next();
            reader.declare_jobs()?
        }
        "configuration" | "config" | "configure" | "reload" | "settings" => {
            reader.line.next();
            reader.line.skip(&["the", "configuration", "with", "config", "as", "follows"]);
            match reader.block.take() {
                Some(block) => vec![Declaration::Configuration(block)],
                None if first == "reload" => {
                    reader.line = before;
                    return Ok(None);
                }
                None => {
                    return reader.fault(
                        "the configuration is missing",
                        "write `configuration:` and the TOML below it, indented",
                    );
                }
            }
        }
        "window" | "strategy" | "serial" => {
            let mut keys = std::collections::BTreeMap::new();
            reader.queue_key(&mut keys)?;
            vec![Declaration::QueueKeys(keys)]
        }
        "every" | "all" if reader.line.phrase(&["every job", "all jobs"]) => {
            vec![Declaration::Truth(reader.truth(None)?)]
        }
        _ => return others(reader),
    };
    Ok(Some(made))
}

/// `8 slots`, `slots 8`, `unit takes 5m`.
fn others(reader: &mut Reader<'_>) -> Read<Option<Vec<Declaration>>> {
    let before = reader.line.clone();
    if reader.line.eat(&["slots"]) {
        reader.line.skip(&["=", "is", "are", "of"]);
        return match reader.line.count() {
            Some(count) => Ok(Some(vec![Declaration::Slots(count)])),
            None => reader.fault("is no number", "write for example `slots 4`"),
        };
    }
    if let (Some(count), true) = (reader.line.count(), reader.line.eat(&["slots", "slot"])) {
        return Ok(Some(vec![Declaration::Slots(count)]));
    }
    reader.line = before.clone();
    if let Some(job) = reader.maybe_job() {
        if reader.is_about_needs() {
            reader.line = before;
            return reader.declare_jobs().map(Some);
        }
        if reader.line.is(TRUTHS) {
            let truth = reader.truth(Some(job))?;
            return Ok(Some(vec![Declaration::Truth(truth)]));
        }
        reader.line = before;
    }
    Ok(None)
}

/// What happens to the daemon and the systems around it, told with them as the subject.
fn weather(reader: &mut Reader<'_>) -> Read<Option<Act>> {
    if reader.line.phrase(&["the next push", "next push", "the answer to the next push"]) {
        let answer = reader.line.last().is_some() && reader.line.phrase(&["is lost on the way back"]);
        if answer {
            return Ok(Some(Act::Weather(Weather::NextPush(super::story::PushFate::AnswerLost))));
        }
        return reader.next_push().map(Some);
    }
    if reader.line.phrase(&[
        "the next build cannot start",
        "the next build cannot be started",
        "the next build fails to start",
    ]) {
        return Ok(Some(Act::Weather(Weather::StartsFail(1))));
    }
    let before = reader.line.clone();
    reader.line.eat(&["the"]);
    let who = reader.line.next().map(|word| word.small).unwrap_or_default();
    reader.line.skip(&["is", "goes", "comes", "can", "its", "event"]);
    let found = match &*who {
        "gerrit" => gerrit_weather(reader),
        "stream" | "event" => stream_weather(reader),
        "daemon" | "seakeeper" => daemon_weather(reader),
        "executor" | "executors" => executor_weather(reader),
        _ => None,
    };
    if found.is_none() {
        if ["gerrit", "daemon", "executor"].contains(&&*who) {
            return reader.fault(
                format!("is nothing that {who} does"),
                "write `gerrit is away`, `gerrit is back`, `gerrit submits whole topics`, `the stream is down`, `the stream is back`, `the daemon dies`, `the daemon starts`, `the daemon freezes for 1m`, `the executor cannot build: WHY` or `the executor can build`",
            );
        }
        reader.line = before;
    }
    Ok(found.map(Act::Weather))
}

fn span(reader: &mut Reader<'_>) -> Option<i64> {
    reader.line.eat(&["for"]);
    reader.line.duration()
}

fn gerrit_weather(reader: &mut Reader<'_>) -> Option<Weather> {
    if reader.line.eat(&["away", "down", "gone", "unreachable"]) {
        return Some(Weather::Away(span(reader)));
    }
    if reader.line.eat(&["stream", "events", "news"]) {
        reader.line.skip(&["is", "are", "goes"]);
        return stream_weather(reader);
    }
    if reader.line.phrase(&["submits whole topics", "submits topics whole"]) {
        return Some(Weather::WholeTopics(true));
    }
    if reader.line.phrase(&["submits changes alone", "submits each change alone"]) {
        return Some(Weather::WholeTopics(false));
    }
    reader.line.eat(&["back", "up", "returns", "again", "there", "answers"]).then_some(Weather::Back)
}

fn stream_weather(reader: &mut Reader<'_>) -> Option<Weather> {
    if reader.line.eat(&["down", "broken", "lost", "away"]) {
        return Some(Weather::Deaf(span(reader)));
    }
    reader.line.eat(&["back", "up", "again"]).then_some(Weather::Hearing)
}

fn daemon_weather(reader: &mut Reader<'_>) -> Option<Weather> {
    if reader.line.eat(&["dies", "crashes", "stops", "killed", "dead", "down", "stopped"]) {
        return Some(Weather::Die);
    }
    if reader.line.eat(&["freezes", "hangs", "frozen", "stands"]) {
        return span(reader).map(Weather::Freeze);
    }
    reader.line.eat(&["starts", "restarts", "started", "back", "restarted", "up"]).then(|| {
        reader.line.eat(&["again"]);
        Weather::Start
    })
}

fn executor_weather(reader: &mut Reader<'_>) -> Option<Weather> {
    if reader.line.phrase(&["cannot build", "unable", "broken", "down", "not build"]) {
        reader.line.skip(&["because", "to", "anything"]);
        let why =
            if reader.line.is_over() { "no sandbox on this machine".into() } else { reader.line.take_rest() };
        return Some(Weather::Unable(why));
    }
    reader
        .line
        .phrase(&["build again", "build", "able again", "able", "back", "up", "repaired"])
        .then_some(Weather::Able)
}

/// A deed: the verb comes first, or who does it.
fn deed(reader: &mut Reader<'_>) -> Read<Act> {
    let Some(first) = reader.line.next() else {
        return reader.fault("the statement is missing", "write for example `approve A`");
    };
    let mut verb = first.small.clone();
    if !DEEDS.contains(&&*verb)
        || reader.line.peek().is_some_and(|word| stem(&word.small).is_some() && word.small.ends_with('s'))
    {
        match reader.line.peek().and_then(|word| stem(&word.small)) {
            Some(found) => {
                reader.by = Some(first.text.clone());
                reader.line.next();
                verb = found.to_owned();
            }
            None if DEEDS.contains(&&*verb) => {}
            None => {
                return reader.line.fault_at(
                    &first.text,
                    "begins no statement",
                    meant(&first.text, [OTHERS, DEEDS].concat()),
                );
            }
        }
    }
    let who = reader.by.clone();
    let Some(act) = reader.deed(&verb)? else {
        return reader.line.fault_at(
            &first.text,
            "begins no statement",
            meant(&first.text, [OTHERS, DEEDS].concat()),
        );
    };
    let by = reader.by.take().or(who);
    Ok(with_person(act, by))
}

/// `approves` is `approve`.
fn stem(verb: &str) -> Option<&'static str> {
    DEEDS.iter().copied().find(|deed| {
        verb.strip_suffix("es").is_some_and(|stem| stem == *deed)
            || verb.strip_suffix('s').is_some_and(|stem| stem == *deed)
    })
}

fn with_person(act: Act, person: Option<String>) -> Act {
    match act {
        Act::Vote { changes, label, value, by: None } => Act::Vote { changes, label, value, by: person },
        Act::Withdraw { changes, vetoes, by: None } => Act::Withdraw { changes, vetoes, by: person },
        Act::Operate(operation, None) => Act::Operate(operation, person),
        Act::Comment(changes, text, None) => Act::Comment(changes, text, person),
        other => other,
    }
}
