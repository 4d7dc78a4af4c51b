//! The picture that pages and the socket show.

use crate::model::view::{DepartedView, ItemView, QueueView, View, WaitingView};
use crate::model::{BuildId, ChangeNumber, ChangeStatus, ItemId, JobName, Reason, Timestamp};

use super::Queue;
use super::admit::item_change;
use super::footprint::Footprints;
use super::speculate::SERIAL_PREPARED;
use super::state::{Change, Item};

impl Queue {
    /// The whole picture at `at`.
    pub fn view(&self, at: Timestamp) -> View {
        let policy = self.state.policy.as_deref();
        let queues = policy.map_or(&[][..], |policy| &policy.queues);
        let checks = self.state.checks.iter().filter_map(|id| self.state.items.get(id));
        View {
            at,
            queues: queues.iter().map(|queue| self.view_queue(queue)).collect(),
            checks: checks.map(|item| self.view_item(item, 0, None)).collect(),
            waiting: self.state.changes.values().filter_map(|change| self.view_waiting(change)).collect(),
            departed: self.state.departed.iter().cloned().collect(),
            paused: self.state.paused.values().cloned().collect(),
            builds_running: u32::try_from(self.state.builds.len()).unwrap_or(u32::MAX),
            slots: policy.map_or(0, |policy| policy.slots),
            effects: u32::try_from(self.state.effects.len()).unwrap_or(u32::MAX),
            unable: self.state.unable.clone(),
        }
    }

    /// An item that has ended, while it is remembered.
    pub fn departed(&self, item: ItemId) -> Option<&DepartedView> {
        self.state.departed.iter().find(|departed| departed.item == item)
    }

    /// The job of a build that holds a slot.
    pub fn job_of(&self, build: BuildId) -> Option<&JobName> {
        self.state.builds.get(&build).map(|build| &build.job)
    }

    fn view_queue(&self, queue: &crate::model::policy::QueuePolicy) -> QueueView {
        use crate::model::policy::StrategyPolicy;
        let order = self.state.queues.get(&queue.name).map_or(&[][..], |order| order);
        let window = match queue.strategy {
            StrategyPolicy::Dependent { window } => window,
            StrategyPolicy::Serial => SERIAL_PREPARED,
        };
        let mut undecided = Footprints::default();
        let mut items = Vec::with_capacity(order.len());
        for item in order.iter().filter_map(|id| self.state.items.get(id)) {
            let node = self.node_of(item);
            let ahead = undecided.met_by(item, node, None).and_then(|id| self.first_change(id));
            let mut view = self.view_item(item, window, ahead);
            let unmade = matches!(
                view.reason,
                Reason::Preparing
                    | Reason::PreparingAgain { .. }
                    | Reason::ConflictAhead
                    | Reason::Slots { .. }
            );
            if unmade && items.len() >= window as usize {
                view.reason = Reason::Window { size: window };
                view.words = view.reason.to_string();
            }
            items.push(view);
            undecided.add(item, node, None);
        }
        QueueView { name: queue.name.clone(), items }
    }

    fn first_change(&self, id: ItemId) -> Option<ChangeNumber> {
        self.state.items.get(&id)?.changes.first().map(|change| change.number)
    }

    fn view_item(&self, item: &Item, window: u32, ahead: Option<ChangeNumber>) -> ItemView {
        let reason = self.reason(item, window, ahead);
        ItemView {
            item: item.id,
            pipeline: item.pipeline,
            changes: item.changes.clone(),
            entered_at: item.entered_at,
            on_top_of: self.on_top_of(item),
            jobs: self.job_results(item.id),
            words: reason.to_string(),
            reason,
        }
    }

    /// A change that someone approved, or an operator asked for, and that is in no queue.
    fn view_waiting(&self, change: &Change) -> Option<WaitingView> {
        let policy = self.state.policy.as_ref()?;
        let snapshot = &change.snapshot;
        let gated = policy.queue_of(&snapshot.pair()).is_some();
        let queued = self.index.gate_of.contains_key(&snapshot.number);
        if snapshot.status != ChangeStatus::Open || snapshot.private || queued || !gated {
            return None;
        }
        let reason = self.obstacle(change, policy)?;
        if matches!(reason, Reason::Approval { .. }) {
            return None;
        }
        Some(WaitingView { change: item_change(snapshot), words: reason.to_string(), reason })
    }
}
