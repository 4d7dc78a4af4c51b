//! Changes that are approved land, in order, and those that fail leave with their reason.

use super::cases;
use crate::support::ending::{Ending, vote_of};
use crate::support::runner::Run;
use crate::support::server::Server;
use crate::support::setup::Setup;
use crate::support::story::Story;

cases![
    one_approved_change_lands,
    forty_changes_approved_at_once_land_in_order_of_approval,
    a_failing_change_in_the_middle_leaves_and_its_followers_land,
    a_conflicting_change_leaves_and_its_message_names_the_file,
    two_repositories_of_one_queue_land_side_by_side,
    a_change_is_checked_before_it_is_approved,
    a_comment_has_a_failed_check_done_again,
    a_change_without_any_job_waits_and_says_so,
    each_landing_form_lands_two_changes,
];

fn one_approved_change_lands(server: &Server) -> Run {
    let story = Story::begin(server, "one");
    let project = story.repository("core");
    let daemon = Setup::judged(&story).start();
    let change = project.change("Add a", &[("a", Some("good"))]);
    story.alice().approve(&change);
    story.end(daemon, &[Ending::of(&project).landed([&change])]);
    Ok(())
}

fn forty_changes_approved_at_once_land_in_order_of_approval(server: &Server) -> Run {
    let story = Story::begin(server, "forty");
    let project = story.repository("core");
    let daemon = Setup::judged(&story).start();
    let changes = project.many(40, |at| vec![(format!("f{at}"), "good".into())]);
    // Not the order of upload, so that the two cannot be taken for one another.
    let approved: Vec<_> = changes.iter().rev().collect();
    approved.iter().for_each(|change| story.alice().approve(change));
    story.end(daemon, &[Ending::of(&project).landed(approved)]);
    Ok(())
}

fn a_failing_change_in_the_middle_leaves_and_its_followers_land(server: &Server) -> Run {
    let story = Story::begin(server, "middle");
    let project = story.repository("core");
    let daemon = Setup::judged(&story).start();
    let text = |at| if at == 2 { "BAD" } else { "good" };
    let changes = project.many(5, |at| vec![(format!("f{at}"), text(at).into())]);
    changes.iter().for_each(|change| story.alice().approve(change));
    story.wait_message(&changes[2], "judge");
    let others = changes.iter().filter(|change| change.number != changes[2].number);
    story.end(daemon, &[Ending::of(&project).landed(others).left([&changes[2]])]);
    let vote = vote_of(&server.admin.read(&changes[2]), "Verified", &story.bot.user);
    assert_eq!(vote, -1, "the failure is a vote as well");
    Ok(())
}

fn a_conflicting_change_leaves_and_its_message_names_the_file(server: &Server) -> Run {
    let story = Story::begin(server, "conflict");
    let project = story.repository("core");
    let daemon = Setup::judged(&story).start();
    let changes: Vec<_> = (0..3).map(|at| project.change(&format!("Change {at}"), &[file_of(at)])).collect();
    changes.iter().for_each(|change| story.alice().approve(change));
    story.wait_message(&changes[1], "disputed.txt");
    let landed = [&changes[0], &changes[2]];
    story.end(daemon, &[Ending::of(&project).landed(landed).left([&changes[1]])]);
    Ok(())
}

/// The first two write the same file, the third another.
fn file_of(at: usize) -> (&'static str, Option<&'static str>) {
    [("disputed.txt", Some("one")), ("disputed.txt", Some("two")), ("other.txt", Some("three"))][at]
}

fn two_repositories_of_one_queue_land_side_by_side(server: &Server) -> Run {
    let story = Story::begin(server, "two");
    let projects = [story.repository("core"), story.repository("extra")];
    let daemon = Setup::judged(&story).start();
    let changes = projects.each_ref().map(|project| {
        project.many(4, |at| vec![(format!("f{at}"), if at == 1 { "BAD" } else { "good" }.into())])
    });
    for at in 0..4 {
        changes.iter().for_each(|of| story.alice().approve(&of[at]));
    }
    changes.iter().for_each(|of| drop(story.wait_message(&of[1], "judge")));
    let ending = |at: usize| {
        let [left, landed] = [true, false].map(|bad| {
            changes[at].iter().enumerate().filter(move |(place, _)| (*place == 1) == bad).map(|(_, one)| one)
        });
        Ending::of(&projects[at]).landed(landed).left(left)
    };
    story.end(daemon, &[ending(0), ending(1)]);
    Ok(())
}

fn a_change_is_checked_before_it_is_approved(server: &Server) -> Run {
    let story = Story::begin(server, "check");
    let project = story.repository("core");
    let mut setup = Setup::judged(&story);
    setup.check = true;
    let daemon = setup.start();
    let good = project.change("Good", &[("a", Some("good"))]);
    let bad = project.change("Bad", &[("b", Some("BAD"))]);
    let vote = |change| vote_of(&server.admin.read(change), "Verified", &story.bot.user);
    crate::support::wait_for("both votes", || (vote(&good) == 1 && vote(&bad) == -1).then_some(()));
    // Its other content passes, so the vote must follow.
    let bad = project.amend(&bad, None, &[("b", Some("good"))]);
    crate::support::wait_for("a vote on the new patch set", || (vote(&bad) == 1).then_some(()));
    assert_eq!(story.status_of(&good), "NEW", "a check lands nothing");
    story.alice().approve(&good);
    story.alice().approve(&bad);
    story.end(daemon, &[Ending::of(&project).landed([&good, &bad]).checked(2)]);
    Ok(())
}

fn a_comment_has_a_failed_check_done_again(server: &Server) -> Run {
    let story = Story::begin(server, "recheck");
    let project = story.repository("core");
    let mut setup = Setup::judged(&story);
    setup.check = true;
    let mut daemon = setup.start();
    let bad = project.change("Bad", &[("b", Some("BAD"))]);
    let told = |count: usize| (story.messages_on(&bad).len() == count).then_some(());
    crate::support::wait_for("the first verdict", || told(1));
    story.alice().say(&bad, "Was that the network? Then recheck would help.");
    story.alice().say(&bad, "I think so:\n\n  Recheck");
    crate::support::wait_for("the second verdict", || told(2));
    assert!(daemon.stop().success());
    story.judge(&[Ending::of(&project).left([&bad])]);
    Ok(())
}

fn a_change_without_any_job_waits_and_says_so(server: &Server) -> Run {
    let story = Story::begin(server, "nojob");
    let project = story.repository("core");
    let setup = Setup::new(&story)
        .more("[[job]]\nname = \"other\"\nrepositories = [\"nothing-of-this\"]\ncommands = [\"true\"]");
    let mut daemon = setup.start();
    let change = project.change("Add a", &[("a", Some("good"))]);
    story.alice().approve(&change);
    story.wait_message(&change, "job");
    assert!(daemon.stop().success());
    story.judge(&[Ending::of(&project).left([&change])]);
    Ok(())
}

/// Gerrit's submit types, where the form lets two independent changes follow one another.
fn each_landing_form_lands_two_changes(server: &Server) -> Run {
    let story = Story::begin(server, "forms");
    let forms = ["MERGE_ALWAYS", "MERGE_IF_NECESSARY"];
    let projects = forms.map(|form| {
        let options = serde_json::json!({ "submit_type": form });
        (story.repository_with(&form.to_lowercase(), &options), form)
    });
    let daemon = Setup::judged(&story).start();
    let changes = projects.each_ref().map(|(project, _)| {
        let changes = project.many(2, |at| vec![(format!("f{at}"), "good".into())]);
        changes.iter().for_each(|change| story.alice().approve(change));
        changes
    });
    let endings: Vec<_> = projects
        .iter()
        .zip(&changes)
        .map(|((project, _), changes)| Ending::of(project).landed(changes))
        .collect();
    story.end(daemon, &endings);
    for (project, form) in &projects {
        let first = project.first_parents("master")[0];
        let merged = project.parents(first).len() == 2;
        assert_eq!(merged, *form == "MERGE_ALWAYS", "{form}: what could be fast-forwarded");
    }
    Ok(())
}
