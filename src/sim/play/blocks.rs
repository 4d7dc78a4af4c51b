//! Cuts a text into statements and the blocks that belong to them.

use super::parse::Source;
use super::story::Block;
use super::words::Problem;

/// Statements whose last word may have a colon and a block after it.
const HEADS: &[&str] = &[
    "configuration",
    "config",
    "configure",
    "settings",
    "reload",
    "job file",
    "upload",
    "stack",
    "push",
    "reword",
];

/// Statements that have no other content than their block: it ends with `end` where it is not indented.
const PLAIN: &[&str] = &["configuration", "config", "configure", "settings", "reload", "job file"];

/// All statements of a text, in order.
pub fn cut<'a>(text: &'a str, problems: &mut Vec<Problem>) -> Vec<Source<'a>> {
    let lines: Vec<&str> = text.strip_prefix('\u{feff}').unwrap_or(text).lines().collect();
    let mut sources = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        let raw = lines[at];
        at += 1;
        let bare = raw.trim();
        if bare.is_empty() || bare.starts_with('#') || bare == "end" {
            continue;
        }
        let mut source = Source { number: at, raw, block: None };
        if has_head(bare, HEADS) && ends_with_colon(bare) {
            let (block, next) = block(&lines, at, indent(raw), has_head(bare, PLAIN));
            match block {
                Some(block) => {
                    source.block = Some(block);
                    at = next;
                }
                None if has_head(bare, PLAIN) => problems.push(Problem {
                    line: at,
                    word: bare.to_owned(),
                    what: "no block follows that ends".into(),
                    remedy: "indent its lines, or end it with a line `end`".into(),
                }),
                None => {}
            }
        }
        sources.push(source);
    }
    sources
}

/// Whether a statement begins with one of `heads`, whoever does it.
fn has_head(bare: &str, heads: &[&str]) -> bool {
    let small = bare.to_lowercase();
    let words: Vec<&str> = small.split_whitespace().collect();
    let begins = |from: usize| {
        words.get(from..).is_some_and(|rest| {
            let rest = rest.join(" ");
            heads.iter().any(|head| {
                rest.strip_prefix(head).is_some_and(|after| {
                    let after = after.strip_prefix('s').unwrap_or(after);
                    after.is_empty() || after.starts_with([' ', ':'])
                })
            })
        })
    };
    begins(0) || words.len() > 1 && begins(1)
}

fn ends_with_colon(bare: &str) -> bool {
    bare.split(" #").next().unwrap_or(bare).trim_end().ends_with(':')
}

fn indent(raw: &str) -> usize {
    raw.len() - raw.trim_start().len()
}

/// The block from line `at` on (counted from 0), and the line after it.
fn block(lines: &[&str], at: usize, head: usize, plain: bool) -> (Option<Block>, usize) {
    let first = (at..lines.len()).find(|line| !lines[*line].trim().is_empty());
    let Some(first) = first else { return (None, at) };
    let opening = lines[first].trim();
    if let Some(fence) = ["```", "\"\"\"", "'''"].iter().find(|fence| opening.starts_with(**fence)) {
        let end = (first + 1..lines.len()).find(|line| lines[*line].trim() == *fence);
        return match end {
            Some(end) => (Some(made(lines, first + 1, end)), end + 1),
            None => (None, at),
        };
    }
    if indent(lines[first]) > head {
        let end =
            (first..lines.len()).find(|line| !lines[*line].trim().is_empty() && indent(lines[*line]) <= head);
        let end = end.unwrap_or(lines.len());
        return (Some(made(lines, first, end)), end);
    }
    if plain {
        let end = (first..lines.len()).find(|line| lines[*line].trim() == "end");
        if let Some(end) = end {
            return (Some(made(lines, first, end)), end + 1);
        }
    }
    (None, at)
}

/// The lines as they stand, less the indentation that all of them have.
fn made(lines: &[&str], from: usize, to: usize) -> Block {
    let body = &lines[from..to];
    let shared =
        body.iter().filter(|line| !line.trim().is_empty()).map(|line| indent(line)).min().unwrap_or(0);
    let text: Vec<&str> = body.iter().map(|line| line.get(shared..).unwrap_or("")).collect();
    Block { line: from + 1, text: text.join("\n").trim_end().to_owned() }
}
