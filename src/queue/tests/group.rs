//! Claims about what lands together, and about half of it.

use super::*;
use crate::model::{Reference, Repository};

fn lib() -> Pair {
    Pair::new("lib", "main")
}

/// A world with two repositories, in which topics land together.
fn world() -> World {
    let mut world = World::with(&[], 8);
    let mut policy = policy(8);
    policy.queues[0].repositories = Patterns::new(&["*"]);
    policy.queues[0].topics = TopicPolicy::Together;
    world.tell(Event::PolicyChanged { policy: Arc::new(policy) });
    world.tell(Event::TipSeen { pair: lib(), commit: Some(sha(1, 1)) });
    world
}

fn of_topic(number: u64, review: i32, topic: Option<&str>, repository: &str) -> ChangeSnapshot {
    let mut change = snapshot(number, review);
    change.topic = topic.map(Arc::from);
    change.repository = Repository::from(repository);
    change.updated_at = Timestamp(i64::from(review) + if topic.is_some() { 20 } else { 10 });
    change
}

fn items(world: &World) -> Vec<Vec<u64>> {
    let view = world.queue.view(world.now);
    let numbers = |item: &crate::model::view::ItemView| item.changes.iter().map(|one| one.number.0).collect();
    view.queues[0].items.iter().map(numbers).collect()
}

/// Answers the last look with these.
fn look(world: &mut World, changes: Vec<ChangeSnapshot>) {
    let effect = world.looks.pop().unwrap().id;
    world.tell(Event::Looked { effect, at: world.now, changes, gone: vec![] });
}

fn end(world: &mut World, effect: &Effect, outcome: Outcome) {
    let EffectKind::Land { pushes, .. } = &effect.kind else { unreachable!() };
    let pushes = vec![(pushes[0].pair.clone(), outcome)];
    world.tell(Event::PushEnded { effect: effect.id, pushes });
}

#[test]
fn a_topic_enters_when_all_of_it_is_approved_and_comes_out_when_a_change_joins() {
    let mut world = world();
    world.tell(Event::ChangeSeen { snapshot: of_topic(2, 0, Some("t"), "lib") });
    world.tell(Event::ChangeSeen { snapshot: of_topic(1, 2, Some("t"), "core") });
    assert!(items(&world).is_empty());
    assert_eq!(world.told, [(1, Reason::Together { change: ChangeNumber(2) })]);
    world.tell(Event::ChangeSeen { snapshot: of_topic(2, 2, Some("t"), "lib") });
    assert_eq!(items(&world), [[1, 2]]);
    world.tell(Event::ChangeSeen { snapshot: of_topic(3, 0, Some("t"), "core") });
    assert!(items(&world).is_empty(), "the one that joined is not approved");
    assert_eq!(world.ended, [(1, Departure::Regrouped { change: ChangeNumber(3) })]);
    world.tell(Event::ChangeSeen { snapshot: of_topic(3, 2, Some("t"), "core") });
    assert_eq!(items(&world), [[1, 2, 3]], "no new votes are needed");
    let mut left = of_topic(3, 2, None, "core");
    left.updated_at = Timestamp(50);
    world.tell(Event::ChangeSeen { snapshot: left });
    assert_eq!(items(&world), [vec![1, 2], vec![3]]);
}

#[test]
fn changes_that_depend_on_each_other_are_one_item_whatever_lies_between() {
    let mut world = world();
    let needing = |number: u64, needs: u64, repository: &str| {
        let mut change = of_topic(number, 2, None, repository);
        change.needs = [Reference::Number(ChangeNumber(needs))].into();
        change
    };
    let mut child = of_topic(2, 2, None, "core");
    child.parents = vec![sha(2, 1)];
    world.tell(Event::ChangeSeen { snapshot: needing(3, 2, "lib") });
    world.tell(Event::ChangeSeen { snapshot: child });
    world.tell(Event::ChangeSeen { snapshot: needing(1, 3, "core") });
    assert_eq!(items(&world), [[1, 2, 3]], "a parent is merged before its child");
    let regrouped = (2, Departure::Regrouped { change: ChangeNumber(1) });
    assert_eq!(world.ended.first(), Some(&regrouped), "it came in before the circle was known");
    world.ended.clear();
    let mut withdrawn = needing(1, 3, "core");
    (withdrawn.votes, withdrawn.updated_at) = (vec![], Timestamp(30));
    world.tell(Event::ChangeSeen { snapshot: withdrawn });
    let shared = Departure::Dependency { change: ChangeNumber(1), culprit: Some(ChangeNumber(1)) };
    assert_eq!(world.ended, [(1, shared)], "the others keep their approval");
}

/// A topic over two repositories that has passed and is being pushed.
fn pushed() -> (World, Vec<Effect>) {
    let mut world = world();
    let topic = |number, repository| of_topic(number, 2, Some("t"), repository);
    world.tell(Event::ChangeSeen { snapshot: topic(1, "core") });
    world.tell(Event::ChangeSeen { snapshot: of_topic(2, 0, Some("t"), "lib") });
    world.tell(Event::ChangeSeen { snapshot: topic(2, "lib") });
    let both = items(&world).into_iter().find(|item| item.len() == 2);
    assert!(both.is_some(), "{:?}", items(&world));
    world.judge(1, true);
    look(&mut world, vec![topic(1, "core"), topic(2, "lib")]);
    let pushes = std::mem::take(&mut world.pushes);
    (world, pushes)
}

#[test]
fn an_item_of_two_branches_has_landed_when_both_pushes_have() {
    let (mut world, pushes) = pushed();
    assert_eq!(pushes.len(), 2, "one for each branch, after one look");
    world.ended.clear();
    end(&mut world, &pushes[0], Outcome::Applied);
    assert!(world.ended.is_empty());
    end(&mut world, &pushes[1], Outcome::Applied);
    assert!(matches!(&world.ended[..], [(1, Departure::Landed { commits })] if commits.len() == 2));
}

#[test]
fn where_no_push_has_landed_all_of_it_is_tried_again() {
    let (mut world, pushes) = pushed();
    world.ended.clear();
    for push in &pushes {
        end(&mut world, push, Outcome::Failed("the line is down".into()));
    }
    assert!(world.ended.is_empty() && items(&world) == [[1, 2]]);
}

#[test]
fn half_of_an_item_is_completed_by_the_rest() {
    let (mut world, pushes) = pushed();
    world.ended.clear();
    end(&mut world, &pushes[1], Outcome::Failed("the line is down".into()));
    end(&mut world, &pushes[0], Outcome::Applied);
    assert_eq!(items(&world), [[2]], "what has landed is settled, the rest goes on");
    world.judge(2, true);
    assert!(world.looks.is_empty(), "where its branch stands is read first");
    let reading = world.rereads.pop().unwrap();
    world.tell(Event::TipSeen { pair: lib(), commit: Some(sha(1, 1)) });
    world.tell(Event::EffectEnded { effect: reading.id, outcome: Outcome::Applied });
    look(&mut world, vec![of_topic(2, 2, Some("t"), "lib")]);
    let (push, numbers) = world.pushed();
    assert_eq!(numbers, [2]);
    end(&mut world, &push, Outcome::Applied);
    assert!(matches!(&world.ended[..], [(1, Departure::Landed { .. })]), "{:?}", world.ended);
    assert!(world.alarms.is_empty());
}

#[test]
fn half_of_an_item_that_cannot_be_completed_is_told_and_stops_the_repositories() {
    let (mut world, pushes) = pushed();
    end(&mut world, &pushes[0], Outcome::Applied);
    end(&mut world, &pushes[1], Outcome::Failed("the branch moved".into()));
    world.judge(2, false);
    assert_eq!(items(&world), Vec::<Vec<u64>>::new());
    assert_eq!(world.alarms, [1, 2]);
    let view = world.queue.view(world.now);
    let stopped: Vec<Scope> = view.paused.iter().map(|pause| pause.scope.clone()).collect();
    assert_eq!(stopped, [Scope::Repository("core".into()), Scope::Repository("lib".into())]);
}

#[test]
fn a_restart_in_the_middle_of_a_split_landing_changes_nothing() {
    let (mut world, pushes) = pushed();
    end(&mut world, &pushes[0], Outcome::Applied);
    let restored = Queue::restore(&world.queue.snapshot()).unwrap();
    assert_eq!(restored.digest(), world.queue.digest());
    let under_way = restored.pushes_under_way();
    assert_eq!(under_way.len(), 1, "the other one is in doubt");
}
