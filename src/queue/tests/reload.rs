//! Claims about another configuration in mid-queue: what is unchanged goes on, the rest follows it.

use super::*;

/// Puts the policy in force that `change` makes of the usual one.
fn configure(world: &mut World, change: impl Fn(&mut Policy)) {
    let mut policy = policy(8);
    change(&mut policy);
    world.tell(Event::PolicyChanged { policy: Arc::new(policy) });
}

/// As an operator's job would stand in the policy; which jobs are found the world says itself.
fn another_job(policy: &mut Policy) {
    policy.job_files = true;
}

fn ids(world: &World) -> Vec<BuildId> {
    world.builds.iter().map(|(build, _)| *build).collect()
}

#[test]
fn builds_go_on_where_their_keys_are_unchanged() {
    let mut world = World::with(&[1, 2, 3], 8);
    let before = ids(&world);
    let nodes = world.written.len();
    configure(&mut world, another_job);
    assert_eq!(world.written.len(), 2 * nodes, "each node is looked at again");
    assert_eq!(ids(&world), before, "and no build is done again");
    for change in [3, 2, 1] {
        world.judge(change, true);
    }
    world.look(2);
    assert_eq!(world.pushed().1, [1, 2, 3]);
}

#[test]
fn a_configuration_that_says_the_same_of_jobs_prepares_nothing_anew() {
    let mut world = World::with(&[1, 2], 1);
    let nodes = world.written.len();
    configure(&mut world, |policy| policy.queues[0].max_items_per_push = 1);
    assert_eq!(world.written.len(), nodes);
    assert_eq!(world.building(), [1, 2], "more slots are used at once");
}

#[test]
fn builds_of_a_job_that_is_gone_are_stopped_and_those_of_a_new_one_begin() {
    let mut world = World::with(&[1], 8);
    world.jobs = vec!["unit", "lint"];
    let unit = ids(&world);
    configure(&mut world, another_job);
    assert_eq!(ids(&world)[..1], unit[..]);
    assert_eq!(ids(&world).len(), 2, "the new job is built");
    let lint = ids(&world)[1];
    world.jobs = vec!["lint"];
    configure(&mut world, |_| {});
    assert_eq!(ids(&world), [lint], "the other is not wanted any more");
}

#[test]
fn verdicts_that_were_reached_serve_under_the_new_configuration() {
    let mut world = World::with(&[1, 2], 8);
    world.judge(2, true);
    configure(&mut world, another_job);
    assert_eq!(world.building(), [1], "what has passed is not built again");
    world.judge(1, true);
    world.look(2);
    assert_eq!(world.pushed().1, [1, 2]);
}

#[test]
fn items_of_a_queue_that_is_gone_leave_and_their_builds_are_stopped() {
    let mut world = World::with(&[1, 2], 8);
    configure(&mut world, |policy| policy.queues[0].repositories = Patterns::new(&["other"]));
    let left: Vec<_> = world.ended.iter().map(|(change, departure)| (*change, departure.clone())).collect();
    assert_eq!(left, [(1, Departure::QueueRemoved), (2, Departure::QueueRemoved)]);
    assert_eq!(world.building(), [0; 0]);
    configure(&mut world, |_| {});
    assert_eq!(world.building(), [1, 2], "they come back with the queue: their approvals stand");
}

#[test]
fn items_of_a_queue_that_was_renamed_go_on_in_their_order() {
    let mut world = World::with(&[1, 2], 8);
    let before = ids(&world);
    configure(&mut world, |policy| policy.queues[0].name = "renamed".into());
    assert!(world.ended.is_empty(), "{:?}", world.ended);
    assert_eq!(ids(&world), before);
    let view = world.queue.view(world.now);
    let numbers: Vec<u64> = view.queues[0].items.iter().map(|item| item.changes[0].number.0).collect();
    assert_eq!((view.queues[0].name.as_str(), numbers), ("renamed", vec![1, 2]));
}

#[test]
fn a_push_under_way_ends_though_its_queue_is_gone() {
    let mut world = World::with(&[1], 8);
    world.judge(1, true);
    world.look(2);
    let (push, _) = world.pushed();
    configure(&mut world, |policy| policy.queues.clear());
    assert!(world.ended.is_empty(), "{:?}", world.ended);
    world.end_push(&push, Outcome::Applied);
    assert!(matches!(&world.ended[..], [(1, Departure::Landed { .. })]), "{:?}", world.ended);
}

#[test]
fn a_check_is_judged_by_the_jobs_of_the_new_configuration() {
    let mut world = World::with(&[], 8);
    let checked = |policy: &mut Policy| policy.check.enabled = true;
    configure(&mut world, checked);
    let mut fresh = snapshot(1, 0);
    fresh.votes.clear();
    world.tell(Event::ChangeSeen { snapshot: fresh });
    let before = ids(&world);
    assert_eq!(before.len(), 1);
    world.jobs = vec!["unit", "lint"];
    configure(&mut world, |policy| {
        checked(policy);
        another_job(policy);
    });
    assert_eq!((ids(&world)[0], ids(&world).len()), (before[0], 2));
}

#[test]
fn state_written_and_read_again_is_the_same() {
    let mut world = World::with(&[1, 2], 1);
    world.judge(1, true);
    let restored = Queue::restore(&world.queue.snapshot()).unwrap();
    assert_eq!(restored.digest(), world.queue.digest());
}
