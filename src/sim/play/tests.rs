//! Claims about the language of stories: what is not so is found, and what is not understood is said.

use super::play;

/// What a story comes to: `ok`, the line of the difference, or its problems.
fn outcome(text: &str) -> String {
    let played = play("s", text);
    match (&played.difference, played.passed) {
        (_, true) => "ok".into(),
        (Some(difference), _) => format!("{}: {}", difference.line, difference.was),
        (None, _) => played.problems.join("\n"),
    }
}

#[test]
fn what_is_not_so_is_named_with_its_line_and_what_is_so_instead() {
    let story = |expectation: &str| {
        outcome(&format!("job unit takes 5m, fails with B\nupload A, B\napprove A, B\n{expectation}"))
    };
    for (expectation, expected) in [
        ("expect building A", "4: building: A (unit), A+B (unit)"),
        ("expect queue: B, A", "4: queue: A, B"),
        ("expect 3 builds", "4: 2 builds: unit on A, unit on A+B"),
        ("expect A has landed", "4: A is queued: unit running"),
        ("wait 5m\nexpect landed: A, B", "5: landed: A"),
        ("expect A waits for \"a slot\"", "4: A: unit running"),
        ("wait 5m\nexpect B left because conflict", "5: B left: The job unit failed"),
        ("expect unit reused for A", "4: reused for A: nothing"),
        ("never A has landed\nwait 1h", "4: it came true at 5m 00s"),
        ("always B is queued\nwait 1h", "4: B is in no queue: its approval was used up"),
        ("expect A has landed within 4m", "4: A is queued"),
        ("expect no messages on A", "ok"),
        ("wait 5m\nexpect A was told \"failed\"", "5: said: “Starting gate jobs"),
    ] {
        let found = story(expectation);
        assert!(found.starts_with(expected), "{expectation}: {found}");
    }
}

#[test]
fn all_faults_of_a_text_are_told_at_once() {
    let text = "repository app\naprove A\nupload A to ap\nexpect A has lended\nwait for ever\njob unit fails with X\n\
                push \"x";
    let found = outcome(text);
    for expected in [
        "s:2: `aprove`: begins no statement; did you mean `approve`?",
        "s:3: `ap`: there is no repository of this name; did you mean `app`?",
        "s:4: `has`: is nothing that can be said of a change",
        "s:5: `ever`: is no duration",
        "s:6: `X`: no change of this name is uploaded in this story",
        "s:7: `\"x`: the quotation mark is not closed",
    ] {
        assert!(found.contains(expected), "{expected}\n{found}");
    }
}

#[test]
fn faults_of_the_configuration_have_their_line_in_the_story() {
    let text = "# a story\nconfiguration:\n  [[queue]]\n  name = \"main\"\n  repositories = [\"app\"]\n  strategi = \"serial\"\nupload A";
    let found = outcome(text);
    assert!(found.starts_with("s:6: `queue.strategi`"), "{found}");
}

#[test]
fn the_same_is_said_in_several_ways() {
    let usual = "job unit\nupload A, B\napprove A, B\n";
    for way in [
        "expect unit running on A, B+A",
        "expect building: A, A + B",
        "expect unit builds A+B, A",
        "expect the queue is A, B",
        "expect queued: A, B.",
        "expect A is in the queue",
        "after 10m: expect landed A, B",
        "10 minutes later expect A and B have landed",
        "wait until A has landed\nexpect landed A, B",
        "carol vetoes A\nexpect A left because vetoed",
        "expect exactly two builds",
        "expect at most 2 builds of unit",
        "wait 10m\nexpect B lands after A",
        "expect A landed within 20m",
        "at 10m expect nothing is queued",
    ] {
        let found = outcome(&format!("{usual}{way}"));
        assert_eq!(found, "ok", "{way}");
    }
}
