//! Changes that rest on others: they land after what they rest on, and bring in nothing unapproved.

use serde_json::json;

use super::cases;
use crate::support::ending::Ending;
use crate::support::project::{Change, Project, new_change_id};
use crate::support::runner::Run;
use crate::support::server::Server;
use crate::support::setup::Setup;
use crate::support::story::Story;
use crate::support::wait_for;

cases![
    a_stack_approved_child_first_lands_parent_first,
    a_child_of_a_failing_parent_does_not_land,
    a_child_on_an_old_patch_set_does_not_land_its_parent,
    a_merge_commit_does_not_bring_in_an_open_change,
    a_chain_over_three_repositories_lands_in_order_when_it_is_approved_in_the_worst,
    a_wrong_footer_is_told_with_the_remedy,
    a_circle_over_two_repositories_lands_as_one,
    a_topic_of_three_lands_as_one,
    a_topic_with_one_failing_change_does_not_land_at_all,
];

fn a_stack_approved_child_first_lands_parent_first(server: &Server) -> Run {
    let story = Story::begin(server, "stack");
    let project = story.repository("core");
    let daemon = Setup::judged(&story).start();
    let parent = project.change("Parent", &[("a", Some("good"))]);
    let child = project.change_on(&[parent.commit], "Child", &[("b", Some("good"))]);
    story.alice().approve(&child);
    wait_for("the child to wait for its parent", || {
        daemon.words_on(child.number).filter(|words| words.contains(&parent.number.to_string()))
    });
    assert_eq!(story.status_of(&parent), "NEW", "nobody approved it yet");
    story.alice().approve(&parent);
    story.end(daemon, &[Ending::of(&project).landed([&parent, &child])]);
    Ok(())
}

fn a_child_of_a_failing_parent_does_not_land(server: &Server) -> Run {
    let story = Story::begin(server, "orphan");
    let project = story.repository("core");
    let daemon = Setup::judged(&story).start();
    let parent = project.change("Parent", &[("a", Some("BAD"))]);
    let child = project.change_on(&[parent.commit], "Child", &[("b", Some("good"))]);
    let other = project.change("Other", &[("c", Some("good"))]);
    for change in [&parent, &child, &other] {
        story.alice().approve(change);
    }
    wait_for("words on both", || {
        [&parent, &child].iter().all(|change| !story.messages_on(change).is_empty()).then_some(())
    });
    story.end(daemon, &[Ending::of(&project).landed([&other]).left([&parent, &child])]);
    Ok(())
}

fn a_child_on_an_old_patch_set_does_not_land_its_parent(server: &Server) -> Run {
    let story = Story::begin(server, "oldparent");
    let project = story.repository("core");
    let daemon = Setup::judged(&story).start();
    let parent = project.change("Parent", &[("a", Some("good"))]);
    let child = project.change_on(&[parent.commit], "Child", &[("b", Some("good"))]);
    let newer = project.amend(&parent, None, &[("a", Some("better"))]);
    story.alice().approve(&child);
    wait_for("words for the child", || {
        daemon.words_on(child.number).or_else(|| story.messages_on(&child).pop())
    });
    // Its parent as it is now may land; the child still rests on what was replaced.
    story.alice().approve(&newer);
    story.wait_merged(&newer);
    wait_for("words on the child", || story.messages_on(&child).pop());
    story.end(daemon, &[Ending::of(&project).landed([&newer]).left([&child])]);
    Ok(())
}

fn a_merge_commit_does_not_bring_in_an_open_change(server: &Server) -> Run {
    let story = Story::begin(server, "foreign");
    let project = story.repository("core");
    let daemon = Setup::judged(&story).start();
    let unreviewed = project.change("Unreviewed", &[("a", Some("good"))]);
    // Not the change's own commit, but one with its Change-Id: Gerrit would close the change with it.
    let message = format!("Side\n\nChange-Id: {}\n", unreviewed.change_id);
    let side = project.commit(&[project.base], &message, &[("side", Some("foreign"))]);
    let admin = &server.admin;
    project.push(admin, side, "refs/heads/side").expect("the administrator may create branches");
    let merge = project.change_on(&[project.base, side], "Merge side", &[("side", Some("foreign"))]);
    story.alice().approve(&merge);
    story.wait_message(&merge, &unreviewed.number.to_string());
    story.end(daemon, &[Ending::of(&project).left([&merge]).untouched([&unreviewed])]);
    Ok(())
}

/// Each repository's builds find what the change that they depend on brings to the repository before.
const SEES_DEPENDENCY: &str =
    "case \"$PWD\" in *-high) test -f ../*-middle/new;; *-middle) test -f ../*-low/new;; esac";

fn a_chain_over_three_repositories_lands_in_order_when_it_is_approved_in_the_worst(server: &Server) -> Run {
    let story = Story::begin(server, "chain");
    let [low, middle, high] = ["low", "middle", "high"].map(|name| story.repository(name));
    let daemon = Setup::judged(&story).job("sees", &[SEES_DEPENDENCY]).start();
    let url = server.url();
    let first = low.change("First", &[("new", Some("good"))]);
    let address = format!("{}c/{}/+/{}", url, first.repository, first.number);
    let second = middle.change_needing("Second", &[&address], &[("new", Some("good"))]);
    let third = high.change_needing("Third", &[&second.change_id], &[("new", Some("good"))]);
    for change in [&third, &second] {
        story.alice().approve(change);
    }
    for (change, needed) in [(&third, &second), (&second, &first)] {
        wait_for("the reason for the wait", || {
            daemon
                .words_on(change.number)
                .filter(|words| words.contains(&format!("change {}", needed.number)))
        });
        assert_eq!(story.status_of(change), "NEW");
    }
    story.alice().approve(&first);
    let endings = [(&low, &first), (&middle, &second), (&high, &third)];
    let endings = endings.map(|(project, change)| Ending::of(project).landed([change]));
    story.end(daemon, &endings);
    Ok(())
}

fn a_wrong_footer_is_told_with_the_remedy(server: &Server) -> Run {
    let story = Story::begin(server, "footer");
    let project = story.repository("core");
    let daemon = Setup::judged(&story).start();
    let elsewhere = project.change_needing("Elsewhere", &["https://example.org/1"], &[("a", Some("good"))]);
    let missing = project.change_needing(
        "Missing",
        &["I0000000000000000000000000000000000000001"],
        &[("b", Some("good"))],
    );
    for change in [&elsewhere, &missing] {
        story.alice().approve(change);
    }
    story.wait_message(&elsewhere, "another server");
    story.wait_message(&missing, "names no change");
    story.end(daemon, &[Ending::of(&project).left([&elsewhere, &missing])]);
    Ok(())
}

/// Each of two repositories' builds finds what the other's change brings.
const SEES_OTHER: &str = "case \"$PWD\" in *-one) test -f ../*-two/new;; *-two) test -f ../*-one/new;; esac";

fn a_circle_over_two_repositories_lands_as_one(server: &Server) -> Run {
    let story = Story::begin(server, "circle");
    let [one, two] = ["one", "two"].map(|name| story.repository(name));
    let daemon = Setup::judged(&story).job("sees", &[SEES_OTHER]).start();
    let ids = [new_change_id(), new_change_id()];
    let make = |project: &Project, own: &str, other: &str| {
        let message = format!("Half\n\nDepends-On: {other}\nChange-Id: {own}\n");
        project.change_saying(&[project.base], &message, own, &[("new", Some("good"))])
    };
    let first = make(&one, &ids[0], &ids[1]);
    let second = make(&two, &ids[1], &ids[0]);
    story.alice().approve(&first);
    wait_for("the first to wait for the second", || {
        daemon.words_on(first.number).filter(|words| words.contains(&format!("change {}", second.number)))
    });
    assert_eq!(story.status_of(&first), "NEW", "half of it must not land");
    story.alice().approve(&second);
    story.end(daemon, &[Ending::of(&one).landed([&first]), Ending::of(&two).landed([&second])]);
    Ok(())
}

fn topic_of_three(story: &Story, projects: &[Project; 3], contents: [&str; 3]) -> [Change; 3] {
    let topic = json!({ "topic": format!("topic-{}", story.name) });
    [0, 1, 2].map(|at| {
        let change = projects[at].change(&format!("Part {at}"), &[("new", Some(contents[at]))]);
        story.alice().put(&format!("{}/topic", change.path()), &topic);
        change
    })
}

fn a_topic_of_three_lands_as_one(server: &Server) -> Run {
    let story = Story::begin(server, "topic");
    let projects = ["low", "middle", "high"].map(|name| story.repository(name));
    let daemon = Setup::judged(&story).queue("topics = \"together\"").start();
    let changes = topic_of_three(&story, &projects, ["good"; 3]);
    for change in &changes[..2] {
        story.alice().approve(change);
    }
    wait_for("the approved two to wait for the third", || {
        let waits =
            |change: &Change| daemon.words_on(change.number).is_some_and(|words| words.contains("together"));
        changes[..2].iter().all(waits).then_some(())
    });
    assert!(changes.iter().all(|change| story.status_of(change) == "NEW"), "it lands whole or not at all");
    story.alice().approve(&changes[2]);
    let endings = [0, 1, 2].map(|at| Ending::of(&projects[at]).landed([&changes[at]]));
    story.end(daemon, &endings);
    Ok(())
}

fn a_topic_with_one_failing_change_does_not_land_at_all(server: &Server) -> Run {
    let story = Story::begin(server, "badtopic");
    let projects = ["low", "middle", "high"].map(|name| story.repository(name));
    let daemon = Setup::judged(&story).queue("topics = \"together\"").start();
    let changes = topic_of_three(&story, &projects, ["good", "BAD", "good"]);
    for change in &changes {
        story.alice().approve(change);
    }
    for change in &changes {
        story.wait_message(change, "judge");
    }
    let endings = [0, 1, 2].map(|at| Ending::of(&projects[at]).left([&changes[at]]));
    story.end(daemon, &endings);
    Ok(())
}
