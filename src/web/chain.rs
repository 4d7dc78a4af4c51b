//! The speculative chain beside a queue's items, drawn as rows of a graph: each item hangs from the
//! nearest item ahead that its node contains, and what fails hangs beside the chain.

use std::collections::BTreeMap;

use super::html::Html;
use super::state::State;
use crate::model::ItemId;
use crate::model::view::ItemView;

/// Lanes that are drawn; what would lie further out shares the last.
const LANES: usize = 3;
/// Distance of two lanes, and of the first from the edge, in pixels.
const LANE_PX: usize = 13;
/// Height of the part of a row that is drawn as one picture, in pixels; below it lanes only go on.
const HEIGHT_PX: usize = 28;
/// Where the item's mark is, from the top, in pixels.
const MARK_PX: usize = 14;

/// What one row of the graph shows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cell {
    /// The item's own lane.
    pub lane: usize,
    /// Whether it hangs from an item above.
    pub hangs: bool,
    /// Lanes that pass by.
    pub passing: Vec<usize>,
    /// Lanes of what hangs from it.
    pub below: Vec<usize>,
    /// Which mark it has.
    pub state: State,
}

/// The rows of a queue's graph.
pub fn rows(items: &[ItemView]) -> Vec<Cell> {
    let places: BTreeMap<ItemId, usize> =
        items.iter().enumerate().map(|(place, item)| (item.item, place)).collect();
    let states: Vec<State> = items.iter().map(State::of).collect();
    let mut children: Vec<Vec<usize>> = vec![Vec::new(); items.len()];
    for (place, item) in items.iter().enumerate() {
        let parent = item.contains.last().and_then(|parent| places.get(parent));
        if let Some(parent) = parent.filter(|parent| **parent < place) {
            children[*parent].push(place);
        }
    }
    for of_one in &mut children {
        of_one.sort_by_key(|place| (states[*place] == State::Bad, *place));
    }
    let mut lanes: Vec<Option<usize>> = Vec::new();
    let mut rows = Vec::with_capacity(items.len());
    for (place, hanging) in children.iter().enumerate() {
        let held = lanes.iter().position(|lane| *lane == Some(place));
        let lane = held.unwrap_or_else(|| free(&lanes, usize::from(states[place] == State::Bad)));
        take(&mut lanes, lane, None);
        let mut passing: Vec<usize> =
            (0..lanes.len()).filter(|other| lanes[*other].is_some()).map(clamp).collect();
        passing.dedup();
        let mut below = Vec::new();
        for child in hanging {
            let straight = below.is_empty() && states[*child] != State::Bad;
            let to = if straight { lane } else { free(&lanes, lane + 1) };
            take(&mut lanes, to, Some(*child));
            below.push(clamp(to));
        }
        below.dedup();
        let hangs = held.is_some();
        rows.push(Cell { lane: clamp(lane), hangs, passing, below, state: states[place] });
    }
    rows
}

fn clamp(lane: usize) -> usize {
    lane.min(LANES - 1)
}

fn free(lanes: &[Option<usize>], from: usize) -> usize {
    (from..lanes.len()).find(|lane| lanes[*lane].is_none()).unwrap_or(from.max(lanes.len()))
}

fn take(lanes: &mut Vec<Option<usize>>, lane: usize, by: Option<usize>) {
    if lanes.len() <= lane {
        lanes.resize(lane + 1, None);
    }
    lanes[lane] = by;
}

fn x(lane: usize) -> usize {
    LANE_PX / 2 + 2 + lane * LANE_PX
}

/// Draws one row. It says nothing that is not in words beside it, so readers of the screen skip it.
pub fn draw(html: &mut Html, cell: &Cell) {
    html.raw(
        "<span class=\"graph\" aria-hidden=\"true\"><svg width=\"44\" height=\"28\" viewBox=\"0 0 44 28\">",
    );
    let own = x(cell.lane);
    for lane in &cell.passing {
        line(html, x(*lane), 0, HEIGHT_PX);
    }
    if cell.hangs {
        line(html, own, 0, MARK_PX);
    } else {
        // The branch itself: a short foot above the mark.
        html.raw("<path class=\"base\" d=\"M").text(own - 4).raw(" 3H").text(own + 4).raw("M").text(own);
        html.raw(" 3V14\"/>");
    }
    for lane in &cell.below {
        let to = x(*lane);
        if to == own {
            line(html, own, MARK_PX, HEIGHT_PX);
        } else {
            html.raw("<path d=\"M").text(own).raw(" 14C").text(own).raw(" 22 ").text(to).raw(" 18 ");
            html.text(to).raw(" 28\"/>");
        }
    }
    mark(html, own, cell.state);
    html.raw("</svg>");
    for lane in cell.passing.iter().chain(&cell.below) {
        html.element("<i class=\"lane l", lane, "\"></i>");
    }
    html.raw("</span>");
}

fn line(html: &mut Html, at: usize, from: usize, to: usize) {
    html.raw("<path d=\"M").text(at).raw(" ").text(from).raw("V").text(to).raw("\"/>");
}

/// The mark tells the state by its shape too, not by colour alone.
fn mark(html: &mut Html, at: usize, state: State) {
    html.element("<circle class=\"", state.word(), "\" r=\"5\" cy=\"14\" cx=\"").text(at).raw("\"/>");
    match state {
        State::Bad => {
            html.raw("<path class=\"sign\" d=\"M").text(at - 2).raw(" 12l4 4m0-4l-4 4\"/>");
        }
        State::Good => {
            html.raw("<path class=\"sign\" d=\"M").text(at - 3).raw(" 14l2 2l3-4\"/>");
        }
        State::Busy => {
            html.raw("<circle class=\"core\" r=\"2\" cy=\"14\" cx=\"").text(at).raw("\"/>");
        }
        State::Held => {
            html.raw("<path class=\"sign\" d=\"M").text(at).raw(" 11v3m0 2v1\"/>");
        }
        State::Waits | State::Unseen => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Pipeline, Reason, Timestamp};

    fn item(id: u64, contains: &[u64], reason: Reason) -> ItemView {
        ItemView {
            item: ItemId(id),
            pipeline: Pipeline::Gate,
            changes: vec![],
            entered_at: Timestamp(0),
            on_top_of: vec![],
            contains: contains.iter().map(|id| ItemId(*id)).collect(),
            jobs: vec![],
            words: String::new(),
            reason,
            place: String::new(),
            past: Vec::new(),
            unneeded: Vec::new(),
        }
    }

    #[test]
    fn what_fails_hangs_beside_the_chain() {
        let rows = rows(&[
            item(1, &[], Reason::Voting),
            item(2, &[1], Reason::FailedAhead { jobs: vec![] }),
            item(3, &[1], Reason::Preparing),
            item(4, &[1, 3], Reason::Preparing),
        ]);
        let lanes: Vec<_> = rows.iter().map(|row| (row.lane, row.hangs)).collect();
        assert_eq!(lanes, [(0, false), (1, true), (0, true), (0, true)]);
        assert_eq!((&rows[0].below[..], &rows[1].passing[..]), (&[0, 1][..], &[0][..]));
        assert!(rows[3].below.is_empty() && rows[3].passing.is_empty());
    }

    #[test]
    fn items_that_do_not_meet_have_roots_of_their_own() {
        let rows = rows(&[
            item(1, &[], Reason::Preparing),
            item(2, &[], Reason::Preparing),
            item(3, &[1], Reason::Preparing),
        ]);
        let shape: Vec<_> = rows.iter().map(|row| (row.lane, row.hangs, row.passing.clone())).collect();
        assert_eq!(shape, [(0, false, vec![]), (1, false, vec![0]), (0, true, vec![])]);
    }

    #[test]
    fn many_lanes_share_the_last_and_nothing_is_out_of_bounds() {
        let mut items = vec![item(1, &[], Reason::Preparing)];
        items.extend((2..40).map(|id| item(id, &[1], Reason::Preparing)));
        let rows = rows(&items);
        assert!(rows.iter().all(|row| row.lane < LANES && row.passing.iter().all(|lane| *lane < LANES)));
    }
}
