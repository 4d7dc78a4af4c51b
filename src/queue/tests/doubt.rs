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

#[test]
fn what_has_landed_since_a_node_was_asked_for_is_not_foreign() {
    let mut world = World::with(&[], 8);
    world.tell(Event::ChangeSeen { snapshot: snapshot(1, 2) });
    let first = *world.written.values().next().unwrap();
    let unknown = Foreign { pair: home(), commit: first, change_id: None, merged_from: false };
    // A store that was restarted knows no more that the first node's commit is the daemon's own.
    world.foreign.insert(2, vec![unknown]);
    world.tell(Event::ChangeSeen { snapshot: snapshot(2, 2) });
    let asking = world.rereads.pop().unwrap();
    world.foreign.clear();
    world.judge(1, true);
    world.look(2);
    let (push, _) = world.pushed();
    world.end_push(&push, Outcome::Applied);
    let made = world.written.len();
    world.tell(Event::CommitSeen { effect: asking.id, commit: first, change_id: None, changes: vec![] });
    assert!(matches!(&world.ended[..], [(1, Departure::Landed { .. })]), "{:?}", world.ended);
    assert_eq!(world.written.len(), made + 1, "what it brings in is counted from where the branch is now");
}
