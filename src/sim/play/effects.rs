//! Effects take hold on the stage, and their answers go back to the daemon.

use std::sync::Arc;

use super::book::{BuildPage, BuildStand, Stay, place};
use super::stage::{Happening, Stage};
use super::story::{Fate, PushFate};
use crate::config::parse_job_file;
use crate::model::action::{Decision, Push};
use crate::model::event::BuildPhase;
use crate::model::report::{Report, Says};
use crate::model::time::in_words;
use crate::model::tree::Prepared;
use crate::model::{
    Account, Action, BuildId, BuildSpec, ChangeNumber, Departure, Effect, EffectId, EffectKind, Event,
    JobName, Outcome, Pair, Policy, ResolvedInput, Sha, Timestamp, Verdict,
};
use crate::queue::resolve::{FoundJobFile, JobFile};
use crate::report::{Links, compose};
use crate::sim::fakes::executor::Stand;
use crate::sim::fakes::host;
use crate::sim::fakes::site::job_file_blob;
use crate::sim::fakes::trees::Asked;
use crate::sim::setting::{BOT, JOB_FILE};
use crate::world::gerrit::Message;
use crate::world::{Gerrit, PushError};

/// How much of a message stands in the transcript, in characters.
const SHOWN_MAX: usize = 200;

impl Stage {
    /// An effect takes hold. Of a daemon that has died only a push does: it was on its way.
    pub fn begin(&mut self, life: u64, effect: Effect) {
        let alive = life == self.life && self.engine.is_some();
        if alive && let Some(until) = self.weather.frozen_until.filter(|until| *until > self.now) {
            self.schedule(until.since_ms(self.now), Happening::Begin { life, effect });
            return;
        }
        let id = effect.id;
        match effect.kind {
            EffectKind::Land { valid_until, pushes } => {
                pushes.iter().for_each(|push| self.land(life, id, valid_until, push));
            }
            _ if !alive => {}
            EffectKind::PrepareNode { node, date, pipeline, merges, overlay, depends, tips, pins } => {
                let Some(policy) = self.policy.clone() else { return };
                if self.weather.away {
                    let outcome = Prepared::Failed { why: "Gerrit does not answer".into() };
                    return self.answer(life, vec![Event::NodePrepared { effect: id, node, outcome }]);
                }
                let limits = self.limits.clone();
                let read = |gerrit: &Gerrit, pair: &Pair, commit: Sha| {
                    read_job_file(gerrit, pair, commit, &policy, &limits)
                };
                let asked = Asked {
                    node,
                    date,
                    pipeline: &pipeline,
                    merges: &merges,
                    overlay: &overlay,
                    depends: &depends,
                    pins: &pins,
                    job_file: &read,
                    tips: &tips,
                };
                let (outcome, resolved) = self.trees.prepare(&mut self.gerrit, &policy, &asked);
                let mut events = vec![Event::NodePrepared { effect: id, node, outcome }];
                events.extend(resolved.map(|outcome| Event::JobsResolved { effect: id, node, outcome }));
                self.answer(life, events);
            }
            EffectKind::ReleaseNode { node } => self.trees.release(node),
            EffectKind::StartBuild { build, job, inputs, spec } => {
                self.start_build(life, id, build, &job, inputs, &spec)
            }
            EffectKind::StopBuild { build } => self.stop_build(build),
            EffectKind::Look { .. } if self.weather.away => self.failed(life, id),
            EffectKind::Look { changes } => {
                let looked = host::look(&self.gerrit, self.now, id, &changes);
                self.answer(life, vec![looked]);
            }
            EffectKind::Report(report) => self.post(life, id, &report),
            _ if self.weather.away => self.failed(life, id),
            kind => {
                let events = host::observe(&self.gerrit, id, &kind);
                self.answer(life, events);
            }
        }
    }

    fn answer(&mut self, life: u64, events: Vec<Event>) {
        if !events.is_empty() {
            self.schedule(0, Happening::Deliver { life, events });
        }
    }

    fn failed(&mut self, life: u64, effect: EffectId) {
        let outcome = Outcome::Failed("Gerrit does not answer".into());
        self.answer(life, vec![Event::EffectEnded { effect, outcome }]);
    }

    fn post(&mut self, life: u64, effect: EffectId, report: &Report) {
        if self.weather.away {
            return self.failed(life, effect);
        }
        let stay = self.book.stays.get_mut(&report.item);
        if let (Some(stay), Some(Says::Ended { departure, .. })) = (stay, &report.says) {
            stay.told.insert(report.change, departure.clone());
        }
        let bot: Account = BOT.into();
        if self.gerrit.read(report.change, &bot).is_none() {
            let outcome = Outcome::Refused("404".into());
            return self.answer(life, vec![Event::EffectEnded { effect, outcome }]);
        }
        let name = self.name(report.change);
        if let Some((label, value)) = &report.vote {
            self.gerrit.vote(self.now, report.change, report.revision, label, *value, &bot);
            self.say(format!("votes {label} {value:+} on {name}"));
        }
        let text = compose(report, &Links::default());
        if !text.is_empty() {
            let tag = format!("i{}e{}", report.item, report.again_of.unwrap_or(effect));
            let shown = self.with_names(&text.split_whitespace().collect::<Vec<_>>().join(" "));
            let message = Message {
                by: bot,
                tag: tag.into(),
                patchset: report.patchset,
                at: self.now,
                text: text.into(),
            };
            if self.gerrit.post(report.change, message) {
                let cut: String = shown.chars().take(SHOWN_MAX).collect();
                self.say(format!("says on {name}: {cut}{}", if cut.len() < shown.len() { "…" } else { "" }));
            }
        }
        self.tell_change(report.change);
        self.answer(life, vec![Event::EffectEnded { effect, outcome: Outcome::Applied }]);
    }

    fn land(&mut self, life: u64, effect: EffectId, valid_until: Timestamp, push: &Push) {
        for act in std::mem::take(&mut self.weather.ambushes) {
            self.act_now(&act);
        }
        let fate = if self.now <= valid_until { self.weather.pushes.pop_front() } else { None };
        let outcome = if self.now > valid_until {
            Outcome::Failed("the last look is too old".into())
        } else if let Err(outcome) = self.trees.fit_to_push(&self.gerrit, push) {
            outcome
        } else if self.weather.away {
            Outcome::Failed("Gerrit does not answer".into())
        } else {
            match fate {
                Some(PushFate::Fails) => Outcome::Failed("the line broke".into()),
                Some(PushFate::Refused(why)) => Outcome::Refused(why.into()),
                Some(PushFate::Lost) => Outcome::Unknown("the line broke".into()),
                Some(PushFate::Late(ms)) => {
                    self.schedule(ms, Happening::LatePush(effect, push.clone()));
                    Outcome::Unknown("timed out".into())
                }
                fate => match self.push_now(effect, push) {
                    Ok(()) if fate == Some(PushFate::AnswerLost) => Outcome::Unknown("timed out".into()),
                    Ok(()) => Outcome::Applied,
                    Err(PushError::NotPermitted) => Outcome::Refused("not permitted".into()),
                    Err(_) => Outcome::Failed("the branch moved".into()),
                },
            }
        };
        if !matches!(outcome, Outcome::Applied) {
            self.say(format!("the push to {} ends: {}", place(&push.pair), in_short(&outcome)));
        }
        let landed = push.submit.as_ref().filter(|_| outcome == Outcome::Applied);
        let landed = landed.and_then(|submit| host::submitted(&self.gerrit, effect, &push.pair, submit));
        let ended = Event::PushEnded { effect, pushes: vec![(push.pair.clone(), outcome)] };
        self.answer(life, vec![landed.unwrap_or(ended)]);
    }

    /// Moves a branch for the daemon, if it still has the expected tip.
    ///
    /// # Errors
    /// It did not move.
    pub fn push_now(&mut self, effect: EffectId, push: &Push) -> Result<(), PushError> {
        let closed = match &push.submit {
            None => self.gerrit.push(self.now, &push.pair, push.old, push.new, &BOT.into())?,
            Some(submit) => self.gerrit.submit(self.now, submit.change, submit.revision)?,
        };
        let order: Vec<ChangeNumber> = push.changes.iter().map(|(number, ..)| *number).collect();
        self.book.pushes += 1;
        let _ = effect;
        self.moved(&push.pair, &closed.iter().map(|(number, _)| *number).collect::<Vec<_>>(), &order);
        Ok(())
    }

    /// A branch has moved and closed changes; `order` says in which order they landed.
    pub fn moved(&mut self, pair: &Pair, closed: &[ChangeNumber], order: &[ChangeNumber]) {
        let rank =
            |number: &ChangeNumber| order.iter().position(|other| other == number).unwrap_or(usize::MAX);
        let mut closed = closed.to_vec();
        closed.sort_by_key(rank);
        self.book.moves += 1;
        let moves = self.book.moves;
        self.book.landed.extend(closed.iter().map(|number| (*number, moves)));
        if !closed.is_empty() {
            let names: Vec<String> = closed.iter().map(|number| self.name(*number)).collect();
            self.say(format!("{} landed in {}", names.join(", "), place(pair)));
        }
        self.tell_tip(pair);
        closed.iter().for_each(|number| self.tell_change(*number));
    }

    fn start_build(
        &mut self,
        life: u64,
        effect: EffectId,
        id: BuildId,
        job: &JobName,
        inputs: Vec<ResolvedInput>,
        spec: &Arc<BuildSpec>,
    ) {
        if self.executor.build(id).is_some() {
            return self.tell_build(id);
        }
        if self.weather.starts_fail > 0 {
            self.weather.starts_fail -= 1;
            let outcome = Outcome::Failed("no room".into());
            return self.answer(life, vec![Event::EffectEnded { effect, outcome }]);
        }
        let Some((key, item)) = self.book.bought.get(&id).copied() else { return };
        let tree = self.tree_of(&inputs);
        let course = self.truths.course(&self.gerrit, job, &inputs, Some(key));
        let home = inputs.first().map_or_else(|| Pair::new("", ""), |input| input.pair.clone());
        let label = self.sum(&tree);
        let several = self.setup.all_repositories().len() > 1;
        let of = if several { format!(" of {}", place(&home)) } else { String::new() };
        self.say(format!("{job}{of} is building on {label}"));
        self.executor.ask(self.now, id, job.clone(), inputs);
        if let Some(build) = self.executor.build(id) {
            build.stand = Stand::Running;
        }
        let page = BuildPage { job: job.clone(), tree, item, stand: BuildStand::Runs };
        self.book.builds.insert(id, page);
        self.run(id, course, spec.timeout_ms);
        if self.executor.build(id).is_some() {
            self.tell_build(id);
        }
    }

    /// Plans how a build goes on.
    fn run(&mut self, id: BuildId, course: super::fates::Course, limit_ms: i64) {
        if course.fate == Fate::Vanishes {
            self.executor.lose(id);
            self.book.builds.get_mut(&id).into_iter().for_each(|build| build.stand = BuildStand::Ended);
            return;
        }
        if let Fate::Fails { known: Some(ms), .. } = course.fate {
            self.schedule(ms, Happening::BuildFailing(id));
        }
        let overdue = course.lasts_ms > limit_ms || course.fate == Fate::Hangs;
        let verdict = match course.fate {
            _ if overdue => Verdict::Fail { why: format!("timed out after {}", in_words(limit_ms)).into() },
            Fate::Fails { .. } => Verdict::Fail { why: "exit code 1".into() },
            Fate::Breaks(_) => Verdict::NoVerdict { why: "the node was evicted".into() },
            _ => Verdict::Pass,
        };
        self.verdicts.insert(id, verdict);
        self.schedule(if overdue { limit_ms } else { course.lasts_ms }, Happening::BuildEnds(id));
    }

    /// The changes in what a build checks out that have not landed.
    fn tree_of(&self, inputs: &[ResolvedInput]) -> std::collections::BTreeSet<ChangeNumber> {
        let mut tree = std::collections::BTreeSet::new();
        for input in inputs {
            let Some(tip) = self.gerrit.tip(&input.pair) else { continue };
            for commit in self.gerrit.git.between(tip, input.commit) {
                let stands_for = self.trees.stands_for(commit).unwrap_or(commit);
                let changes = self.gerrit.changes_with(stands_for).map(|change| change.number);
                tree.extend(changes.filter(|number| !self.book.has_landed(*number)));
            }
        }
        tree
    }

    fn stop_build(&mut self, id: BuildId) {
        let verdict = Verdict::NoVerdict { why: "stopped".into() };
        if self.executor.build(id).is_none() {
            let phase = BuildPhase::Finished { verdict, duration_ms: 0 };
            let life = self.life;
            return self.answer(life, vec![Event::BuildSeen { build: id, phase }]);
        }
        self.forget_build(id);
        if self.executor.end(id, verdict) {
            self.close_build(id, BuildStand::Stopped, "is stopped");
        }
        self.tell_build(id);
    }

    fn close_build(&mut self, id: BuildId, stand: BuildStand, word: &str) {
        let Some(build) = self.book.builds.get_mut(&id) else { return };
        build.stand = stand;
        let (job, tree) = (build.job.clone(), build.tree.clone());
        let label = self.sum(&tree);
        self.say(format!("{job} {word} on {label}"));
    }

    /// A build shows that it will fail.
    pub fn build_failing(&mut self, id: BuildId) {
        let life = self.life;
        let phase = BuildPhase::Failing { why: "a test fails".into() };
        self.answer(life, vec![Event::BuildSeen { build: id, phase }]);
    }

    /// A build ends by itself.
    pub fn build_ends(&mut self, id: BuildId) {
        let Some(verdict) = self.verdicts.remove(&id) else { return };
        let word = match &verdict {
            Verdict::Pass => "passes".to_owned(),
            Verdict::Fail { why } if why.starts_with("timed out") => why.to_string(),
            Verdict::Fail { .. } => "fails".to_owned(),
            Verdict::NoVerdict { why } => format!("has no verdict ({why})"),
        };
        if self.executor.end(id, verdict) {
            self.close_build(id, BuildStand::Ended, &word);
            self.tell_build(id);
        }
    }

    /// Reports a build to the daemon.
    fn tell_build(&mut self, id: BuildId) {
        if let Some(phase) = self.executor.phase(self.now, id) {
            let life = self.life;
            self.answer(life, vec![Event::BuildSeen { build: id, phase }]);
        }
    }

    /// Writes down what was decided.
    pub fn write_down(&mut self, actions: &[Action]) {
        for action in actions {
            let Action::Decision(decision) = action else { continue };
            match decision {
                Decision::Placed { .. } | Decision::Pooled { .. } => {}
                Decision::Entered { item, pipeline, queue, changes } => {
                    let changes: Vec<ChangeNumber> = changes.iter().map(|change| change.number).collect();
                    let names = self.sum(&changes);
                    let what = queue.as_ref().map_or_else(
                        || format!("the {}", pipeline.name()),
                        |queue| format!("the queue {queue}"),
                    );
                    self.say(format!("{names} enters {what}"));
                    let stay = Stay {
                        pipeline: pipeline.clone(),
                        changes,
                        adopted: Default::default(),
                        bought: Default::default(),
                        ended: None,
                        told: std::collections::BTreeMap::new(),
                    };
                    self.book.stays.insert(*item, stay);
                }
                Decision::Bought { build, key, item } => {
                    self.book.bought.insert(*build, (*key, *item));
                    if let Some(stay) = self.book.stays.get_mut(item) {
                        stay.bought.insert(*key);
                    }
                }
                Decision::Adopted { item, job, key, .. } => {
                    let Some(stay) = self.book.stays.get_mut(item) else { continue };
                    stay.adopted.insert(*key, job.clone());
                    if !stay.bought.contains(key) {
                        let changes = stay.changes.clone();
                        let names = self.sum(&changes);
                        self.say(format!("{job} is reused for {names}"));
                    }
                }
                Decision::Parted { item, commits } => {
                    let pairs: Vec<String> = commits.iter().map(|(pair, _)| pair.to_string()).collect();
                    let stay = self.book.stays.get(item);
                    let changes = stay.map(|stay| stay.changes.clone()).unwrap_or_default();
                    let names = self.sum(&changes);
                    self.say(format!("{names} has landed in {} only", pairs.join(" and ")));
                }
                Decision::Ended { item, departure, .. } => {
                    let Some(stay) = self.book.stays.get_mut(item) else { continue };
                    stay.ended = Some(departure.clone());
                    let (changes, pipeline) = (stay.changes.clone(), stay.pipeline.clone());
                    if !matches!(departure, Departure::Landed { .. } | Departure::Checked { .. }) {
                        let names = self.sum(&changes);
                        let keeps = self.keeps_approval(&changes);
                        let why = crate::report::ending(departure, &pipeline, keeps);
                        let why = self.with_names(&why);
                        self.say(format!("{names} leaves the {}: {why}", pipeline.name()));
                    }
                }
                Decision::AlternativeBegun { of, without, .. } => self.write_down_alternative(*of, *without),
                Decision::Overtook { item, before } => self.write_down_pass(*item, *before),
                Decision::Based { .. } => {}
                run => self.write_down_run(run),
            }
        }
    }
}

fn in_short(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Applied => "done".into(),
        Outcome::Refused(why) => format!("refused, {why}"),
        Outcome::Failed(why) | Outcome::Gone(why) => format!("failed, {why}"),
        Outcome::Unknown(why) => format!("no answer, {why}"),
    }
}

fn read_job_file(
    gerrit: &Gerrit,
    pair: &Pair,
    commit: Sha,
    policy: &Policy,
    limits: &crate::config::JobFileLimits,
) -> Option<FoundJobFile> {
    let blob = job_file_blob(gerrit, commit)?;
    let tree = gerrit.git.tree_of(commit);
    let text = tree.get(JOB_FILE)?;
    let read = parse_job_file(text.as_bytes(), pair, policy, limits);
    let read = read
        .map(|file| JobFile { jobs: file.jobs, noop: file.noop })
        .map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"));
    Some((blob, read))
}
