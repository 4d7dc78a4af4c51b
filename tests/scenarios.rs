//! The stories under `simulations/scenarios/` and the examples of docs/scenarios.md, played on the real core.

use std::fs;
use std::path::{Path, PathBuf};

use seakeeper::sim::play::{Played, play};

fn stories(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("the folder of stories is there") {
        let path = entry.expect("an entry can be read").path();
        if path.is_dir() {
            stories(&path, found);
        } else {
            found.push(path);
        }
    }
    found.sort();
}

/// What is wrong with a story that should be as expected.
fn complaint(played: &Played) -> Option<String> {
    if played.passed {
        return None;
    }
    let mut text = format!("{}\n{}\n", played.file, played.transcript.join("\n"));
    text.push_str(&played.problems.join("\n"));
    if let Some(difference) = &played.difference {
        text.push_str(&format!(
            "line {}: {}\n  expected: {}\n  was:      {}\n",
            difference.line, difference.statement, difference.expected, difference.was
        ));
    }
    Some(text)
}

#[test]
fn every_story_is_as_it_expects() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    stories(&root.join("simulations/scenarios"), &mut files);
    assert!(files.len() >= 80, "only {} stories", files.len());
    let mut complaints = Vec::new();
    for path in &files {
        let shown = path.strip_prefix(root).unwrap_or(path).display().to_string();
        let text = fs::read_to_string(path).expect("a story can be read");
        let played = play(&shown, &text);
        assert!(!played.passed || played.expectations > 0, "{shown} expects nothing");
        complaints.extend(complaint(&played));
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n\n"));
}

#[test]
fn a_story_gives_the_same_transcript_again() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    stories(&root.join("simulations/scenarios/restarts"), &mut files);
    for path in files {
        let text = fs::read_to_string(&path).expect("a story can be read");
        assert_eq!(play("story", &text), play("story", &text), "{}", path.display());
    }
}

#[test]
fn every_example_of_the_page_plays_as_printed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/scenarios.md")).expect("the page can be read");
    let examples: Vec<&str> =
        page.split("```story\n").skip(1).filter_map(|rest| rest.split("\n```").next()).collect();
    assert!(examples.len() >= 4, "only {} examples", examples.len());
    for (at, text) in examples.iter().enumerate() {
        let played = play(&format!("example {}", at + 1), text);
        assert!(played.passed && played.expectations > 1, "{}", complaint(&played).unwrap_or_default());
    }
}
