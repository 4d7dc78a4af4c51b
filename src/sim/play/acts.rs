//! What people do takes place on the stage.

use std::sync::Arc;

use super::stage::{Happening, Stage};
use super::story::{Act, Alteration, Name, Operation, Weather};
use crate::model::event::Command;
use crate::model::pipeline::asked_for;
use crate::model::{Account, ChangeNumber, ChangeStatus, Event, Label};
use crate::sim::setting::BOT;
use crate::world::gerrit::{Change, REVIEW};

/// Who reviews where nobody is named.
const REVIEWER: &str = "reviewer";
/// Who objects where nobody is named.
const OBJECTOR: &str = "carol";
/// Who owns changes where nobody is named.
pub(super) const AUTHOR: &str = "author";

impl Stage {
    /// Does it.
    pub fn act(&mut self, act: &Act) {
        self.act_now(act);
        self.settle();
    }

    /// Does it, and lets nothing follow yet.
    pub fn act_now(&mut self, act: &Act) {
        match act {
            Act::Upload(uploads) => uploads.iter().for_each(|upload| self.upload(upload)),
            Act::Rebase(name, onto) => self.rebase(name, onto.as_ref()),
            Act::Reword(name, message) => self.reword(name, message),
            Act::Vote { changes, label, value, by } => {
                let usual = if *value < 0 { OBJECTOR } else { REVIEWER };
                let by = by.as_deref().unwrap_or(usual).into();
                changes.iter().for_each(|name| self.vote(name, label, *value, &by));
            }
            Act::Withdraw { changes, vetoes, by } => {
                changes.iter().for_each(|name| self.withdraw(name, *vetoes, by.as_deref()));
            }
            Act::Alter(changes, alteration) => changes.iter().for_each(|name| self.alter(name, alteration)),
            Act::Push(upload) => self.push_outside(upload),
            Act::LandByHand(changes, by) => changes.iter().for_each(|name| self.land_by_hand(name, by)),
            Act::Branch { pair, from } => {
                let tip = from.as_ref().and_then(|from| self.gerrit.tip(from));
                self.gerrit.set_branch(pair, tip);
                self.tell_tip(pair);
            }
            Act::Weather(weather) => self.weather(weather),
            Act::Comment(changes, text, by) => {
                let by = by.as_deref().unwrap_or(REVIEWER).into();
                changes.iter().for_each(|name| self.comment(name, text, &by));
            }
            Act::Operate(operation, by) => self.operate(operation, by.as_deref().unwrap_or("operator")),
            Act::BeforePush(act) => self.weather.ambushes.push((**act).clone()),
            Act::CountAnew => self.book.counted = self.book.builds.keys().last().copied().unwrap_or_default(),
            Act::Reload => self.configured(),
        }
    }

    pub(super) fn change(&self, name: &Name) -> Option<&Change> {
        self.gerrit.change(self.number(name))
    }

    fn vote(&mut self, name: &Name, label: &str, value: i32, by: &Account) {
        let number = self.number(name);
        let Some(change) = self.gerrit.change(number) else { return self.absent(name) };
        let revision = change.revision();
        let label: Label = label.into();
        let second = |at: crate::model::Timestamp| at.0.div_euclid(1000);
        let before = change.votes.iter().find(|vote| vote.label == label && vote.by == *by).cloned();
        if let Some(before) = before.filter(|before| before.value == value && value != 0) {
            // A vote given anew: taken back and given again, in a second of its own as Gerrit counts.
            self.gerrit.vote(self.now, number, revision, &label, 0, by);
            self.tell_change(number);
            if second(before.at) == second(self.now) {
                self.advance(self.now.plus_ms(1_000), |_| false);
            }
        }
        self.gerrit.vote(self.now, number, revision, &label, value, by);
        self.tell_change(number);
    }

    /// Someone writes on a change what the daemon hears of where Gerrit's news arrive.
    fn comment(&mut self, name: &Name, text: &str, by: &Account) {
        let change = self.number(name);
        if self.gerrit.change(change).is_none() {
            return self.absent(name);
        }
        if self.weather.away || self.weather.deaf || self.engine.is_none() {
            return;
        }
        let asks = self.policy.as_ref().map(|policy| policy.asks()).unwrap_or_default();
        for pipeline in asked_for(text, &asks) {
            let command = Command::Recheck { change, pipeline };
            let event = Event::Operator { request: 0, by: by.clone(), command };
            let life = self.life;
            self.schedule(0, Happening::Deliver { life, events: vec![event] });
        }
    }

    fn withdraw(&mut self, name: &Name, vetoes: bool, by: Option<&str>) {
        let number = self.number(name);
        let Some(change) = self.gerrit.change(number) else { return self.absent(name) };
        let revision = change.revision();
        let meant = |vote: &&crate::model::Vote| {
            vote.label.as_str() == REVIEW
                && vote.by.as_str() != BOT
                && by.map_or((vote.value < 0) == vetoes, |by| vote.by.as_str() == by)
        };
        let votes: Vec<_> = change.votes.iter().filter(meant).cloned().collect();
        for vote in votes {
            self.gerrit.vote(self.now, number, revision, &vote.label, 0, &vote.by);
        }
        self.tell_change(number);
    }

    /// Someone acts on a change that nobody has uploaded yet.
    pub(super) fn absent(&mut self, name: &Name) {
        self.broken.get_or_insert_with(|| {
            super::judge::Broken::of(format!("{name} has not been uploaded at this point"))
        });
    }

    fn alter(&mut self, name: &Name, alteration: &Alteration) {
        let number = self.number(name);
        if self.gerrit.change(number).is_none() {
            return self.absent(name);
        }
        self.gerrit.edit(self.now, number, |change| match alteration {
            Alteration::Abandoned(gone) => {
                change.status = if *gone { ChangeStatus::Abandoned } else { ChangeStatus::Open };
            }
            Alteration::Progress(on) => change.work_in_progress = *on,
            Alteration::Private(on) => change.private = *on,
            Alteration::Blocked(on) => change.blocked = *on,
            Alteration::Topic(topic) => change.topic = topic.as_deref().map(Arc::from),
            Alteration::Hashtag(tag, true) => drop(change.hashtags.insert(tag.as_str().into())),
            Alteration::Hashtag(tag, false) => drop(change.hashtags.remove(tag.as_str())),
            Alteration::Moved(branch) => change.pair.branch = branch.as_str().into(),
        });
        self.tell_change(number);
    }

    /// Someone lands a change beside the queue, whatever stands against it.
    fn land_by_hand(&mut self, name: &Name, by: &str) {
        let Some(change) = self.change(name).cloned() else { return self.absent(name) };
        let (Some(tip), revision) = (self.gerrit.tip(&change.pair), change.revision()) else { return };
        let new = if self.gerrit.git.reaches(revision, tip) {
            revision
        } else {
            match self.gerrit.git.merge_trees(tip, revision) {
                Ok(tree) => {
                    self.gerrit.git.add_commit(&[tip, revision], tree, None, &format!("merge by {by}"))
                }
                Err(_) => return,
            }
        };
        if let Ok(closed) = self.gerrit.push(self.now, &change.pair, tip, new, &by.into()) {
            let closed: Vec<ChangeNumber> = closed.into_iter().map(|(number, _)| number).collect();
            self.moved(&change.pair, &closed, &closed);
        }
    }

    fn weather(&mut self, weather: &Weather) {
        match weather {
            Weather::Die => self.die(),
            Weather::Start => {
                if self.engine.is_some() {
                    self.die();
                }
                self.start();
            }
            Weather::Wipe => self.trees.wipe(),
            Weather::Freeze(ms) => self.weather.frozen_until = Some(self.now.plus_ms(*ms)),
            Weather::Away(ms) => {
                self.weather.away = true;
                ms.iter().for_each(|ms| self.schedule(*ms, Happening::GerritBack));
            }
            Weather::Back => self.gerrit_back(),
            Weather::Deaf(ms) => {
                self.weather.deaf = true;
                ms.iter().for_each(|ms| self.schedule(*ms, Happening::StreamBack));
            }
            Weather::Hearing => {
                self.weather.deaf = false;
                self.sweep();
            }
            Weather::WholeTopics(whole_topics) => {
                self.deliver(vec![Event::HostSeen { whole_topics: *whole_topics }]);
            }
            Weather::Unable(why) => {
                self.weather.unable = Some(why.as_str().into());
                self.deliver(vec![Event::CapabilitiesSeen { unable: self.weather.unable.clone() }]);
            }
            Weather::Able => {
                self.weather.unable = None;
                self.deliver(vec![Event::CapabilitiesSeen { unable: None }]);
            }
            Weather::NextPush(fate) => self.weather.pushes.push_back(fate.clone()),
            Weather::StartsFail(count) => self.weather.starts_fail += count,
        }
    }

    fn operate(&mut self, operation: &Operation, by: &str) {
        let each = |names: &[Name], command: fn(ChangeNumber) -> Command| {
            names.iter().map(|name| command(self.number(name))).collect()
        };
        let commands: Vec<Command> = match operation {
            Operation::Enqueue(names) => each(names, |change| Command::Enqueue { change }),
            Operation::Recheck(names, pipeline) => {
                let pipeline = pipeline.as_deref().map(Into::into);
                let change = |name| self.number(name);
                let command = |name| Command::Recheck { change: change(name), pipeline: pipeline.clone() };
                names.iter().map(command).collect()
            }
            Operation::Dequeue(names, reason) => names
                .iter()
                .map(|name| Command::Dequeue { change: self.number(name), reason: reason.as_str().into() })
                .collect(),
            Operation::Promote(names) => {
                vec![Command::Promote { changes: names.iter().map(|name| self.number(name)).collect() }]
            }
            Operation::Pause(scope, reason) => {
                vec![Command::Pause { scope: scope.clone(), reason: reason.as_str().into() }]
            }
            Operation::Resume(scope, reason) => {
                vec![Command::Resume { scope: scope.clone(), reason: reason.as_str().into() }]
            }
        };
        for command in commands {
            self.requests += 1;
            self.deliver(vec![Event::Operator { request: self.requests, by: by.into(), command }]);
        }
    }
}
