//! Claims about who stands before whom.

use super::*;
use crate::model::priority::PriorityPolicy;

/// A change of `owner`, approved.
fn of(number: u64, owner: &str) -> ChangeSnapshot {
    ChangeSnapshot { owner: owner.into(), ..snapshot(number, 2) }
}

fn world_with(priority: PriorityPolicy, slots: u32) -> World {
    let mut world = World::with(&[], slots);
    let policy = Policy { priority, ..policy(slots) };
    world.tell(Event::PolicyChanged { policy: Arc::new(policy) });
    world
}

impl World {
    fn enter(&mut self, snapshot: ChangeSnapshot) {
        self.tell(Event::ChangeSeen { snapshot });
    }

    fn order(&self) -> Vec<u64> {
        let view = self.queue.view(self.now);
        view.queues[0].items.iter().map(|item| item.changes[0].number.0).collect()
    }

    fn place_of(&self, change: u64) -> String {
        let view = self.queue.view(self.now);
        let found = view.queues[0].items.iter().find(|item| item.changes[0].number.0 == change);
        found.unwrap().place.clone()
    }

    /// Lets the head pass and land.
    fn land_head(&mut self) -> u64 {
        let head = self.order()[0];
        self.judge(head, true);
        let effect = self.looks.pop().unwrap();
        let EffectKind::Look { changes } = &effect.kind else { unreachable!() };
        let seen = changes.iter().map(|(number, _)| of(number.0, "whoever")).collect();
        self.tell(Event::Looked { effect: effect.id, at: self.now, changes: seen, gone: Vec::new() });
        let (push, numbers) = self.pushed();
        assert_eq!(numbers, [head]);
        self.end_push(&push, Outcome::Applied);
        head
    }
}

#[test]
fn one_change_stands_behind_the_first_of_a_campaign_of_another_owner() {
    let mut world = world_with(PriorityPolicy::default(), 4);
    (1..=60).for_each(|number| world.enter(of(number, "robot")));
    world.enter(of(61, "bob"));
    assert_eq!(world.order()[..5], [1, 2, 3, 61, 4]);
    assert_eq!(world.order().len(), 61);
    let words = world.place_of(4);
    assert_eq!(words, "place 5 of 61: behind 1 change of others that came later, by fair share");
    assert_eq!(world.building(), [1, 2, 3, 61], "slots follow the order");
}

#[test]
fn without_fair_share_the_oldest_goes_first() {
    let mut world = world_with(PriorityPolicy { fair_share: false, ..Default::default() }, 4);
    (1..=5).for_each(|number| world.enter(of(number, "robot")));
    world.enter(of(6, "bob"));
    assert_eq!(world.order(), [1, 2, 3, 4, 5, 6]);
}

fn one_each() -> PriorityPolicy {
    PriorityPolicy { changes_per_turn: 1, ..Default::default() }
}

#[test]
fn what_is_being_built_is_disturbed_twice_at_most() {
    let mut world = world_with(one_each(), 2);
    (1..=4).for_each(|number| world.enter(of(number, "robot")));
    for (number, owner) in [(5, "ann"), (6, "bob"), (7, "carl"), (8, "dora")] {
        world.enter(of(number, owner));
    }
    // 2 was being built and gave way to 5, whose verdict then was worth as much; 3 and 4 wait for slots.
    assert_eq!(world.order(), [1, 5, 6, 7, 8, 2, 3, 4]);
    let mut world = world_with(one_each(), 8);
    (1..=2).for_each(|number| world.enter(of(number, "robot")));
    for (number, owner) in [(5, "ann"), (6, "bob"), (7, "carl")] {
        world.enter(of(number, owner));
    }
    assert_eq!(world.order(), [1, 5, 6, 2, 7], "2 was being built all the time");
}

#[test]
fn what_has_passed_keeps_its_place() {
    let mut world = world_with(one_each(), 8);
    (1..=4).for_each(|number| world.enter(of(number, "robot")));
    world.judge(3, true);
    world.enter(of(5, "bob"));
    assert_eq!(world.order(), [1, 2, 3, 5, 4]);
}

#[test]
fn an_urgent_change_goes_first_with_what_it_rests_on() {
    let urgent = PriorityPolicy { urgent_hashtag: Some("urgent".into()), ..Default::default() };
    let mut world = world_with(urgent, 1);
    (1..=4).for_each(|number| world.enter(of(number, "robot")));
    let mut child = of(5, "robot");
    child.parents = vec![sha(2, 4)];
    child.hashtags = vec!["urgent".into()];
    world.enter(child);
    assert_eq!(world.order(), [4, 5, 1, 2, 3]);
    assert_eq!(world.place_of(4), "place 1 of 5: urgent");
    assert_eq!(world.place_of(1), "place 3 of 5: behind 2 changes that came later and are urgent");
}

#[test]
fn the_hashtag_counts_only_from_those_who_may() {
    let priority = PriorityPolicy {
        urgent_hashtag: Some("urgent".into()),
        urgent_accounts: vec!["chief".into()],
        ..Default::default()
    };
    let mut world = world_with(priority, 1);
    (1..=2).for_each(|number| world.enter(of(number, "robot")));
    let tagged = |number, owner| ChangeSnapshot { hashtags: vec!["urgent".into()], ..of(number, owner) };
    world.enter(tagged(3, "robot"));
    assert_eq!(world.order(), [1, 2, 3]);
    world.enter(tagged(4, "chief"));
    assert_eq!(world.order(), [4, 1, 2, 3]);
}

#[test]
fn a_change_becomes_urgent_while_it_is_queued() {
    let urgent = PriorityPolicy { urgent_hashtag: Some("urgent".into()), ..Default::default() };
    let mut world = world_with(urgent, 1);
    (1..=3).for_each(|number| world.enter(of(number, "robot")));
    let mut tagged = of(3, "robot");
    tagged.hashtags = vec!["urgent".into()];
    tagged.updated_at = Timestamp(2);
    world.enter(tagged);
    assert_eq!(world.order(), [3, 1, 2]);
}

/// Newcomers without end: each step one of another owner and one urgent one come, and the head lands.
#[test]
fn nothing_waits_for_ever() {
    let priority =
        PriorityPolicy { urgent_hashtag: Some("urgent".into()), urgent_overtakes: 3, ..one_each() };
    let mut world = world_with(priority, 1);
    let campaign = 10;
    (1..=campaign).for_each(|number| world.enter(of(number, "robot")));
    let owners = ["ann", "bob", "carl"];
    let mut landed = Vec::new();
    let mut next = 100;
    while !landed.contains(&campaign) {
        world.enter(of(next, owners[next as usize % owners.len()]));
        world.enter(ChangeSnapshot { hashtags: vec!["urgent".into()], ..of(next + 1, "dora") });
        next += 2;
        landed.push(world.land_head());
        assert!(landed.len() < 100, "{landed:?}");
    }
    let later = landed.iter().filter(|number| **number >= 100).count();
    // Ten turns of three owners, and three urgent ones.
    assert!(later <= 10 * owners.len() + 3, "{landed:?}");
}

#[test]
fn an_owner_has_no_more_built_at_once_than_the_limit() {
    let mut world = world_with(PriorityPolicy { most_per_owner: Some(2), ..Default::default() }, 8);
    (1..=4).for_each(|number| world.enter(of(number, "robot")));
    world.enter(of(5, "bob"));
    assert_eq!(world.building().iter().filter(|number| **number < 5).count(), 2);
    assert!(world.building().contains(&5));
    let view = world.queue.view(world.now);
    let words = &view.queues[0].items[4].words;
    assert_eq!(words, "waits for its turn: 2 changes of robot are built at once");
}

#[test]
fn places_survive_a_restart() {
    let mut world = world_with(PriorityPolicy::default(), 2);
    (1..=5).for_each(|number| world.enter(of(number, "robot")));
    world.enter(of(6, "bob"));
    let order = world.order();
    world.queue = Queue::restore(&world.queue.snapshot()).unwrap();
    world.tell(Event::Restarted);
    assert_eq!(world.order(), order);
}
