//! Amends what the last pass over a queue has found, where no more has changed than a few single items:
//! most steps bring news of one.
//!
//! It saves time and decides nothing. Only a pass that found all items in plain standing, none of them held by
//! the strategy, is amended, on the same tips and in the same order; only items that are so again are, and
//! where one leaves something else to those behind it, none of them may rest on that. Anything else is for a
//! walk along the queue. Where debug assertions are on, as in all simulations, what was amended is held against
//! what such a walk finds.

use crate::model::policy::QueuePolicy;
use crate::model::{ItemId, QueueName};

use super::Queue;
use super::ahead::Ahead;
use super::jobs::Standing;
use super::memo::{Calm, Memos};
use super::plain::Plain;
use super::speculate::steps;
use super::strategy::{is_unbuilt, reach_stays, walk};
use super::tally::{Tally, Unbuilt};

/// With news of more items of a queue than these, it is walked along; and where there is news of so many more in
/// other queues that finding them takes as long.
const NEWS_MAX: usize = 8;
const NEWS_OF_ALL_MAX: usize = 8 * NEWS_MAX;

impl Queue {
    /// Amends the last pass; gives how many items are within reach. `None` where the queue is to be walked along:
    /// nothing was decided then.
    pub(super) fn amend(
        &mut self,
        order: &[ItemId],
        queue: &QueuePolicy,
        (slots, window): (u32, Option<u32>),
        ahead: &mut Ahead,
        memos: &mut Memos,
    ) -> Option<usize> {
        let calm = memos.calm.take()?;
        let reach = memos.reach();
        let is_as_then = memos.is_whole(self.index.prints.changed()) && calm.window == window;
        if !is_as_then || self.index.news.len() > NEWS_OF_ALL_MAX {
            return None;
        }
        // Nothing else of it is looked at.
        ahead.holds.clear();
        let front = &order[..reach];
        let mut places = std::mem::take(&mut ahead.places);
        places.clear();
        places.extend(self.index.news.iter().filter_map(|id| front.iter().position(|other| other == id)));
        places.sort_unstable();
        let mut tally = calm.tally;
        let are_amended = places.len() <= NEWS_MAX
            && places.iter().all(|place| self.amend_item(front[*place], *place, ahead, memos, &mut tally));
        let to_come = [calm.tally.to_come, tally.to_come];
        if !are_amended || !reach_stays(queue, slots, reach == order.len(), to_come) {
            ahead.places = places;
            return None;
        }
        let chances = self.index.chances.changed();
        if calm.chances != chances || !calm.tally.unbuilt.are_all_asked(places.len()) {
            tally.unbuilt = self.count_unbuilt(memos);
        }
        for place in places.drain(..) {
            self.index.news.remove(&front[place]);
        }
        ahead.places = places;
        ahead.tally = tally;
        let is_passed = |standing| standing == Standing::Passed;
        ahead.last_built = memos.last_that(|standing| is_passed(standing) || standing == Standing::Building);
        ahead.last_passed = if tally.passed > 0 { memos.last_that(is_passed) } else { None };
        memos.calm = Some(Calm { tally, window, chances });
        if cfg!(debug_assertions) {
            self.check_amended(front, order.len(), queue, (slots, window), ahead, memos);
        }
        Some(reach)
    }

    /// Notes that a pass may be amended, after a whole one.
    pub(super) fn note_calm(
        &mut self,
        name: &QueueName,
        window: Option<u32>,
        ahead: &Ahead,
        memos: &mut Memos,
    ) {
        let is_calm =
            !ahead.has_others && ahead.failing.is_empty() && ahead.stuck.is_empty() && ahead.holds.is_empty();
        let chances = self.index.chances.changed();
        memos.calm = is_calm.then_some(Calm { tally: ahead.tally, window, chances });
        // What is too far back is looked at when it comes nearer, whatever is known of it.
        let is_of_another = |id: &ItemId| {
            let item = self.state.items.get(id);
            item.is_some_and(|item| item.queue.as_ref() != Some(name))
        };
        self.index.news.retain(is_of_another);
    }

    /// Looks at one item; true when it is in plain standing again, and what is behind it is not concerned.
    fn amend_item(
        &self,
        id: ItemId,
        place: usize,
        ahead: &mut Ahead,
        memos: &mut Memos,
        tally: &mut Tally,
    ) -> bool {
        let (Some(now), Some(before)) = (self.plain_again(id, place, ahead, memos), memos.plain(place))
        else {
            return false;
        };
        let left = now.left();
        let concerns = |plain: &Plain| memos.has_readers_behind(place, &plain.print);
        if memos.left(place) != left && (concerns(before) || concerns(&now)) {
            return false;
        }
        // How far the strategy looks may change by this, and another item's standing hide it.
        if is_unbuilt(now.standing) && !is_unbuilt(before.standing) {
            return false;
        }
        let chances = &self.index.chances;
        tally.take(before.standing, before.is_to_begin(), || chances.of(&before.odds));
        tally.add(now.standing, || now.is_to_begin(), || chances.of(&now.odds));
        memos.note(place, Some(now), left);
        true
    }

    /// What is to be remembered of an item that stays at its node, in plain standing as before.
    fn plain_again(&self, id: ItemId, place: usize, ahead: &mut Ahead, memos: &Memos) -> Option<Plain> {
        memos.plain(place).filter(|plain| !plain.is_landing)?;
        let item = self.state.items.get(&id).filter(|item| !item.stage.is_pushed())?;
        let node = self.node_of(item)?;
        let basis = self.basis(self.print_of(item)?, |pair| memos.written_before(place, pair));
        ahead.predicted.clear();
        basis.written().for_each(|(pair, node)| ahead.predicted.write_one(pair, node));
        // On the same tips it has the branches that it had.
        let stays = self.is_of_use(item, node) && self.agrees(node, &ahead.predicted);
        stays.then(|| self.plain_of(id, Some(basis))).flatten()
    }

    /// Counts the items that are still to be built anew.
    fn count_unbuilt(&self, memos: &Memos) -> Unbuilt {
        let mut unbuilt = Unbuilt::default();
        memos.to_build().for_each(|plain| unbuilt.add(|| self.index.chances.of(&plain.odds)));
        unbuilt
    }

    /// Holds what was amended against what a walk along the queue finds.
    fn check_amended(
        &self,
        front: &[ItemId],
        length: usize,
        queue: &QueuePolicy,
        (slots, window): (u32, Option<u32>),
        ahead: &Ahead,
        memos: &Memos,
    ) {
        let mut walked = Ahead::default();
        let mut walk = walk(queue, slots, window);
        for (place, id) in front.iter().enumerate() {
            let plain = memos.plain(place);
            assert!(plain.is_some(), "{id:?} is not in plain standing");
            let is_landing = plain.is_some_and(|plain| plain.is_landing);
            assert!(is_landing || !walk.is_too_far(steps(place)), "{id:?} is too far back");
            plain.into_iter().for_each(|plain| self.go_past(*id, place, plain, &mut walked, &mut *walk));
        }
        assert!(front.len() == length || walk.is_too_far(steps(front.len())), "more items are within reach");
        assert_eq!(
            (walked.tally, walked.last_built, walked.last_passed),
            (ahead.tally, ahead.last_built, ahead.last_passed),
            "a pass was amended wrongly"
        );
    }
}
