//! The daemon in the middle: deliveries, transactions, deaths and restarts.

use std::collections::BTreeMap;

use super::{Happening, Run, START, SWEEP_MS};
use crate::engine::{Engine, Opened};
use crate::model::report::{Report, Says};
use crate::model::{Action, ChangeNumber, Effect, EffectId, EffectKind, Event};
use crate::port::JournalError;
use crate::sim::audit::{Checked, fault};
use crate::sim::fakes::journal::MemoryJournal;
use crate::sim::setting::Faults;

/// How often nobody starts the daemon again for a while, in a thousandth.
const LONG_ABSENCE: u32 = 150;

/// Where the daemon dies around a transaction.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Death {
    Before,
    After,
    Between,
}

impl Run {
    pub(super) fn happen(&mut self, happening: Happening) -> Checked {
        match happening {
            Happening::Deliver { life, events } if life == self.life => {
                if self.frozen_until > self.now {
                    let wait = self.frozen_until.since_ms(self.now);
                    self.schedule(wait, Happening::Deliver { life, events });
                    return Ok(());
                }
                self.deliver(events)
            }
            Happening::Deliver { .. } => Ok(()),
            Happening::TellChange { number } => {
                self.tell_change(number);
                Ok(())
            }
            Happening::TellTip { pair } => {
                self.tell_tip(&pair);
                Ok(())
            }
            Happening::Begin { life, effect, again } => self.begin(life, effect, again),
            Happening::LatePush { effect, push } => {
                let _late = self.push_now(effect, &push)?;
                Ok(())
            }
            Happening::BuildRuns(build) => {
                self.build_runs(build);
                Ok(())
            }
            Happening::BuildEnds(build) => {
                self.build_ends(build);
                Ok(())
            }
            Happening::Step(at) => {
                let step = self.steps[at].clone();
                self.people(&step)
            }
            Happening::Start => self.start(),
            Happening::Sweep => {
                self.sweep();
                self.schedule(SWEEP_MS, Happening::Sweep);
                Ok(())
            }
            Happening::Heal => self.heal(),
        }
    }

    fn heal(&mut self) -> Checked {
        self.say(|| "-- healed --".into());
        self.healed = true;
        self.faults = Faults::default();
        self.ambushes.clear();
        if self.engine.is_none() {
            self.schedule(0, Happening::Start);
        }
        self.resume_all()
    }

    /// Hands events to the daemon, if it lives.
    pub(super) fn deliver(&mut self, events: Vec<Event>) -> Checked {
        if self.engine.is_none() || events.is_empty() {
            return Ok(());
        }
        self.say(|| events.iter().map(super::super::trace::event).collect::<Vec<_>>().join(" + "));
        let death = self.death();
        if death == Some(Death::Before) {
            self.die("before its journal has the events");
            return Ok(());
        }
        if self.chance(self.faults.journal_refuses) {
            let error = if self.rng.chance(500) { JournalError::Full } else { JournalError::Busy };
            self.disk.borrow_mut().refuse = Some(error);
        }
        self.events += events.len() as u64;
        let now = self.now;
        let Some(engine) = self.engine.as_mut() else { return Ok(()) };
        let accepted = match engine.accept(now, events.clone()) {
            Ok(accepted) => accepted,
            Err(error) => {
                self.disk.borrow_mut().refuse = None;
                self.die(&format!("because it could not {error}"));
                return Ok(());
            }
        };
        self.taken_in(&events);
        self.read_journal()?;
        if death == Some(Death::After) {
            self.die("with nothing begun");
            return Ok(());
        }
        let begun = match death {
            Some(_) => usize::try_from(self.rng.below(accepted.effects.len() as u64 + 1)).unwrap_or(0),
            None => accepted.effects.len(),
        };
        for effect in accepted.effects.into_iter().take(begun) {
            self.release(effect, false)?;
        }
        if death.is_some() {
            self.die("with some of it begun");
        } else if self.rng.chance(2) {
            self.check_replay()?;
        }
        Ok(())
    }

    fn death(&mut self) -> Option<Death> {
        if self.chance(self.faults.crash_before) {
            Some(Death::Before)
        } else if self.chance(self.faults.crash_after) {
            Some(Death::After)
        } else if self.chance(self.faults.crash_between) {
            Some(Death::Between)
        } else {
            None
        }
    }

    fn die(&mut self, how: &str) {
        self.say(|| format!("!! the daemon dies {how}"));
        self.engine = None;
        self.crashes += 1;
        self.life += 1;
        if self.chance(self.faults.nodes_forgotten) {
            self.trees.forget_all();
        }
        // Now and then nobody is there to start it again for an hour: longer than any deadline.
        let longest = if self.rng.chance(LONG_ABSENCE) { 3_600_000 } else { 60_000 };
        let pause = self.rng.between(10, longest);
        self.schedule(pause, Happening::Start);
    }

    /// Gives the audit what the journal has got since.
    pub(super) fn read_journal(&mut self) -> Checked {
        let fresh = self.disk.borrow().entries[self.audited..].to_vec();
        self.audited += fresh.len();
        for entry in &fresh {
            for (_, actions) in &entry.steps {
                for action in actions {
                    self.say(|| match action {
                        Action::Decision(decision) => {
                            format!("    {}", super::super::trace::decision(decision))
                        }
                        Action::Effect(effect) => format!("    {}", super::super::trace::effect(effect)),
                    });
                }
            }
            self.audit.entry(entry, &mut self.gerrit, &self.setting)?;
        }
        Ok(())
    }

    pub(super) fn start(&mut self) -> Checked {
        if self.engine.is_some() {
            return Ok(());
        }
        self.say(|| "the daemon starts".into());
        // What was said while nobody listened is lost.
        self.life += 1;
        self.trees.restart();
        let awaited = self.replayed()?.outbox();
        let journal = MemoryJournal(self.disk.clone());
        let Opened { engine, effects, .. } = match Engine::open(journal, self.now) {
            Ok(opened) => opened,
            Err(error) => return fault("restart", format!("the daemon cannot start: failed to {error}")),
        };
        self.engine = Some(engine);
        self.read_journal()?;
        check_begun_again(&awaited, &effects, &self.last_report, |report| self.audit.is_outdated(report))?;
        for effect in effects {
            let again = self.now != START;
            self.release(effect, again)?;
        }
        let policy = self.policy.clone().shared();
        self.deliver(vec![Event::PolicyChanged { policy }])?;
        if self.engine.is_some() {
            self.read_anew(true);
        }
        if self.rng.chance(300) {
            let now = self.now;
            if let Some(engine) = self.engine.as_mut() {
                let _ = engine.snapshot(now);
            }
        }
        Ok(())
    }

    /// Puts an effect on its way: the time until it takes hold is that of the request.
    fn release(&mut self, effect: Effect, again: bool) -> Checked {
        let delay = match &effect.kind {
            EffectKind::PrepareNode { .. } => {
                let done = self.prepared_at.max(self.now).plus_ms(self.rng.between(2, 60));
                self.prepared_at = done;
                done.since_ms(self.now)
            }
            EffectKind::ReleaseNode { .. } => self.prepared_at.max(self.now).since_ms(self.now) + 1,
            // What is given to the executor counts as given at once.
            EffectKind::StartBuild { .. } | EffectKind::StopBuild { .. } => {
                return self.begin(self.life, effect, again);
            }
            EffectKind::Report(report) => {
                let sent = self.reported_at.get(&report.change).copied().unwrap_or(self.now).max(self.now);
                let sent = sent.plus_ms(self.rng.between(1, 100));
                self.reported_at.insert(report.change, sent);
                let last = self.last_report.entry(report.change).or_default();
                *last = effect.id.max(*last);
                sent.since_ms(self.now)
            }
            EffectKind::Land { .. } => self.rng.between(1, 300),
            _ => self.rng.between(1, 100),
        };
        let life = self.life;
        self.schedule(delay, Happening::Begin { life, effect, again });
        Ok(())
    }
}

/// What was awaited when the daemon ended is begun again, however long it was away. A push is not: what
/// became of it is asked for. A report need not be, where there is a later one on its change or it is outdated.
fn check_begun_again(
    awaited: &[Effect],
    begun: &[Effect],
    last_report: &BTreeMap<ChangeNumber, EffectId>,
    is_outdated: impl Fn(&Report) -> bool,
) -> Checked {
    let again = awaited.iter().filter(|effect| match &effect.kind {
        EffectKind::Land { .. } => false,
        EffectKind::Report(report) => {
            let is_later = |other: &Effect| {
                other.id > effect.id
                    && matches!(&other.kind, EffectKind::Report(other) if other.change == report.change)
            };
            let begun = last_report.get(&report.change).is_some_and(|last| *last > effect.id);
            // A pass is that of its node, which may be another one by now; so is the vote alone, where it was told before.
            let has_vote = report.vote.as_ref().is_some_and(|(_, value)| *value > 0);
            let is_pass =
                matches!(report.says, Some(Says::Passed { .. })) || report.says.is_none() && has_vote;
            !is_pass && !begun && !is_outdated(report) && !awaited.iter().any(is_later)
        }
        _ => true,
    });
    match again.into_iter().find(|effect| !begun.contains(effect)) {
        Some(lost) => {
            fault("begun again", format!("effect {} is given up at a start: {:?}", lost.id, lost.kind))
        }
        None => Ok(()),
    }
}
