//! Claims about `Depends-On` footers.

use super::*;
use crate::model::{Reference, Target};

/// An approved change, or one that waits for its approval, that depends on others.
fn needing(number: u64, review: i32, needs: &[u64]) -> ChangeSnapshot {
    let mut change = snapshot(number, review);
    change.needs = needs.iter().map(|number| Reference::Number(ChangeNumber(*number))).collect();
    change.updated_at = Timestamp(i64::from(review) + 10);
    change
}

fn world(changes: Vec<ChangeSnapshot>) -> World {
    let mut world = World::with(&[], 8);
    for snapshot in changes {
        world.tell(Event::ChangeSeen { snapshot });
    }
    world
}

fn order(world: &World) -> Vec<u64> {
    let view = world.queue.view(world.now);
    view.queues[0].items.iter().map(|item| item.changes[0].number.0).collect()
}

/// The references that are being looked up.
fn lookups(world: &World) -> Vec<(crate::model::EffectId, Vec<Reference>)> {
    let asked = world.queue.outbox().into_iter().filter_map(|effect| match effect.kind {
        EffectKind::FindReferences { references } => Some((effect.id, references)),
        _ => None,
    });
    asked.collect()
}

fn target(number: u64, repository: &str, status: ChangeStatus) -> Target {
    Target {
        number: ChangeNumber(number),
        change_id: format!("I{number}").as_str().into(),
        pair: Pair::new(repository, "main"),
        status: Some(status),
    }
}

#[test]
fn an_approved_change_waits_for_what_it_depends_on_and_enters_behind_it_without_a_new_vote() {
    let mut world = world(vec![needing(1, 0, &[]), needing(2, 2, &[1]), needing(3, 2, &[2])]);
    assert!(order(&world).is_empty());
    let waits = |change, on| (change, Reason::Depends { change: ChangeNumber(on) });
    assert_eq!(world.told, [waits(2, 1), waits(3, 2)]);
    world.tell(Event::ChangeSeen { snapshot: needing(1, 2, &[]) });
    assert_eq!(order(&world), [1, 2, 3]);
}

#[test]
fn a_dependency_that_fails_takes_its_dependents_out_and_is_named() {
    let mut world =
        world(vec![needing(1, 2, &[]), needing(2, 2, &[1]), needing(3, 2, &[2]), needing(4, 2, &[])]);
    world.judge(1, false);
    let follows =
        |change| Departure::Dependency { change: ChangeNumber(change), culprit: Some(ChangeNumber(1)) };
    assert!(matches!(&world.ended[0], (1, Departure::Failed { .. })), "{:?}", world.ended);
    assert_eq!(world.ended[1..], [(2, follows(1)), (3, follows(2))]);
    assert_eq!(order(&world), [4]);
    assert!(world.told.is_empty(), "the final message says it: {:?}", world.told);
    let mut again = needing(1, 2, &[]);
    (again.patchset, again.revision, again.updated_at) = (PatchSet(2), sha(5, 1), Timestamp(99));
    again.votes[0].at = Timestamp(90);
    world.tell(Event::ChangeSeen { snapshot: again });
    assert_eq!(order(&world), [4, 1, 2, 3], "no new vote is needed for those that depended on it");
}

#[test]
fn an_abandoned_dependency_is_named_and_one_with_a_new_patch_set_is_waited_for() {
    let mut world = world(vec![needing(1, 2, &[]), needing(2, 2, &[1])]);
    let mut given_up = needing(1, 2, &[]);
    (given_up.status, given_up.updated_at) = (ChangeStatus::Abandoned, Timestamp(20));
    world.tell(Event::ChangeSeen { snapshot: given_up });
    let follows = Departure::Dependency { change: ChangeNumber(1), culprit: Some(ChangeNumber(1)) };
    world.ended.sort_by_key(|(change, _)| *change);
    assert_eq!(world.ended, [(1, Departure::Abandoned), (2, follows)]);
    let waiting = world.queue.view(world.now).waiting;
    assert!(waiting[0].words.contains("change 1, which was abandoned"), "{waiting:?}");
    let mut back = needing(1, 0, &[]);
    back.updated_at = Timestamp(30);
    world.tell(Event::ChangeSeen { snapshot: back });
    let waiting = world.queue.view(world.now).waiting;
    assert_eq!(waiting[0].reason, Reason::Depends { change: ChangeNumber(1) });
}

#[test]
fn what_nobody_has_seen_is_looked_up_in_one_request_and_what_has_merged_is_satisfied() {
    let mut world = world(vec![needing(1, 0, &[70]), needing(2, 2, &[80]), needing(3, 2, &[80, 90])]);
    let asked = lookups(&world);
    let number = |number| Reference::Number(ChangeNumber(number));
    assert_eq!(asked[0].1, [number(80)], "what nobody wants to land is not looked up");
    let found = |of: u64, status| (number(of), vec![target(of, "other", status)]);
    world.tell(Event::ReferencesFound { effect: asked[0].0, found: vec![found(80, ChangeStatus::Merged)] });
    assert_eq!(order(&world), [2]);
    let asked = lookups(&world);
    assert_eq!((asked.len(), &asked[0].1[..]), (1, &[number(90)][..]));
    world.tell(Event::ReferencesFound { effect: asked[0].0, found: vec![found(90, ChangeStatus::Open)] });
    let elsewhere = Reason::DependsElsewhere { change: ChangeNumber(90), queue: None, is_queued: false };
    assert_eq!(world.queue.view(world.now).waiting[0].reason, elsewhere);
    let mut merged = needing(90, 2, &[]);
    (merged.repository, merged.status) = ("other".into(), ChangeStatus::Merged);
    world.tell(Event::ChangeSeen { snapshot: merged });
    assert_eq!(order(&world), [2, 3]);
}

#[test]
fn a_footer_that_names_nothing_is_told_and_looked_up_again_after_a_while() {
    let mut world = world(vec![needing(2, 2, &[80])]);
    let (effect, references) = lookups(&world).remove(0);
    world.tell(Event::ReferencesFound { effect, found: vec![(references[0].clone(), vec![])] });
    assert!(matches!(&world.told[..], [(2, Reason::DependsOnNothing { .. })]), "{:?}", world.told);
    assert!(lookups(&world).is_empty());
    world.now = world.now.plus_ms(Limits::default().retry_max_ms + 1_000);
    world.tell(Event::Wake);
    assert_eq!(lookups(&world).len(), 1);
}

#[test]
fn a_change_that_depends_on_itself_or_on_nonsense_waits_with_the_remedy() {
    let mut odd = needing(3, 2, &[]);
    odd.needs = [Reference::Wrong { text: "x".into(), why: "is no address".into() }].into();
    let world = world(vec![needing(2, 2, &[2]), odd]);
    let words: Vec<String> = world.told.iter().map(|(_, reason)| reason.to_string()).collect();
    assert!(words[0].contains("names the change itself"), "{words:?}");
    assert!(words[1].contains("`Depends-On: x`, which is no address"), "{words:?}");
}

#[test]
fn a_dependency_that_is_expected_to_leave_is_not_built_upon() {
    let mut world = World::with(&[], 2);
    for snapshot in [needing(1, 2, &[]), needing(2, 2, &[]), needing(3, 2, &[2])] {
        world.tell(Event::ChangeSeen { snapshot });
    }
    assert_eq!(world.building(), [1, 2]);
    world.judge(2, false);
    assert_eq!(world.building(), [1], "nothing of change 3 can land without change 2");
    let fails = Reason::DependencyFails { change: ChangeNumber(2) };
    assert_eq!(world.queue.view(world.now).queues[0].items[2].reason, fails);
}

#[test]
fn moving_a_change_to_the_head_takes_what_it_depends_on_along() {
    let mut world = world(vec![needing(1, 2, &[]), needing(2, 2, &[]), needing(3, 2, &[2])]);
    let changes = vec![ChangeNumber(3)];
    world.tell(Event::Operator { request: 1, by: "carol".into(), command: Command::Promote { changes } });
    assert_eq!(order(&world), [2, 3, 1]);
}
