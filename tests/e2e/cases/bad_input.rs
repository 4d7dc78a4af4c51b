//! Wrong configurations, missing rights, broken files and hostile content: each is told in words that
//! help, and nothing of it takes the daemon down.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use super::cases;
use crate::support::daemon::Daemon;
use crate::support::ending::Ending;
use crate::support::project::File;
use crate::support::runner::{Run, Skip};
use crate::support::server::Server;
use crate::support::setup::{JUDGE, Setup, free_port};
use crate::support::story::Story;
use crate::support::wait_for;

cases![
    a_wrong_password_is_told_with_its_remedy,
    a_wrong_host_key_is_told_with_its_remedy,
    an_unknown_label_is_told_with_its_remedy,
    an_unreachable_gerrit_is_told_with_its_remedy,
    a_missing_right_to_push_is_told_on_the_change,
    a_full_disk_stops_landing_and_a_free_one_resumes_it,
    a_daemon_on_a_full_disk_ends_when_told_and_goes_on_later,
    a_corrupt_database_is_refused_and_left_as_it_is,
    a_database_of_a_newer_version_is_refused_and_left_as_it_is,
    a_commit_message_of_three_megabytes_does_not_hold_up_others,
    hostile_file_names_and_branches_land_as_they_are,
];

/// Starts the daemon with a fault in its setup, and demands that it says `words` and does not crash:
/// at its end, on its page of readiness, or in its log.
fn check_told(server: &Server, name: &str, spoil: impl Fn(&mut Setup), words: &[&str]) -> Run {
    let story = Story::begin(server, name);
    let mut setup = Setup::judged(&story);
    spoil(&mut setup);
    let mut daemon = setup.spawn();
    let told = |daemon: &Daemon| {
        let page = daemon.page("/readyz").map(|(_, text)| text).unwrap_or_default();
        let text = format!("{page}\n{}", daemon.log()).to_lowercase();
        words.iter().all(|word| text.contains(word)).then_some(())
    };
    wait_for(&format!("words of {words:?}"), || told(&daemon));
    match daemon.ended() {
        Some(status) => assert!(!status.success(), "a daemon that cannot do its work does not end with 0"),
        None => assert_ne!(daemon.page("/readyz").map(|(status, _)| status), Some(200), "it is not ready"),
    }
    assert!(!daemon.log().contains("panicked"), "{}", daemon.log_tail());
    Ok(())
}

fn a_wrong_password_is_told_with_its_remedy(server: &Server) -> Run {
    check_told(server, "password", |setup| setup.token = "wrong".into(), &["token"])
}

fn a_wrong_host_key_is_told_with_its_remedy(server: &Server) -> Run {
    // A well-formed key, and not the server's: that of the bots.
    let other =
        std::fs::read_to_string(server.bot_key.with_extension("pub")).expect("the bots' key is there");
    let other = other.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
    check_told(server, "hostkey", |setup| setup.host_key = other.clone(), &["another key", "ssh-keyscan"])
}

fn an_unknown_label_is_told_with_its_remedy(server: &Server) -> Run {
    let story = Story::begin(server, "label");
    let project = story.repository("core");
    let daemon = Setup::judged(&story).more("[pipeline.gate]\nlabel = \"Nonsense\"").spawn();
    let change = project.change("Change", &[("a", Some("good"))]);
    story.alice().approve(&change);
    wait_for("words on the label", || {
        let page = daemon.page("/readyz").map(|(_, text)| text).unwrap_or_default();
        let said = story.messages_on(&change).join("\n");
        let text = format!("{page}\n{said}\n{}\n{:?}", daemon.log(), daemon.words_on(change.number));
        text.contains("Nonsense").then_some(())
    });
    assert_eq!(story.status_of(&change), "NEW", "without the vote nothing lands");
    assert!(!daemon.log().contains("panicked"), "{}", daemon.log_tail());
    Ok(())
}

fn an_unreachable_gerrit_is_told_with_its_remedy(server: &Server) -> Run {
    let nobody = format!("http://127.0.0.1:{}/", free_port());
    check_told(server, "nobody", |setup| setup.url = nobody.clone(), &["reach gerrit", "`url`"])
}

fn a_missing_right_to_push_is_told_on_the_change(server: &Server) -> Run {
    let story = Story::begin(server, "rights");
    let project = story.repository("core");
    let groups = server.admin.get("/groups/");
    let service = groups["Service Users"]["id"].as_str().expect("a group").to_owned();
    let block = json!({ "add": { "refs/heads/*": { "permissions": { "push": {
        "exclusive": false, "rules": { service: { "action": "BLOCK" } }
    } } } } });
    server.admin.post(&format!("/projects/{}/access", project.name), &block);
    let daemon = Setup::judged(&story).start();
    let change = project.change("Change", &[("a", Some("good"))]);
    story.alice().approve(&change);
    story.wait_message(&change, "ermi");
    story.end(daemon, &[Ending::of(&project).left([&change])]);
    Ok(())
}

/// A small file system of its own, for as long as it lives.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(at: PathBuf) -> Result<Self, Skip> {
        std::fs::create_dir_all(&at).expect("a folder can be made");
        let output = Command::new("mount").args(["-t", "tmpfs", "-o", "size=24m", "tmpfs"]).arg(&at).output();
        match output {
            Ok(output) if output.status.success() => Ok(Self(at)),
            Ok(output) => {
                let why = String::from_utf8_lossy(&output.stderr).trim().to_owned();
                Err(Skip(format!("no small file system can be mounted here (it takes root): {why}")))
            }
            Err(error) => Err(Skip(format!("no small file system can be mounted here: {error}"))),
        }
    }

    /// Writes until there is no room, and returns the file that takes it.
    fn fill(&self) -> PathBuf {
        let path = self.0.join("ballast");
        let mut file = std::fs::File::create(&path).expect("a file can be made");
        for block in [64 * 1024, 512] {
            while std::io::Write::write_all(&mut file, &vec![0; block]).is_ok() {}
        }
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: builds may still have it open. What fails here is seen by the next mount.
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

fn a_full_disk_stops_landing_and_a_free_one_resumes_it(server: &Server) -> Run {
    let story = Story::begin(server, "disk");
    let disk = SmallDisk::mount(story.folder.join("small"))?;
    let project = story.repository("core");
    let mut setup = Setup::judged(&story);
    setup.state = disk.0.join("state");
    let daemon = setup.start();
    let changes = project.many(2, |at| vec![(format!("f{at}"), "good".into())]);
    story.alice().approve(&changes[0]);
    story.wait_merged(&changes[0]);
    daemon.wait_idle();
    let ballast = disk.fill();
    story.alice().approve(&changes[1]);
    wait_for("words on the disk", || {
        let page = daemon.page("/readyz").map(|(_, text)| text).unwrap_or_default();
        format!("{page}{}", daemon.log()).contains("disk is full").then_some(())
    });
    assert!(daemon.alive(), "it waits for room");
    std::fs::remove_file(ballast).expect("the ballast can be removed");
    story.end(daemon, &[Ending::of(&project).landed(&changes)]);
    Ok(())
}

fn a_daemon_on_a_full_disk_ends_when_told_and_goes_on_later(server: &Server) -> Run {
    let story = Story::begin(server, "fullstop");
    let disk = SmallDisk::mount(story.folder.join("small"))?;
    let project = story.repository("core");
    let mut setup = Setup::judged(&story);
    setup.state = disk.0.join("state");
    let mut daemon = setup.start();
    let ballast = disk.fill();
    let change = project.change("Change", &[("a", Some("good"))]);
    story.alice().approve(&change);
    wait_for("words on the disk", || {
        let page = daemon.page("/readyz").map(|(_, text)| text).unwrap_or_default();
        page.contains("disk is full").then_some(())
    });
    assert!(daemon.stop().success(), "{}", daemon.log_tail());
    std::fs::remove_file(ballast).expect("the ballast can be removed");
    daemon.start_again();
    story.end(daemon, &[Ending::of(&project).landed([&change])]);
    Ok(())
}

/// Lets a daemon make its database, `spoil`s the file, and demands that the next start is refused with
/// `words` and changes nothing in it.
fn check_database(server: &Server, name: &str, spoil: impl Fn(&Path), words: &[&str]) -> Run {
    let story = Story::begin(server, name);
    let setup = Setup::judged(&story);
    let mut daemon = setup.start();
    assert!(daemon.stop().success());
    let path = find_database(&setup.state);
    spoil(&path);
    let before = std::fs::read(&path).expect("the database is there");
    daemon.launch_again();
    let status = wait_for("the daemon to refuse", || daemon.ended());
    assert!(!status.success(), "a database that cannot be read is no success");
    let log = daemon.log();
    for word in words {
        assert!(log.to_lowercase().contains(word), "no `{word}` in: {}", daemon.log_tail());
    }
    assert!(!log.contains("panicked"), "{}", daemon.log_tail());
    assert_eq!(std::fs::read(&path).expect("the database is still there"), before, "it is left as it is");
    Ok(())
}

fn a_corrupt_database_is_refused_and_left_as_it_is(server: &Server) -> Run {
    let spoil = |path: &Path| {
        let mut bytes = std::fs::read(path).expect("the database is there");
        bytes.iter_mut().skip(16).step_by(3).for_each(|byte| *byte = 0x5a);
        std::fs::write(path, bytes).expect("it can be written");
    };
    check_database(server, "corrupt", spoil, &["damaged", "backup"])
}

fn a_database_of_a_newer_version_is_refused_and_left_as_it_is(server: &Server) -> Run {
    let spoil = |path: &Path| {
        let database = rusqlite::Connection::open(path).expect("it is a database");
        database.pragma_update(None, "user_version", 1_000_000).expect("it can be written");
        database.pragma_update(None, "journal_mode", "DELETE").expect("it can be written");
    };
    check_database(server, "newer", spoil, &["newer"])
}

/// The file below `folder` that begins as SQLite's files do.
fn find_database(folder: &Path) -> PathBuf {
    let files = std::fs::read_dir(folder).expect("the state folder is there").flatten();
    let is_database = |path: &PathBuf| {
        path.is_file() && std::fs::read(path).is_ok_and(|bytes| bytes.starts_with(b"SQLite format 3\0"))
    };
    files.map(|entry| entry.path()).find(is_database).expect("there is a database in the state folder")
}

fn a_commit_message_of_three_megabytes_does_not_hold_up_others(server: &Server) -> Run {
    let story = Story::begin(server, "long");
    let project = story.repository("core");
    let daemon = Setup::judged(&story).start();
    let line = format!("{}\n", "word ".repeat(14));
    let message = format!("Long\n\n{}", line.repeat(3 * 1024 * 1024 / line.len()));
    let long = project.change(&message, &[("a", Some("good"))]);
    let short = project.change("Short", &[("b", Some("good"))]);
    story.alice().approve(&long);
    story.alice().approve(&short);
    story.end(daemon, &[Ending::of(&project).landed([&long, &short]).in_any_order()]);
    Ok(())
}

fn hostile_file_names_and_branches_land_as_they_are(server: &Server) -> Run {
    let story = Story::begin(server, "hostile");
    let project = story.repository("core");
    let branch = "fea;ture/$(touch-pwned)'&\"<b>";
    let input = json!({ "revision": "master" });
    let path = crate::support::people::encode(branch);
    server.admin.put(&format!("/projects/{}/branches/{path}", project.name), &input);
    let seen = "test -e ./-rf && test -e './$(touch pwned)' && ! test -e pwned";
    let daemon = Setup::new(&story).job("seen", &[seen]).job("judge", &[JUDGE]).start();
    let names = [
        "-rf",
        "$(touch pwned)",
        "new\nline",
        " leading",
        "qu'o\"te",
        "back\\slash",
        "ünï/cödé",
        "\u{1b}[2J",
    ];
    let files: Vec<File> = names.iter().map(|name| (*name, Some("good"))).collect();
    let on_master = project.change("Subject with <b>, $(id) and \u{1b}[31m", &files);
    let on_branch = project.change_for(branch, "On a branch", &files);
    story.alice().approve(&on_master);
    story.alice().approve(&on_branch);
    story.wait_merged(&on_branch);
    let tip = project.tip(branch);
    assert!(project.contains(tip, on_branch.commit), "it landed in its branch");
    story.end(daemon, &[Ending::of(&project).landed([&on_master]).elsewhere([&on_branch])]);
    Ok(())
}
