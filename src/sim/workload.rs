//! What people do in a run, drawn before it begins as a list of steps. A step names changes by the
//! order in which they were meant to be made, so that any step can be left out: what then has no
//! object does nothing. That is what makes a failing seed small.

use std::fmt;

use super::rng::Rng;
use super::setting::Setting;
use crate::model::Pair;

/// What people write; not all of it asks for something.
const COMMENTS: &[&str] = &[
    "check perf",
    "check perf",
    "Patch Set 1:\n\n Check Perf",
    "recheck",
    "recheck",
    "check soak",
    "check soak\nrecheck\ncheck perf",
    "please check perf",
];

/// One thing that someone does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Step {
    /// When, in milliseconds from the start of the run.
    pub at_ms: i64,
    /// What.
    pub what: What,
}

impl Step {
    /// What is uploaded brings in no commit of another branch.
    fn stand_alone(&mut self) {
        if let What::Upload { side, .. } = &mut self.what {
            *side = None;
        }
    }
}

/// What someone does. `change` is a place in the order of changes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum What {
    /// A new change, or a new patch set of one that is there already.
    Upload {
        /// Which change.
        change: u64,
        /// Where it is to land.
        pair: Pair,
        /// What it edits, by number of path.
        edits: Vec<u64>,
        /// The change that it rests on.
        parent: Option<u64>,
        /// Rests on the parent's first patch set instead of its current one.
        old_parent: bool,
        /// What it does to the job file.
        job_file: Option<JobFileEdit>,
        /// Merges a side commit with the Change-Id of this change.
        side: Option<u64>,
        /// What its message says it depends on.
        needs: Vec<Need>,
    },
    /// Sets its topic, or takes it away.
    Topic(u64, Option<u64>),
    /// Code-Review +2.
    Approve(u64),
    /// Approves as soon as the daemon's own vote stands, or not at all: a withdrawal just then.
    Withdraw(u64),
    /// Code-Review -2 by another person.
    Veto(u64),
    /// Takes the veto back.
    LiftVeto(u64),
    /// Abandons it, or restores it.
    Abandon(u64, bool),
    /// Marks it work in progress, or ready.
    Progress(u64, bool),
    /// Marks it private, or public.
    Private(u64, bool),
    /// Gives it the hashtag of urgent changes, or takes it away.
    Urgent(u64, bool),
    /// A requirement of the site is no longer met, or again.
    Block(u64, bool),
    /// Someone pushes to a branch beside the queue.
    Outside {
        /// The branch.
        pair: Pair,
        /// The path that it edits.
        edit: u64,
        /// Pushes in the instant before the daemon's next push there.
        ambush: bool,
    },
    /// A veto in the instant before the daemon's next push.
    AmbushVeto(u64),
    /// A new patch set in the instant before the daemon's next push.
    AmbushUpload(u64),
    /// An operator's command.
    Operate(Operation),
    /// A new configuration: another number of slots, another round of jobs, another strategy.
    Configure(u64),
    /// The daemon's process stands still for so many milliseconds.
    Freeze(i64),
    /// Someone writes a comment.
    Comment(u64, &'static str),
}

/// A `Depends-On` footer, by places in the order of changes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Need {
    /// By the number, if the change is there by then.
    Number(u64),
    /// By the Change-Id, which is known beforehand.
    Id(u64),
    /// One that makes no sense.
    Wrong,
}

/// What an operator asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Operation {
    /// Puts a change in.
    Enqueue(u64),
    /// Takes a change out.
    Dequeue(u64),
    /// Moves a change to the head.
    Promote(u64),
    /// Asks for another check.
    Recheck(u64),
    /// Stops everything, or the repository of this number.
    Pause(Option<u64>),
    /// Undoes it.
    Resume(Option<u64>),
}

/// What a change does to the job file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum JobFileEdit {
    /// Declares the job `own` and the job `extra`.
    Add,
    /// Declares `own` with other commands.
    Alter,
    /// Writes nonsense.
    Break,
    /// Deletes it.
    Remove,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>8} ms {:?}", self.at_ms, self.what)
    }
}

/// The steps that the setting's seed draws, in order of time.
pub fn draw(setting: &Setting) -> Vec<Step> {
    let mut rng = Rng::keyed(setting.seed, 2, 0);
    let pairs: Vec<Pair> = setting.branches.keys().cloned().collect();
    let mut steps = Vec::new();
    let eager = rng.chance(600);
    for change in 0..setting.changes {
        let at_ms = rng.between(0, setting.people_until_ms);
        let upload = draw_upload(&mut rng, setting, &pairs, change);
        steps.push(Step { at_ms, what: upload });
        if rng.chance(900) {
            let delay =
                if eager { rng.between(0, 5_000) } else { rng.between(0, setting.people_until_ms / 3) };
            steps.push(Step { at_ms: at_ms + delay, what: What::Approve(change) });
        }
    }
    let incidents = rng.below(setting.changes * 3 / 2 + 1);
    for _ in 0..incidents {
        let at_ms = rng.between(0, setting.people_until_ms);
        draw_incident(&mut rng, setting, &pairs, at_ms, &mut steps);
    }
    steps.sort_by_key(|step| step.at_ms);
    if setting.apart {
        steps.iter_mut().for_each(Step::stand_alone);
    } else {
        draw_needs(setting, &mut steps);
        draw_topics(setting, &mut steps);
        draw_bundles(setting, &mut steps);
    }
    // Behind the others: a step has its number in stored regressions.
    steps.extend(draw_urgent(setting));
    steps.extend(draw_rechecks(setting));
    steps.extend(draw_comments(setting));
    steps.extend(draw_outside_pushes(setting));
    steps.extend(draw_promotions(setting));
    steps
}

/// In some sites operators move changes to the head all the time, whatever those rest on; drawn apart, from a stream
/// in which no stored regression has that.
fn draw_promotions(setting: &Setting) -> Vec<Step> {
    let mut rng = Rng::keyed(setting.seed, 254, 0);
    let often = if rng.chance(250) { u32::try_from(rng.between(200, 800)).unwrap_or(0) } else { 0 };
    let mut steps = Vec::new();
    for change in 0..setting.changes {
        while rng.chance(often) {
            let at_ms = rng.between(0, setting.people_until_ms);
            steps.push(Step { at_ms, what: What::Operate(Operation::Promote(change)) });
        }
    }
    steps
}

/// Who writes comments where they can ask for something, drawn apart: now and then twice, or after the change has
/// landed.
fn draw_comments(setting: &Setting) -> Vec<Step> {
    let mut rng = Rng::keyed(setting.seed, 31, 0);
    let mut steps = Vec::new();
    if setting.policy.asks().is_empty() {
        return steps;
    }
    let often = u32::try_from(rng.between(100, 700)).unwrap_or(0);
    for change in 0..setting.changes {
        let mut at_ms = rng.between(0, setting.people_until_ms * 11 / 10);
        while rng.chance(often) {
            steps.push(Step { at_ms, what: What::Comment(change, rng.pick(COMMENTS).unwrap_or(&"")) });
            let soon = if rng.chance(500) { 20_000 } else { setting.people_until_ms / 2 };
            at_ms += rng.between(1, soon);
        }
    }
    steps
}

/// What others push to where no queue gates, drawn apart.
fn draw_outside_pushes(setting: &Setting) -> Vec<Step> {
    let mut rng = Rng::keyed(setting.seed, 32, 0);
    let mut steps = Vec::new();
    for pair in setting.outside.keys() {
        for _ in 0..rng.between(2, 16) {
            let at_ms = rng.between(0, setting.people_until_ms);
            let (pair, edit) = (pair.clone(), rng.below(20));
            steps.push(Step { at_ms, what: What::Outside { pair, edit, ambush: false } });
        }
    }
    steps
}

/// Who asks for another check, drawn apart.
fn draw_rechecks(setting: &Setting) -> Vec<Step> {
    let mut rng = Rng::keyed(setting.seed, 11, 0);
    let often = if rng.chance(500) { 0 } else { u32::try_from(rng.between(50, 500)).unwrap_or(0) };
    let asked = (0..setting.changes).filter(|_| setting.policy.check.enabled && often > 0);
    let drawn = asked.filter_map(|change| {
        let (comes, at_ms) = (rng.chance(often), rng.between(0, setting.people_until_ms));
        comes.then_some(Step { at_ms, what: What::Operate(Operation::Recheck(change)) })
    });
    drawn.collect()
}

/// What becomes urgent, drawn apart.
fn draw_urgent(setting: &Setting) -> Vec<Step> {
    let mut rng = Rng::keyed(setting.seed, 8, 0);
    let often = if rng.chance(400) { 0 } else { u32::try_from(rng.between(50, 400)).unwrap_or(0) };
    let mut steps = Vec::new();
    for change in 0..setting.changes {
        if rng.chance(often) {
            let at_ms = rng.between(0, setting.people_until_ms);
            steps.push(Step { at_ms, what: What::Urgent(change, true) });
            if rng.chance(200) {
                let at_ms = at_ms + rng.between(1_000, setting.people_until_ms / 3 + 2_000);
                steps.push(Step { at_ms, what: What::Urgent(change, false) });
            }
        }
    }
    steps
}

/// In half of the runs some changes depend on others, nearly always on earlier ones. Drawn apart, so that
/// the rest of a seed's draws stays what it was.
fn draw_needs(setting: &Setting, steps: &mut [Step]) {
    let mut rng = Rng::keyed(setting.seed, 7, 0);
    let often = if rng.chance(500) { 0 } else { 1 + u32::try_from(rng.below(400)).unwrap_or(0) };
    let circles = *rng.pick(&[20, 60, 400]).unwrap_or(&60);
    let uploads = steps.iter_mut().filter_map(|step| match &mut step.what {
        What::Upload { change, needs, .. } => Some((*change, needs)),
        _ => None,
    });
    for (change, needs) in uploads {
        while needs.len() < 3 && rng.chance(often) {
            let earlier = if change > 0 { rng.below(change) } else { 0 };
            let other = if rng.chance(circles) { rng.below(setting.changes) } else { earlier };
            needs.push(match rng.below(20) {
                0 => Need::Wrong,
                1..=5 => Need::Id(other),
                _ => Need::Number(other),
            });
        }
    }
}

/// In a third of the runs some changes have topics, few so that they meet. These steps come last, so that
/// the places of the others stay what they were.
fn draw_topics(setting: &Setting, steps: &mut Vec<Step>) {
    let mut rng = Rng::keyed(setting.seed, 9, 0);
    if rng.chance(650) {
        return;
    }
    let often = 50 + u32::try_from(rng.below(350)).unwrap_or(0);
    for change in 0..setting.changes {
        if !rng.chance(often) {
            continue;
        }
        let topic = rng.below(3);
        let uploaded = steps.iter().find_map(|step| match &step.what {
            What::Upload { change: other, .. } if *other == change => Some(step.at_ms),
            _ => None,
        });
        let at_ms = match uploaded {
            Some(at_ms) if rng.chance(700) => at_ms + rng.between(1, 2_000),
            _ => rng.between(0, setting.people_until_ms),
        };
        steps.push(Step { at_ms, what: What::Topic(change, Some(topic)) });
        if rng.chance(200) {
            let at_ms = at_ms + rng.between(1, setting.people_until_ms / 2 + 2_000);
            steps.push(Step { at_ms, what: What::Topic(change, None) });
        }
    }
}

/// In half of the runs a few changes are made and approved at about the same time, tied by a topic or in a
/// circle: by chance alone that hardly happens. Steps that are there only move.
fn draw_bundles(setting: &Setting, steps: &mut Vec<Step>) {
    let mut rng = Rng::keyed(setting.seed, 10, 0);
    if rng.chance(500) {
        return;
    }
    for bundle in 0..rng.between(1, 3).unsigned_abs() {
        let start = rng.between(0, setting.people_until_ms * 3 / 4);
        let (first, size) = (rng.below(setting.changes), rng.between(2, 4).unsigned_abs());
        let is_circle = rng.chance(500);
        let members: Vec<u64> = (first..first + size).filter(|change| *change < setting.changes).collect();
        for (at, member) in members.iter().enumerate() {
            let next = members[(at + 1) % members.len()];
            let uploaded = start + rng.between(0, 500);
            let approved = start + 3_000 + rng.between(0, 20_000);
            let mut approval = steps.iter_mut().filter(|step| step.what == What::Approve(*member));
            if let Some(step) = approval.next() {
                step.at_ms = approved;
            }
            for step in steps.iter_mut() {
                match &mut step.what {
                    What::Upload { change, needs, .. } if change == member => {
                        step.at_ms = uploaded;
                        if is_circle && next != *member {
                            *needs = vec![Need::Id(next)];
                        }
                        break;
                    }
                    _ => {}
                }
            }
            if !is_circle {
                let at_ms = uploaded + rng.between(1, 2_000);
                steps.push(Step { at_ms, what: What::Topic(*member, Some(10 + bundle)) });
            }
        }
    }
}

fn draw_upload(rng: &mut Rng, setting: &Setting, pairs: &[Pair], change: u64) -> What {
    let pair = rng.pick(pairs).cloned().unwrap_or_else(|| Pair::new("r0", "main"));
    let mut edits = vec![rng.below(40)];
    if rng.chance(300) {
        edits.push(rng.below(40));
    }
    let parent = (change > 0 && rng.chance(300)).then(|| change - 1 - rng.below(change.min(4)));
    // Some sites edit their job files all the time: what judges an item then hangs on who is ahead.
    let restless = setting.seed % 4 == 3;
    let often = if restless { 500 } else { 200 };
    let job_file = (setting.policy.job_files && rng.chance(often)).then(|| {
        use JobFileEdit::{Add, Alter, Break, Remove};
        let edits = if restless { [Add, Add, Add, Remove] } else { [Add, Alter, Break, Remove] };
        *rng.pick(&edits).unwrap_or(&Alter)
    });
    let side = (rng.chance(60) && setting.changes > 1).then(|| rng.below(setting.changes));
    let needs = Vec::new();
    What::Upload { change, pair, edits, parent, old_parent: rng.chance(250), job_file, side, needs }
}

fn draw_incident(rng: &mut Rng, setting: &Setting, pairs: &[Pair], at_ms: i64, steps: &mut Vec<Step>) {
    let change = rng.below(setting.changes);
    let soon = at_ms + rng.between(1, setting.people_until_ms / 3 + 2_000);
    let mut put = |at_ms, what| steps.push(Step { at_ms, what });
    match rng.below(18) {
        0 => put(at_ms, What::Withdraw(change)),
        1 => {
            put(at_ms, What::Veto(change));
            put(soon, What::LiftVeto(change));
        }
        2 => {
            put(at_ms, What::Abandon(change, true));
            put(soon, What::Abandon(change, false));
        }
        3 => {
            put(at_ms, What::Progress(change, true));
            put(soon, What::Progress(change, false));
        }
        4 => {
            put(at_ms, What::Private(change, true));
            put(soon, What::Private(change, false));
        }
        5 => {
            put(at_ms, What::Block(change, true));
            put(soon, What::Block(change, false));
        }
        6 | 7 => {
            let pair = rng.pick(pairs).cloned().unwrap_or_else(|| Pair::new("r0", "main"));
            put(at_ms, What::Outside { pair, edit: rng.below(20), ambush: rng.chance(500) });
        }
        8 => put(at_ms, What::AmbushVeto(change)),
        9 => put(at_ms, What::AmbushUpload(change)),
        10 => put(at_ms, What::Operate(Operation::Enqueue(change))),
        11 => put(at_ms, What::Operate(Operation::Dequeue(change))),
        12 => put(at_ms, What::Operate(Operation::Promote(change))),
        13 => {
            let scope = rng.chance(500).then(|| rng.below(3));
            put(at_ms, What::Operate(Operation::Pause(scope)));
            if rng.chance(800) {
                put(soon, What::Operate(Operation::Resume(scope)));
            }
        }
        14 => put(at_ms, What::Configure(rng.word())),
        15 => put(at_ms, What::Freeze(rng.between(100, 120_000))),
        16 => put(at_ms, What::Approve(change)),
        _ => {
            let upload = draw_upload(rng, setting, pairs, change);
            put(at_ms, upload);
            put(soon, What::Approve(change));
        }
    }
}
