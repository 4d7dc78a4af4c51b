//! Pages: live updates, search, assets, the drawing of the chain, and what is hidden.

use std::collections::BTreeSet;

use super::made::{busy, change};
use super::{Face, Stream};
use seakeeper::model::event::Scope;
use seakeeper::model::view::{PauseView, View};
use seakeeper::model::{BuildId, ChangeNumber, Departure, Pair, Reason, Timestamp};
use seakeeper::web::mentioned::mentioned;
use seakeeper::web::veil::Veil;

const AT: Timestamp = Timestamp(1_800_000_000_000);

#[test]
fn a_page_hears_only_what_is_new() {
    let face = Face::new("live", true);
    face.desk.show(busy(AT, 40));
    let (_, body) = face.get("/", "");
    let at = body.split("data-at=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a place");
    let mut stream = Stream::open(&face, &format!("/live?at={at}&most=100"), "");
    let mut next = busy(AT, 40);
    next.queues[0].items.remove(0);
    next.queues[0].items[4].reason = Reason::Landing;
    face.desk.show(next);
    let update = stream.next("update");
    let list = &update["lists"]["queue-0"];
    assert_eq!(list["order"].as_array().map(Vec::len), Some(39), "{update}");
    let entries: Vec<&String> = list["entries"].as_object().expect("entries").keys().collect();
    assert!(entries.iter().any(|key| *key == "i6") && entries.len() < 5, "{entries:?}");
    assert!(update["lists"].get("departed").is_none(), "{update}");
}

#[test]
fn a_long_page_begins_short_and_the_stream_brings_the_rest() {
    let face = Face::new("long", true);
    face.desk.show(busy(AT, 300));
    let (_, body) = face.get("/", "");
    assert_eq!(body.matches("<li id=\"i").count(), 101, "a hundred and one in check");
    assert!(body.contains("data-count=\"queue-0\">300<"), "the number is whole");
    let at = body.split("data-at=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a place");
    let mut stream = Stream::open(&face, &format!("/live?at={at}&most=100"), "");
    let update = stream.next("update");
    assert_eq!(update["lists"]["queue-0"]["entries"].as_object().map(serde_json::Map::len), Some(200));
    let (_, whole) = face.get("/?all=1", "");
    assert_eq!(whole.matches("<li id=\"i").count(), 301);
}

#[test]
fn a_changes_page_tells_its_place_and_when_it_will_probably_land() {
    let face = Face::new("place", true);
    face.desk.show(busy(AT, 40));
    for (number, place, expected) in [
        (1_001, 1, "If all passes, it lands any moment now."),
        (1_003, 3, "If all passes, it lands in about <span data-until=\""),
        (1_004, 4, "It does not land as things stand"),
        (1_030, 30, "At the pace of the last hour ("),
    ] {
        let (_, body) = face.get(&format!("/change/{number}"), "");
        assert!(body.contains(&format!("<b>Place {place} of 40</b> in queue main. {expected}")), "{body}");
    }
    let (_, body) = face.get("/change/899", "");
    assert!(!body.contains("class=\"place\""), "what has landed has no place: {body}");
}

#[test]
fn a_reader_of_another_run_gets_everything() {
    let face = Face::new("other-run", true);
    let mut stream = Stream::open(&face, "/live?at=1-3&most=100", "");
    let update = stream.next("update");
    assert!(update["lists"]["queue-0"]["entries"]["i1"].is_string(), "{update}");
    assert!(update["parts"]["figures"].is_string(), "{update}");
}

#[test]
fn streams_are_bounded_and_places_become_free_again() {
    let face = Face::new("streams", true);
    let mut open: Vec<Stream> = (0..64).map(|_| Stream::open(&face, "/live", "")).collect();
    let (head, body) = face.get("/live", "");
    assert!(head.starts_with("HTTP/1.1 503"), "{head}");
    assert!(body.contains("all streams are taken"), "{body}");
    assert!(face.get("/", "").0.starts_with("HTTP/1.1 200"), "pages go on");
    open.pop();
    // The place is free once the server has noticed, which it does when it next writes.
    let mut again = None;
    for _ in 0..100 {
        face.desk.show(super::view());
        again = Stream::try_open(&face, "/live");
        if again.is_some() {
            break;
        }
    }
    assert!(again.is_some(), "a place was given back");
}

#[test]
fn a_search_finds_by_number_id_subject_owner_and_repository() {
    let face = Face::new("search", true);
    face.desk.show(busy(AT, 40));
    for (query, found) in [
        ("1003", true),
        ("%231003", true),
        ("I0000000000000000000000000000000000001003", true),
        ("localisation", true),
        ("translatewiki", true),
        ("mediawiki%2Fcore", true),
        ("nothing-like-it", false),
        ("", false),
    ] {
        let (head, body) = face.get(&format!("/search?q={query}"), "");
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        assert_eq!(body.contains("id=\"i3\""), found, "{query}");
    }
    let (_, body) = face.get("/search?q=%22%3E%3Cscript%3E", "");
    assert!(body.contains("value=\"&quot;&gt;&lt;script&gt;\""), "{body}");
}

#[test]
fn assets_have_tags() {
    let face = Face::new("assets", true);
    for (name, kind) in
        [("style.css", "text/css"), ("live.js", "text/javascript"), ("icon.svg", "image/svg+xml")]
    {
        let (head, _) = face.get(&format!("/assets/{name}"), "");
        assert!(head.contains(&format!("content-type: {kind}")), "{head}");
        let tag = head.lines().find_map(|line| line.strip_prefix("etag: ")).expect("a tag");
        let (again, body) = face.get(&format!("/assets/{name}"), &format!("If-None-Match: {tag}\r\n"));
        assert!(again.starts_with("HTTP/1.1 304") && body.is_empty(), "{again}");
    }
    assert!(face.get("/assets/../Cargo.toml", "").0.starts_with("HTTP/1.1 404"));
}

#[test]
fn the_page_of_a_change_has_its_place_and_its_history() {
    let face = Face::new("change", true);
    let mut view = busy(AT, 40);
    view.departed[3].changes = view.queues[0].items[4].changes.clone();
    face.desk.show(view);
    let (_, body) = face.get("/change/1005", "");
    for part in
        ["In queue main", "id=\"i5\"", "Before", "href=\"../build/50\"", "href=\"../assets/style.css\""]
    {
        assert!(body.contains(part), "{part} is not in {body}");
    }
    assert!(!body.contains("id=\"i6\""), "{body}");
}

/// The changes that nobody may see in [`guarded`].
const HIDDEN: [u64; 5] = [41_001, 41_003, 45_002, 47_001, 40_898];

/// A view in which some changes are hidden, in every place where a change can be.
fn guarded() -> View {
    let mut view = busy(AT, 40);
    let secret = |number: u64| {
        let mut hidden = change(number, "SECRET-SUBJECT");
        hidden.pair = Pair::new("secret-repository", "secret-branch");
        hidden.owner = "secret-owner".into();
        hidden
    };
    view.queues[0].items[0].changes = vec![secret(HIDDEN[0])];
    view.queues[0].items[2].changes = vec![secret(HIDDEN[1])];
    for item in &mut view.queues[0].items {
        for number in &mut item.on_top_of {
            if number.0 == 1_001 || number.0 == 1_003 {
                number.0 += 40_000;
            }
        }
    }
    view.queues[0].items[1].reason = Reason::Ahead { change: ChangeNumber(HIDDEN[0]), why: None };
    view.queues[0].items[14].reason =
        Reason::BuildAgain { why: format!("could not fetch refs/changes/01/{}/1", HIDDEN[0]).into(), at: AT };
    view.waiting[0].reason = Reason::Parent { change: ChangeNumber(HIDDEN[1]), why: None };
    view.waiting[1].change = secret(HIDDEN[2]);
    view.checks[0].changes = vec![secret(HIDDEN[3])];
    view.departed[2].changes = vec![secret(HIDDEN[4])];
    view.departed[4].departure = Departure::Dependency { change: ChangeNumber(HIDDEN[4]), culprit: None };
    view.departed[5].departure = Departure::Closure {
        commit: seakeeper::model::Sha([0x5e; 20]),
        change: Some(ChangeNumber(HIDDEN[0])),
        why: format!("change {} is not approved", HIDDEN[0]).into(),
    };
    view.paused.push(PauseView {
        scope: Scope::Repository("secret-repository".into()),
        reason: format!("until {} is repaired", HIDDEN[0]).into(),
        by: "bob".into(),
        at: AT,
    });
    view.unable = Some(format!("no room for {}", HIDDEN[0]).into());
    for item in &mut view.queues[0].items {
        item.words = item.reason.to_string();
    }
    view
}

fn veiled() -> View {
    let view = guarded();
    let changes: BTreeSet<ChangeNumber> =
        mentioned(&view).into_iter().filter(|number| !HIDDEN.contains(&number.0)).collect();
    let veil = Veil { everything: false, changes, repositories: BTreeSet::new(), hidden: BTreeSet::new() };
    veil.over(&view)
}

/// What of a hidden change `text` tells.
fn leaks(text: &str) -> Vec<String> {
    let words = ["SECRET-SUBJECT", "secret-repository", "secret-branch", "secret-owner", "5e5e5e"];
    let mut found: Vec<String> =
        words.iter().filter(|word| text.contains(**word)).map(|word| (*word).to_owned()).collect();
    let numbers = text.split(|c: char| !c.is_ascii_digit()).filter_map(|digits| digits.parse::<u64>().ok());
    found.extend(numbers.filter(|number| HIDDEN.contains(number)).map(|number| number.to_string()));
    found
}

#[test]
fn a_change_that_may_not_be_read_appears_nowhere() {
    let face = Face::new("veil", true);
    let whole = serde_json::to_string(&guarded()).expect("JSON");
    assert!(leaks(&whole).len() > 10, "the view has what is to be hidden");
    face.desk.show(super::made::empty(AT));
    let mut page = Stream::open(&face, "/live", "");
    let mut events = Stream::open(&face, "/api/v1/events", "");
    page.next("update");
    events.next("hello");
    face.desk.show(veiled());
    let mut paths: Vec<String> =
        ["/", "/?all=1", "/search?q=SECRET", "/search?q=main", "/metrics", "/readyz"]
            .map(str::to_owned)
            .into();
    paths.extend(
        seakeeper::web::api_paths()
            .iter()
            .filter(|path| !path.contains(['{']) && !path.ends_with("events"))
            .map(|path| (*path).to_owned()),
    );
    paths.extend(
        ["/api/v1/queue/main", "/api/v1/change/1002", "/api/v1/departed?limit=1000", "/change/1002"]
            .map(str::to_owned),
    );
    for path in &paths {
        let (_, body) = face.get(path, "");
        // A search shows what was searched for.
        let body = body.replace("value=\"SECRET\"", "").replace("“SECRET”", "");
        assert_eq!(leaks(&body), Vec::<String>::new(), "{path}");
    }
    for number in HIDDEN {
        assert!(face.get(&format!("/change/{number}"), "").0.starts_with("HTTP/1.1 404"), "{number}");
        assert!(face.get(&format!("/api/v1/change/{number}"), "").0.starts_with("HTTP/1.1 404"), "{number}");
    }
    assert_eq!(leaks(&page.next("update").to_string()), Vec::<String>::new());
    for _ in 0..10 {
        assert_eq!(leaks(&events.any().to_string()), Vec::<String>::new());
    }
}

#[test]
fn a_hidden_change_leaves_its_place_in_the_queue_and_nothing_else() {
    let view = veiled();
    let (first, second) = (&view.queues[0].items[0], &view.queues[0].items[1]);
    assert!(first.changes.is_empty() && first.jobs.is_empty());
    assert_eq!(second.words, "passed; waits for a change that you may not see ahead of it to be decided");
    assert_eq!(second.on_top_of, [ChangeNumber::UNSEEN]);
    assert_eq!(second.contains, [first.item], "the drawing stays whole");
    assert_eq!((view.queues[0].items.len(), view.waiting.len(), view.checks.len()), (40, 2, 0));
    assert_eq!(view.departed.len(), 59);
    assert!(view.builds.iter().all(|build| build.build != BuildId(30)), "a hidden change's build");
    let everything = Veil { everything: true, ..Veil::default() };
    assert_eq!(everything.over(&guarded()), guarded());
    let nothing = Veil::default().over(&guarded());
    assert!(nothing.departed.is_empty() && nothing.builds.is_empty() && nothing.waiting.is_empty());
}
