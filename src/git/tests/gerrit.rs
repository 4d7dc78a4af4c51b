//! The same adapter on a real Gerrit, when `SEAKEEPER_GERRIT_INFO` names a file that describes one
//! (address, and the names and tokens of `admin`, `bot` and `alice`); skipped otherwise.

use std::time::Instant;

use serde_json::Value;

use super::*;

struct Server {
    info: Value,
    runtime: tokio::runtime::Runtime,
    client: reqwest::Client,
}

impl Server {
    /// The server described in the environment, or `None` with the reason printed.
    fn find() -> Option<Self> {
        let Ok(path) = std::env::var("SEAKEEPER_GERRIT_INFO") else {
            println!("skipped: SEAKEEPER_GERRIT_INFO names no description of a Gerrit server");
            return None;
        };
        rustls::crypto::ring::default_provider().install_default().ok();
        let text = std::fs::read_to_string(path).expect("the description can be read");
        let info = serde_json::from_str(&text).expect("the description is JSON");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
        Some(Self { info, runtime, client: reqwest::Client::builder().no_proxy().build().expect("client") })
    }

    fn text(&self, pointer: &str) -> String {
        self.info.pointer(pointer).and_then(Value::as_str).expect("the description is complete").to_owned()
    }

    fn rest(&self, method: reqwest::Method, path: &str, body: &Value) -> Value {
        let url = format!("{}a/{path}", self.text("/url"));
        let mut request = self.client.request(method, url);
        request = request.basic_auth("admin", Some(self.text("/admin/token")));
        if !body.is_null() {
            request = request.json(body);
        }
        let text = self.runtime.block_on(async { request.send().await?.text().await }).expect("an answer");
        serde_json::from_str(text.trim_start_matches(")]}'")).unwrap_or_else(|_| panic!("{path}: {text}"))
    }

    /// Makes a project of its own for one test; gives its name.
    fn project(&self, topic: &str) -> String {
        let now =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("time").as_millis();
        let name = format!("git-{topic}-{now}");
        let body = serde_json::json!({"create_empty_commit": true, "branches": ["master"]});
        self.rest(reqwest::Method::PUT, &format!("projects/{name}"), &body);
        name
    }

    fn world(&self, who: &str) -> World {
        let (user, token) = (self.text(&format!("{who}/user")), self.text(&format!("{who}/token")));
        let url = self.text("/url");
        world(move |settings| {
            (settings.url, settings.user, settings.token) = (url, user, token);
            settings.file_urls = false;
        })
    }

    /// Pushes as alice.
    fn upload(&self, local: &Path, project: &str, spec: &str) {
        use base64::Engine;
        let url = format!("{}a/{project}", self.text("/url"));
        let pair = format!("alice:{}", self.text("/humans/alice/token"));
        let header =
            format!("Authorization: Basic {}", base64::engine::general_purpose::STANDARD.encode(pair));
        let mut command = process::git(local, &[(format!("http.{url}.extraHeader"), header)]);
        command.args(["push", "--quiet", &url, spec]);
        let finished = process::run(command, Vec::new(), Duration::from_secs(60)).expect("git push runs");
        assert!(finished.success, "{}", finished.stderr);
    }

    fn tip(&self, project: &str) -> Sha {
        let found =
            self.rest(reqwest::Method::GET, &format!("projects/{project}/branches/master"), &Value::Null);
        found["revision"].as_str().and_then(Sha::parse).expect("a tip")
    }

    /// The project's changes as (number, revision, status), oldest first.
    fn changes(&self, project: &str) -> Vec<(u64, Sha, String)> {
        let path = format!("changes/?q=project:{project}&o=CURRENT_REVISION&n=500");
        let found = self.rest(reqwest::Method::GET, &path, &Value::Null);
        let mut changes: Vec<_> = found
            .as_array()
            .expect("changes")
            .iter()
            .map(|change| {
                let revision = change["current_revision"].as_str().and_then(Sha::parse).expect("revision");
                (change["_number"].as_u64().expect("number"), revision, change["status"].to_string())
            })
            .collect();
        changes.sort();
        changes
    }

    fn wait_merged(&self, project: &str, expected: usize) {
        let merged = (0..100).any(|_| {
            let changes = self.changes(project);
            changes.iter().filter(|change| change.2.contains("MERGED")).count() == expected
        });
        assert!(merged, "{:?}", self.changes(project));
    }
}

/// A clone in which patch sets are made.
fn clone(server: &Server, world: &World, project: &str) -> git2::Repository {
    let local = git2::Repository::init_bare(world.folder.0.join("clone")).expect("clone");
    let url = format!("{}{project}", server.text("/url"));
    let mut command = process::git(local.path(), &[]);
    command.args(["fetch", "--quiet", &url, "master:refs/heads/master"]);
    let finished = process::run(command, Vec::new(), Duration::from_secs(60)).expect("git fetch runs");
    assert!(finished.success, "{}", finished.stderr);
    local
}

/// Uploads one change on `parent`; gives its commit.
fn upload(server: &Server, local: &git2::Repository, project: &str, parent: Sha, number: u64) -> Sha {
    let seed = format!("{project}{number}");
    let id = git2::Oid::hash_object(git2::ObjectType::Blob, seed.as_bytes()).expect("id");
    let message = format!("Change {number}\n\nChange-Id: I{id}\n");
    let name = format!("f{number}");
    let who = git2::Signature::now("Alice", "alice@example.com").expect("signature");
    let parent = local.find_commit(oid(parent)).expect("parent");
    let mut tree = local.treebuilder(Some(&parent.tree().expect("tree"))).expect("tree");
    tree.insert(&name, local.blob(seed.as_bytes()).expect("blob"), 0o100_644).expect("entry");
    let tree = local.find_tree(tree.write().expect("tree")).expect("tree");
    let commit = local.commit(None, &who, &who, &message, &tree, &[&parent]).expect("commit");
    server.upload(local.path(), project, &format!("{commit}:refs/for/master"));
    sha(commit)
}

/// Prepares a chain of all changes; gives the last commit and the patch sets.
fn chain(world: &mut World, pair: &Pair, tip: Sha, changes: &[(u64, Sha, String)]) -> Sha {
    let revisions: Vec<Sha> = changes.iter().map(|change| change.1).collect();
    let began = Instant::now();
    for (at, (number, revision, _)) in (1u64..).zip(changes) {
        let onto = if at == 1 { Onto::Commit(tip) } else { Onto::Node(NodeId(at - 1)) };
        let merge = merge(pair, *number, *revision, tip, onto, &revisions);
        world.begin(at, prepare(at, vec![merge], Vec::new()));
    }
    let mut last = tip;
    for _ in changes {
        let (prepared, _) = outcome(world.next());
        last = written(&prepared).commit;
    }
    println!("{} nodes prepared in {:?}, fetch included", changes.len(), began.elapsed());
    last
}

fn land(world: &mut World, pair: &Pair, old: Sha, new: Sha, changes: &[(u64, Sha, String)]) -> Outcome {
    let changes =
        changes.iter().map(|(number, revision, _)| (ChangeNumber(*number), PatchSet(1), *revision)).collect();
    let push = Push {
        pair: pair.clone(),
        old,
        new,
        changes,
        merge_from: Vec::new(),
        judged: Vec::new(),
        submit: None,
    };
    let began = Instant::now();
    world.begin(1_000, EffectKind::Land { valid_until: Timestamp(2_000_000), pushes: vec![push] });
    let mut events = world.next();
    println!("push ended in {:?}, of it Gerrit {} us", began.elapsed(), world.git.stats().push_micros);
    match events.pop() {
        Some(Event::PushEnded { mut pushes, .. }) => pushes.pop().expect("one push").1,
        other => panic!("{other:?}"),
    }
}

#[test]
fn pushed_merges_close_their_changes_on_a_real_gerrit() {
    let Some(server) = Server::find() else { return };
    for count in [1, 1, 40] {
        let project = server.project("land");
        let (mut world, pair) = (server.world("/bot"), Pair::new(project.as_str(), "master"));
        let local = clone(&server, &world, &project);
        let tip = server.tip(&project);
        for number in 1..=count {
            upload(&server, &local, &project, tip, number);
        }
        let changes = server.changes(&project);
        let last = chain(&mut world, &pair, tip, &changes);
        assert_eq!(land(&mut world, &pair, tip, last, &changes), Outcome::Applied);
        assert_eq!(server.tip(&project), last);
        server.wait_merged(&project, changes.len());
        let again = land(&mut world, &pair, tip, last, &changes);
        assert!(matches!(&again, Outcome::Failed(why) if why.contains("moved")), "{again:?}");
    }
}

#[test]
fn a_stack_on_an_unapproved_change_is_foreign_on_a_real_gerrit() {
    let Some(server) = Server::find() else { return };
    let project = server.project("stack");
    let (mut world, pair) = (server.world("/bot"), Pair::new(project.as_str(), "master"));
    let local = clone(&server, &world, &project);
    let tip = server.tip(&project);
    let below = upload(&server, &local, &project, tip, 1);
    let above = upload(&server, &local, &project, below, 2);
    let number = server.changes(&project).iter().find(|change| change.1 == above).expect("the change").0;
    let (prepared, _) = world.prepare(1, vec![merge(&pair, number, above, tip, Onto::Commit(tip), &[])]);
    let Prepared::Merged { foreign, .. } = prepared else { panic!("{prepared:?}") };
    assert_eq!(
        foreign.iter().map(|found| (found.commit, found.change_id.is_some())).collect::<Vec<_>>(),
        [(below, true)]
    );
}

#[test]
fn a_push_without_the_right_is_refused_with_its_remedy_on_a_real_gerrit() {
    let Some(server) = Server::find() else { return };
    let project = server.project("right");
    let pair = Pair::new(project.as_str(), "master");
    let mut world = server.world("/humans/alice");
    let local = clone(&server, &world, &project);
    let tip = server.tip(&project);
    upload(&server, &local, &project, tip, 1);
    let changes = server.changes(&project);
    let last = chain(&mut world, &pair, tip, &changes);
    let refused = land(&mut world, &pair, tip, last, &changes);
    assert!(matches!(&refused, Outcome::Refused(why) if why.contains("grant the daemon")), "{refused:?}");
    println!("{refused:?}");
    let mut wrong = world_with_token(&server, "wrong");
    let (prepared, _) = wrong.prepare(1, vec![merge(&pair, 1, changes[0].1, tip, Onto::Commit(tip), &[])]);
    assert!(matches!(&prepared, Prepared::Failed { why } if why.contains("valid token")), "{prepared:?}");
    println!("{prepared:?}");
}

fn world_with_token(server: &Server, token: &str) -> World {
    let (url, token) = (server.text("/url"), token.to_owned());
    world(move |settings| {
        (settings.url, settings.token, settings.file_urls) = (url, token, false);
    })
}
