//! Effects take hold in the world, and their answers go on their way.

use super::{Happening, Run};
use crate::model::action::Push;
use crate::model::event::BuildPhase;
use crate::model::report::Report;
use crate::model::tree::Prepared;
use crate::model::{
    Account, BuildId, ChangeNumber, ChangeStatus, Effect, EffectId, EffectKind, Event, JobName, Outcome,
    Pair, Policy, Repository, ResolvedInput, Verdict,
};
use crate::sim::audit::{Checked, fault};
use crate::sim::fakes::executor::Stand;
use crate::sim::fakes::host;
use crate::sim::fakes::site::{job_file, passes};
use crate::sim::fakes::trees::Asked;
use crate::sim::setting::BOT;
use crate::sim::workload::What;
use crate::world::PushError;
use crate::world::gerrit::Message;

/// Where a stopped build ends late, it does so within this time: less than the policy's grace.
const LATE_STOP_MS: i64 = 15_000;

impl Run {
    pub(super) fn begin(&mut self, life: u64, effect: Effect, again: bool) -> Checked {
        let alive = life == self.life && self.engine.is_some();
        let given = matches!(effect.kind, EffectKind::StartBuild { .. } | EffectKind::StopBuild { .. });
        if alive && !given && self.frozen_until > self.now {
            let wait = self.frozen_until.since_ms(self.now);
            self.schedule(wait, Happening::Begin { life, effect, again });
            return Ok(());
        }
        // Of a daemon that has died, only what was already sent can take hold.
        if !alive && !self.rng.chance(500) {
            return Ok(());
        }
        let id = effect.id;
        match effect.kind {
            EffectKind::PrepareNode { .. } | EffectKind::Look { .. } if !alive => {}
            EffectKind::PrepareNode { node, date, pipeline, merges, overlay, depends, tips, pins } => {
                let failed = self.chance(self.faults.prepare_failed);
                let policy = self.audit.policy.clone().unwrap_or_else(|| self.policy.clone().shared());
                let (outcome, resolved) = if failed {
                    (Prepared::Failed { why: "the line is down".into() }, None)
                } else {
                    let asked = Asked {
                        node,
                        date,
                        pipeline: &pipeline,
                        merges: &merges,
                        overlay: &overlay,
                        depends: &depends,
                        tips: &tips,
                        pins: &pins,
                        job_file: &job_file,
                    };
                    self.trees.prepare(&mut self.gerrit, &policy, &asked)
                };
                let mut events = vec![Event::NodePrepared { effect: id, node, outcome }];
                events.extend(resolved.map(|outcome| Event::JobsResolved { effect: id, node, outcome }));
                self.answer(life, events);
            }
            EffectKind::ReleaseNode { node } => self.trees.release(node),
            EffectKind::StartBuild { build, job, inputs, .. } => {
                self.start_build(life, id, build, job, inputs, again)?
            }
            EffectKind::StopBuild { build } => self.stop_build(life, build),
            EffectKind::Look { changes } => self.look(life, id, &changes),
            EffectKind::Land { valid_until, pushes } => {
                if again {
                    return fault("effects once", format!("the push of effect {id} is begun again"));
                }
                for push in &pushes {
                    self.land(life, id, valid_until, push)?;
                }
            }
            EffectKind::Report(report) => self.post(life, id, &report)?,
            kind => self.observe(life, id, kind),
        }
        Ok(())
    }

    /// Sends an answer to the daemon that asked, unless the line loses it.
    fn answer(&mut self, life: u64, events: Vec<Event>) {
        if !self.chance(self.faults.answer_lost) {
            let delay = self.rng.between(1, 80);
            self.schedule(delay, Happening::Deliver { life, events });
        }
    }

    fn ended(&mut self, life: u64, effect: EffectId, outcome: Outcome) {
        self.answer(life, vec![Event::EffectEnded { effect, outcome }]);
    }

    fn look(&mut self, life: u64, effect: EffectId, asked: &[(ChangeNumber, Repository)]) {
        if self.chance(self.faults.request_failed) {
            return self.ended(life, effect, Outcome::Failed("503".into()));
        }
        let looked = host::look(&self.gerrit, self.now, effect, asked);
        self.answer(life, vec![looked]);
    }

    fn observe(&mut self, life: u64, effect: EffectId, kind: EffectKind) {
        if self.chance(self.faults.request_failed) {
            return self.ended(life, effect, Outcome::Failed("503".into()));
        }
        let events = host::observe(&self.gerrit, effect, &kind);
        if !events.is_empty() {
            self.answer(life, events);
        }
    }

    pub(super) fn seen(&self, number: ChangeNumber) -> Event {
        host::seen(&self.gerrit, number)
    }

    /// A report: the adapter looks for its tag where it is in doubt, so what was posted counts as
    /// applied, if late.
    fn post(&mut self, life: u64, effect: EffectId, report: &Report) -> Checked {
        let tag = format!("i{}e{}", report.item, report.again_of.unwrap_or(effect));
        // What has been posted is found by its tag, however often it takes to ask.
        if !self.gerrit.has_tag(&tag) && self.chance(self.faults.request_failed) {
            let events = vec![Event::EffectEnded { effect, outcome: Outcome::Failed("503".into()) }];
            self.schedule(20, Happening::Deliver { life, events });
            return Ok(());
        }
        let bot: Account = BOT.into();
        if self.gerrit.read(report.change, &bot).is_none() {
            self.refused.insert(report.item);
            self.ended(life, effect, Outcome::Refused("404".into()));
            return Ok(());
        }
        if let Some((label, value)) = &report.vote {
            self.gerrit.vote(self.now, report.change, report.revision, label, *value, &bot);
        }
        let text = super::super::trace::says(report);
        let message =
            Message { by: bot, tag: tag.into(), patchset: report.patchset, at: self.now, text: text.into() };
        let fresh = self.gerrit.post(report.change, message);
        self.tell_soon(report.change);
        if fresh {
            self.audit.voted(effect, report)?;
            self.audit.reported(report)?;
        }
        let delay = if self.chance(self.faults.report_unknown) {
            self.rng.between(200, 30_000)
        } else {
            self.rng.between(1, 80)
        };
        let events = vec![Event::EffectEnded { effect, outcome: Outcome::Applied }];
        self.schedule(delay, Happening::Deliver { life, events });
        Ok(())
    }

    fn land(
        &mut self,
        life: u64,
        effect: EffectId,
        valid_until: crate::model::Timestamp,
        push: &Push,
    ) -> Checked {
        self.ambush(push)?;
        let outcome = if self.now > valid_until {
            Outcome::Failed("the last look is too old".into())
        } else if let Err(outcome) = self.trees.fit_to_push(&self.gerrit, push) {
            outcome
        } else if self.chance(self.faults.push_failed) {
            Outcome::Failed("the line is down".into())
        } else if self.chance(self.faults.push_unknown_undone) {
            Outcome::Unknown("the line broke".into())
        } else if self.chance(self.faults.push_submarine) {
            let settle = self.audit.policy.as_ref().map_or(30_000, |policy| policy.limits.settle_ms);
            let delay = self.rng.between(1, settle - 1_000);
            self.schedule(delay, Happening::LatePush { effect, push: push.clone() });
            Outcome::Unknown("timed out".into())
        } else {
            match self.push_now(effect, push)? {
                Ok(()) if self.chance(self.faults.push_unknown_applied) => {
                    Outcome::Unknown("timed out".into())
                }
                Ok(()) => Outcome::Applied,
                Err(PushError::NotPermitted) => Outcome::Refused("not permitted".into()),
                Err(_) => Outcome::Failed("the branch moved".into()),
            }
        };
        self.say(|| format!("  push of effect {effect}: {outcome:?}"));
        let landed = self.submitted(effect, push).filter(|_| outcome == Outcome::Applied);
        let ended = Event::PushEnded { effect, pushes: vec![(push.pair.clone(), outcome)] };
        self.answer(life, vec![landed.unwrap_or(ended)]);
        Ok(())
    }

    /// What became of a change that Gerrit was to submit, if it has landed.
    fn submitted(&self, effect: EffectId, push: &Push) -> Option<Event> {
        host::submitted(&self.gerrit, effect, &push.pair, push.submit.as_ref()?)
    }

    /// What people do in the instant before a push.
    fn ambush(&mut self, push: &Push) -> Checked {
        let waiting = std::mem::take(&mut self.ambushes);
        for step in waiting {
            let number = |change: &u64| self.changes.get(change).copied();
            let hits = match &step.what {
                What::Outside { pair, .. } => *pair == push.pair,
                What::AmbushVeto(change) | What::AmbushUpload(change) => {
                    push.changes.iter().any(|(pushed, ..)| Some(*pushed) == number(change))
                }
                _ => false,
            };
            if hits {
                self.strike(&step.what);
            } else {
                self.ambushes.push(step);
            }
        }
        Ok(())
    }

    /// Moves the branch, if it still has the expected tip.
    pub(super) fn push_now(
        &mut self,
        effect: EffectId,
        push: &Push,
    ) -> Result<Result<(), PushError>, crate::sim::audit::Fault> {
        let pushed = match &push.submit {
            None => self.gerrit.push(self.now, &push.pair, push.old, push.new, &BOT.into()),
            Some(submit) => self.gerrit.submit(self.now, submit.change, submit.revision),
        };
        let closed = match pushed {
            Ok(closed) => closed,
            Err(error) => return Ok(Err(error)),
        };
        let tip = self.gerrit.tip(&push.pair).unwrap_or_default();
        self.say(|| format!("  {} is now {} (effect {effect})", push.pair, tip.short()));
        self.audit.tip_moved(&push.pair, tip);
        let still_open = |number: &ChangeNumber| {
            self.gerrit.change(*number).is_some_and(|change| change.status == ChangeStatus::Open)
        };
        let open = push.changes.iter().map(|(number, ..)| *number).find(still_open);
        self.audit.mark_landed(effect, push, &closed, open)?;
        self.moved(&push.pair.clone());
        for (number, _) in closed {
            self.tell_soon(number);
        }
        Ok(Ok(()))
    }

    fn start_build(
        &mut self,
        life: u64,
        effect: EffectId,
        id: BuildId,
        job: JobName,
        inputs: Vec<ResolvedInput>,
        again: bool,
    ) -> Checked {
        if self.executor.build(id).is_some() {
            self.tell_build(id);
            return Ok(());
        }
        if self.chance(self.faults.start_failed) {
            self.ended(life, effect, Outcome::Failed("no room".into()));
            return Ok(());
        }
        self.executor.ask(self.now, id, job, inputs);
        let slots =
            self.audit.policy.as_ref().map_or(0, |policy: &std::sync::Arc<Policy>| policy.slots as usize);
        // What is asked for again was bought under an earlier configuration.
        if self.executor.running() > slots && !again {
            return fault("slots", format!("{} builds run on {slots} slots", self.executor.running()));
        }
        let delay = self.rng.between(1, 1_500);
        self.schedule(delay, Happening::BuildRuns(id));
        Ok(())
    }

    fn stop_build(&mut self, life: u64, id: BuildId) {
        let late = self.chance(self.faults.late_verdict);
        let now = self.now;
        match self.executor.build(id) {
            None => {
                let verdict = Verdict::NoVerdict { why: "no such build".into() };
                let phase = BuildPhase::Finished { verdict, duration_ms: 0 };
                self.schedule(
                    1,
                    Happening::Deliver { life, events: vec![Event::BuildSeen { build: id, phase }] },
                );
            }
            Some(build) if matches!(build.stand, Stand::Over(_)) => self.tell_build(id),
            Some(build) => {
                build.stopping = !late || build.stand == Stand::Asked;
                build.started_at = build.started_at.min(now);
                let delay = if late { self.rng.between(1, LATE_STOP_MS) } else { self.rng.between(1, 2_000) };
                self.schedule(delay, Happening::BuildEnds(id));
            }
        }
    }

    pub(super) fn build_runs(&mut self, id: BuildId) {
        let duration = self.rng.between(500, self.setting.build_max_ms);
        if self.chance(self.faults.build_lost) {
            self.executor.lose(id);
            return;
        }
        let now = self.now;
        let Some(build) = self.executor.build(id) else { return };
        if build.stand != Stand::Asked {
            return;
        }
        build.stand = Stand::Running;
        build.started_at = now;
        let (job, inputs) = (build.job.clone(), build.inputs.clone());
        self.tell_build(id);
        let passed = passes(&self.gerrit, &self.setting.poison, &job, &inputs);
        if !passed && self.rng.chance(400) {
            let phase = BuildPhase::Failing { why: "a test fails".into() };
            let life = self.life;
            self.schedule(
                duration / 2,
                Happening::Deliver { life, events: vec![Event::BuildSeen { build: id, phase }] },
            );
        }
        if !self.chance(self.faults.build_stuck) {
            self.schedule(duration, Happening::BuildEnds(id));
        }
    }

    pub(super) fn build_ends(&mut self, id: BuildId) {
        let Some(build) = self.executor.build(id) else { return };
        let stopped = build.stopping;
        let (job, inputs) = (build.job.clone(), build.inputs.clone());
        let verdict = if stopped {
            Verdict::NoVerdict { why: "stopped".into() }
        } else if self.chance(self.faults.infrastructure) {
            Verdict::NoVerdict { why: "the node was evicted".into() }
        } else if !passes(&self.gerrit, &self.setting.poison, &job, &inputs) {
            Verdict::Fail { why: "exit code 1".into() }
        } else if self.chance(self.faults.flaky) {
            Verdict::Fail { why: "exit code 1, by chance".into() }
        } else {
            Verdict::Pass
        };
        if self.executor.end(id, verdict) {
            self.tell_build(id);
        }
    }

    /// Reports a build, unless the report is dropped: then the next sweep does.
    pub(super) fn tell_build(&mut self, id: BuildId) {
        let Some(phase) = self.executor.phase(self.now, id) else { return };
        if self.chance(self.faults.build_report_dropped) {
            return;
        }
        let life = self.life;
        let copies = if self.chance(self.faults.news_doubled) { 2 } else { 1 };
        for _ in 0..copies {
            let delay = self.rng.between(1, 400);
            let events = vec![Event::BuildSeen { build: id, phase: phase.clone() }];
            self.schedule(delay, Happening::Deliver { life, events });
        }
    }

    /// A branch has moved: the stream says so, unless the news is lost.
    pub(super) fn moved(&mut self, pair: &Pair) {
        if self.chance(self.faults.news_lost) {
            return;
        }
        let delay = self.rng.between(2, 300);
        self.schedule(delay, Happening::TellTip { pair: pair.clone() });
    }
}
