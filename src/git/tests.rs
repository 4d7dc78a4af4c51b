//! Claims about the adapter as a whole, on remotes that are folders.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use super::*;
use crate::model::action::{Merge, Onto, Push};
use crate::model::job::RunsFor;
use crate::model::policy::{CheckPolicy, GatePolicy, Limits};
use crate::model::tree::{Resolved, Written};
use crate::model::{
    BuildSpec, ChangeId, EffectId, ItemChange, JobPolicy, LandingForm, NodeId, Patterns, Pipeline, Timestamp,
};
use store::{oid, sha};

mod changed;
mod faults;
mod forms;
mod gerrit;
mod tips;

/// A folder that goes with the test.
pub(super) struct Folder(pub PathBuf);

impl Folder {
    pub fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("seakeeper-git-{}-{number}", std::process::id()));
        std::fs::create_dir_all(path.join("remotes")).expect("a folder");
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        Timestamp(1_000_000)
    }
}

pub(super) fn policy() -> Policy {
    let job = JobPolicy {
        name: "test".into(),
        repositories: Patterns::new(&["*"]),
        branches: Patterns::new(&["*"]),
        inputs: Vec::new(),
        sites: true,
        paths: Vec::new(),
        ignored_files: Patterns::new(&["docs/*"]),
        runs_for: RunsFor::Inputs,
        files: Patterns::default(),
        spec: Arc::new(BuildSpec {
            commands: vec!["true".into()],
            environment: Default::default(),
            timeout_ms: 1000,
            trust: "gate".into(),
        }),
        voting: true,
        history: false,
        reuse_ms: None,
        attempts: crate::model::job::Attempts::UpTo(1),
        needs: Vec::new(),
        pipelines: Default::default(),
    };
    Policy {
        account: "bot".into(),
        queues: Vec::new(),
        sites: Vec::new(),
        jobs: vec![job],
        job_files: true,
        templates: Default::default(),
        gate: GatePolicy {
            approval: Vec::new(),
            label: "Verified".into(),
            success: 1,
            failure: -1,
            start_message_after_ms: None,
        },
        check: CheckPolicy { enabled: true, success: 1, failure: -1, recheck: None },
        slots: 1,
        limits: Limits::default(),
        priority: Default::default(),
        pipelines: Default::default(),
    }
}

pub(super) struct World {
    pub git: Git,
    pub events: Receiver<Vec<Event>>,
    pub folder: Folder,
    _runtime: tokio::runtime::Runtime,
}

pub(super) fn world(change: impl FnOnce(&mut Settings)) -> World {
    rustls::crypto::ring::default_provider().install_default().ok();
    let folder = Folder::new();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("runtime");
    let mut settings = Settings {
        folder: folder.0.join("state"),
        url: format!("file://{}/remotes", folder.0.display()),
        file_urls: true,
        user: "bot".into(),
        token: "secret".into(),
        committer_name: "Bot".into(),
        committer_email: "bot@example.com".into(),
        sign_off: Arc::new(|_| true),
        content_merge: Arc::new(|_| true),
        read_only: Arc::new(|_| false),
        submit: Arc::new(|_| Outcome::Refused("there is no review host here".into())),
        default_branch: Arc::new(|_| Some("main".into())),
        known: Arc::new(Vec::new),
        parse_job_file: Arc::new(|_, _| Ok(JobFile { jobs: Vec::new(), noop: true })),
        clock: Arc::new(Still),
        client: reqwest::Client::builder().no_proxy().build().expect("client"),
        runtime: runtime.handle().clone(),
        workers: 3,
    };
    change(&mut settings);
    let (sender, events) = channel();
    let inbox = Inbox::new(move |events| drop(sender.send(events)));
    let git = Git::start(settings, inbox, policy().shared()).expect("git starts");
    World { git, events, folder, _runtime: runtime }
}

impl World {
    pub fn begin(&mut self, id: u64, kind: EffectKind) {
        self.git.begin(Effect { id: EffectId(id), kind }, false);
    }

    pub fn next(&self) -> Vec<Event> {
        self.events.recv_timeout(Duration::from_secs(30)).expect("an answer")
    }

    pub fn prepare(&mut self, node: u64, merges: Vec<Merge>) -> (Prepared, Option<Resolved>) {
        self.begin(node, prepare(node, merges, Vec::new()));
        outcome(self.next())
    }

    fn remote(&self, name: &str) -> git2::Repository {
        git2::Repository::init_bare(self.folder.0.join("remotes").join(name)).expect("a remote")
    }
}

pub(super) fn prepare(node: u64, merges: Vec<Merge>, overlay: Vec<(Pair, NodeId)>) -> EffectKind {
    let date = Timestamp(1_700_000_000_000);
    EffectKind::PrepareNode {
        node: NodeId(node),
        date,
        pipeline: Pipeline::Gate,
        merges,
        overlay,
        depends: Vec::new(),
        tips: Vec::new(),
        pins: Vec::new(),
    }
}

fn outcome(events: Vec<Event>) -> (Prepared, Option<Resolved>) {
    let mut events = events.into_iter();
    let Some(Event::NodePrepared { outcome: prepared, .. }) = events.next() else {
        panic!("no NodePrepared")
    };
    let resolved = events.next().map(|event| match event {
        Event::JobsResolved { outcome, .. } => outcome,
        other => panic!("{other:?}"),
    });
    (prepared, resolved)
}

pub(super) fn written(prepared: &Prepared) -> &Written {
    match prepared {
        Prepared::Merged { writes, .. } => &writes[0],
        other => panic!("{other:?}"),
    }
}

/// Commits `files` (`None` deletes) on top of the first parent's tree.
fn commit(remote: &git2::Repository, parents: &[Sha], message: &str, files: &[(&[u8], Option<&str>)]) -> Sha {
    let who =
        git2::Signature::new("A", "a@example.com", &git2::Time::new(1_600_000_000, 0)).expect("signature");
    let parents: Vec<_> = parents.iter().map(|sha| remote.find_commit(oid(*sha)).expect("parent")).collect();
    let mut index = git2::Index::new().expect("index");
    if let Some(first) = parents.first() {
        index.read_tree(&first.tree().expect("tree")).expect("read");
    }
    for (path, content) in files {
        match content {
            Some(content) => {
                let id = remote.blob(content.as_bytes()).expect("blob");
                let time = git2::IndexTime::new(0, 0);
                index
                    .add(&git2::IndexEntry {
                        ctime: time,
                        mtime: time,
                        dev: 0,
                        ino: 0,
                        mode: 0o100_644,
                        uid: 0,
                        gid: 0,
                        file_size: 0,
                        id,
                        flags: 0,
                        flags_extended: 0,
                        path: path.to_vec(),
                    })
                    .expect("add");
            }
            None => index.remove(Path::new(std::str::from_utf8(path).expect("name")), 0).expect("remove"),
        }
    }
    let tree = remote.find_tree(index.write_tree_to(remote).expect("tree")).expect("tree");
    let parents: Vec<_> = parents.iter().collect();
    sha(remote.commit(None, &who, &who, message, &tree, &parents).expect("commit"))
}

fn set(remote: &git2::Repository, name: &str, target: Sha) {
    remote.reference(name, oid(target), true, "").expect("ref");
}

/// A branch `main` with one commit.
fn base(remote: &git2::Repository) -> Sha {
    let files: &[(&[u8], Option<&str>)] = &[(b"a/one", Some("1\n2\n3\n4\n5\n")), (b"a/two", Some("two\n"))];
    let base = commit(remote, &[], "Base", files);
    set(remote, "refs/heads/main", base);
    base
}

pub(super) fn merge(pair: &Pair, number: u64, revision: Sha, tip: Sha, onto: Onto, allowed: &[Sha]) -> Merge {
    let change = ItemChange {
        number: ChangeNumber(number),
        change_id: ChangeId::new(format!("I{number:040}")),
        patchset: PatchSet(1),
        revision,
        pair: pair.clone(),
        subject: format!("Change\n{number}").into(),
        owner: "alice".into(),
    };
    Merge {
        change,
        onto,
        tip,
        allowed: allowed.to_vec(),
        merge_from: Vec::new(),
        form: Some(LandingForm::MergeAlways),
    }
}

/// Makes a patch set on the remote.
fn change(remote: &git2::Repository, number: u64, parent: Sha, files: &[(&[u8], Option<&str>)]) -> Sha {
    let message = format!("Change\n\nChange-Id: I{number:040}\n");
    let revision = commit(remote, &[parent], &message, files);
    set(remote, &layout::change_ref(ChangeNumber(number), PatchSet(1)), revision);
    revision
}

#[test]
fn a_chain_is_merged_in_order_with_one_fetch_and_lands_in_one_push() {
    let mut world = world(|_| {});
    let remote = world.remote("p");
    let pair = Pair::new("p", "main");
    let tip = base(&remote);
    let revisions: Vec<Sha> =
        (1..=20).map(|n| change(&remote, n, tip, &[(format!("f{n}").as_bytes(), Some("x"))])).collect();
    for (at, revision) in (1u64..).zip(&revisions) {
        let onto = if at == 1 { Onto::Commit(tip) } else { Onto::Node(NodeId(at - 1)) };
        let merge = merge(&pair, at, *revision, tip, onto, &revisions[..at as usize]);
        world.begin(at, prepare(at, vec![merge], Vec::new()));
    }
    let mut last = tip;
    for at in 1..=20u64 {
        let events = world.next();
        assert!(matches!(events[0], Event::NodePrepared { node, .. } if node == NodeId(at)));
        let (prepared, resolved) = outcome(events);
        let Prepared::Merged { writes, foreign } = prepared else { panic!("{prepared:?}") };
        assert_eq!(foreign, []);
        assert_eq!(writes[0].onto, last);
        last = writes[0].commit;
        assert!(matches!(resolved, Some(Resolved::Jobs { jobs, .. }) if jobs.len() == 1));
    }
    let changes = revisions.iter().map(|revision| (ChangeNumber(1), PatchSet(1), *revision)).collect();
    let push = Push {
        pair: pair.clone(),
        old: tip,
        new: last,
        changes,
        merge_from: Vec::new(),
        judged: Vec::new(),
        submit: None,
    };
    world.begin(100, EffectKind::Land { valid_until: Timestamp(2_000_000), pushes: vec![push.clone()] });
    let applied =
        |outcome| vec![Event::PushEnded { effect: EffectId(100), pushes: vec![(pair.clone(), outcome)] }];
    assert_eq!(world.next(), applied(Outcome::Applied));
    assert_eq!(remote.refname_to_id("refs/heads/main").ok().map(sha), Some(last));
    remote.find_commit(oid(last)).and_then(|commit| commit.tree()).expect("the tree came along");
    world.begin(101, EffectKind::ObservePush { pair: pair.clone(), new: last, submit: None });
    assert_eq!(
        world.next(),
        [Event::PushSeen { effect: EffectId(101), pair: pair.clone(), tip: Some(last), contains: true }]
    );
    world.begin(100, EffectKind::Land { valid_until: Timestamp(2_000_000), pushes: vec![push.clone()] });
    let again = world.next();
    assert!(
        matches!(&again[0], Event::PushEnded { pushes, .. } if matches!(&pushes[0].1, Outcome::Failed(why) if why.contains("moved"))),
        "{again:?}"
    );
    world.begin(100, EffectKind::Land { valid_until: Timestamp(1), pushes: vec![push.clone()] });
    assert_eq!(world.next(), applied(Outcome::Failed("push: the last look is too old".into())));
    let gone = Push { new: Sha([7; 20]), ..push };
    world.begin(100, EffectKind::Land { valid_until: Timestamp(2_000_000), pushes: vec![gone] });
    let why = "0707070707 is no longer in the store of p: it is prepared again";
    assert_eq!(world.next(), applied(Outcome::Gone(why.into())));
}

#[test]
fn the_same_node_gives_the_same_commit_and_releasing_it_lets_it_go() {
    let mut world = world(|_| {});
    let remote = world.remote("p");
    let (pair, tip) = (Pair::new("p", "main"), base(&remote));
    let revision = change(&remote, 1, tip, &[(b"f", Some("x"))]);
    let one = merge(&pair, 1, revision, tip, Onto::Commit(tip), &[]);
    let (first, _) = world.prepare(1, vec![one.clone()]);
    let (second, _) = world.prepare(1, vec![one]);
    assert_eq!(first, second);
    let store =
        git2::Repository::open_bare(store_path(&world.folder.0.join("state"), &"p".into())).expect("store");
    let message =
        store.find_commit(oid(written(&first).commit)).expect("commit").message().expect("text").to_owned();
    assert_eq!(
        message,
        "Merge \"Change 1\"\n\nChange 1, patch set 1, merged by Seakeeper.\n\nSigned-off-by: Bot <bot@example.com>\n"
    );
    assert!(store.find_reference("refs/seakeeper/nodes/1/main").is_ok());
    world.begin(2, EffectKind::ReleaseNode { node: NodeId(1) });
    let rests = merge(&pair, 1, revision, tip, Onto::Node(NodeId(1)), &[]);
    // A release waits for nothing here, so its end is seen by what rests on the node.
    let gone = (0..100).any(|_| world.prepare(3, vec![rests.clone()]).0 == Prepared::NoParent);
    assert!(gone && store.find_reference("refs/seakeeper/nodes/1/main").is_err());
}

#[test]
fn conflicts_name_their_files_whatever_these_are_called() {
    let mut world = world(|_| {});
    let remote = world.remote("p");
    let pair = Pair::new("p", "main");
    let name: &[u8] = b"a \"b\"\n\xff";
    let start = commit(&remote, &[], "Base", &[(name, Some("0"))]);
    let tip = commit(&remote, &[start], "Tip", &[(name, Some("1"))]);
    set(&remote, "refs/heads/main", tip);
    let revision = change(&remote, 1, start, &[(name, Some("2"))]);
    let clean = change(&remote, 2, start, &[(b"other", Some("2"))]);
    for _ in 0..2 {
        let (prepared, _) = world.prepare(1, vec![merge(&pair, 1, revision, tip, Onto::Commit(tip), &[])]);
        let paths = vec!["a \"b\"\n\u{fffd}".into()];
        assert_eq!(prepared, Prepared::Conflict { pair: pair.clone(), paths });
        let (prepared, _) = world.prepare(2, vec![merge(&pair, 2, clean, tip, Onto::Commit(tip), &[])]);
        assert_eq!(written(&prepared).onto, tip);
    }
    let (prepared, _) = world.prepare(3, vec![merge(&pair, 2, clean, tip, Onto::Node(NodeId(1)), &[])]);
    assert_eq!(prepared, Prepared::NoParent);
}

#[test]
fn renames_of_files_and_folders_are_followed_or_reported() {
    let mut world = world(|_| {});
    let remote = world.remote("p");
    let pair = Pair::new("p", "main");
    let start = base(&remote);
    let moved: &[(&[u8], Option<&str>)] =
        &[(b"a/one", None), (b"a/two", None), (b"b/one", Some("1\n2\n3\n4\n5\n")), (b"b/two", Some("two\n"))];
    let tip = commit(&remote, &[start], "Move", moved);
    set(&remote, "refs/heads/main", tip);
    let edits = change(&remote, 1, start, &[(b"a/one", Some("1\n2\n3\n4\n5\n6\n"))]);
    let (prepared, _) = world.prepare(1, vec![merge(&pair, 1, edits, tip, Onto::Commit(tip), &[])]);
    let store =
        git2::Repository::open_bare(store_path(&world.folder.0.join("state"), &"p".into())).expect("store");
    let tree = store.find_tree(oid(written(&prepared).tree)).expect("tree");
    assert!(tree.get_path(Path::new("b/one")).is_ok() && tree.get_path(Path::new("a")).is_err());
    let adds = change(&remote, 2, start, &[(b"a/three", Some("3"))]);
    let (prepared, _) = world.prepare(2, vec![merge(&pair, 2, adds, tip, Onto::Commit(tip), &[])]);
    assert!(matches!(prepared, Prepared::Conflict { .. }), "{prepared:?}");
}

#[test]
fn what_cannot_land_is_told_with_its_remedy() {
    let mut world = world(|_| {});
    let remote = world.remote("p");
    let (pair, tip) = (Pair::new("p", "main"), base(&remote));
    let mut unfit = |node: u64, one: Merge, expected: &str| match world.prepare(node, vec![one]).0 {
        Prepared::Unfit { why } => assert!(why.contains(expected), "{why}"),
        other => panic!("{other:?}"),
    };
    set(&remote, "refs/changes/01/1/1", tip);
    unfit(1, merge(&pair, 1, tip, tip, Onto::Commit(tip), &[]), "nothing to land");
    let orphan = commit(&remote, &[], "Orphan", &[(b"x", Some("x"))]);
    set(&remote, "refs/changes/02/2/1", orphan);
    unfit(2, merge(&pair, 2, orphan, tip, Onto::Commit(tip), &[]), "no history in common");
    let gone = merge(&pair, 3, Sha([7; 20]), tip, Onto::Commit(tip), &[]);
    assert!(matches!(world.prepare(3, vec![gone]).0, Prepared::Failed { .. }));
    let forward = change(&remote, 4, tip, &[(b"f", Some("x"))]);
    let mut forward_only = merge(&pair, 4, forward, tip, Onto::Commit(tip), &[]);
    forward_only.form = Some(LandingForm::MergeIfNecessary);
    let (prepared, _) = world.prepare(4, vec![forward_only]);
    assert_eq!(written(&prepared).commit, forward);
}

#[test]
fn a_commit_that_nobody_judged_is_foreign_and_cannot_be_pushed() {
    let mut world = world(|_| {});
    let remote = world.remote("p");
    let (pair, tip) = (Pair::new("p", "main"), base(&remote));
    let below = change(&remote, 1, tip, &[(b"f", Some("x"))]);
    let above = change(&remote, 2, below, &[(b"g", Some("x"))]);
    let mut one = merge(&pair, 2, above, tip, Onto::Commit(tip), &[]);
    let (prepared, _) = world.prepare(1, vec![one.clone()]);
    let Prepared::Merged { foreign, .. } = &prepared else { panic!("{prepared:?}") };
    let found: Vec<_> = foreign.iter().map(|f| (f.commit, f.change_id.clone(), f.merged_from)).collect();
    assert_eq!(found, [(below, Some(ChangeId::new(format!("I{:040}", 1))), false)]);
    let push = |judged: Vec<Sha>| Push {
        pair: pair.clone(),
        old: tip,
        new: written(&prepared).commit,
        changes: vec![(ChangeNumber(2), PatchSet(1), above)],
        merge_from: Vec::new(),
        judged,
        submit: None,
    };
    world.begin(9, EffectKind::Land { valid_until: Timestamp(2_000_000), pushes: vec![push(Vec::new())] });
    let ended = world.next();
    assert!(
        matches!(&ended[0], Event::PushEnded { pushes, .. } if matches!(pushes[0].1, Outcome::Refused(_)))
    );
    set(&remote, "refs/heads/side", below);
    one.merge_from = vec!["side".into()];
    let (prepared, _) = world.prepare(2, vec![one]);
    assert!(matches!(&prepared, Prepared::Merged { foreign, .. } if foreign[0].merged_from), "{prepared:?}");
}

#[test]
fn an_item_of_two_repositories_sees_itself_and_its_job_files() {
    let mut world = world(|_| {});
    let (p, q) = (world.remote("p"), world.remote("q"));
    let (in_p, in_q) = (Pair::new("p", "main"), Pair::new("q", "main"));
    let (tip_p, tip_q) = (base(&p), base(&q));
    let one = change(&p, 1, tip_p, &[(b"seakeeper.toml", Some("noop"))]);
    let two = change(&q, 2, tip_q, &[(b"docs/x", Some("x"))]);
    let merges = vec![
        merge(&in_q, 2, two, tip_q, Onto::Commit(tip_q), &[]),
        merge(&in_p, 1, one, tip_p, Onto::Commit(tip_p), &[]),
    ];
    let (prepared, resolved) = world.prepare(1, merges);
    let Prepared::Merged { writes, .. } = &prepared else { panic!("{prepared:?}") };
    let job_files: Vec<_> = writes.iter().map(|w| (w.pair.clone(), w.job_file.is_some())).collect();
    assert_eq!(job_files, [(in_p.clone(), true), (in_q.clone(), false)]);
    let Some(Resolved::Jobs { jobs, alters_job_files, noop, .. }) = resolved else { panic!("{resolved:?}") };
    assert_eq!((alters_job_files, noop), (vec![in_p], false));
    let content = |pair: &Pair| jobs.iter().find(|job| job.home == *pair).map(|job| job.inputs[0].content);
    let before = sha(q.find_commit(oid(tip_q)).expect("tip").tree_id());
    assert_eq!(content(&in_q), Some(before), "ignored files are no content");
}

#[test]
fn damaged_stores_are_made_anew() {
    let folder = Folder::new();
    let path = store_path(&folder.0, &"p".into());
    std::fs::create_dir_all(&path).expect("folder");
    std::fs::write(path.join("HEAD"), "nonsense").expect("file");
    assert!(store::Store::open(&folder.0, &"p".into()).is_ok());
    assert!(path.with_extension("broken").exists());
}

#[test]
fn early_fetches_bring_what_is_merged_later() {
    let mut world = world(|_| {});
    let remote = world.remote("p");
    let (pair, tip) = (Pair::new("p", "main"), base(&remote));
    let revision = change(&remote, 1, tip, &[(b"f", Some("x"))]);
    world.git.early().patch_set(&"p".into(), ChangeNumber(1), PatchSet(1), revision);
    world.begin(1, EffectKind::ObservePush { pair: pair.clone(), new: revision, submit: None });
    let seen = world.next();
    assert!(matches!(seen[0], Event::PushSeen { contains: false, .. }), "{seen:?}");
    let store = world.git.shared.store(&"p".into()).expect("store");
    let arrived = (0..3_000).any(|_| {
        std::thread::sleep(Duration::from_millis(1));
        store.has(revision)
    });
    assert!(arrived);
}
