//! Every message: it begins as readers of Zuul's messages expect, and names the next step.

use super::*;
use crate::model::{Account, ItemId, Label, Pair, PatchSet, Sha, Timestamp};

fn report(pipeline: Pipeline, says: Says) -> Report {
    Report {
        change: ChangeNumber(42),
        repository: "core".into(),
        patchset: PatchSet(3),
        revision: Sha([1; 20]),
        item: ItemId(7),
        pipeline,
        queue: Some("main".into()),
        vote: None,
        says: Some(says),
        again_of: None,
    }
}

fn job(result: JobOutcome, detail: &str) -> JobResult {
    JobResult {
        job: "unit tests".into(),
        home: Pair::new("core", "main"),
        result,
        duration_ms: 62_000,
        build: Some(BuildId(12)),
        voting: true,
        detail: detail.into(),
        needs: Vec::new(),
    }
}

fn links() -> Links {
    Links { public_url: Some("https://gate.example.org/".into()) }
}

/// What zuul-results-summary reads off a line of a job: name, link, result, time.
fn as_the_plugin_reads(line: &str) -> Option<(String, String, String, String)> {
    let (name, rest) = line.strip_prefix("- ")?.split_once(' ')?;
    let (link, rest) = rest.split_once(" : ")?;
    let known = link.starts_with("https://")
        || link.strip_prefix("build/").is_some_and(|id| id.chars().all(|c| c.is_ascii_hexdigit()));
    if !known || link.contains(' ') {
        return None;
    }
    let (result, rest) = rest.split_once(' ').unwrap_or((rest, ""));
    let time = rest.rsplit_once("in ").map_or("", |(_, time)| time);
    Some((name.into(), link.into(), result.into(), time.into()))
}

/// What it reads off the message: `Build WORD (PIPELINE pipeline).`
fn status(text: &str) -> Option<(&str, &str)> {
    let line = text.lines().find(|line| line.starts_with("Build "))?;
    let (status, rest) = line["Build ".len()..].split_once(" (")?;
    let pipeline = rest.strip_suffix(" pipeline).")?;
    let is_word = |word: &str| !word.is_empty() && word.chars().all(|c| c.is_alphanumeric() || c == '_');
    (is_word(status) && is_word(pipeline)).then_some((status, pipeline))
}

#[test]
fn lines_of_jobs_are_read_by_the_plugin() {
    let check = |result, detail: &str, expected: &str, time: &str| {
        for (links, link) in [(links(), "https://gate.example.org/build/12"), (Links::default(), "build/12")]
        {
            let line = job_line(&job(result, detail), ChangeNumber(42), &links);
            let read = as_the_plugin_reads(&line).unwrap_or_else(|| panic!("not read: {line}"));
            assert_eq!(read, ("unit_tests".into(), link.into(), expected.into(), time.into()), "{line}");
        }
    };
    check(JobOutcome::Success, "", "SUCCESS", "1m 02s");
    check(JobOutcome::Failure, "exit code 3", "FAILURE", "1m 02s (exit code 3)");
    check(JobOutcome::Failure, "timed out after 30m 00s", "TIMED_OUT", "1m 02s (timed out after 30m 00s)");
    check(JobOutcome::Error, "no node", "ERROR", "1m 02s");
    check(JobOutcome::Aborted, "", "ABORTED", "1m 02s");
    check(JobOutcome::Running, "", "CANCELED", "1m 02s");
    check(JobOutcome::Waiting, "", "SKIPPED", "");
    check(JobOutcome::Skipped, "`build` failed", "SKIPPED", "");
}

#[test]
fn a_job_that_ran_for_several_repositories_is_told_with_each() {
    let own = job(JobOutcome::Success, "");
    let other = JobResult { home: Pair::new("lib", "main"), ..own.clone() };
    let lines = job_lines(&[own.clone(), other], ChangeNumber(1), &links());
    assert!(lines.contains("SUCCESS in 1m 02s (for core main)\n"), "{lines}");
    assert!(lines.contains("SUCCESS in 1m 02s (for lib main)\n"), "{lines}");
    assert!(!job_lines(&[own], ChangeNumber(1), &links()).contains("(for"));
}

#[test]
fn a_job_that_does_not_decide_is_marked() {
    let mut job = job(JobOutcome::Failure, "");
    job.voting = false;
    assert!(job_line(&job, ChangeNumber(1), &links()).ends_with("FAILURE in 1m 02s (non-voting)"));
}

#[test]
fn each_departure_says_what_happened_and_what_to_do() {
    let pair = Pair::new("core", "main");
    let check = |departure: Departure, first: &str, needles: &[&str]| {
        let says = Says::Ended { departure, jobs: vec![job(JobOutcome::Success, "")], keeps: false };
        let text = compose(&report(Pipeline::Gate, says), &links());
        assert!(text.starts_with(&format!("{first} (gate pipeline).\n\n- unit_tests https://")), "{text}");
        assert!(text.ends_with("Details: https://gate.example.org/change/42"), "{text}");
        for needle in needles {
            assert!(text.contains(needle), "{needle:?} is not in: {text}");
        }
    };
    let landed = Departure::Landed { commits: vec![(pair.clone(), Sha([0xab; 20]))] };
    check(landed, "Build succeeded", &["core main is now at ababababab", "nothing to do"]);
    check(
        Departure::Failed { jobs: vec!["a".into(), "b".into()] },
        "Build failed",
        &["a, b", "approving vote anew"],
    );
    check(Departure::Checked { passed: true }, "Build succeeded", &["needs an approval"]);
    check(Departure::Checked { passed: false }, "Build failed", &["upload a repaired patch set"]);
    let conflict =
        Departure::Conflict { pair: pair.clone(), paths: vec!["x.txt".into()], with: vec![ChangeNumber(7)] };
    check(conflict, "Merge failed", &["core main", "x.txt", "change 7", "Rebase", "new approval"]);
    let broken = Departure::BrokenJobFile { pair, why: "line 3".into() };
    check(broken, "Build failed", &["line 3", "Repair the file", "new approval"]);
    let closure =
        Departure::Closure { commit: Sha([1; 20]), change: Some(ChangeNumber(9)), why: "open".into() };
    check(closure, "Build canceled", &["change 9", "0101010101", "rebase"]);
    check(Departure::Unfit { why: "rebase needed".into() }, "Build canceled", &["rebase needed", "anew"]);
    check(
        Departure::NewPatchSet { patchset: PatchSet(4) },
        "Build canceled",
        &["Patch set 4", "approving votes stand"],
    );
    check(Departure::VoteWithdrawn { why: "bob: -2".into() }, "Build canceled", &["bob: -2", "enters again"]);
    check(Departure::Abandoned, "Build canceled", &["Once restored", "approving votes stand"]);
    check(Departure::MergedElsewhere, "Build canceled", &["someone else", "nothing to do"]);
    check(Departure::Gone, "Build canceled", &["visible"]);
    check(Departure::WorkInProgress, "Build canceled", &["Once marked ready"]);
    check(Departure::Private, "Build canceled", &["Once unmarked"]);
    check(Departure::Moved, "Build canceled", &["another branch", "approving votes stand there"]);
    check(
        Departure::Dependency { change: ChangeNumber(8), culprit: Some(ChangeNumber(7)) },
        "Build canceled",
        &["Change 8", "because change 7"],
    );
    check(Departure::Requirement { name: "QA".into() }, "Build canceled", &["QA", "Meet it"]);
    check(Departure::Refused { why: "no Push".into() }, "Build canceled", &["no Push", "operator"]);
    let dequeued = Departure::Dequeued { by: "carol".into(), reason: "freeze".into() };
    check(dequeued, "Build canceled", &["carol", "freeze", "new approving vote"]);
    check(Departure::QueueRemoved, "Build canceled", &["Ask an operator"]);
    check(Departure::Superseded, "Build canceled", &["later run", "nothing to do"]);
}

#[test]
fn whoever_asked_hears_that_the_change_is_gone() {
    let ends = [(Departure::MergedElsewhere, "has landed"), (Departure::Abandoned, "was abandoned")];
    for (departure, expected) in ends {
        let says = Says::Ended { departure, jobs: vec![], keeps: false };
        let text = compose(&report(Pipeline::OnDemand("perf".into()), says), &links());
        assert!(text.starts_with("Build canceled (perf pipeline)."), "{text}");
        assert!(text.contains(expected) && text.contains("so this run has ended"), "{text}");
        assert!(text.contains("nothing to do") && !text.contains("PIPELINE"), "{text}");
        assert!(!text.contains("approve") && !text.contains("someone else"), "{text}");
    }
}

#[test]
fn a_kept_approval_is_not_asked_for_again() {
    let pair = Pair::new("core", "main");
    let ends = [
        Departure::Failed { jobs: vec!["a".into()] },
        Departure::Conflict { pair: pair.clone(), paths: vec![], with: vec![] },
        Departure::BrokenJobFile { pair, why: "line 3".into() },
        Departure::Closure { commit: Sha([1; 20]), change: None, why: "open".into() },
        Departure::Requirement { name: "QA".into() },
        Departure::Refused { why: "no Push".into() },
    ];
    for departure in ends {
        let says = |keeps| Says::Ended { departure: departure.clone(), jobs: vec![], keeps };
        let text = |keeps| compose(&report(Pipeline::Gate, says(keeps)), &links());
        let asks =
            |text: &str| text.contains("new approv") || text.contains("anew") || text.contains("next approv");
        assert!(asks(&text(false)), "{}", text(false));
        assert!(!asks(&text(true)), "{}", text(true));
    }
}

#[test]
fn each_wait_names_the_next_step() {
    let pair = Pair::new("core", "main");
    let bob = Account::from("bob");
    let at = Timestamp(0);
    let reasons = [
        Reason::Approval { label: Label::from("Code-Review"), min: 2 },
        Reason::NewApproval,
        Reason::Veto { label: Label::from("Code-Review"), by: bob.clone() },
        Reason::Requirements { names: vec!["QA".into()] },
        Reason::Parent { change: ChangeNumber(1), why: None },
        Reason::Parent { change: ChangeNumber(1), why: Some(Box::new(Reason::NewApproval)) },
        Reason::Rebase { pair: pair.clone() },
        Reason::ParentReplaced { change: ChangeNumber(9) },
        Reason::ParentAbandoned { change: ChangeNumber(9) },
        Reason::ParentElsewhere { change: ChangeNumber(9) },
        Reason::JobFile { pair: pair.clone(), why: "line 3".into() },
        Reason::NoChangeId,
        Reason::Form { repository: "core".into() },
        Reason::ReadOnly { repository: "core".into() },
        Reason::Observing,
        Reason::Paused { scope: "core".into(), reason: "freeze".into(), by: bob },
        Reason::Window { size: 20 },
        Reason::Tip { pair: pair.clone() },
        Reason::NoBranch { pair: pair.clone() },
        Reason::Preparing,
        Reason::PreparingAgain { why: "disk".into(), at },
        Reason::NoJob,
        Reason::NothingNeeded { jobs: vec!["a".into()] },
        Reason::ConflictAhead {
            pair: pair.clone(),
            paths: vec!["README".into()],
            changes: vec![ChangeNumber(9)],
        },
        Reason::JobFileAhead { pair: pair.clone(), why: "no commands".into(), changes: vec![] },
        Reason::FailedAhead { jobs: vec!["a".into()] },
        Reason::Failed { jobs: vec!["a".into()] },
        Reason::Slots { waiting: 1, slots: 2 },
        Reason::Executor { why: "no sandbox".into() },
        Reason::Building { jobs: vec!["a".into()] },
        Reason::BuildAgain { why: "node lost".into(), at },
        Reason::Ahead { change: ChangeNumber(1), why: None },
        Reason::Voting,
        Reason::Looking,
        Reason::AskedAgain { why: "no answer".into() },
        Reason::Landing,
        Reason::UnknownPush { until: at },
        Reason::Moved { pair },
        Reason::Finishing,
    ];
    for reason in reasons {
        let words = reason.to_string();
        let text = compose(&report(Pipeline::Gate, Says::Waiting { reason }), &Links::default());
        assert!(text.starts_with("Waiting (gate pipeline).") && text.contains(&words), "{text}");
        assert!(text.contains("\nNext: "), "{text}");
        assert_eq!(status(&text), None, "a wait is no outcome: {text}");
    }
}

#[test]
fn the_plugin_finds_status_and_pipeline() {
    let check = |pipeline, says, expected| {
        assert_eq!(status(&compose(&report(pipeline, says), &links())), expected);
    };
    let jobs = vec![job(JobOutcome::Success, "")];
    check(Pipeline::Gate, Says::Passed { jobs: jobs.clone() }, Some(("succeeded", "gate")));
    check(Pipeline::Check, Says::Passed { jobs }, Some(("succeeded", "check")));
    let failed = Departure::Failed { jobs: vec![] };
    check(
        Pipeline::Gate,
        Says::Ended { departure: failed, jobs: vec![], keeps: false },
        Some(("failed", "gate")),
    );
    let superseded = Departure::Superseded;
    check(
        Pipeline::Check,
        Says::Ended { departure: superseded, jobs: vec![], keeps: false },
        Some(("canceled", "check")),
    );
    check(Pipeline::Gate, Says::Started { position: 3, waits: None }, None);
}

#[test]
fn starts_alarms_and_first_failures_are_plain() {
    let check = |says, needles: &[&str]| {
        let text = compose(&report(Pipeline::Gate, says), &links());
        for needle in needles {
            assert!(text.contains(needle), "{needle:?} is not in: {text}");
        }
    };
    check(
        Says::Started { position: 3, waits: None },
        &["Starting gate jobs.\n", "number 3 in the queue main", "nothing to do"],
    );
    check(Says::Alarm { text: "the tip moved; look".into() }, &["Attention", "the tip moved; look"]);
    let failed = job(JobOutcome::Failure, "exit code 1");
    let ahead = vec![ChangeNumber(40), ChangeNumber(41)];
    let first = Says::FirstFailure { failed: failed.clone(), on_top_of: ahead };
    check(first, &["- unit_tests https://", "changes 40, 41", "built again by itself"]);
    check(Says::FirstFailure { failed, on_top_of: vec![] }, &["Nothing ahead", "upload a repair"]);
}

#[test]
fn hostile_names_and_numbers_keep_a_message_in_bounds() {
    let mut odd = job(JobOutcome::Error, &"é\n".repeat(100_000));
    odd.job = "a\n- b".into();
    odd.duration_ms = i64::MIN;
    let says = Says::Ended { departure: Departure::Superseded, jobs: vec![odd; 300], keeps: false };
    let text = compose(&report(Pipeline::Gate, says), &Links::default());
    assert!(text.len() < 100 * 1_000, "{}", text.len());
    assert!(text.contains("And 200 more jobs."));
    assert_eq!(text.lines().filter(|line| line.starts_with("- ")).count(), 100);
}

#[test]
fn a_vote_alone_has_no_words() {
    let mut silent = report(Pipeline::Gate, Says::Started { position: 1, waits: None });
    silent.says = None;
    assert_eq!(compose(&silent, &links()), "");
}
