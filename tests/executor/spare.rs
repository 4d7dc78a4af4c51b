//! Checkouts that are written over by the next build.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use seakeeper::model::{Sha, Verdict};

use super::{Bench, Files, store, until};

const FILES: Files<'static> = &[
    (b"bare", 0o100_644, b"bare\n"),
    (b"closed", 0o100_644, b"closed\n"),
    (b"fifo", 0o100_644, b"fifo\n"),
    (b"link", 0o100_644, b"link\n"),
    (b"long", 0o100_755, b"#!/bin/sh\n"),
    (b"named", 0o100_644, b"named\n"),
    (b"other", 0o120_000, b"bare"),
];

/// The checkouts that are kept.
fn kept(bench: &Bench) -> Vec<PathBuf> {
    let entries = fs::read_dir(bench.root.join("executor/spare")).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

/// What a build does to its files; `outside` is a file of the daemon's.
fn damage(outside: &str) -> Vec<String> {
    let all = [
        "stat -c %i bare",
        "chmod 0 closed && rm fifo && mkfifo fifo && rm link",
        "seq 10000 > long && chmod 6777 long && ln named twice && rm other && echo more > other",
        "echo '*' > .git/info-exclude && mkdir -p .git/hooks new/er && echo evil > .git/hooks/post-checkout",
        "echo extra > new/er/file && echo extra > extra && rm -f ../../tools/extra2",
    ];
    let mut all: Vec<String> = all.map(str::to_owned).to_vec();
    all.push(format!("ln -s {outside} link"));
    all
}

#[test]
fn the_next_build_finds_nothing_of_the_one_whose_files_it_got() {
    let bench = Bench::new(FILES);
    let outside = bench.root.join("secret");
    let commands = damage(outside.to_str().unwrap());
    let first = bench.passes(&commands.iter().map(String::as_str).collect::<Vec<_>>());
    until("the checkout to be kept", || !kept(&bench).is_empty());
    let second = bench.passes(&[
        "stat -c %i bare",
        "test -z \"$(git status --porcelain --ignored)\" && test ! -e .git/hooks && git fsck --strict",
        "test \"$(echo * | tr ' ' ,)\" = bare,closed,fifo,link,long,named,other && test \"$(ls -A | wc -l)\" = 8",
        "for name in bare closed fifo link named; do test \"$(cat $name)\" = $name || exit 1; done",
        "test \"$(stat -c '%a %h %F' closed fifo link named | sort -u)\" = '644 1 regular file'",
        "test \"$(stat -c '%a %u' long)\" = \"755 $(id -u)\" && test \"$(cat long)\" = '#!/bin/sh'",
        "test \"$(readlink other)\" = bare && echo x >> named",
    ]);
    let number = |log: &str| log.lines().nth(1).map(str::to_owned);
    assert_eq!(number(&first), number(&second), "what was left alone is written over");
    assert_eq!(fs::read(&outside).unwrap(), b"the daemon's token");
    assert_eq!(outside.metadata().unwrap().nlink(), 1);
}

#[test]
fn a_name_that_a_tree_has_twice_is_found_in_a_kept_checkout_too() {
    let mut bench = Bench::new(FILES);
    bench.passes(&["true"]);
    until("the checkout to be kept", || !kept(&bench).is_empty());
    let twice: Files = &[(b"bare", 0o100_644, b"1"), (b"bare", 0o100_644, b"2")];
    let commit = store(&bench.root.join("store.git"), twice);
    bench.input.commit = Sha(commit.as_bytes().try_into().unwrap());
    bench.start(1, &["true"], 60_000);
    let verdict = bench.end(1);
    assert!(matches!(&verdict, Verdict::Fail { why } if why.contains("twice")), "{verdict:?}");
}

#[test]
fn no_more_checkouts_are_kept_than_builds_have_run_at_once() {
    let bench = Bench::new(FILES);
    for _ in 0..3 {
        bench.passes(&["true"]);
        until("the checkout to be kept", || kept(&bench).len() == 1);
    }
    bench.local.clean();
    assert_eq!(kept(&bench), Vec::<PathBuf>::new());
}

#[test]
fn without_walls_no_checkout_is_kept() {
    let bench = Bench::with(FILES, true);
    bench.passes(&["true"]);
    let builds = bench.root.join("executor/builds");
    let work = || fs::read_dir(&builds).unwrap().any(|build| build.unwrap().path().join("work").exists());
    until("the checkout to be removed", || !work());
    assert_eq!(kept(&bench), Vec::<PathBuf>::new());
}
