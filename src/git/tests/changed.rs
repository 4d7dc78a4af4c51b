//! Claims about file matchers on real trees: what of a change and of its merge counts as changed.

use super::*;
use crate::model::NodeId;

/// A world whose only job runs for `files`.
fn world_for(files: &[&str]) -> World {
    let world = world(|_| {});
    let mut policy = policy();
    policy.jobs[0].runs_for = RunsFor::Files;
    policy.jobs[0].files = Patterns::new(files);
    policy.job_files = false;
    world.git.shared.set_policy(policy.shared());
    world
}

/// Whether the job runs for what was prepared; else that it is listed as spared is checked.
fn runs(resolved: Option<Resolved>) -> bool {
    match resolved {
        Some(Resolved::Jobs { jobs, unneeded, .. }) => {
            assert_eq!(jobs.len() + unneeded.len(), 1, "{jobs:?} {unneeded:?}");
            !jobs.is_empty()
        }
        other => panic!("{other:?}"),
    }
}

type Files<'a> = &'a [(&'a [u8], Option<&'a str>)];

/// Whether the job for `matcher` runs for a change that does `files` to the tip.
fn runs_for(matcher: &[&str], files: Files<'_>) -> bool {
    let mut world = world_for(matcher);
    let remote = world.remote("p");
    let tip = base(&remote);
    let revision = change(&remote, 1, tip, files);
    let merge = merge(&Pair::new("p", "main"), 1, revision, tip, Onto::Commit(tip), &[]);
    runs(world.prepare(1, vec![merge]).1)
}

#[test]
fn what_a_change_adds_edits_deletes_or_moves_is_matched_by_its_whole_path() {
    let check = |matcher: &str, files: Files<'_>, expected: bool| {
        assert_eq!(runs_for(&[matcher], files), expected, "{matcher} on {files:?}");
    };
    check("a/*", &[(b"a/one", Some("other"))], true);
    check("a/*", &[(b"a/two", None)], true);
    check("a/*", &[(b"a/deep/er/three", Some("x"))], true);
    check("a/*", &[(b"b/one", Some("x"))], false);
    check("one", &[(b"a/one", Some("other"))], false);
    check("*/one", &[(b"a/one", Some("other"))], true);
    check("a/two", &[(b"a/two", None), (b"b/two", Some("two\n"))], true);
    check("b/*", &[(b"a/two", None), (b"b/two", Some("two\n"))], true);
    // A file becomes a folder.
    check("a/two/x", &[(b"a/two", None), (b"a/two/x", Some("x"))], true);
    check("a/two", &[(b"a/two", None), (b"a/two/x", Some("x"))], true);
}

#[test]
fn a_merge_commit_is_matched_by_what_it_brings_in() {
    let mut world = world_for(&["docs/*"]);
    let remote = world.remote("p");
    let tip = base(&remote);
    let side = commit(&remote, &[tip], "Side", &[(b"docs/x", Some("x"))]);
    set(&remote, "refs/heads/side", side);
    let message = format!("Merge\n\nChange-Id: I{:040}\n", 1);
    let revision = commit(&remote, &[tip, side], &message, &[(b"docs/x", Some("x"))]);
    set(&remote, &layout::change_ref(ChangeNumber(1), PatchSet(1)), revision);
    let mut merge = merge(&Pair::new("p", "main"), 1, revision, tip, Onto::Commit(tip), &[]);
    merge.merge_from = vec!["side".into()];
    assert!(runs(world.prepare(1, vec![merge]).1));
}

#[test]
fn an_edit_that_follows_a_renamed_folder_is_matched_where_it_lands() {
    let mut world = world_for(&["moved/*"]);
    let remote = world.remote("p");
    let old = base(&remote);
    // The change edits a file of the folder that the branch has renamed meanwhile.
    let revision = change(&remote, 1, old, &[(b"a/one", Some("1\n2\n3\n4\nfive\n"))]);
    let moved: Files<'_> = &[
        (b"a/one", None),
        (b"a/two", None),
        (b"moved/one", Some("1\n2\n3\n4\n5\n")),
        (b"moved/two", Some("two\n")),
    ];
    let tip = commit(&remote, &[old], "Rename", moved);
    set(&remote, "refs/heads/main", tip);
    let merge = merge(&Pair::new("p", "main"), 1, revision, tip, Onto::Commit(tip), &[]);
    assert!(runs(world.prepare(1, vec![merge]).1));
}

#[test]
fn what_items_ahead_change_is_not_this_items() {
    let mut world = world_for(&["docs/*"]);
    let remote = world.remote("p");
    let pair = Pair::new("p", "main");
    let tip = base(&remote);
    let one = change(&remote, 1, tip, &[(b"docs/x", Some("x"))]);
    let two = change(&remote, 2, tip, &[(b"src/y", Some("y"))]);
    let first = world.prepare(1, vec![merge(&pair, 1, one, tip, Onto::Commit(tip), &[])]);
    assert!(runs(first.1));
    let second = world.prepare(2, vec![merge(&pair, 2, two, tip, Onto::Node(NodeId(1)), &[one])]);
    assert!(!runs(second.1));
}
