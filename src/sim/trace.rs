//! Lines of a trace, for people.

use crate::model::action::Decision;
use crate::model::report::{Report, Says};
use crate::model::tree::{Prepared, Resolved};
use crate::model::{ChangeSnapshot, Effect, EffectKind, Event};

fn change(snapshot: &ChangeSnapshot) -> String {
    let votes: Vec<String> = snapshot
        .votes
        .iter()
        .map(|vote| format!("{}{:+}", vote.label.as_str().chars().next().unwrap_or('?'), vote.value))
        .collect();
    let flags = [(snapshot.work_in_progress, " wip"), (snapshot.private, " private")];
    let flags: String = flags.iter().filter(|(on, _)| *on).map(|(_, word)| *word).collect();
    format!(
        "change {} ps {} {:?} [{}]{flags} at {}",
        snapshot.number,
        snapshot.patchset,
        snapshot.status,
        votes.join(" "),
        snapshot.updated_at.0 % 10_000_000
    )
}

/// An event in one line.
pub fn event(event: &Event) -> String {
    match event {
        Event::PolicyChanged { policy } => format!(
            "> policy: {} slots, jobs {:?}, queues {:?}",
            policy.slots,
            policy.jobs.iter().map(|job| job.name.as_str()).collect::<Vec<_>>(),
            policy
                .queues
                .iter()
                .map(|queue| (queue.name.as_str(), queue.strategy, queue.after_failure))
                .collect::<Vec<_>>()
        ),
        Event::ChangeSeen { snapshot } => format!("> {}", change(snapshot)),
        Event::TipSeen { pair, commit } => {
            format!("> tip {pair} {}", commit.map_or("none".into(), |sha| sha.short()))
        }
        Event::NodePrepared { node, outcome, .. } => match outcome {
            Prepared::Merged { writes, foreign } => format!(
                "> node {node}: {} foreign {:?}",
                writes
                    .iter()
                    .map(|written| format!("{} {}", written.pair, written.commit.short()))
                    .collect::<Vec<_>>()
                    .join(", "),
                foreign.iter().map(|foreign| foreign.commit.short()).collect::<Vec<_>>()
            ),
            other => format!("> node {node}: {other:?}"),
        },
        Event::JobsResolved { node, outcome, .. } => match outcome {
            Resolved::Jobs { jobs, .. } => format!(
                "> node {node}: jobs {:?}",
                jobs.iter()
                    .map(|job| format!("{}@{} {}", job.name, job.home, &job.key.to_string()[..6]))
                    .collect::<Vec<_>>()
            ),
            other => format!("> node {node}: {other:?}"),
        },
        Event::Looked { effect, at, changes, gone } => format!(
            "> look of effect {effect} at {}: {} gone {gone:?}",
            at.0 % 10_000_000,
            changes.iter().map(change).collect::<Vec<_>>().join("; ")
        ),
        other => format!("> {other:?}"),
    }
}

/// A decision in one line.
pub fn decision(decision: &Decision) -> String {
    match decision {
        Decision::Entered { item, pipeline, changes, .. } => format!(
            "item {item} enters {} with {:?}",
            pipeline.name(),
            changes
                .iter()
                .map(|change| (change.number.0, change.patchset.0, change.pair.to_string()))
                .collect::<Vec<_>>()
        ),
        Decision::Placed { item, class, round, before } => {
            let before = before.map_or("where it is".into(), |before| format!("before item {before}"));
            format!("item {item} stands {before}: {class:?}, turn {round}")
        }
        Decision::Based { item, node } => format!("item {item} is at node {node}"),
        Decision::Adopted { item, job, key, .. } => {
            format!("item {item} uses {job} {}", &key.to_string()[..6])
        }
        Decision::Pooled { item, with } => format!("item {item} is judged by item {with}"),
        Decision::Bought { build, key, item } => {
            format!("item {item} buys build {build} for {}", &key.to_string()[..6])
        }
        Decision::AlternativeBegun { alternative, of, without } => {
            format!("item {of} is built without item {without}, too: alternative {alternative}")
        }
        Decision::AlternativeEnded { alternative } => format!("alternative {alternative} ends"),
        Decision::OvertakingBegun { overtaking, of, by } => {
            format!("item {of} is merged behind item {by}, too: overtaking {overtaking}")
        }
        Decision::OvertakingEnded { overtaking } => format!("overtaking {overtaking} ends"),
        Decision::Overtook { item, before } => format!("item {item} goes before item {before}"),
        Decision::Parted { item, commits } => format!("item {item} has landed in part: {commits:?}"),
        Decision::Ended { item, departure, .. } => format!("item {item} ends: {departure:?}"),
        run => format!("{run:?}"),
    }
}

/// An effect in one line.
pub fn effect(effect: &Effect) -> String {
    let what = match &effect.kind {
        EffectKind::PrepareNode { node, tips, .. } if !tips.is_empty() => {
            let tips: Vec<String> =
                tips.iter().map(|(pair, tip)| format!("{pair} {}", tip.short())).collect();
            format!("prepare node {node} at {}", tips.join(", "))
        }
        EffectKind::PrepareNode { node, merges, overlay, pins, .. } => format!(
            "prepare node {node}: {:?} overlay {:?} pins {:?}",
            merges
                .iter()
                .map(|merge| (merge.change.number.0, format!("{:?}", merge.onto)))
                .collect::<Vec<_>>(),
            overlay.iter().map(|(pair, node)| format!("{pair}={node}")).collect::<Vec<_>>(),
            pins.iter()
                .map(|(pair, pin)| format!("{pair} {}", pin.map_or("none".into(), |sha| sha.short())))
                .collect::<Vec<_>>()
        ),
        EffectKind::StartBuild { build, job, .. } => format!("start build {build} of {job}"),
        EffectKind::Land { pushes, .. } => pushes
            .iter()
            .map(|push| {
                format!(
                    "push {} {}..{} {:?}",
                    push.pair,
                    push.old.short(),
                    push.new.short(),
                    push.changes.iter().map(|(number, ..)| number.0).collect::<Vec<_>>()
                )
            })
            .collect(),
        EffectKind::Report(report) => {
            format!("report on change {} (item {}): {}", report.change, report.item, says(report))
        }
        other => format!("{other:?}"),
    };
    format!("effect {}: {what}", effect.id)
}

/// What a report says, in short.
pub fn says(report: &Report) -> String {
    let vote = report.vote.as_ref().map_or(String::new(), |(label, value)| format!("{label} {value:+} "));
    let words = match &report.says {
        None => "no words".into(),
        Some(Says::Ended { departure, .. }) => format!("ended: {departure:?}"),
        Some(Says::Passed { .. }) => "passed".into(),
        Some(Says::FirstFailure { on_top_of, .. }) => format!("first failure, on top of {on_top_of:?}"),
        Some(Says::Waiting { reason }) => format!("waits: {reason}"),
        Some(other) => format!("{other:?}"),
    };
    format!("{vote}{words}")
}
