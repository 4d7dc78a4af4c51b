//! The picture that pages and the socket show.

use crate::model::policy::QueuePolicy;
use crate::model::view::{BuildView, DepartedView, ItemView, QueueView, View, WaitingView};
use crate::model::{
    BuildId, ChangeNumber, ChangeStatus, ItemId, JobName, Policy, QueueName, Reason, Timestamp,
};

use super::Queue;
use super::admit::item_change;
use super::footprint::Footprints;
use super::state::{Change, Item};

impl Queue {
    /// The whole picture at `at`.
    pub fn view(&self, at: Timestamp) -> View {
        let policy = self.state.policy.as_deref();
        let queues = policy.map_or(&[][..], |policy| &policy.queues);
        let checks = self.state.checks.iter().filter_map(|id| self.state.items.get(id));
        View {
            at,
            queues: queues.iter().flat_map(|queue| self.view_queues(queue)).collect(),
            checks: checks.map(|item| self.view_item(item, None)).collect(),
            waiting: self.state.changes.values().filter_map(|change| self.view_waiting(change)).collect(),
            departed: self.state.departed.iter().cloned().collect(),
            paused: self.state.paused.values().cloned().collect(),
            builds: self.view_builds(),
            builds_running: u32::try_from(self.state.builds.len()).unwrap_or(u32::MAX),
            slots: policy.map_or(0, |policy| policy.slots),
            effects: u32::try_from(self.state.effects.len()).unwrap_or(u32::MAX),
            unable: self.state.unable.clone(),
            flakes: self.view_flakes(),
            runs: self.view_runs(),
        }
    }

    /// The configuration in force.
    pub fn policy(&self) -> Option<&Policy> {
        self.state.policy.as_deref()
    }

    /// An item that has ended, while it is remembered.
    pub fn departed(&self, item: ItemId) -> Option<&DepartedView> {
        self.state.departed.iter().find(|departed| departed.item == item)
    }

    /// The job of a build that holds a slot.
    pub fn job_of(&self, build: BuildId) -> Option<&JobName> {
        self.state.builds.get(&build).map(|build| &build.job)
    }

    /// Whether a job is the operators' own, rather than of some repository's job file.
    pub fn declares(&self, job: &JobName) -> bool {
        let policy = self.state.policy.as_ref();
        policy.is_some_and(|policy| policy.jobs.iter().any(|own| own.name == *job))
    }

    /// A declared queue, or those that it stands for by branch, as far as something is in them.
    fn view_queues(&self, queue: &QueuePolicy) -> Vec<QueueView> {
        if !queue.per_branch {
            return vec![self.view_queue(&queue.name)];
        }
        let owned = self.state.queues.iter().filter(|(name, order)| queue.owns(name) && !order.is_empty());
        owned.map(|(name, _)| self.view_queue(name)).collect()
    }

    fn view_queue(&self, name: &QueueName) -> QueueView {
        let order = self.state.queues.get(name).map_or(&[][..], |order| order);
        let mut undecided = Footprints::default();
        let mut items = Vec::with_capacity(order.len());
        for (place, item) in order.iter().filter_map(|id| self.state.items.get(id)).enumerate() {
            let print = self.print_of(item);
            let met = undecided.met_by(print, None).and_then(|place| order.get(place));
            let ahead = met.and_then(|id| self.first_change(*id));
            let mut view = self.view_item(item, ahead);
            view.place = self.place_in_words(item, order);
            let unmade = matches!(
                view.reason,
                Reason::Preparing
                    | Reason::PreparingAgain { .. }
                    | Reason::ConflictAhead { .. }
                    | Reason::JobFileAhead { .. }
                    | Reason::Slots { .. }
            );
            if let Some(reason) = self.beyond_window(item).filter(|_| unmade) {
                view.words = reason.to_string();
                view.reason = reason;
            }
            items.push(view);
            undecided.add(place, print, None);
        }
        QueueView { name: name.clone(), items }
    }

    fn view_builds(&self) -> Vec<BuildView> {
        let builds = self.state.builds.iter().map(|(id, build)| BuildView {
            build: *id,
            job: build.job.clone(),
            home: build.home.clone(),
            item: build.item,
            started_at: build.started_at,
            deadline: build.deadline,
        });
        builds.collect()
    }

    /// The undecided items that the item's node contains, in order.
    fn items_below(&self, item: &Item) -> Vec<ItemId> {
        let contained = self.node_of(item).map_or(&[][..], |node| &node.contains);
        contained.iter().copied().filter(|id| self.state.items.contains_key(id)).collect()
    }

    /// All changes whose content a build that holds a slot can see: its item's, and those ahead of it.
    pub fn changes_in(&self, build: BuildId) -> Vec<ChangeNumber> {
        let item = self.state.builds.get(&build).and_then(|build| self.state.items.get(&build.item));
        let Some(item) = item else { return Vec::new() };
        let own = item.changes.iter().map(|change| change.number);
        self.on_top_of(item).into_iter().chain(own).collect()
    }

    pub(super) fn first_change(&self, id: ItemId) -> Option<ChangeNumber> {
        self.state.items.get(&id)?.changes.first().map(|change| change.number)
    }

    fn view_item(&self, item: &Item, ahead: Option<ChangeNumber>) -> ItemView {
        let reason = self.reason(item, ahead);
        ItemView {
            item: item.id,
            pipeline: item.pipeline.clone(),
            changes: item.changes.clone(),
            entered_at: item.entered_at,
            on_top_of: self.on_top_of(item),
            contains: self.items_below(item),
            jobs: self.job_results(item.id),
            words: reason.to_string(),
            reason,
            place: String::new(),
            past: item.past.clone(),
            unneeded: self.unneeded_of(item).to_vec(),
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
