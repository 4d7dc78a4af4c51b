//! The judge of a run: reads the journal and the world, and says when a promise is broken.
//!
//! It keeps books of its own, made of the events and actions as journaled, and derives from them
//! anew what the core should have concluded. It shares no code with the core beyond `resolve`.

mod alternatives;
mod books;
mod demand;
mod depend;
mod footprint;
mod graph;
mod landed;
mod landing;
mod leaving;
mod oracle;
mod order;
mod overtake;
mod part;
mod pins;
mod place;
mod pool;
mod reports;
mod rest;
mod runs;
mod worlds;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub use books::{Book, LandingBook, NodeBook};
use place::Turns;
pub use rest::Remaining;

use crate::model::action::Decision;
use crate::model::event::{BuildPhase, Command, Scope};
use crate::model::report::{Report, Says};
use crate::model::tree::{Prepared, Resolved};
use crate::model::{
    Action, BuildId, ChangeNumber, ChangeSnapshot, ChangeStatus, Departure, Effect, EffectId, EffectKind,
    Event, ItemId, NodeId, Pair, Pipeline, Policy, QueueName, Sha, Timestamp, Verdict, VerdictKey,
};
use crate::port::Entry;
use crate::sim::setting::Setting;
use crate::world::Gerrit;

/// A broken promise: which, and what was seen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fault {
    /// The invariant's short name.
    pub invariant: &'static str,
    /// What was seen.
    pub what: String,
}

/// The outcome of a check.
pub type Checked = Result<(), Fault>;

/// Fails a check.
pub fn fault<T>(invariant: &'static str, what: String) -> Result<T, Fault> {
    Err(Fault { invariant, what })
}

/// Builds that one stay may cause: a bound that only a loop can reach.
const BUILDS_MAX: u32 = 150;

/// What is known of a key from the builds that ended.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// Builds that passed.
    pub passes: u32,
    /// Builds that failed.
    pub failures: u32,
    /// Builds without a verdict.
    pub lost: u32,
}

/// The books.
#[derive(Debug, Default)]
pub struct Audit {
    /// The configuration in force.
    pub policy: Option<std::sync::Arc<Policy>>,
    /// Whether every item was once settled wrongly only by chance (flaky builds).
    deterministic: bool,
    items: BTreeMap<ItemId, Book>,
    nodes: BTreeMap<NodeId, NodeBook>,
    order: BTreeMap<QueueName, Vec<ItemId>>,
    /// The last turn that each owner was given in each queue, urgent ones apart.
    turns: BTreeMap<(QueueName, bool), Turns>,
    landings: BTreeMap<EffectId, LandingBook>,
    builds: BTreeMap<BuildId, (VerdictKey, ItemId)>,
    tallies: BTreeMap<VerdictKey, Tally>,
    looks: BTreeMap<ChangeNumber, (Timestamp, ChangeSnapshot)>,
    known: BTreeMap<ChangeNumber, ChangeSnapshot>,
    /// What was told last of each change, be it late news: all that is known of one that was forgotten.
    latest: BTreeMap<ChangeNumber, ChangeSnapshot>,
    gone: BTreeSet<ChangeNumber>,
    /// Earlier patch sets of changes, as they were told.
    replaced: BTreeSet<Sha>,
    paused: BTreeSet<Scope>,
    effects: BTreeSet<EffectId>,
    ended: BTreeSet<EffectId>,
    /// All tips that a branch has had, in order.
    tips: BTreeMap<Pair, Vec<Sha>>,
    /// What the daemon was told of a branch.
    told: BTreeMap<Pair, worlds::Told>,
    /// Pushes of the daemon that have landed, with what they closed.
    landed: BTreeSet<EffectId>,
    /// Changes of which a person must be told that another tree has landed.
    alarms: BTreeSet<ChangeNumber>,
    said: BTreeMap<(ItemId, ChangeNumber), Vec<Report>>,
    /// The last report that has left a vote on each change, by its first attempt, and the vote.
    votes: BTreeMap<ChangeNumber, (EffectId, i32)>,
    /// The node of which each report that an item has passed was made.
    passes: BTreeMap<EffectId, Option<NodeId>>,
    /// The items of each push that was asked for, and the branches in which they have landed.
    pushed: BTreeMap<EffectId, Vec<ItemId>>,
    landed_pairs: BTreeMap<ItemId, BTreeSet<Pair>>,
    runs: runs::RunBooks,
    /// What people ask for.
    pub demands: demand::DemandBooks,
    /// What queues pin.
    pub pins: pins::PinBooks,
    alternatives: alternatives::AlternativeBooks,
    /// Changes on which an alarm was raised.
    alarmed: BTreeSet<ChangeNumber>,
    /// Items that have to leave within the step.
    orphans: Vec<depend::Orphan>,
    /// Decisions so far, for the report.
    pub decided: u32,
    /// Items that landed.
    pub landings_seen: u32,
    /// Builds bought.
    pub builds_bought: u32,
    /// How long each item that landed was in its queue, in milliseconds.
    pub stays_ms: Vec<i64>,
}

impl Audit {
    /// Empty books.
    pub fn new(setting: &Setting, gerrit: &Gerrit) -> Self {
        let tips = gerrit.branches().iter().map(|(pair, tip)| (pair.clone(), vec![*tip])).collect();
        Self { tips, deterministic: setting.deterministic(), ..Self::default() }
    }

    /// A branch has moved in the world.
    pub fn tip_moved(&mut self, pair: &Pair, tip: Sha) {
        self.tips.entry(pair.clone()).or_default().push(tip);
    }

    /// Reads an entry of the journal.
    ///
    /// # Errors
    /// A broken promise.
    pub fn entry(&mut self, entry: &Entry, gerrit: &mut Gerrit, setting: &Setting) -> Checked {
        self.pins_age(entry.at);
        for (event, actions) in &entry.steps {
            self.event(entry.at, event, gerrit)?;
            for action in actions {
                match action {
                    Action::Decision(decision) => self.decision(entry.at, decision, gerrit, setting)?,
                    Action::Effect(effect) => self.effect(entry.at, effect, gerrit, setting)?,
                }
            }
            self.check_orphans()?;
        }
        Ok(())
    }

    fn event(&mut self, at: Timestamp, event: &Event, gerrit: &Gerrit) -> Checked {
        self.follow_builds(event);
        match event {
            Event::PolicyChanged { policy } => self.configured(policy),
            Event::ChangeSeen { snapshot } => self.know(snapshot, false),
            Event::ChangeGone { number } => {
                self.gone.insert(*number);
                self.demands_forgotten(*number);
            }
            Event::TipSeen { pair, commit: Some(commit) } => self.tell(pair, *commit),
            Event::NodePrepared { effect, node, outcome } if !self.ended.contains(effect) => {
                if let Some(book) = self.nodes.get_mut(node) {
                    match outcome {
                        Prepared::Merged { writes, .. } => book.writes = Some(writes.clone()),
                        bad => {
                            self.ended.insert(*effect);
                            book.bad = Some(bad.clone());
                        }
                    }
                }
            }
            Event::JobsResolved { effect, node, outcome } if !self.ended.contains(effect) => {
                self.ended.insert(*effect);
                self.resolved(*node, outcome);
                self.pins_read(at, *node);
            }
            Event::BuildSeen { build, phase: BuildPhase::Finished { verdict, .. } } => {
                self.count(*build, verdict);
                self.demand_verdict(at, *build, verdict);
            }
            Event::BuildsListed { .. } => {}
            Event::Looked { at, changes, gone, .. } => {
                for change in changes {
                    self.looks.insert(change.number, (*at, change.clone()));
                    self.know(change, true);
                }
                self.gone.extend(gone);
                gone.iter().for_each(|gone| self.demands_forgotten(*gone));
            }
            Event::CommitSeen { changes, .. } => {
                for change in changes {
                    self.know(change, true);
                }
            }
            Event::PushEnded { effect, pushes } => self.push_ended(at, *effect, pushes),
            Event::Submitted { effect, pair, tip, commit, same_tree } => {
                self.submitted(*effect, pair, *tip, *commit, *same_tree);
            }
            Event::PushSeen { pair, tip, contains, .. } => self.push_seen(at, pair, *tip, *contains),
            Event::Operator { command, .. } => self.command(command, gerrit),
            _ => {}
        }
        Ok(())
    }

    fn know(&mut self, snapshot: &ChangeSnapshot, fresh: bool) {
        self.latest.insert(snapshot.number, snapshot.clone());
        let known = self.known.get(&snapshot.number);
        if fresh || known.is_none_or(|known| known.updated_at <= snapshot.updated_at) {
            let is_shown = !self.gone.remove(&snapshot.number);
            let before = known.filter(|known| is_shown && known.status == ChangeStatus::Open);
            self.replaced.extend(before.map(|known| known.revision));
            self.replaced.remove(&snapshot.revision);
            self.demands_after(snapshot);
            self.known.insert(snapshot.number, snapshot.clone());
        }
    }

    fn tell(&mut self, pair: &Pair, commit: Sha) {
        let Some(tips) = self.tips.get(pair) else { return };
        let Some(at) = tips.iter().rposition(|tip| *tip == commit) else { return };
        if self.told.entry(pair.clone()).or_default().tell(at) {
            self.run_may_follow(pair);
        }
    }

    fn resolved(&mut self, node: NodeId, outcome: &Resolved) {
        let outcome = &self.keyed(node, outcome);
        let Some(book) = self.nodes.get_mut(&node) else { return };
        book.resolved = Some(outcome.clone());
        let is_run = book.item;
        let reads = book.reads().to_vec();
        if let Resolved::Jobs { jobs, .. } = outcome
            && let Some(item) = self.items.get_mut(&is_run).filter(|item| item.node == Some(node))
        {
            item.keys = jobs.iter().map(|job| job.key).collect();
        }
        // A run learns nothing of the tips, nor does an alternative.
        if self.items.get(&is_run).is_some_and(|book| book.changes.is_empty()) {
            return;
        }
        for read in reads {
            if let (false, Some(value)) = (self.told.contains_key(read.unit.pair()), read.value) {
                self.tell(read.unit.pair(), value);
            }
        }
    }

    fn count(&mut self, build: BuildId, verdict: &Verdict) {
        let Some((key, _)) = self.builds.get(&build) else { return };
        let tally = self.tallies.entry(*key).or_default();
        match verdict {
            Verdict::Pass => tally.passes += 1,
            Verdict::Fail { .. } => tally.failures += 1,
            Verdict::NoVerdict { .. } => tally.lost += 1,
        }
    }

    /// Under another configuration items go on in the queue that gates their branch now.
    fn configured(&mut self, policy: &Arc<Policy>) {
        let orders: Vec<ItemId> = self.order.values().flatten().copied().collect();
        for id in orders {
            let Some(book) = self.items.get_mut(&id) else { continue };
            let mut queues = book.changes.iter().map(|change| policy.queue_of(&change.pair));
            let Some(to) = queues.next().flatten().map(|queue| queue.name.clone()) else { continue };
            if queues.any(|other| other.is_none_or(|other| other.name != to)) {
                continue;
            }
            if book.queue.as_ref() != Some(&to) {
                self.order.values_mut().for_each(|order| order.retain(|other| *other != id));
                book.queue = Some(to.clone());
                self.order.entry(to).or_default().push(id);
            }
        }
        self.demands_configured(policy);
        self.pins_configured(policy);
        self.policy = Some(policy.clone());
    }

    fn command(&mut self, command: &Command, gerrit: &Gerrit) {
        match command {
            Command::Pause { scope, .. } => {
                self.paused.insert(scope.clone());
            }
            Command::Resume { scope, .. } => {
                self.paused.remove(scope);
            }
            Command::Promote { changes } => self.promote(changes, gerrit),
            Command::Recheck { change, pipeline } => self.asked(*change, pipeline.as_ref()),
            Command::Enqueue { .. } | Command::Dequeue { .. } => {}
        }
    }

    fn decision(
        &mut self,
        at: Timestamp,
        decision: &Decision,
        gerrit: &mut Gerrit,
        setting: &Setting,
    ) -> Checked {
        match decision {
            Decision::Entered { item, pipeline, queue, changes } => {
                self.demand_begins(pipeline, queue.as_ref(), changes)?;
                let book =
                    Book { entered_at: at, ..Book::new(pipeline.clone(), queue.clone(), changes.clone()) };
                if self.items.insert(*item, book).is_some() {
                    return fault("terminal states", format!("item {item} entered twice"));
                }
                if let Some(queue) = queue {
                    self.order.entry(queue.clone()).or_default().push(*item);
                }
            }
            Decision::Placed { item, class, round, before } => {
                self.alive(*item, "a place")?;
                self.placed(*item, *class, *round, *before)?;
            }
            Decision::Based { item, node } => {
                self.alive(*item, "a node")?;
                self.nodes.insert(*node, NodeBook::new(*item));
                let book = self.item(*item)?;
                book.node = Some(*node);
                book.pooled = None;
            }
            Decision::Adopted { item, key, .. } => {
                self.alive(*item, "a verdict")?;
                let tally = self.tallies.get(key).copied().unwrap_or_default();
                if tally.passes + tally.failures == 0 {
                    return fault(
                        "verdicts",
                        format!("item {item} uses a verdict for {key} that no build gave"),
                    );
                }
                let passed = self.last_verdict(key);
                self.item(*item)?.adopted.insert(*key, passed);
                self.demand_adopts(*item, *key, passed)?;
            }
            Decision::Pooled { item, with } => {
                self.alive(*item, "a judge")?;
                self.pooled(*item, *with)?;
            }
            Decision::Bought { build, key, item } => self.bought(at, *build, *key, *item, gerrit)?,
            Decision::Parted { item, commits } => self.parted(*item, commits, gerrit)?,
            Decision::Ended { item, pipeline, departure, .. } => {
                self.alive(*item, "an end")?;
                self.demand_ends(*item, departure, gerrit, setting)?;
                if *pipeline == Pipeline::Gate {
                    self.note_orphans(*item, departure, gerrit);
                    self.check_leaving(at, *item, departure, gerrit, setting)?;
                }
                if matches!(departure, Departure::Landed { .. }) {
                    let entered_at = self.item(*item)?.entered_at;
                    self.stays_ms.push(at.since_ms(entered_at));
                }
                self.end(*item, departure);
            }
            other => self.decided_apart(at, other, gerrit, setting)?,
        }
        Ok(())
    }

    /// Whether the newest verdict of a key is a pass; a flaky key has both.
    fn last_verdict(&self, key: &VerdictKey) -> bool {
        self.tallies.get(key).is_some_and(|tally| tally.passes > 0)
    }

    fn item(&mut self, id: ItemId) -> Result<&mut Book, Fault> {
        match self.items.get_mut(&id) {
            Some(book) => Ok(book),
            None => fault("terminal states", format!("item {id} never entered")),
        }
    }

    fn alive(&mut self, id: ItemId, what: &str) -> Checked {
        let book = self.item(id)?;
        match &book.ended {
            Some(departure) => {
                fault("terminal states", format!("item {id} ended as {departure:?} and gets {what}"))
            }
            None => Ok(()),
        }
    }

    fn bought(
        &mut self,
        now: Timestamp,
        build: BuildId,
        key: VerdictKey,
        item: ItemId,
        gerrit: &Gerrit,
    ) -> Checked {
        self.alive(item, "a build")?;
        let book = self.item(item)?;
        book.bought += 1;
        self.builds_bought += 1;
        let book = self.item(item)?;
        if book.bought > BUILDS_MAX {
            return fault("builds bounded", format!("item {item} has caused {} builds", book.bought));
        }
        let stay = self.stay_for(item, &key);
        let at = self.item(stay)?.node;
        if let Some(node) = at {
            self.check_base(node, gerrit)?;
        }
        let node = at.and_then(|node| self.nodes.get(&node));
        let wanted = node.is_some_and(|node| node.jobs().iter().any(|job| job.key == key));
        if !wanted {
            return fault(
                "builds wanted",
                format!("build {build} is for a key that item {item} does not need"),
            );
        }
        self.check_needs(stay, key)?;
        self.demand_buys(stay, key)?;
        self.build_begins(now, build, key, stay)?;
        if self.builds.insert(build, (key, item)).is_some() {
            return fault("effects once", format!("build {build} was bought twice"));
        }
        Ok(())
    }

    fn end(&mut self, id: ItemId, departure: &Departure) {
        self.decided += 1;
        if let Some(book) = self.items.get_mut(&id) {
            book.ended = Some(departure.clone());
            if let Some(order) = book.queue.as_ref().and_then(|queue| self.order.get_mut(queue)) {
                order.retain(|other| *other != id);
            }
            if let Some(queue) = book.queue.clone() {
                self.pins_forgotten(&queue);
            }
        }
        for landing in self.landings.values_mut() {
            landing.items.retain(|other| *other != id);
        }
        self.landings.retain(|_, landing| !landing.items.is_empty());
    }

    fn effect(&mut self, at: Timestamp, effect: &Effect, gerrit: &mut Gerrit, setting: &Setting) -> Checked {
        if !self.effects.insert(effect.id) {
            return fault("effects once", format!("effect {} was asked for twice", effect.id));
        }
        self.follow_effect(effect);
        match &effect.kind {
            EffectKind::PrepareNode { node, merges, overlay, depends, pins, .. } => {
                if let Some(book) = self.nodes.get_mut(node) {
                    book.rests_on(merges, overlay);
                    book.pins.clone_from(pins);
                    book.depends.clone_from(depends);
                }
                self.check_pins(at, *node)
            }
            EffectKind::ReleaseNode { node } => {
                self.pins_released(*node);
                Ok(())
            }
            EffectKind::Land { valid_until, pushes } => {
                for push in pushes {
                    self.check_landing(at, effect.id, *valid_until, push, gerrit, setting)?;
                }
                Ok(())
            }
            EffectKind::Report(report) if matches!(report.says, Some(Says::Alarm { .. })) => {
                self.alarms.remove(&report.change);
                self.alarmed.insert(report.change);
                Ok(())
            }
            EffectKind::Report(report) => {
                self.check_said_again(effect.id, report)?;
                self.check_culprit(report, gerrit, setting)
            }
            _ => Ok(()),
        }
    }
}
