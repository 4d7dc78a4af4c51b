//! People act, and the world tells the daemon of it, more or less.

use super::{Happening, Run};
use crate::model::event::{Command, Scope};
use crate::model::pipeline::asked_for;
use crate::model::{
    Account, BuildSpec, ChangeNumber, ChangeStatus, Event, Label, Pair, Policy, Reference, Sha,
};
use crate::sim::audit::Checked;
use crate::sim::setting::{BOT, JOB_FILE, URGENT, strategy};
use crate::sim::workload::{JobFileEdit, Need, Operation, Step, What};
use crate::world::gerrit::{Change, Message, REVIEW, Upload};

use std::sync::Arc;

/// The paths that people edit; few, so that they meet.
const PATHS: &[&str] = &["a", "b", "c", "d", "e", "lib/f", "doc/g"];
/// Job files with jobs that need others and jobs for some files alone.
const JOB_GRAPHS: &[&str] = &[
    "jobs own extra+r0>own 1",
    "jobs own extra~a~lib/* 1",
    "jobs own~doc/*~own/1* extra>own 1",
    "jobs own>unit extra~own/*>own>unit 1",
];

/// The host is said to be back with one sweep in so many: seldom enough that what is to be tried again must come
/// by its own time, too.
const BACK_EVERY: u64 = 5;

impl Run {
    pub(super) fn people(&mut self, step: &Step) -> Checked {
        self.say(|| format!("* {:?}", step.what));
        match &step.what {
            What::Outside { ambush: true, .. } | What::AmbushVeto(_) | What::AmbushUpload(_) => {
                self.ambushes.push(step.clone());
                Ok(())
            }
            What::Operate(operation) => self.operate(operation),
            What::Configure(word) => self.configure(*word),
            What::Freeze(ms) => {
                self.frozen_until = self.frozen_until.max(self.now.plus_ms(*ms));
                Ok(())
            }
            what => {
                self.strike(what);
                Ok(())
            }
        }
    }

    /// What people do at the review host.
    pub(super) fn strike(&mut self, what: &What) {
        match what {
            What::Upload { .. } => self.upload(what),
            What::AmbushUpload(change) => self.reupload(*change),
            What::Approve(change) => {
                self.vote(*change, "rev", 0);
                self.vote(*change, "rev", 2);
            }
            What::Withdraw(change) => self.vote(*change, "rev", 0),
            What::Veto(change) | What::AmbushVeto(change) => self.vote(*change, "carol", -2),
            What::LiftVeto(change) => self.vote(*change, "carol", 0),
            What::Abandon(change, gone) => self.edit(*change, |change| {
                change.status = if *gone { ChangeStatus::Abandoned } else { ChangeStatus::Open };
            }),
            What::Progress(change, on) => self.edit(*change, |change| change.work_in_progress = *on),
            What::Topic(change, topic) => {
                let topic = topic.map(|topic| format!("topic{topic}").into());
                self.edit(*change, |change| change.topic = topic);
            }
            What::Private(change, on) => self.edit(*change, |change| change.private = *on),
            What::Urgent(change, on) => self.edit(*change, |change| {
                if *on {
                    change.hashtags.insert(URGENT.into());
                } else {
                    change.hashtags.remove(URGENT);
                }
            }),
            What::Block(change, on) => self.edit(*change, |change| change.blocked = *on),
            What::Outside { pair, edit, .. } => self.push_outside(pair, *edit),
            What::Comment(change, text) => self.comment(*change, text),
            What::Operate(_) | What::Configure(_) | What::Freeze(_) => {}
        }
    }

    fn edit(&mut self, change: u64, edit: impl FnOnce(&mut Change)) {
        let Some(number) = self.changes.get(&change).copied() else { return };
        if self.gerrit.edit(self.now, number, edit) {
            self.tell_soon(number);
        }
    }

    fn vote(&mut self, change: u64, by: &str, value: i32) {
        let Some(number) = self.changes.get(&change).copied() else { return };
        let open = self.gerrit.change(number).filter(|change| change.status == ChangeStatus::Open);
        let Some(revision) = open.map(Change::revision) else { return };
        let (label, by): (Label, Account) = (REVIEW.into(), by.into());
        self.gerrit.vote(self.now, number, revision, &label, value, &by);
        self.tell_soon(number);
    }

    fn upload(&mut self, what: &What) {
        let What::Upload { change, pair, edits, parent, old_parent, job_file, side, needs } = what else {
            return;
        };
        let known = self.changes.get(change).and_then(|number| self.gerrit.change(*number));
        let round = known.map_or(1, |known| known.patchsets.len() + 1);
        let pair = known.map_or(pair, |known| &known.pair).clone();
        let Some(tip) = self.gerrit.tip(&pair) else { return };
        let base = parent.and_then(|parent| self.parent_of(parent, &pair, *old_parent)).unwrap_or(tip);
        let mut tree = (*self.gerrit.git.tree_of(base)).clone();
        for edit in edits {
            // Most edits are of paths of the change's own: only some meet.
            let path = match usize::try_from(*edit).ok().and_then(|edit| PATHS.get(edit)) {
                Some(path) => Arc::from(*path),
                None => Arc::from(format!("own/{change}")),
            };
            tree.insert(path, format!("c{change}.{round}").into());
        }
        match job_file {
            Some(JobFileEdit::Add) if self.setting.graph => {
                drop(tree.insert(JOB_FILE.into(), JOB_GRAPHS[*change as usize % JOB_GRAPHS.len()].into()))
            }
            // Every other one asks for a job that reads the first repository, too.
            Some(JobFileEdit::Add) if change % 2 == 0 => {
                drop(tree.insert(JOB_FILE.into(), "jobs own extra+r0 1".into()))
            }
            Some(JobFileEdit::Add) => drop(tree.insert(JOB_FILE.into(), "jobs own extra 1".into())),
            Some(JobFileEdit::Alter) => {
                drop(tree.insert(JOB_FILE.into(), format!("jobs own {change}").into()))
            }
            Some(JobFileEdit::Break) => drop(tree.insert(JOB_FILE.into(), "nonsense".into())),
            Some(JobFileEdit::Remove) => drop(tree.remove(JOB_FILE)),
            None => {}
        }
        let mut parents = vec![base];
        parents.extend(side.map(|side| self.side_commit(side, &pair, base)));
        let needs = needs.iter().filter_map(|need| self.reference(*need)).collect();
        self.put(*change, pair, parents, tree, round, needs);
    }

    /// The footer as written.
    fn reference(&self, need: Need) -> Option<Reference> {
        match need {
            Need::Number(change) => self.changes.get(&change).copied().map(Reference::Number),
            Need::Id(change) => Some(Reference::Id(format!("I{change:040x}").as_str().into())),
            Need::Wrong => Some(Reference::Wrong { text: "nonsense".into(), why: "makes no sense".into() }),
        }
    }

    fn put(
        &mut self,
        change: u64,
        pair: Pair,
        parents: Vec<Sha>,
        tree: crate::world::Tree,
        round: usize,
        needs: Vec<Reference>,
    ) {
        let upload = Upload {
            pair,
            change_id: format!("I{change:040x}").into(),
            footer: !self.setting.footerless.contains(&change) || round > 1,
            parents,
            tree,
            subject: format!("change {change}, round {round}").into(),
            owner: format!("author{}", change % 3).as_str().into(),
            needs,
        };
        if let Some(number) = self.gerrit.upload(self.now, upload) {
            self.changes.insert(change, number);
            self.tell_soon(number);
        }
    }

    fn reupload(&mut self, change: u64) {
        let found = self.changes.get(&change).and_then(|number| self.gerrit.change(*number)).cloned();
        let Some(revision) = found.as_ref().map(Change::revision) else { return };
        let (Some(found), Some(commit)) = (found, self.gerrit.git.commit(revision).cloned()) else { return };
        let round = found.patchsets.len() + 1;
        let mut tree = (*self.gerrit.git.tree_of(revision)).clone();
        tree.insert(format!("own/{change}").into(), format!("c{change}.{round}").into());
        let needs = self.gerrit.needs.get(&revision).cloned().unwrap_or_default();
        self.put(change, found.pair, commit.parents, tree, round, needs);
    }

    fn parent_of(&self, change: u64, pair: &Pair, old: bool) -> Option<Sha> {
        let parent = self.gerrit.change(*self.changes.get(&change)?)?;
        let patch = if old { parent.patchsets.first() } else { parent.patchsets.last() };
        patch.map(|patch| patch.commit).filter(|_| parent.pair == *pair)
    }

    /// A commit beside the branch: on another branch that may be merged from, or one that carries
    /// the Change-Id of someone's change.
    fn side_commit(&mut self, side: u64, pair: &Pair, base: Sha) -> Sha {
        let dev = Pair { repository: pair.repository.clone(), branch: "dev".into() };
        if let (Some(tip), true) = (self.gerrit.tip(&dev), side.is_multiple_of(2) && dev != *pair) {
            return tip;
        }
        let mut tree = (*self.gerrit.git.tree_of(base)).clone();
        tree.insert(format!("side/{side}").into(), "side".into());
        let tree = self.gerrit.git.add_tree(tree);
        let change_id = format!("I{side:040x}");
        self.gerrit.git.add_commit(&[base], tree, Some(&change_id.as_str().into()), "a side commit")
    }

    fn push_outside(&mut self, pair: &Pair, edit: u64) {
        let Some(old) = self.gerrit.tip(pair) else { return };
        let mut tree = (*self.gerrit.git.tree_of(old)).clone();
        let path = usize::try_from(edit).ok().and_then(|edit| PATHS.get(edit)).copied().unwrap_or("outside");
        tree.insert(path.into(), format!("outside {}", edit % 3).into());
        let tree = self.gerrit.git.add_tree(tree);
        let message = format!("outside at {}", self.now);
        let new = self.gerrit.git.add_commit(&[old], tree, None, &message);
        if self.gerrit.push(self.now, pair, old, new, &"admin".into()).is_ok() {
            self.say(|| format!("  {pair} is now {} (outside)", new.short()));
            self.audit.tip_moved(pair, new);
            self.moved(pair);
        }
    }

    fn operate(&mut self, operation: &Operation) -> Checked {
        let number = |change: &u64| self.changes.get(change).copied();
        let scope = |repository: &Option<u64>| match repository {
            Some(repository) => Scope::Repository(format!("r{repository}").into()),
            None => Scope::Everything,
        };
        let reason: Arc<str> = "the operator's reason".into();
        let command = match operation {
            Operation::Enqueue(change) => number(change).map(|change| Command::Enqueue { change }),
            Operation::Dequeue(change) => number(change).map(|change| Command::Dequeue { change, reason }),
            Operation::Promote(change) => {
                number(change).map(|change| Command::Promote { changes: vec![change] })
            }
            Operation::Recheck(change) => {
                number(change).map(|change| Command::Recheck { change, pipeline: None })
            }
            Operation::Pause(repository) => Some(Command::Pause { scope: scope(repository), reason }),
            Operation::Resume(repository) => Some(Command::Resume { scope: scope(repository), reason }),
        };
        let Some(command) = command.filter(|_| self.frozen_until <= self.now) else { return Ok(()) };
        self.deliver(vec![Event::Operator { request: self.happenings, by: "op".into(), command }])
    }

    /// Someone writes on a change. The daemon hears what that asks for only now, if it lives and sees the change.
    fn comment(&mut self, change: u64, text: &str) {
        let Some(number) = self.changes.get(&change).copied() else { return };
        let Some(found) = self.gerrit.change(number) else { return };
        let (pair, patchset) = (found.pair.clone(), found.current);
        let by: Account = "carol".into();
        let message = Message { by: by.clone(), tag: "".into(), patchset, at: self.now, text: text.into() };
        self.gerrit.write(number, message);
        self.tell_soon(number);
        let is_seen =
            self.gerrit.read(number, &BOT.into()).is_some() && self.policy.queue_of(&pair).is_some();
        if !is_seen || self.engine.is_none() || self.chance(self.faults.news_lost) {
            return;
        }
        for pipeline in asked_for(text, &self.policy.asks()) {
            let command = Command::Recheck { change: number, pipeline };
            let event = Event::Operator { request: 0, by: by.clone(), command };
            for _ in 0..if self.chance(self.faults.news_doubled) { 2 } else { 1 } {
                let (life, delay) = (self.life, self.rng.between(2, 300));
                self.schedule(delay, Happening::Deliver { life, events: vec![event.clone()] });
            }
        }
    }

    /// Before the end, people take back most of their stops.
    pub(super) fn resume_all(&mut self) -> Checked {
        if self.rng.chance(300) {
            return Ok(());
        }
        for repository in [None, Some(0), Some(1), Some(2)] {
            self.operate(&Operation::Resume(repository))?;
        }
        Ok(())
    }

    fn configure(&mut self, word: u64) -> Checked {
        let policy = &mut self.policy;
        policy.slots = 1 + u32::try_from(word % 8).unwrap_or(0);
        let window = 1 + u32::try_from(word / 8 % 10).unwrap_or(0);
        for queue in &mut policy.queues {
            queue.strategy = strategy(word / 80, window);
            queue.max_items_per_push = window;
            queue.tuning.alternatives = 25 * u32::try_from(word / 32 % 3).unwrap_or(0);
        }
        if (word / 320).is_multiple_of(3) {
            for job in &mut policy.jobs {
                let commands = vec![format!("make {} {}", job.name, word % 3).into()];
                job.spec = Arc::new(BuildSpec { commands, ..(*job.spec).clone() });
            }
        }
        if (word / 960).is_multiple_of(10) && policy.queues.len() > 1 {
            policy.queues.pop();
        }
        if (word / 9_600).is_multiple_of(4)
            && let Some(queue) = policy.queues.first_mut()
        {
            queue.name = format!("renamed-{}", word % 7).into();
        }
        if let Some(site) = policy.sites.first_mut().filter(|_| (word / 38_400).is_multiple_of(3)) {
            site.inputs = !site.inputs;
        }
        configure_demands(policy, word / 115_200);
        let (life, policy) = (self.life, self.policy.clone().shared());
        self.schedule(0, Happening::Deliver { life, events: vec![Event::PolicyChanged { policy }] });
        Ok(())
    }

    /// The stream tells of a change, unless the news is lost, and perhaps twice.
    pub(super) fn tell_soon(&mut self, number: ChangeNumber) {
        if self.chance(self.faults.news_lost) {
            return;
        }
        let copies = if self.chance(self.faults.news_doubled) { 2 } else { 1 };
        for _ in 0..copies {
            if self.chance(self.faults.news_late) {
                // Read now, told much later: old news.
                let (life, events) = (self.life, vec![self.seen(number)]);
                let delay = self.rng.between(1_000, 90_000);
                self.schedule(delay, Happening::Deliver { life, events });
            } else {
                let delay = self.rng.between(2, 300);
                self.schedule(delay, Happening::TellChange { number });
            }
        }
    }

    pub(super) fn tell_change(&mut self, number: ChangeNumber) {
        let (life, events) = (self.life, vec![self.seen(number)]);
        let delay = self.rng.between(1, 60);
        self.schedule(delay, Happening::Deliver { life, events });
    }

    pub(super) fn tell_tip(&mut self, pair: &Pair) {
        let commit = self.gerrit.tip(pair);
        let (life, events) = (self.life, vec![Event::TipSeen { pair: pair.clone(), commit }]);
        let late = self.chance(self.faults.news_late);
        let delay = if late { self.rng.between(1_000, 90_000) } else { self.rng.between(1, 60) };
        self.schedule(delay, Happening::Deliver { life, events });
    }

    /// Reads everything anew: what was told already is not told again.
    pub(super) fn sweep(&mut self) {
        self.sweeps += 1;
        self.read_anew(self.sweeps.is_multiple_of(BACK_EVERY));
    }

    /// The same; `is_back` says that the host had not been heard before.
    pub(super) fn read_anew(&mut self, is_back: bool) {
        let mut events = self.told.news(&self.gerrit);
        events.extend(self.executor.list(self.now));
        events.extend(is_back.then_some(Event::HostBack));
        let life = self.life;
        let delay = self.rng.between(1, 200);
        self.schedule(delay, Happening::Deliver { life, events });
    }

    /// Remembers what the daemon has taken in.
    pub(super) fn taken_in(&mut self, events: &[Event]) {
        self.told.take_in(events);
        self.executor.take_in(events);
    }
}

/// What comments ask for is built where other things can be touched, or it is taken out of the configuration.
fn configure_demands(policy: &mut Policy, word: u64) {
    let names: Vec<_> = policy.pipelines.on_demand.iter().map(|own| own.name.clone()).collect();
    for job in policy.jobs.iter_mut().filter(|_| word.is_multiple_of(3)) {
        if names.iter().any(|name| job.pipelines.0.contains(name)) {
            let trust = if &*job.spec.trust == "gate" { "lab" } else { "gate" };
            job.spec = Arc::new(BuildSpec { trust: trust.into(), ..(*job.spec).clone() });
        }
    }
    if (word / 3).is_multiple_of(5) {
        policy.pipelines.on_demand.clear();
        policy.jobs.iter_mut().for_each(|job| job.pipelines.0.retain(|name| !names.contains(name)));
        policy.jobs.retain(|job| !job.pipelines.0.is_empty());
    }
}
