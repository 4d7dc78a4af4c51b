//! What is in doubt is asked for before anything follows from it.

use super::*;
use crate::model::tree::Unit;

#[test]
fn what_is_in_its_branch_already_is_read_once_more_before_it_leaves() {
    for landed in [true, false] {
        let mut world = World::with(&[1], 8);
        world.tell(Event::TipSeen { pair: home(), commit: Some(BY_HAND) });
        assert_eq!(world.ended, [], "the branch may have told before the change");
        let lost = world.rereads.pop().unwrap();
        let outcome = Outcome::Failed("503".into());
        world.tell(Event::EffectEnded { effect: lost.id, outcome });
        assert_eq!(world.ended, [], "nothing is known while Gerrit is away");
        assert!(world.rereads.is_empty(), "it is not asked again at once");
        world.now = world.queue.next_wakeup().unwrap();
        world.tell(Event::Wake);
        let reread = world.rereads.pop().unwrap();
        if landed {
            let merged = ChangeSnapshot { status: ChangeStatus::Merged, ..snapshot(1, 2) };
            world.tell(Event::ChangeSeen { snapshot: merged });
        }
        world.tell(Event::EffectEnded { effect: reread.id, outcome: Outcome::Applied });
        let unfit = Departure::Unfit { why: "nothing to land".into() };
        assert_eq!(world.ended, [(1, if landed { Departure::MergedElsewhere } else { unfit })]);
        assert!(world.rereads.is_empty());
    }
}

#[test]
fn a_tip_that_turns_out_to_be_as_it_was_believed_ends_the_waiting_for_it() {
    let mut world = World::with(&[], 8);
    let other = Pair::new("other", "main");
    let read = |commit| Read { unit: Unit::Branch(other.clone()), value: Some(commit) };
    world.tell(Event::TipSeen { pair: other.clone(), commit: Some(sha(7, 8)) });
    world.reads = vec![read(sha(7, 7))];
    world.tell(Event::ChangeSeen { snapshot: snapshot(1, 2) });
    let reading = world.rereads.pop().unwrap();
    assert_eq!(world.written.len(), 1, "nothing is made anew while the tip is in doubt");
    world.reads = vec![read(sha(7, 8))];
    world.tell(Event::TipSeen { pair: other, commit: Some(sha(7, 8)) });
    world.tell(Event::EffectEnded { effect: reading.id, outcome: Outcome::Applied });
    assert_eq!(world.written.len(), 2, "it is merged and judged on what is there");
    assert!(world.rereads.is_empty());
}
