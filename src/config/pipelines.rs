//! Reading `[pipeline.post]`, `[[pipeline.periodic]]` and `[[pipeline.on-demand]]`, and the pipelines that
//! a job names.

use std::collections::BTreeMap;

use super::jobs::read_name;
use super::keys::did_you_mean;
use super::policy::{read_vote, refuse_twin};
use super::section::{At, Section};
use super::timetable::Timetable;
use crate::model::pipeline::{JobPipelines, OnDemandPolicy, PeriodicPolicy, Pipelines, PostPolicy};
use crate::model::{JobPolicy, PipelineName};

/// Names that mean something already, or will.
const TAKEN: [&str; 6] = ["check", "gate", "post", "periodic", "on-demand", "deploy"];

/// Reads the pipelines beside check and gate. `recheck` is the comment that asks for a check.
pub(super) fn read_pipelines(pipelines: &Section<'_>, recheck: Option<&str>) -> Pipelines {
    let usual = PostPolicy::default();
    let post = pipelines.table("post", "pipeline.post");
    let post =
        PostPolicy { report: post.flag("report", usual.report), bisect: post.flag("bisect", usual.bisect) };
    let mut names = BTreeMap::new();
    let periodic = pipelines.tables("periodic", "pipeline.periodic");
    let periodic = periodic.iter().map(|section| read_periodic(section, &mut names)).collect();
    let mut comments = BTreeMap::new();
    let on_demand = pipelines.tables("on-demand", "pipeline.on-demand");
    let on_demand =
        on_demand.iter().map(|section| read_on_demand(section, recheck, &mut names, &mut comments)).collect();
    Pipelines { post, periodic, on_demand }
}

fn read_pipeline_name<'a>(section: &Section<'a>, names: &mut BTreeMap<&'a str, usize>) -> PipelineName {
    let Some(name) = read_name(section) else { return "".into() };
    if TAKEN.contains(&name.value) {
        let what = format!("`{}` is a pipeline of its own", name.value);
        section.problem(name.at, "name", what, "choose another name");
    }
    refuse_twin(section, names, &name);
    name.value.into()
}

fn read_periodic<'a>(section: &Section<'a>, names: &mut BTreeMap<&'a str, usize>) -> PeriodicPolicy {
    let name = read_pipeline_name(section, names);
    let cron = section.required("cron");
    let zone = section.text("time-zone").unwrap_or(At { value: "UTC", at: section.at });
    if let Err(what) = Timetable::check_zone(zone.value) {
        let remedy = "write an IANA name as in `Europe/Berlin`, or `UTC`";
        section.problem(zone.at, "time-zone", what, remedy);
    }
    if let Some(cron) = &cron
        && let Err(what) = Timetable::new(cron.value, "UTC")
    {
        let remedy =
            "write minute, hour, day of the month, month and day of the week, for example `0 3 * * *`";
        section.problem(cron.at, "cron", what, remedy);
    }
    PeriodicPolicy {
        name,
        cron: cron.map_or("", |cron| cron.value).into(),
        time_zone: zone.value.into(),
        bisect: section.flag("bisect", false),
    }
}

fn read_on_demand<'a>(
    section: &Section<'a>,
    recheck: Option<&str>,
    names: &mut BTreeMap<&'a str, usize>,
    comments: &mut BTreeMap<String, usize>,
) -> OnDemandPolicy {
    let name = read_pipeline_name(section, names);
    let comment = section.required("comment");
    let line = comment.as_ref().map_or("", |comment| comment.value.trim());
    if let Some(comment) = &comment {
        let lower = line.to_lowercase();
        if line.contains('\n') {
            section.problem(comment.at, "comment", "has several lines", "write one line");
        } else if recheck.is_some_and(|recheck| recheck.eq_ignore_ascii_case(line)) {
            let what = format!("`{line}` asks for a check already");
            section.problem(
                comment.at,
                "comment",
                what,
                "write another, or change `recheck` of [pipeline.check]",
            );
        } else if comments.insert(lower, comment.at).is_some() {
            let what = format!("`{line}` asks for another pipeline already");
            section.problem(comment.at, "comment", what, "write another");
        }
    }
    OnDemandPolicy {
        name,
        comment: line.into(),
        success: read_vote(section, "success", 1, 0),
        failure: read_vote(section, "failure", -1, 0),
    }
}

/// The pipelines that a job names, whether they exist or not.
pub(super) fn read_job_pipelines(job: &Section<'_>) -> JobPipelines {
    let Some(texts) = job.texts("pipelines") else { return JobPipelines::default() };
    if texts.is_empty() && job.array("pipelines").is_some_and(|values| values.is_empty()) {
        let remedy = "name at least one, or remove the job";
        job.problem(job.at_of("pipelines"), "pipelines", "is empty: the job would never run", remedy);
    }
    let mut names: Vec<PipelineName> = texts.iter().map(|text| text.value.into()).collect();
    names.sort();
    names.dedup();
    JobPipelines(names)
}

/// Refuses pipelines that there are not.
pub(super) fn refuse_unknown_pipelines(section: &Section<'_>, job: &JobPolicy, pipelines: &Pipelines) {
    let known = pipelines.names();
    for name in job.pipelines.0.iter().filter(|name| !known.contains(&name.as_str())) {
        let what = format!("there is no pipeline `{name}`");
        section.problem(section.at_of("pipelines"), "pipelines", what, did_you_mean(name.as_str(), &known));
    }
}
