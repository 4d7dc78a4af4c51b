//! Changes that rest on others: they land after what they rest on, and bring in nothing unapproved.

use super::cases;
use crate::support::ending::Ending;
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
