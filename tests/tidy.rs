//! House rules that the compiler cannot check within one package: the floors, the purity of the lowest
//! two, headers, lengths, words that must not stay. Each violation is one line: place, rule, what to do.

use std::fs;
use std::path::{Path, PathBuf};

/// The floor of each module: a module imports only lower ones.
const FLOORS: &[(&str, u8)] = &[
    ("model", 0),
    ("queue", 1),
    ("port", 2),
    ("engine", 3),
    ("gerrit", 4),
    ("git", 4),
    ("executor", 4),
    ("store", 4),
    ("report", 4),
    ("artifact", 4),
    ("config", 4),
    ("web", 5),
    ("world", 4),
    ("sim", 5),
    ("standin", 5),
    ("trace", 5),
    ("migrate", 5),
    ("cli", 7),
    ("daemon", 6),
];

/// What has no place in the core, which knows no clock, no I/O, no chance and no order but its own.
const IMPURE: &[&str] = &[
    "async",
    "tokio",
    "std::fs",
    "std::net",
    "std::env",
    "std::thread",
    "Instant",
    "SystemTime",
    "rand",
    "HashMap",
    "HashSet",
    "f32",
    "f64",
    "tracing",
    "unsafe",
    "println",
    "eprintln",
];

/// Tests that may sleep, each with the reason.
const SLEEP_ALLOWED: &[(&str, &str)] = &[
    ("tests/e2e/support/mod.rs", "the one place that asks again and again for a state, with a limit"),
    ("tests/contract/support/mod.rs", "the one place that asks again and again for a state, with a limit"),
    ("tests/e2e/cases/crash.rs", "draws the moment of a kill, which is the point of the test"),
    ("tests/executor/main.rs", "the one place that asks again and again for a state, with a limit"),
    ("src/git/tests.rs", "asks again and again for a prefetched commit, whose arrival no event tells"),
];

const MAX_FUNCTION_LINES: usize = 70;
const MAX_FILE_LINES: usize = 500;

/// A file of the repository: its path from the top with `/`, and its text.
struct Source {
    path: String,
    text: String,
    /// The text with comments and literals blanked, line for line.
    code: String,
}

impl Source {
    fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned(), code: mask(text) }
    }

    fn complaint(&self, offset: usize, rule: &str, remedy: &str) -> String {
        let line = 1 + self.code[..offset].matches('\n').count();
        format!("{}:{line}: {rule}: {remedy}", self.path)
    }

    /// The names of the modules from the crate's root to this file; `None` outside of `src`.
    fn module(&self) -> Option<Vec<&str>> {
        let inner = self.path.strip_prefix("src/")?.strip_suffix(".rs")?;
        let inner = inner.strip_suffix("/mod").unwrap_or(inner);
        Some(if inner == "lib" || inner == "main" { Vec::new() } else { inner.split('/').collect() })
    }

    /// Where the unit tests begin; the end when there are none, the start for a file of tests.
    fn tests_begin(&self) -> usize {
        if self.path.starts_with("tests/")
            || self.path.ends_with("/tests.rs")
            || self.path.contains("/tests/")
        {
            return 0;
        }
        let inline = |at: &usize| self.code[*at..].split('{').next().is_some_and(|head| !head.contains(';'));
        let found = self.code.match_indices("#[cfg(test)]").map(|(at, _)| at).find(inline);
        found.unwrap_or(self.code.len())
    }
}

/// `text` with comments, strings and characters blanked; what remains stands where it stood.
fn mask(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut masked = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = skip(bytes, at);
        if end > at {
            masked[at..end].iter_mut().filter(|byte| **byte != b'\n').for_each(|byte| *byte = b' ');
            at = end;
        } else {
            at += 1;
        }
    }
    String::from_utf8_lossy(&masked).into_owned()
}

/// The end of the comment or literal that begins at `at`, or `at` when none does.
fn skip(bytes: &[u8], at: usize) -> usize {
    let rest = &bytes[at..];
    let find = |from: usize, what: &[u8]| {
        rest.windows(what.len()).skip(from).position(|window| window == what).map(|found| from + found)
    };
    let inside_word = at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_');
    let length = match rest {
        [b'/', b'/', ..] => find(0, b"\n").unwrap_or(rest.len()),
        [b'/', b'*', ..] => find(2, b"*/").map_or(rest.len(), |end| end + 2),
        [b'r', b'"' | b'#', ..] if !inside_word => {
            let hashes = rest[1..].iter().take_while(|byte| **byte == b'#').count();
            if rest.get(1 + hashes) != Some(&b'"') {
                return at;
            }
            let close = [b"\"".as_slice(), &b"#".repeat(hashes)].concat();
            find(2 + hashes, &close).map_or(rest.len(), |end| end + close.len())
        }
        [b'"', ..] => quoted(rest, b'"'),
        [b'\'', b'\\', ..] => quoted(rest, b'\''),
        [b'\'', first, ..] => {
            // A character of one to four bytes; otherwise a lifetime.
            let width = first.leading_ones().max(1) as usize;
            if rest.get(1 + width) == Some(&b'\'') { width + 2 } else { 0 }
        }
        _ => 0,
    };
    at + length
}

/// The length of a literal in `quote`s with escapes.
fn quoted(rest: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 2,
            byte if byte == quote => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// Where `word` stands as a whole word in `code`.
fn words<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(word)
        .map(|(at, _)| at)
        .filter(move |at| !code[..*at].ends_with(part) && !code[at + word.len()..].starts_with(part))
}

fn floor_of(module: &str) -> Option<u8> {
    FLOORS.iter().find(|(name, _)| *name == module).map(|(_, floor)| *floor)
}

/// The modules of the crate that `code` names, with their places.
fn imports(source: &Source, depth: usize) -> Vec<(usize, String)> {
    let code = &source.code;
    let mut found = Vec::new();
    for root in ["crate::", "seakeeper::"] {
        for at in words(code, root.trim_end_matches(':')).filter(|at| code[*at..].starts_with(root)) {
            found.extend(heads(&code[at + root.len()..]).into_iter().map(|name| (at, name)));
        }
    }
    let mut from = 0;
    while let Some(at) = words(&code[from..], "super").next().map(|at| from + at) {
        let mut rest = &code[at..];
        let mut climbed = 0;
        while let Some(after) = rest.strip_prefix("super::") {
            rest = after;
            climbed += 1;
        }
        let is_nested = at >= source.tests_begin() && source.tests_begin() > 0;
        if climbed > 0 && climbed >= depth + usize::from(is_nested) {
            found.extend(heads(rest).into_iter().map(|name| (at, name)));
        }
        from = code.len() - rest.len() + usize::from(climbed == 0) * "super".len();
    }
    found
}

/// The first names of a path, several when it begins with a group in braces.
fn heads(path: &str) -> Vec<String> {
    let name =
        |text: &str| text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    let Some(group) = path.strip_prefix('{') else { return vec![name(path)] };
    let mut depth = 1;
    let mut start = 0;
    let mut names = Vec::new();
    for (at, c) in group.char_indices() {
        depth += i32::from(c == '{') - i32::from(c == '}');
        if depth == 0 || (depth == 1 && c == ',') {
            names.push(name(&group[start..at]));
            start = at + 1;
        }
        if depth == 0 {
            break;
        }
    }
    names.retain(|name: &String| !name.is_empty() && name != "self");
    names
}

fn check_floors(source: &Source) -> Vec<String> {
    let Some(module) = source.module() else { return Vec::new() };
    let Some(own) = module.first() else { return Vec::new() };
    let Some(floor) = floor_of(own) else {
        return vec![source.complaint(0, "floors", &format!("give `{own}` a floor in tests/tidy.rs"))];
    };
    let upward = imports(source, module.len())
        .into_iter()
        .filter(|(_, name)| name != own && floor_of(name).is_some_and(|other| other >= floor));
    upward
        .map(|(at, name)| {
            let remedy = format!("`{own}` (floor {floor}) may import lower floors only, not `{name}`");
            source.complaint(at, "floors", &remedy)
        })
        .collect()
}

fn check_purity(source: &Source) -> Vec<String> {
    let module = source.module().unwrap_or_default();
    if module.first().and_then(|own| floor_of(own)).is_none_or(|floor| floor > 1) {
        return Vec::new();
    }
    let code = &source.code[..source.tests_begin()];
    let found = IMPURE.iter().flat_map(|word| words(code, word).map(move |at| (at, word)));
    found
        .map(|(at, word)| {
            source.complaint(at, "purity", &format!("the core does without `{word}`; take it as an input"))
        })
        .collect()
}

fn check_shape(source: &Source) -> Vec<String> {
    let mut found = Vec::new();
    if !source.text.starts_with("//!") {
        found.push(source.complaint(0, "header", "begin with `//!`: what the file is and why it is there"));
    }
    let lines = source.text.lines().count();
    if lines > MAX_FILE_LINES {
        found.push(source.complaint(
            0,
            "length",
            &format!("{lines} lines, {MAX_FILE_LINES} at most: split the file"),
        ));
    }
    for at in words(&source.code, "fn") {
        let lines = body_lines(&source.code[at..]);
        if lines > MAX_FUNCTION_LINES {
            let remedy = format!("{lines} lines, {MAX_FUNCTION_LINES} at most: split the function");
            found.push(source.complaint(at, "length", &remedy));
        }
    }
    found
}

/// The lines from `fn` to the end of its body, 0 without a body.
fn body_lines(code: &str) -> usize {
    let mut depth = 0;
    let mut brackets = 0;
    for (at, c) in code.char_indices() {
        brackets += i32::from("([".contains(c)) - i32::from(")]".contains(c));
        match c {
            ';' if depth == 0 && brackets == 0 => return 0,
            '{' => depth += 1,
            '}' if depth <= 1 => return if depth == 1 { 1 + code[..at].matches('\n').count() } else { 0 },
            '}' => depth -= 1,
            _ => {}
        }
    }
    0
}

fn check_words(source: &Source) -> Vec<String> {
    let mut found = Vec::new();
    for word in [concat!("FIX", "ME"), concat!("TO", "DO"), concat!("XX", "X")] {
        let places = words(&source.text, word).filter(|at| source.text.is_char_boundary(*at));
        found.extend(places.map(|at| {
            let line = 1 + source.text[..at].matches('\n').count();
            format!("{}:{line}: unfinished: do it, or say in words what is not done and why", source.path)
        }));
    }
    for (text, remedy) in [
        (concat!("todo", "!"), "write it"),
        (concat!("unimplemented", "!"), "write it"),
        (concat!("#[ign", "ore"), "mend the test or remove it"),
    ] {
        let places = source.code.match_indices(text);
        found.extend(places.map(|(at, _)| source.complaint(at, "unfinished", remedy)));
    }
    let tests = source.tests_begin();
    if !SLEEP_ALLOWED.iter().any(|(path, reason)| *path == source.path && !reason.is_empty()) {
        let places = words(&source.code, "sleep")
            .filter(|at| *at >= tests && source.code[*at..].starts_with("sleep("));
        found
            .extend(places.map(|at| {
                source.complaint(at, "sleep", "wait for the state itself, not for a guessed time")
            }));
    }
    found
}

/// Paths of one machine; for every kind of file.
fn check_paths(path: &str, text: &str) -> Vec<String> {
    let machine = [concat!("/wo", "rk/"), concat!("/tmp/", "wt"), concat!("/ro", "ot/")];
    let lines = text.lines().enumerate().filter(|(_, line)| machine.iter().any(|part| line.contains(part)));
    lines
        .map(|(at, _)| format!("{path}:{}: machine path: write it relative to the repository", at + 1))
        .collect()
}

/// Dependencies without a reason, and reasons without a dependency.
fn check_dependencies(manifest: &str, reasons: &str) -> Vec<String> {
    let section =
        manifest.split("\n[").find_map(|part| part.strip_prefix("dependencies]")).unwrap_or_default();
    let names: Vec<&str> =
        section.lines().filter_map(|line| line.split_once(" = ").map(|(name, _)| name)).collect();
    let told: Vec<&str> = reasons
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`').map(|(name, _)| name))
        .collect();
    let silent = names.iter().filter(|name| !told.contains(name));
    let stale = told.iter().filter(|name| !names.contains(name));
    let page = "docs/decisions/dependencies.md";
    silent
        .map(|name| format!("Cargo.toml: dependency: say in {page} what `{name}` is for"))
        .chain(
            stale.map(|name| format!("{page}: dependency: `{name}` is not in Cargo.toml; remove its line")),
        )
        .collect()
}

/// Pages that no index links to. Each is given by its path below `docs`.
fn check_links(pages: &[String], indexes: &str) -> Vec<String> {
    let file = |page: &String| page.rsplit('/').next().unwrap_or_default().to_owned();
    let lost = pages.iter().filter(|page| !["README.md", "index.md"].contains(&file(page).as_str()));
    lost.filter(|page| !indexes.contains(&file(page)))
        .map(|page| {
            format!("docs/{page}:1: link: name it in README.md or docs/README.md, or nobody finds it")
        })
        .collect()
}

/// Every file below `folder` (from the repository's top) whose name ends in one of `ends`.
fn files(folder: &str, ends: &[&str]) -> Vec<(String, String)> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut open: Vec<PathBuf> = vec![top.join(folder)];
    let mut found = Vec::new();
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(fs::read_dir(&path).into_iter().flatten().flatten().map(|entry| entry.path()));
        } else if ends.iter().any(|end| path.to_string_lossy().ends_with(end)) {
            let name = path.strip_prefix(top).unwrap_or(&path).to_string_lossy().replace('\\', "/");
            found.push((name, fs::read_to_string(&path).unwrap_or_default()));
        }
    }
    found.sort();
    found
}

fn check_source(source: &Source) -> Vec<String> {
    [check_floors, check_purity, check_shape, check_words].iter().flat_map(|check| check(source)).collect()
}

#[test]
fn the_repository_keeps_its_own_rules() {
    let mut found = Vec::new();
    for (path, text) in files("src", &[".rs"]).into_iter().chain(files("tests", &[".rs"])) {
        found.extend(check_source(&Source::new(&path, &text)));
    }
    let folders = ["src", "tests", "docs", "config", "simulations", "README.md", "Cargo.toml"];
    for (path, text) in
        folders.iter().flat_map(|folder| files(folder, &[".rs", ".md", ".toml", ".txt", ".yaml"]))
    {
        found.extend(check_paths(&path, &text));
    }
    let read = |name: &str| files(name, &[name]).into_iter().map(|(_, text)| text).collect::<String>();
    found.extend(check_dependencies(&read("Cargo.toml"), &read("docs/decisions/dependencies.md")));
    let readme = read("README.md");
    if !readme.is_empty() {
        let docs = files("docs", &[".md"]);
        let indexes =
            docs.iter().filter(|(path, _)| path.ends_with("README.md") || path.ends_with("index.md"));
        let indexes = indexes.fold(readme, |all, (_, text)| all + text);
        let pages: Vec<String> =
            docs.iter().map(|(path, _)| path.trim_start_matches("docs/").to_owned()).collect();
        found.extend(check_links(&pages, &indexes));
    }
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

#[test]
fn each_rule_catches_a_planted_violation() {
    let long = format!("//! x\nfn f() {{\n{}}}\n", "    g();\n".repeat(70));
    for (path, text, expected) in [
        ("src/model/a.rs", "//! x\nuse crate::queue::Queue;", "src/model/a.rs:2: floors"),
        ("src/git/a.rs", "//! x\nuse crate::{model::Sha, gerrit::{Rest, Stream}};", "not `gerrit`"),
        ("src/git/mod.rs", "//! x\nuse super::store::Store;", "not `store`"),
        ("src/git/a.rs", "//! x\nuse super::super::web;", "not `web`"),
        ("src/git/a.rs", "//! x\n#[cfg(test)]\nmod tests {\n use super::super::super::cli;\n}", ":4: floors"),
        ("src/git/a.rs", "//! x\nfn f() { seakeeper::daemon::run() }", "not `daemon`"),
        ("src/attic/mod.rs", "//! x", "give `attic` a floor"),
        (
            "src/queue/a.rs",
            "//! x\nuse std::collections::HashMap;",
            ":2: purity: the core does without `HashMap`",
        ),
        ("src/model/a.rs", "//! x\nfn f() { let x: f64 = g(); }", "`f64`"),
        ("src/queue/a.rs", "//! x\nuse std::fs;", "`std::fs`"),
        ("src/cli/a.rs", "use std::fs;", ":1: header"),
        ("src/cli/a.rs", &long, ":2: length: 72 lines, 70 at most: split the function"),
        ("src/cli/a.rs", &format!("//! x\n{}", "\n".repeat(500)), "split the file"),
        ("src/cli/a.rs", concat!("//! x\n// TO", "DO: later"), ":2: unfinished"),
        ("src/cli/a.rs", concat!("//! x\nfn f() { todo", "!() }"), ":2: unfinished"),
        ("tests/a.rs", concat!("//! x\n#[ign", "ore]\nfn f() {}"), ":2: unfinished"),
        ("tests/a.rs", "//! x\nfn f() { std::thread::sleep(d); }", ":2: sleep"),
        ("src/git/a.rs", "//! x\n#[cfg(test)]\nmod tests {\n fn f() { sleep(d); }\n}", ":4: sleep"),
    ] {
        let found = check_source(&Source::new(path, text)).join("\n");
        assert!(found.contains(expected), "{path} {text}\nexpected {expected}\nfound {found}");
    }
    assert!(!check_paths("README.md", concat!("see /wo", "rk/main")).is_empty());
    let manifest = "[package]\nname = \"x\"\n\n[dependencies]\nserde = \"1\"\ntoml = \"1\"\n\n[profile.dev]\ndebug = 0\n";
    let found = check_dependencies(manifest, "| `serde` | x |\n| `rand` | y |\n");
    assert!(found.len() == 2 && found[0].contains("`toml`") && found[1].contains("`rand`"), "{found:?}");
    assert_eq!(check_links(&["a.md".into(), "d/b.md".into()], "see [a](docs/a.md)").len(), 1);
}

#[test]
fn what_the_rules_allow_is_left_alone() {
    for (path, text) in [
        ("src/git/a.rs", "//! x\nuse crate::model::Sha;\nuse super::Git;\nuse crate::git::b;\n// crate::web"),
        ("src/queue/a.rs", "//! x\n/// No HashMap here.\nfn f<'a>(x: &'a str) -> char { g(\"f64\"); '{' }"),
        ("src/queue/a.rs", "//! x\n#[cfg(test)]\nmod tests {\n    use std::collections::HashMap;\n}"),
        ("src/queue/mod.rs", "//! x\n#[cfg(test)]\nmod tests;\nuse crate::model::Sha;"),
        ("src/git/a.rs", "//! x\nfn f() { sleep(d); let s = r#\"todo! \"{\"#; }"),
        (
            "src/git/a.rs",
            "//! x\n#[cfg(test)]\nmod tests {\n    use super::*;\n    use super::super::Git;\n}",
        ),
    ] {
        assert_eq!(check_source(&Source::new(path, text)), Vec::<String>::new(), "{path} {text}");
    }
}
