//! What a person asks for, and what is answered.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::model::event::{Command, Scope};
use crate::model::view::PauseView;
use crate::model::{
    Account, ChangeNumber, ChangeStatus, Class, ItemId, Pair, PipelineName, QueueName, Reason,
};

use super::admit::unmet_requirements;
use super::state::Change;
use super::{Note, Queue};

/// Who takes which change out of its queue, and why.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Dequeued {
    pub change: ChangeNumber,
    pub by: Account,
    pub reason: Arc<str>,
}

impl Queue {
    /// Takes in a command; the answer is a note.
    pub(super) fn operator(&mut self, request: u64, by: Account, command: Command) {
        let answer = match command {
            Command::Enqueue { change } => self.enqueue(change, by),
            Command::Dequeue { change, reason } => self.dequeue(change, &by, reason),
            Command::Promote { changes } => self.promote(&changes),
            Command::Recheck { change, pipeline: None } => self.recheck(change),
            Command::Recheck { change, pipeline: Some(name) } => self.demand(change, name),
            Command::Pause { scope, reason } => self.pause(scope, reason, by),
            Command::Resume { scope, .. } => self.unpause(&scope),
        };
        let (accepted, text) = match answer {
            Ok(text) => (true, text),
            Err(text) => (false, text),
        };
        self.out.notes.push(Note::Answer { request, accepted, text });
    }

    /// Has a change checked once more: what failed is built anew, what passed counts as far as nothing that
    /// it read has changed.
    fn recheck(&mut self, number: ChangeNumber) -> Result<String, String> {
        if self.state.policy.as_ref().is_none_or(|policy| !policy.check.enabled) {
            return Err("the check is turned off: see `enabled` under [pipeline.check]".into());
        }
        if self.index.gate_of.contains_key(&number) {
            return Ok(format!("change {number} is in its queue and being tested there"));
        }
        if self.index.check_of.contains_key(&number) {
            return Ok(format!("change {number} is being checked"));
        }
        let change = self.open_change(number)?;
        change.recheck = Some(change.snapshot.revision);
        self.index.touch_change(number);
        Ok(format!("change {number} is checked again: what failed is built anew"))
    }

    /// Has a pipeline run on a change because somebody asked for it.
    fn demand(&mut self, number: ChangeNumber, name: PipelineName) -> Result<String, String> {
        let pipelines = self.state.policy.as_ref().map(|policy| &policy.pipelines);
        let known: Vec<&str> =
            pipelines.into_iter().flat_map(|all| &all.on_demand).map(|own| own.name.as_str()).collect();
        if !known.contains(&name.as_str()) {
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            return Err(format!("there is no on-demand pipeline `{name}`; the configuration has: {known}"));
        }
        if self.index.demand_of.contains_key(&(number, name.clone())) {
            return Ok(format!("change {number} is in the pipeline {name} already"));
        }
        let change = self.open_change(number)?;
        change.demanded.insert(name.clone(), change.snapshot.revision);
        self.index.touch_change(number);
        Ok(format!("the pipeline {name} runs on change {number}: what failed in it is built anew"))
    }

    /// An open change that is known and that something can judge: no job runs where no queue gates.
    fn open_change(&mut self, number: ChangeNumber) -> Result<&mut Change, String> {
        let is_closed = self.state.closed.contains_key(&number);
        let Some(change) = self.state.changes.get_mut(&number) else {
            return Err(match is_closed {
                true => format!("change {number} is closed: it has landed, or was abandoned"),
                false => format!("change {number} is closed, or in no repository that a queue gates"),
            });
        };
        if change.snapshot.status != ChangeStatus::Open || change.snapshot.private {
            return Err(format!("change {number} is closed or private: only open changes are checked"));
        }
        let pair = change.snapshot.pair();
        if self.state.policy.as_ref().is_none_or(|policy| policy.queue_of(&pair).is_none()) {
            return Err(ungated(&pair));
        }
        Ok(change)
    }

    fn enqueue(&mut self, number: ChangeNumber, by: Account) -> Result<String, String> {
        if self.index.gate_of.contains_key(&number) {
            return Ok(format!("change {number} is in its queue already"));
        }
        let Some(change) = self.state.changes.get_mut(&number) else {
            self.state.expected.insert(number, by);
            self.index.dirty_expected = true;
            return Ok(format!(
                "change {number} is not known yet: it is read from the review host and enters its queue if it can; see `seakeeper status {number}`"
            ));
        };
        if change.snapshot.status != ChangeStatus::Open {
            return Err(format!("change {number} is closed: restore it in Gerrit first"));
        }
        let before = (change.forced.replace(change.snapshot.revision), change.failed.take());
        let answer = self.may_enter(number);
        if answer.is_ok() {
            self.index.touch_change(number);
        } else if let Some(change) = self.state.changes.get_mut(&number) {
            (change.forced, change.failed) = before;
        }
        answer
    }

    /// What is answered to whoever wants a change to enter its queue: whether it will.
    fn may_enter(&self, number: ChangeNumber) -> Result<String, String> {
        let Some(policy) = self.state.policy.clone() else {
            return Err("no configuration is in force".into());
        };
        let Some(change) = self.state.changes.get(&number) else {
            return Err(format!("change {number} is gone"));
        };
        if policy.queue_of(&change.snapshot.pair()).is_none() {
            return Err(ungated(&change.snapshot.pair()));
        }
        match self.obstacle(change, &policy) {
            None => {
                let unmet = unmet_requirements(&change.snapshot, &policy);
                let lacks = if unmet.is_empty() {
                    String::new()
                } else {
                    format!("; it lands only if {} is met once its builds have passed", unmet.join(", "))
                };
                Ok(format!("change {number} enters its queue{lacks}"))
            }
            // It enters with those, or after them.
            Some(
                reason @ (Reason::Together { .. }
                | Reason::Parent { .. }
                | Reason::Depends { .. }
                | Reason::DependsElsewhere { .. }),
            ) => Ok(format!("change {number} enters its queue as soon as it can; for now it {reason}")),
            Some(reason) => Err(format!("change {number} cannot enter now: it {reason}")),
        }
    }

    fn dequeue(&mut self, number: ChangeNumber, by: &Account, reason: Arc<str>) -> Result<String, String> {
        self.state.expected.remove(&number);
        let Some(id) = self.index.gate_of.get(&number).copied() else {
            return Err(format!("change {number} is in no queue; `seakeeper status` lists what is"));
        };
        let Some(item) = self.state.items.get_mut(&id) else {
            return Err(format!("change {number} is in no queue"));
        };
        if item.stage.is_pushed() {
            return Err(format!("change {number} is being pushed: it can no longer be taken out"));
        }
        item.dequeued = Some(Dequeued { change: number, by: by.clone(), reason });
        let mates = item.changes.iter().filter(|change| change.number != number);
        let mates: Vec<String> = mates.map(|change| change.number.named()).collect();
        let with =
            if mates.is_empty() { String::new() } else { format!(", and with it {}", mates.join(", ")) };
        self.index.touch_change(number);
        Ok(format!(
            "change {number} leaves its queue{with}; a new vote, or `seakeeper enqueue {number}`, brings it back"
        ))
    }

    fn promote(&mut self, numbers: &[ChangeNumber]) -> Result<String, String> {
        let mut moved: Vec<(QueueName, ItemId)> = Vec::new();
        for number in numbers {
            let id = self.index.gate_of.get(number).copied();
            let found = id.and_then(|id| Some((self.state.items.get(&id)?.queue.clone()?, id)));
            match found {
                Some(found) if !moved.contains(&found) => moved.push(found),
                Some(_) => {}
                None => return Err(format!("change {number} is in no queue: nothing was moved")),
            }
        }
        let queues: BTreeSet<QueueName> = moved.iter().map(|(queue, _)| queue.clone()).collect();
        for queue in queues {
            let mut first: Vec<ItemId> = Vec::new();
            for (_, id) in moved.iter().filter(|(name, _)| *name == queue) {
                self.with_parents(*id, &mut first);
            }
            self.reorder(&queue, &first);
        }
        Ok("moved to the head, behind what is being pushed; what was built on other predecessors is built again where its inputs changed".into())
    }

    /// An item, and before it those that it rests on or depends on: behind it they would wait for one
    /// another.
    pub(super) fn with_parents(&self, id: ItemId, first: &mut Vec<ItemId>) {
        let mut todo = vec![(id, false)];
        // Items that need each other are parted soon, and stand as they come until then.
        let mut begun = BTreeSet::new();
        while let Some((id, parents_done)) = todo.pop() {
            if first.contains(&id) {
                continue;
            }
            if parents_done {
                first.push(id);
                continue;
            }
            if !begun.insert(id) {
                continue;
            }
            todo.push((id, true));
            let Some(item) = self.state.items.get(&id) else { continue };
            let changes = item.changes.iter().filter_map(|change| self.state.changes.get(&change.number));
            let parents = changes.flat_map(|change| &change.snapshot.parents);
            let parents = parents.filter_map(|parent| self.index.by_revision.get(parent)).copied();
            let dependencies: BTreeSet<ChangeNumber> = self.undecided_dependencies(item).collect();
            let all: Vec<ChangeNumber> = parents.chain(dependencies).collect();
            // What is put in last is looked at first.
            todo.extend(all.iter().rev().filter_map(|number| {
                let other = self.index.gate_of.get(number)?;
                let same = self.state.items.get(other)?.queue == item.queue;
                (same && *other != id).then_some((*other, false))
            }));
        }
    }

    fn reorder(&mut self, queue: &QueueName, first: &[ItemId]) {
        let Some(order) = self.state.queues.get_mut(queue) else { return };
        let pushed = |id: &ItemId| {
            let stage = self.state.items.get(id).map(|item| item.stage);
            stage.is_some_and(|stage| stage.is_pushed())
        };
        let mut next: Vec<ItemId> = order.iter().copied().filter(pushed).collect();
        let moved: Vec<ItemId> = first.iter().copied().filter(|id| !pushed(id)).collect();
        next.extend(&moved);
        let rest: Vec<ItemId> = order.iter().copied().filter(|id| !next.contains(id)).collect();
        next.extend(rest);
        *order = next.clone();
        for id in moved {
            self.set_place(id, |place| place.class = Class::Promoted);
        }
        self.rank_in_order(&next);
        self.index.order_changed(queue);
    }

    fn pause(&mut self, scope: Scope, reason: Arc<str>, by: Account) -> Result<String, String> {
        if reason.trim().is_empty() {
            return Err("a stop needs a reason: --reason TEXT; it is shown on everything that waits".into());
        }
        if let (Scope::Queue(name), Some(policy)) = (&scope, &self.state.policy)
            && !policy.queues.iter().any(|queue| queue.is_called(name) || queue.owns(name))
        {
            return Err(format!("there is no queue `{name}`"));
        }
        let words = scope_words(&scope);
        let pause = PauseView { scope: scope.clone(), reason, by, at: self.state.now };
        self.state.paused.insert(scope, pause);
        self.index.dirty_queues.extend(self.state.queues.keys().cloned());
        Ok(format!("{words} is stopped; builds go on, nothing is pushed that is not being pushed now"))
    }

    fn unpause(&mut self, scope: &Scope) -> Result<String, String> {
        let words = scope_words(scope);
        if self.state.paused.remove(scope).is_none() {
            return Err(format!("{words} is not stopped; `seakeeper status` shows what is"));
        }
        self.index.dirty_queues.extend(self.state.queues.keys().cloned());
        Ok(format!("{words} goes on"))
    }

    /// Asks for changes that an operator named and nobody has seen yet.
    pub(super) fn plan_expected(&mut self) {
        let unknown: Vec<ChangeNumber> = self.state.expected.keys().copied().collect();
        for change in unknown {
            if !self.observes_change(change) {
                let repository = "".into();
                self.ask(crate::model::EffectKind::ObserveChange { change, repository });
            }
        }
    }
}

/// That no queue gates a branch, in words.
fn ungated(pair: &Pair) -> String {
    format!("no queue gates {pair}: add its repository, or this branch of it, to a [[queue]]")
}

/// What is stopped, in words.
pub(super) fn scope_words(scope: &Scope) -> String {
    match scope {
        Scope::Everything => "landing everywhere".into(),
        Scope::Queue(name) => format!("landing in queue {name}"),
        Scope::Repository(repository) => format!("landing in repository {repository}"),
    }
}
