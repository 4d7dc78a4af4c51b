//! Claims about the nodes of runs at tips: commits as they are, the newest or earlier ones.

use super::*;

fn at_tips(node: u64, tips: Vec<(Pair, Sha)>) -> EffectKind {
    EffectKind::PrepareNode {
        node: NodeId(node),
        date: Timestamp(1_700_000_000_000),
        pipeline: Pipeline::Check,
        merges: Vec::new(),
        overlay: Vec::new(),
        depends: Vec::new(),
        tips,
        pins: Vec::new(),
    }
}

#[test]
fn a_tip_and_an_earlier_one_are_nodes_without_merges() {
    let mut world = world(|_| {});
    let remote = world.remote("p");
    let first = base(&remote);
    let second = commit(&remote, &[first], "Second", &[(b"a/two", Some("other\n"))]);
    set(&remote, "refs/heads/main", second);
    let pair = Pair::new("p", "main");
    let mut keys = Vec::new();
    for (node, tip) in [(1, second), (2, first)] {
        world.begin(node, at_tips(node, vec![(pair.clone(), tip)]));
        let (prepared, resolved) = outcome(world.next());
        let found = written(&prepared);
        assert_eq!((found.commit, found.onto), (tip, tip));
        let Some(Resolved::Jobs { jobs, alters_job_files, .. }) = resolved else { panic!("no jobs") };
        assert_eq!((jobs.len(), jobs[0].inputs[0].commit), (1, tip));
        assert!(alters_job_files.is_empty());
        keys.push(jobs[0].key);
    }
    assert_ne!(keys[0], keys[1]);
    world.begin(3, at_tips(3, vec![(pair, Sha([9; 20]))]));
    assert!(matches!(outcome(world.next()).0, Prepared::Failed { .. }));
}
