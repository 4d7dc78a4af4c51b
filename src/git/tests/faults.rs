//! Claims about what breaks: processes that die, stores that rot, remotes that are gone.

use super::*;

/// The files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[test]
fn a_merge_process_that_died_is_replaced() {
    let mut world = world(|_| {});
    let remote = world.remote("p");
    let (pair, tip) = (Pair::new("p", "main"), base(&remote));
    for number in 1..=3 {
        let revision = change(&remote, number, tip, &[(b"f", Some("x"))]);
        let (prepared, _) =
            world.prepare(number, vec![merge(&pair, number, revision, tip, Onto::Commit(tip), &[])]);
        assert_eq!(written(&prepared).onto, tip);
        assert!(world.git.shared.mergers.kill(&"p".into()), "a process is kept for the next merge");
    }
}

#[test]
fn a_tidied_store_serves_on() {
    let mut world = world(|_| {});
    let remote = world.remote("p");
    let (pair, tip) = (Pair::new("p", "main"), base(&remote));
    let first = change(&remote, 1, tip, &[(b"f", Some("x"))]);
    let (prepared, _) = world.prepare(1, vec![merge(&pair, 1, first, tip, Onto::Commit(tip), &[])]);
    let path = store_path(&world.folder.0.join("state"), &"p".into());
    world.git.upkeep().tidy(&path).expect("git gc runs");
    let second = change(&remote, 2, tip, &[(b"g", Some("x"))]);
    let onto = Onto::Node(NodeId(1));
    let (chained, _) = world.prepare(2, vec![merge(&pair, 2, second, tip, onto, &[first])]);
    assert_eq!(written(&chained).onto, written(&prepared).commit);
}

#[test]
fn a_rotten_store_is_fetched_anew() {
    let mut world = world(|_| {});
    let remote = world.remote("p");
    let (pair, tip) = (Pair::new("p", "main"), base(&remote));
    let revision = change(&remote, 1, tip, &[(b"f", Some("x"))]);
    let one = merge(&pair, 1, revision, tip, Onto::Commit(tip), &[]);
    let (before, _) = world.prepare(1, vec![one.clone()]);
    let path = store_path(&world.folder.0.join("state"), &"p".into());
    for file in files(&path.join("objects")) {
        std::fs::remove_file(&file).expect("remove");
        std::fs::write(&file, "rot").expect("write");
    }
    world.git.shared.mergers.end(&"p".into());
    let other = change(&remote, 2, tip, &[(b"g", Some("y"))]);
    let mut attempts = (2..6).map(|node| {
        let two = merge(&pair, 2, other, tip, Onto::Commit(tip), &[]);
        world.prepare(node, vec![two]).0
    });
    let mended = attempts.find(|outcome| matches!(outcome, Prepared::Merged { .. }));
    assert!(mended.is_some() && path.with_extension("broken").exists());
    let (after, _) = world.prepare(1, vec![one]);
    assert_eq!(written(&before).commit, written(&after).commit);
}

#[test]
fn what_was_prepared_survives_a_restart() {
    let mut before = world(|_| {});
    let remote = before.remote("p");
    let (pair, tip) = (Pair::new("p", "main"), base(&remote));
    let first = change(&remote, 1, tip, &[(b"f", Some("x"))]);
    before.prepare(1, vec![merge(&pair, 1, first, tip, Onto::Commit(tip), &[])]);
    let url = format!("file://{}/remotes", before.folder.0.display());
    let state = before.folder.0.join("state");
    let mut after = world(|settings| {
        (settings.url, settings.folder) = (url, state);
    });
    let second = change(&remote, 2, tip, &[(b"g", Some("x"))]);
    let above = merge(&pair, 2, second, tip, Onto::Node(NodeId(1)), &[first]);
    let (prepared, _) = after.prepare(2, vec![above.clone()]);
    assert!(matches!(&prepared, Prepared::Merged { foreign, .. } if foreign.is_empty()), "{prepared:?}");
    after.begin(3, EffectKind::ReleaseNode { node: NodeId(1) });
    let gone = (0..100).any(|_| after.prepare(4, vec![above.clone()]).0 == Prepared::NoParent);
    assert!(gone, "a node of the earlier run is released");
}

#[test]
fn a_remote_that_is_gone_is_a_failure_for_the_operator() {
    let mut world = world(|_| {});
    let pair = Pair::new("gone", "main");
    let one = merge(&pair, 1, Sha([1; 20]), Sha([2; 20]), Onto::Commit(Sha([2; 20])), &[]);
    let (prepared, _) = world.prepare(1, vec![one]);
    assert!(matches!(&prepared, Prepared::Failed { why } if why.starts_with("fetch gone: ")), "{prepared:?}");
    world.begin(2, EffectKind::ObservePush { pair, new: Sha([1; 20]), submit: None });
    let seen = world.next();
    assert!(matches!(&seen[0], Event::EffectEnded { outcome: Outcome::Failed(_), .. }), "{seen:?}");
}

#[test]
fn a_push_begun_before_a_restart_is_never_repeated() {
    let mut world = world(|_| {});
    let pair = Pair::new("p", "main");
    let push = Push {
        pair: pair.clone(),
        old: Sha([1; 20]),
        new: Sha([2; 20]),
        changes: Vec::new(),
        merge_from: Vec::new(),
        judged: Vec::new(),
        submit: None,
    };
    let kind = EffectKind::Land { valid_until: Timestamp(2_000_000), pushes: vec![push] };
    world.git.begin(Effect { id: EffectId(1), kind }, true);
    let ended = world.next();
    assert!(
        matches!(&ended[0], Event::PushEnded { pushes, .. } if matches!(pushes[0].1, Outcome::Unknown(_)))
    );
}

#[test]
fn branches_of_one_repository_are_judged_one_by_one_in_one_push() {
    let mut world = world(|_| {});
    let remote = world.remote("p");
    let tip = base(&remote);
    set(&remote, "refs/heads/release/1.0", tip);
    let pairs = [Pair::new("p", "main"), Pair::new("p", "release/1.0")];
    let mut pushes = Vec::new();
    for (number, pair) in (1..).zip(&pairs) {
        let revision = change(&remote, number, tip, &[(b"f", Some(pair.branch.as_str()))]);
        let (prepared, _) =
            world.prepare(number, vec![merge(pair, number, revision, tip, Onto::Commit(tip), &[])]);
        pushes.push(Push {
            pair: pair.clone(),
            old: tip,
            new: written(&prepared).commit,
            changes: vec![(ChangeNumber(number), PatchSet(1), revision)],
            merge_from: Vec::new(),
            judged: Vec::new(),
            submit: None,
        });
    }
    let moved = commit(&remote, &[tip], "Outside", &[(b"z", Some("z"))]);
    set(&remote, "refs/heads/main", moved);
    let release = pushes[1].new;
    world.begin(9, EffectKind::Land { valid_until: Timestamp(2_000_000), pushes });
    let ended = world.next();
    let Event::PushEnded { pushes, .. } = &ended[0] else { panic!("{ended:?}") };
    assert!(matches!(&pushes[0].1, Outcome::Failed(why) if why.contains("moved")), "{pushes:?}");
    assert_eq!(pushes[1], (pairs[1].clone(), Outcome::Applied));
    assert_eq!(remote.refname_to_id("refs/heads/main").ok().map(sha), Some(moved));
    assert_eq!(remote.refname_to_id("refs/heads/release/1.0").ok().map(sha), Some(release));
}

#[test]
fn stores_that_nothing_needs_go_after_their_time_and_are_fetched_anew() {
    let mut world = world(|_| {});
    let state = world.folder.0.join("state");
    let paths = ["p", "q"].map(|name| store_path(&state, &name.into()));
    for (at, name) in ["p", "q"].iter().enumerate() {
        let (remote, number) = (world.remote(name), at as u64 + 1);
        let tip = base(&remote);
        let revision = change(&remote, number, tip, &[(b"f", Some("x"))]);
        let one = merge(&Pair::new(*name, "main"), number, revision, tip, Onto::Commit(tip), &[]);
        written(&world.prepare(number, vec![one]).0);
    }
    let (upkeep, day) = (world.git.upkeep(), Duration::from_secs(86_400));
    assert!(upkeep.remove_unused(&[], day).is_empty(), "both were used today");
    for path in &paths {
        let old = std::time::SystemTime::now() - day * 3;
        std::fs::File::open(path.join("seakeeper-used")).expect("a mark").set_modified(old).expect("a time");
    }
    std::fs::create_dir(state.join("repositories/left.removed")).expect("a folder");
    assert_eq!(upkeep.remove_unused(&["p".into()], day * 4).len(), 1, "only what was half removed");
    assert_eq!(upkeep.remove_unused(&["p".into()], day * 2), [paths[1].clone()]);
    assert!(paths[0].exists() && !paths[1].exists());
    let remote = world.remote("q");
    let tip = base(&remote);
    let revision = change(&remote, 9, tip, &[(b"g", Some("x"))]);
    let again = merge(&Pair::new("q", "main"), 9, revision, tip, Onto::Commit(tip), &[]);
    assert_eq!(written(&world.prepare(9, vec![again]).0).onto, tip);
    assert!(paths[1].exists());
}

#[test]
fn stores_are_packed_in_turn() {
    let mut world = world(|_| {});
    let remote = world.remote("p");
    let (pair, tip) = (Pair::new("p", "main"), base(&remote));
    let first = change(&remote, 1, tip, &[(b"f", Some("x"))]);
    written(&world.prepare(1, vec![merge(&pair, 1, first, tip, Onto::Commit(tip), &[])]).0);
    let path = store_path(&world.folder.0.join("state"), &"p".into());
    let (upkeep, day) = (world.git.upkeep(), Duration::from_secs(86_400));
    assert!(upkeep.untidy(day).is_empty(), "a new store counts as packed");
    let old = std::time::SystemTime::now() - day * 2;
    std::fs::File::open(path.join("seakeeper-tidied")).expect("a mark").set_modified(old).expect("a time");
    assert_eq!(upkeep.untidy(day), std::slice::from_ref(&path));
    upkeep.tidy(&path).expect("git gc runs");
    assert!(upkeep.untidy(day).is_empty());
}
