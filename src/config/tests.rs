//! Claims about whole configuration files: what is accepted, what is refused and in which words.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use super::keys::TABLES;
use super::*;
use crate::model::Pair;
use crate::model::job::Attempts;
use crate::model::policy::{AfterFailure, StrategyPolicy};

pub(super) const MINIMAL: &str = include_str!("../../config/minimal.toml");
const EXAMPLE: &str = include_str!("../../config/example.toml");

/// A folder with the files that configurations name, gone at the end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name =
            format!("seakeeper-config-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder).unwrap();
        for file in ["bot.token", "gerrit.token", "id_ed25519", "known_hosts"] {
            fs::write(folder.join(file), "s3cr3t\n").unwrap();
            fs::set_permissions(folder.join(file), fs::Permissions::from_mode(0o600)).unwrap();
        }
        Self(folder)
    }

    fn parse(&self, text: &str) -> Result<(Config, Vec<Warning>), Vec<Problem>> {
        Config::parse(text.as_bytes(), &self.0.join("seakeeper.toml"))
    }

    fn lines(&self, problems: &[Problem]) -> String {
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        lines.join("\n").replace(&format!("{}/", self.0.display()), "")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub(super) fn accept(text: &str) -> (Config, Vec<Warning>) {
    let folder = Folder::new();
    folder.parse(text).unwrap_or_else(|problems| panic!("{}", folder.lines(&problems)))
}

/// All complaints about `text`, one per line, files without their folder.
pub(super) fn complaints(text: &str) -> String {
    let folder = Folder::new();
    folder.lines(&folder.parse(text).err().unwrap_or_default())
}

/// The minimal file with `key = value` put at the end of the table `heading`.
fn minimal_with(heading: &str, line: &str) -> String {
    insert_after(MINIMAL, heading, line)
}

/// `text` with `line` put behind `heading`, or both at its end.
pub(super) fn insert_after(text: &str, heading: &str, line: &str) -> String {
    let mut lines: Vec<&str> = text.lines().collect();
    match lines.iter().position(|line| *line == heading) {
        Some(at) => lines.insert(at + 1, line),
        None => lines.extend([heading, line]),
    }
    lines.join("\n")
}

#[test]
fn attempts_are_a_number_or_where_they_pay() {
    let (config, _) = accept(&minimal_with("[[job]]", "attempts = \"where-it-pays\""));
    assert_eq!(config.policy.jobs[0].attempts, Attempts::WhereItPays { where_it_pays: 3 });
    let (config, _) = accept(&minimal_with("[[job]]", "attempts = 4"));
    assert_eq!(config.policy.jobs[0].attempts, Attempts::UpTo(4));
    let problems = complaints(&minimal_with("[[job]]", "attempts = \"always\""));
    assert!(problems.contains("`always` is none of `where-it-pays`"), "{problems}");
}

#[test]
fn the_minimal_file_is_accepted_with_the_defaults_a_new_user_expects() {
    let (config, warnings) = accept(MINIMAL);
    assert_eq!(warnings, []);
    let policy = &config.policy;
    assert_eq!(policy.account.as_str(), "bot");
    assert_eq!(policy.slots, 8);
    assert_eq!(policy.gate.approval[0].label.as_str(), "Code-Review");
    assert_eq!((policy.gate.approval[0].min, policy.gate.success, policy.gate.failure), (2, 1, -1));
    assert!(policy.check.enabled && policy.job_files);
    let queue = policy.queue_of(&Pair::new("bench-1", "main")).unwrap();
    assert_eq!(queue.strategy, StrategyPolicy::Adaptive);
    assert_eq!(queue.after_failure, AfterFailure::Forget);
    let job = &policy.jobs[0];
    assert_eq!(
        (job.spec.timeout_ms, job.attempts, job.reuse_ms, job.voting),
        (1_800_000, Attempts::UpTo(1), None, true)
    );
    assert_eq!(config.gerrit.token.expose(), "s3cr3t");
    assert_eq!((config.gerrit.ssh_host.as_str(), config.gerrit.ssh_port), ("127.0.0.1", 29418));
    assert_eq!(config.gerrit.committer_email, None);
    assert_eq!(config.web.public_url, "http://127.0.0.1:8888/");
    assert_eq!(config.state_folder.file_name().unwrap(), "state");
}

#[test]
fn the_written_defaults_of_the_example_are_the_real_ones() {
    let defaults: Vec<String> = EXAMPLE.lines().map(uncomment).collect();
    let (mut written, _) = accept(&defaults.join("\n"));
    let (absent, _) = accept(EXAMPLE);
    let policy = Arc::make_mut(&mut written.policy);
    policy.slots = absent.policy.slots;
    // What has no default is written as an example.
    policy.priority.urgent_hashtag = None;
    (policy.priority.most_per_owner, policy.priority.most_per_repository) = (None, None);
    policy.sites[0].branch = None;
    assert_eq!(written.policy, absent.policy);
    assert_eq!(written.gerrit.poll_ms, absent.gerrit.poll_ms);
    assert_eq!(written.gerrit.sweep_ms, absent.gerrit.sweep_ms);
    assert_eq!(written.web.listen, absent.web.listen);
    assert_eq!(written.keep, absent.keep);
    assert_eq!(written.job_file_limits, absent.job_file_limits);
    assert_eq!(written.state_folder.file_name(), absent.state_folder.file_name());
    let local = LocalConfig { slots: absent.executors.local.slots, ..written.executors.local };
    assert_eq!(local, absent.executors.local);
}

/// A line of the example with its default in force.
fn uncomment(line: &str) -> String {
    match line.strip_prefix('#') {
        Some(rest) if !rest.starts_with(' ') => rest.to_owned(),
        _ => line.to_owned(),
    }
}

#[test]
fn every_key_of_the_table_is_in_the_example() {
    for doc in
        reference().into_iter().filter(|doc| !["job.inputs", "pipeline.gate.approval"].contains(&doc.table))
    {
        assert!(
            EXAMPLE.lines().any(|line| uncomment(line).starts_with(&format!("{} =", doc.key))),
            "{doc:?}"
        );
    }
}

#[test]
fn the_pages_made_from_the_keys_are_up_to_date() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (name, text, option) in [
        ("docs/configuration.md", reference_page(), "--reference"),
        ("config/example.toml", example_file(), "--example"),
    ] {
        let found = fs::read_to_string(top.join(name)).unwrap_or_default();
        assert!(
            found == text,
            "{name} is out of date; run `cargo run -- check-config {option} >new && mv new {name}`"
        );
    }
}

#[test]
fn every_key_of_the_table_is_read() {
    let parts = [
        ("job.inputs", "[[job]]", "inputs", "repository = \"x\", "),
        ("pipeline.gate.approval", "[pipeline.gate]", "approval", ""),
    ];
    for doc in reference() {
        // A date is of the right type nowhere.
        let wrong = format!("{} = 2026-01-01", doc.key);
        let text = match parts.iter().find(|(table, ..)| *table == doc.table) {
            Some((_, heading, list, with)) => {
                let with = if with.starts_with(doc.key) { "" } else { with };
                minimal_with(heading, &format!("{list} = [{{ {with}{wrong} }}]"))
            }
            None => {
                let heading = TABLES.iter().find(|(table, ..)| *table == doc.table).unwrap().1;
                // The new value takes the place of one that is there.
                let others = MINIMAL.lines().filter(|line| line.split(' ').next() != Some(doc.key));
                let text = others.collect::<Vec<_>>().join("\n");
                insert_after(&text, heading, &wrong)
            }
        };
        let found = complaints(&text);
        assert!(found.contains(&format!("key `{}.{}`: expected", doc.table, doc.key)), "{doc:?}: {found}");
    }
}

#[test]
fn each_fault_is_said_with_its_place_and_remedy() {
    for (heading, line, expected) in [
        ("[[queue]]", "strategi = 1", "key `queue.strategi`: unknown key; did you mean `strategy`?"),
        ("[[queue]]", "listen = 1", "key `queue.listen`: unknown key; it belongs in [web]"),
        ("[gerrit]", "ssh_keys = 1", "did you mean `ssh-key`?"),
        (
            "[[queue]]",
            "strategy = \"serail\"",
            "`serail` is none of `adaptive`, `ranked`, `batch`, `dependent`, `serial`; did you mean `serial`?",
        ),
        (
            "[[queue]]",
            "window = \"4\"",
            "expected a whole number, found a text; write for example `window = 40`",
        ),
        ("[[queue]]", "window = 0", "0 is out of range; write a number from 1 to 10000"),
        ("[[queue]]", "window = 99999999999999999999", "out of range"),
        ("[[queue]]", "alternatives = 51", "51 is out of range; write a number from 0 to 50"),
        ("[[queue]]", "alternatives = \"5%\"", "expected a whole number, found a text"),
        ("[[queue]]", "branches = []", "matches nothing; name at least one, or `*` for all"),
        ("[[queue]]", "branches = [\"\"]", "key `queue.branches`: is empty"),
        (
            "[[queue]]",
            "branches = [\"refs/heads/main\"]",
            "is a full reference; write the branch's short name",
        ),
        ("[[job]]", "timeout = \"-5m\"", "`-5m` is negative; write for example `timeout = \"30m\"`"),
        ("[[job]]", "timeout = \"99999999999999h\"", "too long"),
        ("[[job]]", "timeout = 30", "expected a text, found a whole number"),
        ("[[job]]", "paths = [\"../etc\"]", "leaves the repository"),
        ("[[job]]", "environment = { \"A-B\" = \"1\" }", "`A-B` is no name of a variable"),
        ("[[job]]", "environment = { A = \"\\u0000\" }", "contains a NUL"),
        ("[[job]]", "trust = \"a\\u0000\"", "contains a control character"),
        (
            "[[job]]",
            "inputs = [{ repository = \"x\", paths = 1 }]",
            "key `job.inputs.paths`: expected a list",
        ),
        ("[[job]]", "reuse = \"sometimes\"", "`sometimes` is no duration and not `always` or `never`"),
        (
            "[executor.local]",
            "max-output = \"64\"",
            "`64` is no size; write for example `max-output = \"64MiB\"`",
        ),
        ("[pipeline.gate]", "approval = []", "is empty: every change would be approved"),
        ("[pipeline.gate]", "approval = [\"Code-Review\"]", "`Code-Review` is no label and vote above 0"),
        ("[pipeline.gate]", "failure = 1", "1 is out of range"),
        ("[limits]", "retry-max = \"10ms\"", "is shorter than `retry`"),
        ("[web]", "public-url = \"ftp://x/\"", "begins with neither http:// nor https://"),
        ("[gerrit]", "committer-email = \"<a@b>\"", "git cannot take it"),
        ("[lan]", "x = 1", "key `lan`: unknown key; write one of `gerrit`"),
    ] {
        let found = complaints(&minimal_with(heading, line));
        assert!(found.contains(expected), "{line}\nexpected: {expected}\nfound: {found}");
        assert_eq!(found.lines().count(), 1, "{line}: one complaint expected, found\n{found}");
    }
}

#[test]
fn all_faults_are_said_at_once_in_the_order_of_the_file() {
    let text =
        "[gerrit]\nurl = \"nonsense\"\nuser = 3\n\n[[queue]]\nname = \"a b\"\n\n[web]\nlisten = \"8888\"\n";
    let found = complaints(text);
    let places: Vec<&str> = found.lines().filter_map(|line| line.split(": ").next()).collect();
    assert!(places.is_sorted(), "{found}");
    for part in [
        "seakeeper.toml:2:7: key `gerrit.url`: `nonsense` is no address",
        "seakeeper.toml:3:8: key `gerrit.user`: expected a text, found a whole number",
        "key `gerrit.token-file`: is missing; add for example `token-file = \"gerrit.token\"`",
        "seakeeper.toml:6:8: key `queue.name`: `a b` is no name",
        "key `queue.repositories`: is missing",
        "seakeeper.toml:9:10: key `web.listen`: `8888` is no address with a port",
    ] {
        assert!(found.contains(part), "{part} not in\n{found}");
    }
}

#[test]
fn syntax_errors_have_a_line_and_hide_nothing_that_they_did_not_cause() {
    let text = minimal_with("[[queue]]", "strategi = 1\nbranches = [\"main\"");
    let found = complaints(&text);
    assert!(found.contains("strategi"), "{found}");
    assert!(found.lines().any(|line| line.contains("correct the TOML syntax there")), "{found}");
    assert!(!found.contains("is missing"), "{found}");
}

#[test]
fn missing_files_are_named_with_their_remedy() {
    let folder = Folder::new();
    for file in ["bot.token", "id_ed25519", "known_hosts"] {
        fs::remove_file(folder.0.join(file)).unwrap();
    }
    let found = folder.lines(&folder.parse(MINIMAL).unwrap_err());
    assert_eq!(found.lines().count(), 3, "{found}");
    for part in
        ["make a token for `bot`", "ssh-keygen -t ed25519", "ssh-keyscan -p 29418 127.0.0.1 > known_hosts"]
    {
        assert!(found.contains(part), "{part} not in\n{found}");
    }
}

#[test]
fn a_token_open_to_everyone_is_warned_about_and_never_shown() {
    let folder = Folder::new();
    let token = folder.0.join("bot.token");
    fs::set_permissions(&token, fs::Permissions::from_mode(0o644)).unwrap();
    let (config, warnings) = folder.parse(MINIMAL).unwrap();
    assert!(folder.lines(&warnings).contains("chmod 600 bot.token"), "{warnings:?}");
    assert!(!format!("{config:?} {}", config.gerrit.token).contains("s3cr3t"));
}

#[test]
fn a_token_sent_in_clear_text_is_warned_about() {
    let (_, warnings) = accept(&MINIMAL.replace("http://127.0.0.1:8080/", "http://gerrit.example.org/r"));
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].what.contains("clear text"), "{warnings:?}");
}

#[test]
fn strays_are_warned_about() {
    let text = format!("{MINIMAL}\n[[queue]]\nname = \"lonely\"\nrepositories = [\"other\"]\n");
    let (_, warnings) = accept(&text);
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].what.contains("queue `lonely`"), "{warnings:?}");
    let text =
        format!("{MINIMAL}\n[[job]]\nname = \"never\"\nrepositories = [\"other\"]\ncommands = [\"true\"]\n");
    assert!(accept(&text).1[0].what.contains("job `never`"));
}

#[test]
fn early_landing_without_alternatives_is_warned_about() {
    let early = insert_after(MINIMAL, "[[queue]]", "early-landing = true");
    let (config, warnings) = accept(&early);
    assert!(config.policy.queues[0].tuning.early_landing);
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].what.contains("no effect without alternatives"), "{warnings:?}");
    assert_eq!(accept(&insert_after(&early, "[[queue]]", "alternatives = 5")).1, []);
}

#[test]
fn names_are_declared_once() {
    let text = format!("{MINIMAL}\n[[job]]\nname = \"unit\"\ncommands = [\"true\"]\n");
    assert!(complaints(&text).contains("key `job.name`: `unit` is declared twice; rename one"));
}

#[test]
fn bytes_that_are_no_text_are_refused_and_a_mark_at_the_front_is_not() {
    accept(&format!("\u{feff}{MINIMAL}"));
    let mut bytes = MINIMAL.as_bytes().to_vec();
    bytes.extend(b"\n# \xff");
    let problems = Config::parse(&bytes, Path::new("seakeeper.toml")).unwrap_err();
    assert!(problems[0].to_string().ends_with("the file is not UTF-8; save it as UTF-8"), "{problems:?}");
    assert_eq!(problems[0].line, Some(1 + bytes.iter().filter(|byte| **byte == b'\n').count()));
}

#[test]
fn files_too_large_or_absent_are_refused() {
    let folder = Folder::new();
    let path = folder.0.join("seakeeper.toml");
    assert!(Config::load(&path).unwrap_err()[0].what.contains("cannot be read"));
    fs::write(&path, vec![b'#'; (1 << 20) + 1]).unwrap();
    assert!(Config::load(&path).unwrap_err()[0].what.contains("has more than"));
    assert!(Config::load(&folder.0).unwrap_err()[0].what.contains("cannot be read"));
}

fn job_file(text: &str) -> Result<JobFile, String> {
    let (config, _) = accept(MINIMAL);
    let home = Pair::new("bench-1", "main");
    parse_job_file(text.as_bytes(), &home, &config.policy, &config.job_file_limits)
        .map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
}

#[test]
fn a_job_file_declares_jobs_for_its_own_branch() {
    let file =
        job_file("[[job]]\nname = \"lint\"\ncommands = [\"make lint\"]\ninputs = [\"lib\"]\n").unwrap();
    assert!(!file.noop);
    assert!(file.jobs[0].repositories.matches("bench-1") && !file.jobs[0].repositories.matches("bench-2"));
    assert!(file.jobs[0].branches.matches("main") && !file.jobs[0].branches.matches("stable"));
    assert_eq!(file.jobs[0].inputs[0].repository.as_str(), "lib");
    assert_eq!(job_file("noop = true"), Ok(JobFile { jobs: Vec::new(), noop: true }));
}

#[test]
fn a_job_file_cannot_go_beyond_what_the_operator_allows() {
    let job = |name: &str, more: &str| format!("[[job]]\nname = \"{name}\"\ncommands = [\"true\"]\n{more}\n");
    for (text, expected) in [
        (job("unit", ""), "seakeeper.toml:2: key `job.name`: `unit` is a job of the operator's"),
        (
            job("a", "timeout = \"5h\""),
            "seakeeper.toml:4: key `job.timeout`: is longer than the operator allows (4h",
        ),
        (
            job("a", "trust = \"default\""),
            "key `job.trust`: unknown key; only the operator's configuration may say",
        ),
        (job("a", "") + &job("a", ""), "`a` is declared twice"),
        ("[gerrit]\n".to_owned(), "key `gerrit`: unknown key; write one of `job`, `noop`"),
        ("[[job]]\n".to_owned(), "key `job.commands`: is missing"),
        ("[job]\n".to_owned(), "write `[[job]]`, with two brackets"),
        (job("a", "x = ["), "seakeeper.toml:4"),
        (job("a", "").repeat(101), "declare at most 100"),
    ] {
        let found = job_file(&text).unwrap_err();
        assert!(found.contains(expected), "{text}\n{found}");
    }
}
