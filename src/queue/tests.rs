//! Claims about the core in a small world: three changes to one branch, answered by hand.

mod alternatives;
mod depend;
mod doubt;
mod group;
mod order;
mod reload;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::*;
use crate::model::action::{Decision, Merge, Onto};
use crate::model::event::{BuildPhase, Command, Scope};
use crate::model::policy::{
    AfterFailure, CheckPolicy, GatePolicy, LandingMode, Limits, Need, Policy, QueuePolicy, StrategyPolicy,
    TopicPolicy,
};
use crate::model::report::Says;
use crate::model::tree::{Foreign, Prepared, Read, Resolved, Written};
use crate::model::{
    BuildId, BuildSpec, ChangeSnapshot, ChangeStatus, Departure, LandingForm, Outcome, PatchSet, Patterns,
    Reason, ResolvedInput, ResolvedJob, Sha, Verdict, VerdictKey, Vote,
};

/// A tip that somebody has made by landing changes by hand.
const BY_HAND: Sha = Sha([9; 20]);

/// The core, and what it has asked for.
struct World {
    queue: Queue,
    now: Timestamp,
    written: BTreeMap<(u64, Pair), Sha>,
    /// Merges are the same commit where they are the same merge: onto, change and date.
    merges: BTreeMap<(Sha, u64, Timestamp), Sha>,
    /// The jobs that are found at each node.
    jobs: Vec<&'static str>,
    /// Builds that run, with the change that they are for.
    builds: Vec<(BuildId, u64)>,
    /// The changes whose nodes were made, by commit.
    made_for: BTreeMap<Sha, u64>,
    looks: Vec<Effect>,
    /// Changes and tips that are to be read.
    rereads: Vec<Effect>,
    /// What nodes of these changes bring in beside them.
    foreign: BTreeMap<u64, Vec<Foreign>>,
    /// What nodes read beside what they write.
    reads: Vec<Read>,
    pushes: Vec<Effect>,
    ended: Vec<(u64, Departure)>,
    items: BTreeMap<u64, u64>,
    /// Changes of which an alarm was raised.
    alarms: Vec<u64>,
    /// Waits that authors were told of.
    told: Vec<(u64, Reason)>,
}

fn sha(kind: u8, number: u64) -> Sha {
    let mut bytes = [kind; 20];
    bytes[12..].copy_from_slice(&number.to_be_bytes());
    Sha(bytes)
}

fn home() -> Pair {
    Pair::new("core", "main")
}

pub(super) fn policy(slots: u32) -> Policy {
    Policy {
        account: "bot".into(),
        queues: vec![QueuePolicy {
            name: "main".into(),
            family: None,
            per_branch: false,
            outside: Default::default(),
            repositories: Patterns::new(&["core"]),
            branches: Patterns::new(&["*"]),
            strategy: StrategyPolicy::Dependent { window: 20 },
            max_items_per_push: 50,
            merge_from: Vec::new(),
            after_failure: AfterFailure::Forget,
            landing: LandingMode::Push,
            topics: TopicPolicy::Apart,
            tuning: Default::default(),
        }],
        sites: Vec::new(),
        jobs: Vec::new(),
        job_files: false,
        templates: Default::default(),
        gate: GatePolicy {
            approval: vec![Need { label: "Code-Review".into(), min: 2 }],
            label: "Verified".into(),
            success: 1,
            failure: -1,
            start_message_after_ms: None,
        },
        check: CheckPolicy { enabled: false, success: 1, failure: -1, recheck: None },
        slots,
        limits: Limits::default(),
        priority: Default::default(),
        pipelines: Default::default(),
    }
}

fn snapshot(number: u64, review: i32) -> ChangeSnapshot {
    let vote = |label: &str, value: i32, by: &str| Vote {
        label: label.into(),
        value,
        by: by.into(),
        at: Timestamp(1),
    };
    ChangeSnapshot {
        number: ChangeNumber(number),
        repository: "core".into(),
        branch: "main".into(),
        change_id: format!("I{number}").as_str().into(),
        status: ChangeStatus::Open,
        patchset: PatchSet(1),
        revision: sha(2, number),
        parents: vec![sha(1, 0)],
        form: Some(LandingForm::MergeAlways),
        carries_id: true,
        subject: "a change".into(),
        owner: "alice".into(),
        work_in_progress: false,
        private: false,
        submittable: review > 0,
        requirements: Vec::new(),
        votes: vec![vote("Code-Review", review, "bob"), vote("Verified", 1, "bot")],
        topic: None,
        hashtags: Vec::new(),
        depends_on: [].into(),
        needs: [].into(),
        meta: None,
        updated_at: Timestamp(1),
    }
}

impl World {
    /// A world in which these changes are approved, in this order.
    fn with(changes: &[u64], slots: u32) -> Self {
        let mut world = Self {
            queue: Queue::new(),
            now: Timestamp(1_000),
            written: BTreeMap::new(),
            merges: BTreeMap::new(),
            jobs: vec!["unit"],
            builds: Vec::new(),
            made_for: BTreeMap::new(),
            looks: Vec::new(),
            rereads: Vec::new(),
            foreign: BTreeMap::new(),
            reads: Vec::new(),
            pushes: Vec::new(),
            ended: Vec::new(),
            items: BTreeMap::new(),
            alarms: Vec::new(),
            told: Vec::new(),
        };
        world.tell(Event::PolicyChanged { policy: Arc::new(policy(slots)) });
        world.tell(Event::TipSeen { pair: home(), commit: Some(sha(1, 0)) });
        for change in changes {
            world.tell(Event::ChangeSeen { snapshot: snapshot(*change, 2) });
        }
        world
    }

    fn tell(&mut self, event: Event) {
        self.now = self.now.plus_ms(1);
        for action in self.queue.step(self.now, event).actions {
            match action {
                Action::Effect(effect) => self.answer(effect),
                Action::Decision(Decision::Entered { item, changes, .. }) => {
                    self.items.insert(item.0, changes[0].number.0);
                }
                Action::Decision(Decision::Ended { item, departure, .. }) => {
                    self.ended.push((self.items[&item.0], departure));
                }
                Action::Decision(_) => {}
            }
        }
    }

    /// Merges and messages are answered at once; the rest is kept for the test.
    fn answer(&mut self, effect: Effect) {
        match effect.kind {
            EffectKind::PrepareNode { node, date, ref merges, .. } => {
                let start = |world: &Self, merge: &Merge| match merge.onto {
                    Onto::Commit(commit) => commit,
                    Onto::Node(node) => world.written[&(node.0, merge.change.pair.clone())],
                };
                let onto = start(self, &merges[0]);
                if merges[0].form == Some(LandingForm::FastForwardOnly) && onto != sha(1, 0) {
                    let outcome = Prepared::Held { reason: Reason::Rebase { pair: home() } };
                    return self.tell(Event::NodePrepared { effect: effect.id, node, outcome });
                }
                if onto == BY_HAND {
                    let outcome = Prepared::Unfit { why: "nothing to land".into() };
                    return self.tell(Event::NodePrepared { effect: effect.id, node, outcome });
                }
                let mut writes: Vec<Written> = Vec::new();
                for merge in merges {
                    let pair = merge.change.pair.clone();
                    let before = writes.iter().position(|written| written.pair == pair);
                    let before = before.map(|at| writes.remove(at));
                    let first = before.as_ref().map_or_else(|| start(self, merge), |before| before.onto);
                    let onto = before.map_or(first, |before| before.commit);
                    let next = sha(3, self.merges.len() as u64 + 1);
                    let commit = *self.merges.entry((onto, merge.change.number.0, date)).or_insert(next);
                    self.written.insert((node.0, pair.clone()), commit);
                    self.made_for.insert(commit, merge.change.number.0);
                    writes.push(Written { pair, commit, tree: commit, onto: first, job_file: None });
                }
                let commit = writes[0].commit;
                let foreign = self.foreign.get(&merges[0].change.number.0).cloned().unwrap_or_default();
                let outcome = Prepared::Merged { writes, foreign };
                self.tell(Event::NodePrepared { effect: effect.id, node, outcome });
                let jobs = self.jobs.iter().map(|name| job(name, commit)).collect();
                let reads = self.reads.clone();
                let (alters_job_files, unneeded) = Default::default();
                let outcome =
                    Resolved::Jobs { jobs, reads, alters_job_files, noop: false, unneeded, post: false };
                self.tell(Event::JobsResolved { effect: effect.id, node, outcome });
            }
            EffectKind::StartBuild { build, inputs, .. } => {
                self.builds.push((build, self.made_for[&inputs[0].commit]));
            }
            EffectKind::StopBuild { build } => {
                self.builds.retain(|(other, _)| *other != build);
                self.finish(build, Verdict::NoVerdict { why: "stopped".into() });
            }
            EffectKind::Look { .. } => self.looks.push(effect),
            EffectKind::ObserveChange { .. }
            | EffectKind::ObserveTip { .. }
            | EffectKind::ObserveCommit { .. } => self.rereads.push(effect),
            EffectKind::Land { .. } => self.pushes.push(effect),
            EffectKind::Report(report) => {
                match report.says {
                    Some(Says::Waiting { reason }) => self.told.push((report.change.0, reason)),
                    Some(Says::Alarm { .. }) => self.alarms.push(report.change.0),
                    _ => {}
                }
                self.tell(Event::EffectEnded { effect: effect.id, outcome: Outcome::Applied });
            }
            _ => {}
        }
    }

    fn finish(&mut self, build: BuildId, verdict: Verdict) {
        self.tell(Event::BuildSeen { build, phase: BuildPhase::Finished { verdict, duration_ms: 1 } });
    }

    /// Ends the build that runs for a change.
    fn judge(&mut self, change: u64, passes: bool) {
        let at = self.builds.iter().position(|(_, number)| *number == change).unwrap();
        let (build, _) = self.builds.remove(at);
        let fail = Verdict::Fail { why: "exit code 1".into() };
        self.finish(build, if passes { Verdict::Pass } else { fail });
    }

    /// Answers the last look with the changes as they are.
    fn look(&mut self, review: i32) {
        let effect = self.looks.pop().unwrap();
        let EffectKind::Look { changes } = effect.kind else { return };
        let changes = changes.iter().map(|(number, _)| snapshot(number.0, review)).collect();
        self.tell(Event::Looked { effect: effect.id, at: self.now, changes, gone: Vec::new() });
    }

    fn pushed(&mut self) -> (Effect, Vec<u64>) {
        let effect = self.pushes.pop().unwrap();
        let EffectKind::Land { pushes, .. } = &effect.kind else { unreachable!() };
        let numbers = pushes[0].changes.iter().map(|(number, ..)| number.0).collect();
        (effect, numbers)
    }

    fn end_push(&mut self, effect: &Effect, outcome: Outcome) {
        self.tell(Event::PushEnded { effect: effect.id, pushes: vec![(home(), outcome)] });
    }

    fn building(&self) -> Vec<u64> {
        self.builds.iter().map(|(_, change)| *change).collect()
    }
}

/// A job that reads the commit itself.
fn job(name: &str, commit: Sha) -> ResolvedJob {
    let spec = Arc::new(BuildSpec {
        commands: vec!["true".into()],
        environment: BTreeMap::new(),
        timeout_ms: 60_000,
        trust: "operator".into(),
    });
    let inputs = vec![ResolvedInput {
        pair: home(),
        commit,
        content: commit,
        paths: Vec::new(),
        ignored_files: Patterns::default(),
        history: false,
    }];
    let key = VerdictKey::new(&name.into(), &home(), &spec, &inputs);
    ResolvedJob {
        name: name.into(),
        home: home(),
        key,
        spec,
        inputs,
        voting: true,
        reuse_ms: None,
        attempts: crate::model::job::Attempts::UpTo(1),
        needs: Vec::new(),
        depth: 0,
    }
}

#[test]
fn approved_changes_are_built_at_once_and_land_in_one_push() {
    let mut world = World::with(&[1, 2, 3], 8);
    assert_eq!(world.building(), [1, 2, 3]);
    for change in [3, 2, 1] {
        assert!(world.looks.is_empty(), "nothing is looked at before the head has passed");
        world.judge(change, true);
    }
    world.look(2);
    let (push, numbers) = world.pushed();
    assert_eq!(numbers, [1, 2, 3]);
    world.end_push(&push, Outcome::Applied);
    assert!(world.ended.iter().all(|(_, departure)| matches!(departure, Departure::Landed { .. })));
    assert_eq!(world.ended.len(), 3);
}

#[test]
fn failing_head_leaves_and_its_followers_are_built_without_it() {
    let mut world = World::with(&[1, 2], 8);
    world.judge(1, false);
    assert!(matches!(&world.ended[..], [(1, Departure::Failed { .. })]), "{:?}", world.ended);
    assert_eq!(world.building(), [2], "the build on top of the failed head is stopped, another begins");
    world.judge(2, true);
    world.look(2);
    assert_eq!(world.pushed().1, [2]);
}

#[test]
fn failure_behind_an_undecided_item_is_a_prediction() {
    let mut world = World::with(&[1, 2], 8);
    world.judge(2, false);
    assert!(world.ended.is_empty(), "{:?}", world.ended);
    world.judge(1, true);
    world.look(2);
    let (push, numbers) = world.pushed();
    assert_eq!(numbers, [1]);
    world.end_push(&push, Outcome::Applied);
    assert!(matches!(&world.ended[..], [(1, Departure::Landed { .. }), (2, Departure::Failed { .. })]));
}

#[test]
fn builds_never_outnumber_the_slots() {
    let mut world = World::with(&[1, 2, 3], 2);
    assert_eq!(world.building(), [1, 2]);
    world.judge(1, true);
    assert_eq!(world.building(), [2, 3]);
}

#[test]
fn veto_seen_at_the_last_look_keeps_a_change_from_landing() {
    let mut world = World::with(&[1], 8);
    world.judge(1, true);
    world.look(-2);
    assert!(world.pushes.is_empty());
    assert!(matches!(&world.ended[..], [(1, Departure::VoteWithdrawn { .. })]), "{:?}", world.ended);
}

#[test]
fn push_of_unknown_outcome_holds_its_item_until_it_is_seen_to_have_landed() {
    let mut world = World::with(&[1], 8);
    world.judge(1, true);
    world.look(2);
    let (push, _) = world.pushed();
    world.end_push(&push, Outcome::Unknown("the connection was lost".into()));
    world.tell(Event::ChangeSeen { snapshot: snapshot(1, -2) });
    assert!(world.ended.is_empty(), "not even a veto takes out what may yet land");
    let EffectKind::Land { pushes, .. } = &push.kind else { unreachable!() };
    world.tell(Event::TipSeen { pair: home(), commit: Some(pushes[0].new) });
    assert!(matches!(&world.ended[..], [(1, Departure::Landed { .. })]), "{:?}", world.ended);
    assert!(world.pushes.is_empty(), "it is not pushed twice");
}

/// A change for a branch that takes fast-forwards only.
fn forward(number: u64, patchset: u64) -> ChangeSnapshot {
    let mut change = snapshot(number, 2);
    change.form = Some(LandingForm::FastForwardOnly);
    change.patchset = PatchSet(patchset);
    change.updated_at = Timestamp(i64::try_from(patchset).unwrap());
    if patchset > 1 {
        change.revision = sha(4, number);
    }
    change
}

#[test]
fn a_follower_that_needs_a_rebase_waits_with_its_approval_and_is_told_once() {
    let mut world = World::with(&[], 8);
    for number in [1, 2] {
        world.tell(Event::ChangeSeen { snapshot: forward(number, 1) });
    }
    assert_eq!(world.building(), [1], "nothing is built for the second while the first may land");
    assert!(world.told.is_empty() && world.ended.is_empty());
    world.judge(1, true);
    let effect = world.looks.pop().unwrap();
    world.tell(Event::Looked {
        effect: effect.id,
        at: world.now,
        changes: vec![forward(1, 1)],
        gone: vec![],
    });
    let (push, _) = world.pushed();
    world.end_push(&push, Outcome::Applied);
    let rebase = Reason::Rebase { pair: home() };
    assert!(world.ended.contains(&(2, Departure::Held { reason: rebase.clone() })), "{:?}", world.ended);
    assert_eq!(world.told, [(2, rebase)]);
    world.tell(Event::ChangeSeen { snapshot: forward(2, 1) });
    let waiting = world.queue.view(world.now).waiting;
    assert!(waiting.len() == 1 && waiting[0].words.contains("rebase needed"), "{waiting:?}");
    assert_eq!(world.told.len(), 1, "once for each patch set");
    world.tell(Event::TipSeen { pair: home(), commit: Some(sha(1, 0)) });
    world.tell(Event::ChangeSeen { snapshot: forward(2, 2) });
    assert_eq!(world.items.len(), 3, "the rebased patch set enters by itself, with the copied vote");
}

#[test]
fn a_change_whose_branch_is_gone_leaves_and_comes_back_with_it() {
    let mut world = World::with(&[1], 8);
    world.tell(Event::TipSeen { pair: home(), commit: None });
    let gone = Reason::NoBranch { pair: home() };
    assert_eq!(world.ended, [(1, Departure::Held { reason: gone.clone() })]);
    assert_eq!(world.told, [(1, gone)]);
    world.tell(Event::TipSeen { pair: home(), commit: Some(sha(1, 7)) });
    assert_eq!(world.items.len(), 2);
}

#[test]
fn what_gerrit_submits_is_landed_alone_and_a_difference_is_told() {
    let mut world = World::with(&[], 8);
    let mut policy = policy(8);
    policy.queues[0].landing = LandingMode::Submit;
    world.tell(Event::PolicyChanged { policy: Arc::new(policy) });
    for number in [1, 2] {
        world.tell(Event::ChangeSeen { snapshot: snapshot(number, 2) });
    }
    world.judge(2, true);
    world.judge(1, true);
    world.look(2);
    let (push, numbers) = world.pushed();
    assert_eq!(numbers, [1], "one at a time");
    let commit = sha(9, 1);
    world.tell(Event::Submitted { effect: push.id, pair: home(), tip: commit, commit, same_tree: false });
    let landed = Departure::Landed { commits: vec![(home(), commit)] };
    assert_eq!(world.ended, [(1, landed)]);
    assert_eq!(world.alarms, [1]);
    assert_eq!(world.building(), [2], "it is judged anew on what has landed");
}

#[test]
fn nothing_is_looked_at_where_landing_is_stopped() {
    let mut world = World::with(&[1], 8);
    let stop = Command::Pause { scope: Scope::Everything, reason: "fire".into() };
    world.tell(Event::Operator { request: 1, by: "carol".into(), command: stop });
    world.judge(1, true);
    assert!(world.looks.is_empty());
    let words = world.queue.view(world.now).queues[0].items[0].words.clone();
    assert!(words.contains("carol") && words.contains("fire"), "{words}");
    let go = Command::Resume { scope: Scope::Everything, reason: "out".into() };
    world.tell(Event::Operator { request: 2, by: "carol".into(), command: go });
    assert_eq!(world.looks.len(), 1);
}

#[test]
fn a_start_is_told_in_time_even_if_nothing_else_happens() {
    let mut world = World::with(&[], 8);
    let mut policy = policy(8);
    policy.gate.start_message_after_ms = Some(15_000);
    world.tell(Event::PolicyChanged { policy: Arc::new(policy) });
    world.tell(Event::ChangeSeen { snapshot: snapshot(1, 2) });
    let due = world.queue.next_wakeup().expect("a time is awaited");
    let actions = world.queue.step(due, Event::Wake).actions;
    let started = actions.iter().any(|action| match action {
        Action::Effect(Effect { kind: EffectKind::Report(report), .. }) => {
            matches!(report.says, Some(Says::Started { .. }))
        }
        _ => false,
    });
    assert!(started, "{actions:?}");
}
