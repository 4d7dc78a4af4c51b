//! Claims about items that are built a second time, without one ahead of them.

use super::*;

/// These changes in a queue of strategy `ranked`, with so many slots, of which alternatives may use so many
/// per cent.
fn ranked(changes: &[u64], slots: u32, percent: u32) -> World {
    let mut world = World::with(&[], slots);
    configure(&mut world, slots, percent);
    for change in changes {
        world.tell(Event::ChangeSeen { snapshot: snapshot(*change, 2) });
    }
    world
}

fn configure(world: &mut World, slots: u32, percent: u32) {
    let mut policy = policy(slots);
    policy.queues[0].strategy = StrategyPolicy::Ranked;
    policy.queues[0].tuning.alternatives = percent;
    world.tell(Event::PolicyChanged { policy: Arc::new(policy) });
}

#[test]
fn so_many_are_begun_as_could_be_built() {
    for (slots, percent, expected) in [
        (19, 5, vec![1, 2, 3]),
        (20, 5, vec![1, 2, 2, 3]),
        (40, 5, vec![1, 2, 2, 3, 3]),
        (40, 0, vec![1, 2, 3]),
    ] {
        let world = ranked(&[1, 2, 3], slots, percent);
        let mut building = world.building();
        building.sort_unstable();
        assert_eq!(building, expected, "{slots} slots, {percent} per cent");
        assert_eq!(world.written.len(), expected.len(), "no node is made for others");
    }
}

#[test]
fn an_alternative_is_no_item() {
    let world = ranked(&[1, 2], 20, 5);
    let view = world.queue.view(world.now);
    assert_eq!(view.queues[0].items.len(), 2);
    assert_eq!(view.builds_running, 3);
    let of = |build: usize| view.builds[build].item;
    assert_eq!(of(1), of(2), "both are builds of the second item");
    assert!(view.checks.is_empty() && view.runs.is_empty() && view.departed.is_empty());
}

#[test]
fn a_snapshot_keeps_it_and_one_without_is_read() {
    let world = ranked(&[1, 2], 20, 5);
    let restored = Queue::restore(&world.queue.snapshot()).unwrap();
    assert_eq!(restored.digest(), world.queue.digest());
    assert_eq!(restored.state.alternatives.len(), 1);
    let before = ranked(&[1, 2], 20, 0).queue.snapshot();
    assert!(!String::from_utf8(before.clone()).unwrap().contains("\"alternatives\":{"));
    assert!(Queue::restore(&before).unwrap().state.alternatives.is_empty());
}

#[test]
fn a_running_build_is_taken_over_when_the_path_has_come() {
    let mut world = ranked(&[1, 2], 20, 5);
    let second = world.builds[2].0;
    world.judge(1, false);
    assert!(matches!(&world.ended[..], [(1, Departure::Failed { .. })]));
    assert_eq!(world.builds, [(second, 2)], "it goes on, and that on the path that did not come is ended");
    assert!(world.queue.state.alternatives.is_empty());
    world.judge(2, true);
    world.look(2);
    assert_eq!(world.pushed().1, [2]);
}

#[test]
fn a_verdict_is_there_when_the_path_has_come() {
    let mut world = ranked(&[1, 2], 20, 5);
    let (build, _) = world.builds.remove(2);
    world.finish(build, Verdict::Pass);
    assert_eq!(world.queue.state.alternatives.len(), 1, "what was found out is kept for others behind");
    world.judge(1, false);
    assert!(world.building().is_empty());
    world.look(2);
    assert_eq!(world.pushed().1, [2]);
}

#[test]
fn it_ends_when_what_it_leaves_out_has_passed() {
    let mut world = ranked(&[1, 2], 20, 5);
    world.judge(1, true);
    assert_eq!(world.building(), [2], "only the likeliest path is built");
    assert!(world.queue.state.alternatives.is_empty());
    assert_eq!(world.queue.state.nodes.len(), 2, "and its node is let go");
}

#[test]
fn it_is_stopped_for_whoever_wants_the_slot_and_goes_on_at_once_later() {
    let mut world = ranked(&[1, 2], 4, 50);
    assert_eq!(world.building(), [1, 2, 2]);
    world.tell(Event::ChangeSeen { snapshot: snapshot(3, 2) });
    assert_eq!(world.building(), [1, 2, 2, 3], "there was a slot");
    world.tell(Event::ChangeSeen { snapshot: snapshot(4, 2) });
    assert_eq!(world.building(), [1, 2, 3, 4]);
    let gone = ChangeSnapshot { status: ChangeStatus::Abandoned, ..snapshot(4, 2) };
    world.tell(Event::ChangeSeen { snapshot: gone });
    assert_eq!(world.building(), [1, 2, 3, 2], "nothing was lost that had to be waited for");
}

#[test]
fn a_change_that_rests_on_another_is_not_built_without_it() {
    let mut world = ranked(&[1], 20, 50);
    let child = ChangeSnapshot { parents: vec![snapshot(1, 2).revision], ..snapshot(2, 2) };
    world.tell(Event::ChangeSeen { snapshot: child });
    assert_eq!(world.building(), [1, 2]);
    assert_eq!(world.written.len(), 2);
}
