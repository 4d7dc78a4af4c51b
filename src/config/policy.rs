//! The part of the configuration that the core decides by: pipelines, queues, jobs, limits.

use std::collections::{BTreeMap, BTreeSet};

use toml::de::DeValue;

use super::jobs::{read_job, read_name};
use super::needs::check_needs;
use super::pipelines::{read_pipelines, refuse_unknown_pipelines};
use super::priority::read_priority;
use super::section::{At, Section};
use super::sites::{derive, read_sites, warn_about_sites};
use super::strategy::{read_strategy, read_tuning};
use super::templates::{Templates, written};
use crate::model::pipeline::Pipelines;
use crate::model::policy::{
    AfterFailure, CheckPolicy, GatePolicy, LandingMode, Limits, Need, OutsidePolicy, QueuePolicy, TopicPolicy,
};
use crate::model::{Account, JobPolicy, Pattern, Patterns, Policy, QueueName, SitePolicy};

/// Reads everything that makes up the policy.
pub(super) fn read_policy(top: &Section<'_>, account: &str, job_files: bool, slots: u32) -> Policy {
    let pipelines = top.table("pipeline", "pipeline");
    let sites = read_sites(top);
    let queues = read_queues(top, &sites);
    let check = read_check(&pipelines.table("check", "pipeline.check"));
    let others = read_pipelines(&pipelines, check.recheck.as_deref());
    let jobs = read_jobs(top, &queues, &others);
    warn_about_strays(top, &queues, &jobs, job_files);
    warn_about_sites(top, &queues, &sites);
    Policy {
        account: Account::from(account),
        gate: read_gate(&pipelines.table("gate", "pipeline.gate")),
        check,
        queues: queues.into_iter().map(|queue| queue.value).collect(),
        sites: sites.into_iter().map(|site| site.value).collect(),
        jobs: jobs.into_iter().map(|job| job.value).collect(),
        job_files,
        templates: written(top),
        slots,
        limits: read_limits(&top.table("limits", "limits")),
        priority: read_priority(&top.table("priority", "priority")),
        pipelines: others,
    }
}

fn read_gate(gate: &Section<'_>) -> GatePolicy {
    GatePolicy {
        approval: read_approval(gate),
        label: gate.text("label").map_or("Verified", |label| label.value).into(),
        success: read_vote(gate, "success", 1, 1),
        failure: read_vote(gate, "failure", -1, -1),
        start_message_after_ms: gate.duration_or("start-message", &[("never", None)], Some(15_000)),
    }
}

fn read_check(check: &Section<'_>) -> CheckPolicy {
    CheckPolicy {
        enabled: check.flag("enabled", true),
        success: read_vote(check, "success", 1, 1),
        failure: read_vote(check, "failure", -1, -1),
        recheck: Some(check.text("recheck").map_or("recheck", |word| word.value).trim())
            .filter(|word| !word.is_empty())
            .map(Into::into),
    }
}

/// A vote; its sign must be that of `sign`.
pub(super) fn read_vote(section: &Section<'_>, key: &str, sign: i64, default: i64) -> i32 {
    let (least, most) = if sign > 0 { (0, 100) } else { (-100, 0) };
    i32::try_from(section.integer(key, default, least, most)).unwrap_or(0)
}

fn read_approval(gate: &Section<'_>) -> Vec<Need> {
    const REMEDY: &str = "write for example `approval = [\"Code-Review +2\"]`";
    let Some(values) = gate.array("approval") else {
        return vec![Need { label: "Code-Review".into(), min: 2 }];
    };
    if values.is_empty() {
        gate.problem(gate.at_of("approval"), "approval", "is empty: every change would be approved", REMEDY);
    }
    let mut needs = Vec::new();
    for value in values {
        if let DeValue::String(text) = value.get_ref() {
            match parse_need(text) {
                Some(need) => needs.push(need),
                None => {
                    let what = format!("`{text}` is no label and vote above 0");
                    gate.problem(value.span().start, "approval", what, REMEDY);
                }
            }
        } else if let Some(need) = gate.nested("approval", "pipeline.gate.approval", value) {
            let label = need.required("label");
            if !need.has("value") {
                need.missing("value");
            }
            let min = i32::try_from(need.integer("value", 1, 1, 100)).unwrap_or(1);
            needs.extend(label.map(|label| Need { label: label.value.into(), min }));
        }
    }
    needs
}

/// Reads `Code-Review +2`, also with `=` or `>=` between.
fn parse_need(text: &str) -> Option<Need> {
    let (label, value) = text.trim().rsplit_once([' ', '=', '>'])?;
    let label = label.trim_end_matches([' ', '=', '>']);
    let min: i32 = value.parse().ok()?;
    let plain = !label.is_empty() && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
    (plain && (1..=100).contains(&min)).then(|| Need { label: label.into(), min })
}

fn read_queues(top: &Section<'_>, sites: &[At<SitePolicy>]) -> Vec<At<QueuePolicy>> {
    let mut queues = Vec::new();
    let mut names = BTreeSet::new();
    let sections = top.tables("queue", "queue");
    if sections.is_empty() && !top.has("queue") {
        let remedy = "add `[[queue]]` with `name = \"main\"` and `repositories = [\"*\"]`";
        top.source.absent(0, "queue", "there is no queue, so nothing would land", remedy);
    }
    for section in sections {
        if !section.has("repositories") && !section.flag("sites", false) {
            section.missing("repositories");
        }
        let name = read_name(&section);
        let declared = read_queue(&section, QueueName::from(name.as_ref().map_or("", |name| name.value)));
        refuse_references(&section, &declared);
        refuse_submitted_topics(&section, &declared);
        for queue in derive(&section, declared, sites) {
            if name.is_some() && !names.insert(queue.name.clone()) {
                refuse_twin_queue(&section, &queue);
            }
            queues.push(At { value: queue, at: section.at });
        }
    }
    queues
}

fn read_queue(section: &Section<'_>, name: QueueName) -> QueuePolicy {
    QueuePolicy {
        name,
        family: None,
        per_branch: section.flag("per-branch", false),
        repositories: section.patterns("repositories").unwrap_or_default(),
        branches: section.patterns("branches").unwrap_or_else(|| Patterns::new(&["*"])),
        strategy: read_strategy(section),
        max_items_per_push: section.count("max-items-per-push", 50, 1, 1_000),
        merge_from: section.texts("merge-from").unwrap_or_default().iter().map(|t| t.value.into()).collect(),
        after_failure: section.choice(
            "after-failure",
            &[("forget", AfterFailure::Forget), ("keep", AfterFailure::Keep)],
            AfterFailure::Forget,
        ),
        landing: section.choice(
            "landing",
            &[("push", LandingMode::Push), ("submit", LandingMode::Submit)],
            LandingMode::Push,
        ),
        topics: section.choice(
            "topics",
            &[
                ("as-gerrit", TopicPolicy::AsHost),
                ("apart", TopicPolicy::Apart),
                ("together", TopicPolicy::Together),
            ],
            TopicPolicy::AsHost,
        ),
        tuning: read_tuning(section),
        outside: read_outside(section),
    }
}

/// How jobs see what the queue does not gate; an age without pins is probably not meant.
fn read_outside(section: &Section<'_>) -> OutsidePolicy {
    let age_ms = section.duration_of_at_least("outside-age", 3_600_000, 1_000);
    let pinned = OutsidePolicy::Pinned { age_ms };
    let outside = section.choice(
        "outside",
        &[("strict", OutsidePolicy::Strict), ("pinned", pinned)],
        OutsidePolicy::Strict,
    );
    if outside == OutsidePolicy::Strict && section.has("outside-age") {
        let what = "has an effect with `outside = \"pinned\"` only";
        section.source.warn(section.at_of("outside-age"), "queue.outside-age", what, "remove it");
    }
    outside
}

/// Branches are written by their short names; `refs/…` would match nothing.
fn refuse_references(section: &Section<'_>, queue: &QueuePolicy) {
    let branches = queue.branches.0.iter().map(|pattern| ("branches", pattern.as_str()));
    for (key, name) in branches.chain(queue.merge_from.iter().map(|branch| ("merge-from", branch.as_str()))) {
        if name.starts_with("refs/") {
            let remedy = "write the branch's short name, as in `main`";
            section.problem(section.at_of(key), key, format!("`{name}` is a full reference"), remedy);
        }
    }
}

/// Gerrit submits one change after another, or a topic of its own accord: never what was tested as one.
fn refuse_submitted_topics(section: &Section<'_>, queue: &QueuePolicy) {
    if queue.topics == TopicPolicy::Together && queue.landing == LandingMode::Submit {
        let what = "`together` needs `landing = \"push\"`: by submit each change lands alone";
        section.problem(section.at_of("topics"), "topics", what, "remove one of the two");
    }
}

pub(super) fn refuse_twin<'a>(
    section: &Section<'a>,
    names: &mut BTreeMap<&'a str, usize>,
    name: &At<&'a str>,
) {
    if names.insert(name.value, name.at).is_some() {
        section.problem(name.at, "name", format!("`{}` is declared twice", name.value), "rename one");
    }
}

/// A name that is another queue's; one that was derived says from what.
fn refuse_twin_queue(section: &Section<'_>, queue: &QueuePolicy) {
    let (at, name) = (section.at_of("name"), &queue.name);
    let what = match queue.family.as_ref().filter(|family| *family != name) {
        None => format!("`{name}` is declared twice"),
        Some(family) => format!("`{family}` stands for a queue `{name}`, and there is another of that name"),
    };
    section.problem(at, "name", what, "rename one");
}

fn read_jobs(top: &Section<'_>, queues: &[At<QueuePolicy>], pipelines: &Pipelines) -> Vec<At<JobPolicy>> {
    let templates = Templates::read(top, "template");
    let mut jobs = Vec::new();
    let mut names = BTreeSet::new();
    for section in top.tables("job", "job") {
        let section = templates.under(section);
        if let Some(name) = section.text("name").filter(|name| !names.insert(name.value)) {
            section.problem(name.at, "name", format!("`{}` is declared twice", name.value), "rename one");
        }
        let repositories = section.patterns("repositories").unwrap_or_else(|| every_gated(queues));
        let branches = section.patterns("branches").unwrap_or_else(|| Patterns::new(&["*"]));
        let trust = section.text("trust").map_or("default", |trust| trust.value);
        let job = read_job(&section, repositories, branches, trust);
        refuse_unknown_pipelines(&section, &job, pipelines);
        jobs.push((section, job));
    }
    check_needs(&jobs, &[]);
    jobs.into_iter().map(|(section, value)| At { value, at: section.at }).collect()
}

/// The patterns of all queues' repositories, each once.
fn every_gated(queues: &[At<QueuePolicy>]) -> Patterns {
    let mut patterns: Vec<Pattern> = Vec::new();
    for pattern in queues.iter().flat_map(|queue| &queue.value.repositories.0) {
        if !patterns.contains(pattern) {
            patterns.push(pattern.clone());
        }
    }
    Patterns(patterns)
}

/// Queues without a job land nothing, jobs without a queue never run: both are allowed and unlikely to
/// be meant.
fn warn_about_strays(top: &Section<'_>, queues: &[At<QueuePolicy>], jobs: &[At<JobPolicy>], job_files: bool) {
    for At { value: queue, at } in queues {
        if !jobs.iter().any(|job| job.value.repositories.meet(&queue.repositories)) {
            let what =
                format!("no job is for the repositories of queue `{}`, so its changes wait", queue.name);
            let remedy = if job_files {
                "add a `[[job]]`, or see that each has a `seakeeper.toml`"
            } else {
                "add a `[[job]]`"
            };
            top.source.warn(*at, "queue", what, remedy);
        }
    }
    for At { value: job, at } in jobs {
        if !queues.iter().any(|queue| job.repositories.meet(&queue.value.repositories)) {
            let what = format!("job `{}` is for no repository of any queue, so it never runs", job.name);
            top.source.warn(*at, "job", what, "correct its `repositories`, or remove it");
        }
    }
}

fn read_limits(limits: &Section<'_>) -> Limits {
    let usual = Limits::default();
    let read = Limits {
        look_age_ms: limits.duration_of_at_least("look-age", usual.look_age_ms, 100),
        settle_ms: limits.duration_of_at_least("settle", usual.settle_ms, 1_000),
        effect_ms: limits.duration_of_at_least("effect", usual.effect_ms, 1_000),
        retry_ms: limits.duration_of_at_least("retry", usual.retry_ms, 10),
        retry_max_ms: limits.duration_of_at_least("retry-max", usual.retry_max_ms, 10),
        infrastructure_attempts: limits.count(
            "infrastructure-attempts",
            usual.infrastructure_attempts,
            1,
            100,
        ),
        build_grace_ms: limits.duration("build-grace", usual.build_grace_ms),
        close_after_ms: limits.duration("close-after", usual.close_after_ms),
        remembered: limits.count("remembered", usual.remembered, 0, 100_000),
    };
    if read.retry_max_ms < read.retry_ms {
        let at = limits.at_of("retry-max");
        limits.problem(at, "retry-max", "is shorter than `retry`", "write a longer one");
    }
    read
}
