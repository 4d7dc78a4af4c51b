//! What nobody may read without signing in is gated like all else and named nowhere: not on a page, not
//! in the API, a stream, the figures or the log, not even for a moment.

use std::process::Command;

use serde_json::{Value, json};

use super::cases;
use crate::support::daemon::Daemon;
use crate::support::ending::Ending;
use crate::support::latch::Latch;
use crate::support::people::{Person, encode, fetch};
use crate::support::project::{Change, Project};
use crate::support::runner::{Run, Skip};
use crate::support::server::Server;
use crate::support::setup::{JUDGE, Setup};
use crate::support::story::Story;
use crate::support::wait_for;
use crate::support::witness::{Witness, around};

cases![
    a_change_that_nobody_may_read_is_gated_and_named_nowhere,
    a_queued_change_that_becomes_private_is_named_no_more_until_it_is_public_again,
    a_repository_that_nobody_may_read_is_not_named_by_what_lacks_for_it,
];

/// Numbers of changes begin here, so that no other number on a page can be taken for one.
const FIRST_NUMBER: u64 = 73_310_000;

/// A world with things to hide.
struct Vault<'s> {
    story: &'s Story<'s>,
    owner: Person,
}

impl<'s> Vault<'s> {
    fn of(story: &'s Story<'s>) -> Result<Self, Skip> {
        make_numbers_large(story.server)?;
        let user = format!("mole-{}", story.name);
        let account = json!({ "name": format!("Molly {user}"), "email": format!("{user}@example.com") });
        story.server.admin.put(&format!("/accounts/{user}"), &account);
        let token = story.server.admin.put(&format!("/accounts/{user}/tokens/tests"), &json!({}));
        let token = token["token"].as_str().expect("a token").to_owned();
        Ok(Self { story, owner: Person::new(story.server.http_port, user, token) })
    }

    /// A repository that only those may read who have signed in.
    fn closed(&self, word: &str) -> Project {
        let name = self.story.repository(word).name;
        // Each is more exact than what a fresh Gerrit lets everybody read; the last is in each repository,
        // and whoever may read any ref of one sees its name.
        for refs in ["refs/*", "refs/heads/*", "refs/meta/version"] {
            self.hide(&name, refs);
        }
        let url = format!("{}projects/{}", self.story.server.url(), encode(&name));
        assert_eq!(fetch(&url).expect("Gerrit answers").0, 404, "{name} is seen by nobody");
        self.owned(&name)
    }

    /// The repository `name`, where the owner of what is hidden uploads.
    fn owned(&self, name: &str) -> Project {
        let folder = self.story.folder.join("of-the-owner");
        std::fs::create_dir_all(&folder).expect("a folder can be made");
        Project::open(&folder, name, &self.owner)
    }

    /// Lets nobody read `refs` of a repository who has not signed in.
    fn hide(&self, repository: &str, refs: &str) {
        let rules = json!({ "global:Registered-Users": { "action": "ALLOW" } });
        let read = json!({ "permissions": { "read": { "exclusive": true, "rules": rules } } });
        self.allow(repository, refs, &read);
    }

    fn allow(&self, repository: &str, refs: &str, permissions: &Value) {
        let path = format!("/projects/{}/access", encode(repository));
        self.story.server.admin.post(&path, &json!({ "add": { refs: permissions } }));
    }

    /// Lets the bot see private changes.
    fn let_bot_see_private(&self, repository: &str) {
        let rules = json!({ "Service Users": { "action": "ALLOW" } });
        self.allow(
            repository,
            "refs/*",
            &json!({ "permissions": { "viewPrivateChanges": { "rules": rules } } }),
        );
    }
}

/// All by which a change could be told.
fn names_of(change: &Change, owner: &Person) -> Vec<String> {
    let commit = change.commit.to_string();
    let mut names = vec![
        change.number.to_string(),
        change.change_id.clone(),
        change.subject.clone(),
        commit[..7].to_owned(),
        owner.user.clone(),
    ];
    names.extend(change.repository.contains("vault").then(|| change.repository.clone()));
    names
}

/// Demands that Gerrit shows a change to nobody who has not signed in.
fn demand_hidden(server: &Server, change: &Change) {
    let url = format!("{}{}", server.url().trim_end_matches('/'), change.path());
    let (status, text) = fetch(&url).expect("Gerrit answers");
    assert_eq!(status, 404, "{}: {text}", change.subject);
}

/// Demands that no answer and no line of the log has any of `names`.
fn demand_silence(witness: &Witness, daemon: &Daemon, names: &[String]) {
    let log = daemon.log();
    for name in names {
        assert_eq!(witness.places_of(name), Vec::<String>::new(), "`{name}` was shown");
        assert_eq!(around(&log, name), None, "`{name}` is in the log");
    }
}

/// Demands that questions about a change are answered as those about one that there never was.
fn demand_ignorance(daemon: &Daemon, change: &Change) {
    let number = change.number.to_string();
    for path in ["/change/N", "/api/v1/change/N", "/search?q=N"] {
        let answer = |number: &str| {
            let (status, text) = daemon.page(&path.replace('N', number)).expect("the page answers");
            // The moment of the answer is in it.
            (status, text.replace(number, "N").split("data-now").next().unwrap_or_default().to_owned())
        };
        let nothing = "99990000";
        assert_eq!(answer(&number), answer(nothing), "{path}");
    }
    for word in [&change.subject, &change.change_id, &change.repository] {
        let (_, text) = daemon.page(&format!("/search?q={}", encode(word))).expect("the page answers");
        assert!(!text.contains(&number), "a search for `{word}` finds {number}");
    }
}

fn make_numbers_large(server: &Server) -> Result<(), Skip> {
    // Cases run side by side, and the sequence may not be set back.
    static ONE_AT_A_TIME: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let key = std::fs::read_to_string(server.bot_key.with_extension("pub")).expect("the bots' key is there");
    let (runner, path) = (&server.admin, "/accounts/self/sshkeys");
    runner.post_text(path, key.trim());
    let ssh = |words: &str| {
        let output = Command::new("ssh")
            .args([
                "-o",
                "BatchMode=yes",
                "-o",
                "StrictHostKeyChecking=no",
                "-o",
                "UserKnownHostsFile=/dev/null",
            ])
            .arg("-i")
            .arg(&server.bot_key)
            .args(["-p", &server.ssh_port.to_string(), &format!("{}@127.0.0.1", server.admin.user)])
            .arg(words)
            .output()
            .map_err(|error| Skip(format!("ssh cannot be run: {error}")))?;
        assert!(output.status.success(), "{output:?}");
        Ok::<_, Skip>(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let next: u64 = ssh("gerrit sequence show changes")?.parse().expect("a number");
    if next < FIRST_NUMBER {
        ssh(&format!("gerrit sequence set changes {FIRST_NUMBER}"))?;
    }
    Ok(())
}

fn a_change_that_nobody_may_read_is_gated_and_named_nowhere(server: &Server) -> Run {
    let story = Story::begin(server, "silent");
    let (vault, latch) = (Vault::of(&story)?, Latch::new());
    let open = story.repository("open");
    let closed = vault.closed("vault-quokka");
    server.admin.put(
        &format!("/projects/{}/branches/sealed-walrus", encode(&open.name)),
        &json!({ "revision": "master" }),
    );
    vault.hide(&open.name, "refs/heads/sealed-walrus");
    vault.let_bot_see_private(&open.name);
    // Reads the hidden repository too, so that its name could come up with the visible change.
    let also = format!("inputs = [{:?}]", closed.name);
    let mut setup = Setup::latched(&story, &latch).job_with("with-all", &["true"], &also);
    setup.check = true;
    let daemon = setup.start();
    let witness = Witness::of(daemon.port);

    let seen = open.change("Seen by all", &[("a", Some("good"))]);
    let owned = vault.owned(&open.name);
    let hidden = [
        closed.change("Burrow dug", &[("quokka", Some("good"))]),
        closed.change("Burrow flooded", &[("bad", Some("BAD"))]),
        closed.change("Burrow contested", &[("quokka", Some("otherwise"))]),
        owned.change_for("sealed-walrus", "Tusk polished", &[("walrus", Some("good"))]),
        // Private from its first moment: until it is, everybody may see it.
        owned.change_for("master%private", "Whisper heard", &[("private", Some("good"))]),
    ];
    hidden.iter().for_each(|change| demand_hidden(server, change));
    for change in std::iter::once(&seen).chain(&hidden[..4]) {
        story.alice().approve(change);
    }
    vault.owner.approve(&hidden[4]);
    latch.wait_seen(&["a"]);
    latch.wait_seen(&["quokka"]);
    latch.wait_seen(&["walrus"]);
    daemon.wait_queued(seen.number);
    operate(&story, &["pause", "--repository", &closed.name, "--reason", "flood"]);
    witness.wait_round();
    hidden.iter().for_each(|change| demand_ignorance(&daemon, change));
    operate(&story, &["resume", "--repository", &closed.name, "--reason", "dry"]);
    latch.open();
    for change in [&seen, &hidden[0], &hidden[3]] {
        story.wait_merged(change);
    }
    story.wait_message(&hidden[1], "judge");
    story.wait_message(&hidden[2], "quokka");
    daemon.wait_idle();
    witness.wait_round();
    hidden.iter().for_each(|change| demand_ignorance(&daemon, change));
    let mut names: Vec<String> = hidden.iter().flat_map(|change| names_of(change, &vault.owner)).collect();
    names.extend(["sealed-walrus", "quokka"].map(str::to_owned));
    demand_silence(&witness, &daemon, &names);
    // The search itself works: what may be seen was seen.
    for name in names_of(&seen, story.alice()) {
        assert!(!witness.places_of(&name).is_empty(), "`{name}` was never shown");
    }
    let answered = witness.answered();
    for path in Witness::asks_for() {
        assert!(answered.iter().any(|known| known == path), "{path} never answered");
    }
    drop(witness);
    let endings = [
        Ending::of(&open).landed([&seen]).elsewhere([&hidden[3]]).untouched([]).checked(1),
        Ending::of(&closed).landed([&hidden[0]]).left([&hidden[1], &hidden[2]]).checked(1),
    ];
    story.end(daemon, &endings);
    assert_ne!(story.status_of(&hidden[4]), "MERGED");
    Ok(())
}

/// A command of the operators, who see all.
fn operate(story: &Story, words: &[&str]) {
    let output = Command::new(env!("CARGO_BIN_EXE_seakeeper"))
        .args(words)
        .args(["-c".as_ref(), story.folder.join("seakeeper.toml").as_os_str()])
        .output()
        .expect("the binary can be run");
    assert!(output.status.success(), "{output:?}");
}

fn a_queued_change_that_becomes_private_is_named_no_more_until_it_is_public_again(server: &Server) -> Run {
    let story = Story::begin(server, "veiled");
    let (vault, latch) = (Vault::of(&story)?, Latch::new());
    let open = story.repository("open");
    vault.let_bot_see_private(&open.name);
    let owned = vault.owned(&open.name);
    let daemon = Setup::latched(&story, &latch).start();
    let change = owned.change("Curtain drawn", &[("curtain", Some("good"))]);
    let other = open.change("Stays in sight", &[("other", Some("good"))]);
    for change in [&change, &other] {
        story.alice().approve(change);
        daemon.wait_queued(change.number);
    }
    vault.owner.tell(&change, "private");
    let number = change.number.to_string();
    let shown = |what: &str, wanted: bool| {
        wait_for(what, || {
            let (_, text) = daemon.page("/api/v1/view")?;
            (text.contains(&number) == wanted).then_some(())
        });
    };
    shown("the change to be shown no more", false);
    let log_before = daemon.log().len();
    let witness = Witness::of(daemon.port);
    witness.wait_round();
    demand_ignorance(&daemon, &change);
    latch.open();
    story.wait_merged(&other);
    daemon.wait_idle();
    witness.wait_round();
    let log = daemon.log();
    for name in names_of(&change, &vault.owner) {
        assert_eq!(witness.places_of(&name), Vec::<String>::new(), "`{name}` was shown");
        assert_eq!(around(&log[log_before..], &name), None, "`{name}` is in the log");
    }
    drop(witness);
    assert_eq!(story.status_of(&change), "NEW");

    vault.owner.untell(&change, "private");
    story.alice().vote(&change, "Code-Review", 0);
    story.alice().approve(&change);
    shown("the change to be shown again", true);
    story.end(daemon, &[Ending::of(&open).landed([&other, &change]).attempts(2)]);
    Ok(())
}

fn a_repository_that_nobody_may_read_is_not_named_by_what_lacks_for_it(server: &Server) -> Run {
    let story = Story::begin(server, "lacking");
    let vault = Vault::of(&story)?;
    let closed = vault.closed("vault-numbat");
    let block = json!({ "rules": { "Service Users": { "action": "BLOCK", "min": -1, "max": 1 } } });
    let no_vote = json!({ "permissions": { "label-Verified": block } });
    vault.allow(&closed.name, "refs/heads/*", &no_vote);
    let change = closed.change("Termites found", &[("numbat", Some("good"))]);
    demand_hidden(server, &change);
    let daemon = Setup::new(&story).job("judge", &[JUDGE]).spawn();
    let told = |words: &str| {
        wait_for(words, || {
            daemon.page("/readyz").filter(|(_, text)| text.contains(words)).map(|(_, text)| text)
        })
    };
    let text = told("gerrit set-up");
    assert!(text.contains("Verified"), "{text}");
    let witness = Witness::of(daemon.port);
    story.alice().approve(&change);
    story.wait_message(&change, "Verified");
    daemon.wait_idle();
    witness.wait_round();
    let mut names = names_of(&change, &vault.owner);
    names.push("numbat".into());
    demand_silence(&witness, &daemon, &names);
    drop(witness);
    story.end(daemon, &[Ending::of(&closed).left([&change]).attempts(2)]);
    Ok(())
}
