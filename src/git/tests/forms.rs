//! Claims about the forms in which patch sets are put on their branches.

use super::*;
use crate::model::Reason;

/// The merge of a change in a form.
fn in_form(form: LandingForm, merge: Merge) -> Merge {
    Merge { form: Some(form), ..merge }
}

struct Line {
    world: World,
    remote: git2::Repository,
    pair: Pair,
    tip: Sha,
    revisions: Vec<Sha>,
}

impl Line {
    fn new(change: impl FnOnce(&mut Settings)) -> Self {
        let world = world(change);
        let remote = world.remote("p");
        let tip = base(&remote);
        Self { world, remote, pair: Pair::new("p", "main"), tip, revisions: Vec::new() }
    }

    fn upload(&mut self, parent: Sha, files: &[(&[u8], Option<&str>)]) -> Sha {
        let revision = change(&self.remote, self.revisions.len() as u64 + 1, parent, files);
        self.revisions.push(revision);
        revision
    }

    /// Prepares the change `number` behind the node before it, or on the tip.
    fn put(&mut self, form: LandingForm, number: u64, onto: Option<u64>) -> Prepared {
        let onto = onto.map_or(Onto::Commit(self.tip), |node| Onto::Node(NodeId(node)));
        let revision = self.revisions[number as usize - 1];
        let merge = merge(&self.pair, number, revision, self.tip, onto, &self.revisions);
        self.world.prepare(number, vec![in_form(form, merge)]).0
    }

    fn push(&mut self, new: Sha, changes: &[u64]) -> Outcome {
        let changes = changes
            .iter()
            .map(|number| (ChangeNumber(*number), PatchSet(1), self.revisions[*number as usize - 1]))
            .collect();
        let (pair, old) = (self.pair.clone(), self.tip);
        let push = Push { pair, old, new, changes, merge_from: Vec::new(), judged: Vec::new(), submit: None };
        self.world.begin(900, EffectKind::Land { valid_until: Timestamp(2_000_000), pushes: vec![push] });
        match self.world.next().pop() {
            Some(Event::PushEnded { mut pushes, .. }) => pushes.pop().expect("one push").1,
            other => panic!("{other:?}"),
        }
    }

    /// The commit from the daemon's store.
    fn stored<T>(&self, commit: Sha, read: impl FnOnce(&git2::Commit<'_>) -> T) -> T {
        let store = self.world.git.shared.store(&self.pair.repository).expect("a store");
        let handle = store.handle().expect("a handle");
        read(&handle.find_commit(oid(commit)).expect("a commit"))
    }

    fn files(&self, commit: Sha) -> Vec<String> {
        self.stored(commit, |commit| {
            let mut names = Vec::new();
            let tree = commit.tree().expect("a tree");
            let walked = tree.walk(git2::TreeWalkMode::PreOrder, |folder, entry| {
                if entry.kind() == Some(git2::ObjectType::Blob) {
                    let name = String::from_utf8_lossy(entry.name_bytes()).into_owned();
                    names.push(format!("{}{name}", folder));
                }
                git2::TreeWalkResult::Ok
            });
            walked.expect("a walk");
            names
        })
    }
}

#[test]
fn fast_forward_only_takes_stacks_and_holds_back_other_followers() {
    let mut line = Line::new(|_| {});
    let tip = line.tip;
    let first = line.upload(tip, &[(b"x", Some("1"))]);
    let stacked = line.upload(first, &[(b"y", Some("2"))]);
    line.upload(tip, &[(b"z", Some("3"))]);
    let form = LandingForm::FastForwardOnly;
    assert_eq!(written(&line.put(form, 1, None)).commit, first);
    assert_eq!(written(&line.put(form, 2, Some(1))).commit, stacked);
    let held = line.put(form, 3, Some(2));
    assert_eq!(held, Prepared::Held { reason: Reason::Rebase { pair: line.pair.clone() } });
    assert_eq!(line.push(stacked, &[1, 2]), Outcome::Applied);
}

#[test]
fn rebased_commits_keep_author_and_change_id_and_land_together() {
    let mut line = Line::new(|_| {});
    let tip = line.tip;
    let first = line.upload(tip, &[(b"x", Some("1"))]);
    let other = line.upload(tip, &[(b"a/one", Some("0\n1\n2\n3\n4\n5\n"))]);
    line.upload(other, &[(b"a/one", Some("0\n1\n2\n3\n4\n5\n6\n"))]);
    let form = LandingForm::RebaseIfNecessary;
    assert_eq!(written(&line.put(form, 1, None)).commit, first, "what can be moved to is not rewritten");
    let second = written(&line.put(form, 2, Some(1))).clone();
    let third = written(&line.put(form, 3, Some(2))).clone();
    assert_eq!((second.onto, third.onto), (first, second.commit));
    line.stored(third.commit, |commit| {
        assert_eq!(commit.parent_ids().map(sha).collect::<Vec<_>>(), [second.commit]);
        assert_eq!(commit.author().email_bytes(), b"a@example.com");
        assert_eq!(commit.author().when().seconds(), 1_600_000_000);
        assert_eq!(commit.committer().email_bytes(), b"bot@example.com");
        assert_eq!(commit.committer().when().seconds(), 1_700_000_000);
        let message = String::from_utf8_lossy(commit.message_bytes()).into_owned();
        let id = format!("I{:040}", 3);
        let expected = format!("Change\n\nChange-Id: {id}\nSigned-off-by: Bot <bot@example.com>\n");
        assert_eq!(message, expected);
    });
    assert_eq!(line.files(third.commit), ["a/one", "a/two", "x"]);
    assert_eq!(line.push(third.commit, &[1, 2, 3]), Outcome::Applied);
    assert_eq!(line.remote.refname_to_id("refs/heads/main").ok().map(sha), Some(third.commit));
}

#[test]
fn a_cherry_pick_leaves_behind_what_it_rests_on_and_names_its_review() {
    let mut line = Line::new(|settings| settings.sign_off = Arc::new(|_| false));
    let tip = line.tip;
    let below = line.upload(tip, &[(b"below", Some("1"))]);
    line.upload(below, &[(b"above", Some("2"))]);
    let moved = commit(&line.remote, &[tip], "Move", &[(b"b", Some("new"))]);
    set(&line.remote, "refs/heads/main", moved);
    line.tip = moved;
    let merge = merge(&line.pair, 2, line.revisions[1], moved, Onto::Commit(moved), &[line.revisions[1]]);
    let (prepared, _) = line.world.prepare(1, vec![in_form(LandingForm::CherryPick, merge)]);
    let Prepared::Merged { foreign, .. } = &prepared else { panic!("{prepared:?}") };
    assert_eq!(foreign, &[], "the commit that it rests on does not come in");
    let picked = written(&prepared).commit;
    assert_eq!(line.files(picked), ["a/one", "a/two", "above", "b"]);
    let message = line.stored(picked, |commit| String::from_utf8_lossy(commit.message_bytes()).into_owned());
    let last = message.lines().last().unwrap_or_default().to_owned();
    assert!(last.starts_with("Reviewed-on: ") && last.ends_with("/c/p/+/2"), "{message}");
    assert_eq!(line.push(picked, &[2]), Outcome::Applied);
}

#[test]
fn a_rename_on_the_branch_is_followed_by_a_copy_and_conflicts_without_content_merge() {
    for content_merge in [true, false] {
        for form in [LandingForm::RebaseAlways, LandingForm::CherryPick, LandingForm::MergeAlways] {
            let mut line = Line::new(|settings| settings.content_merge = Arc::new(move |_| content_merge));
            let tip = line.tip;
            line.upload(tip, &[(b"a/one", Some("0\n1\n2\n3\n4\n5\n"))]);
            let text = Some("1\n2\n3\n4\n5\n");
            let renamed = commit(&line.remote, &[tip], "Rename", &[(b"a/one", None), (b"a/new", text)]);
            set(&line.remote, "refs/heads/main", renamed);
            line.tip = renamed;
            match line.put(form, 1, None) {
                Prepared::Merged { writes, .. } if content_merge => {
                    assert_eq!(line.files(writes[0].commit), ["a/new", "a/two"]);
                }
                Prepared::Conflict { paths, .. } if !content_merge => assert_eq!(&*paths[0], "a/one"),
                other => panic!("{form:?}: {other:?}"),
            }
        }
    }
}

#[test]
fn a_copy_is_not_pushed_without_the_change_that_it_stands_for() {
    let mut line = Line::new(|_| {});
    let tip = line.tip;
    line.upload(tip, &[(b"x", Some("1"))]);
    line.upload(tip, &[(b"y", Some("2"))]);
    let form = LandingForm::RebaseAlways;
    line.put(form, 1, None);
    let second = written(&line.put(form, 2, Some(1))).commit;
    let refused = line.push(second, &[2]);
    assert!(matches!(&refused, Outcome::Refused(why) if why.contains("not judged")), "{refused:?}");
    let store = line.world.git.shared.store(&line.pair.repository).expect("a store");
    let again =
        store::Store::open(&line.world.folder.0.join("state"), &line.pair.repository).expect("it opens");
    let stands_for = store.own(second).and_then(|own| own.stands_for);
    assert_eq!(stands_for, Some(line.revisions[1]));
    assert_eq!(again.own(second).and_then(|own| own.stands_for), stands_for, "also after a restart");
    assert_eq!(line.push(second, &[1, 2]), Outcome::Applied);
}

#[test]
fn merge_commits_and_read_only_projects_are_told_apart() {
    let mut line =
        Line::new(|settings| settings.read_only = Arc::new(|repository| repository.as_str() == "q"));
    let tip = line.tip;
    let side = commit(&line.remote, &[tip], "Side", &[(b"side", Some("1"))]);
    let moved = commit(&line.remote, &[tip], "Move", &[(b"b", Some("new"))]);
    let message = format!("Merge\n\nChange-Id: I{:040}\n", 1);
    let joined = commit(&line.remote, &[tip, side], &message, &[(b"side", Some("1"))]);
    set(&line.remote, "refs/heads/main", moved);
    set(&line.remote, "refs/changes/01/1/1", joined);
    (line.tip, line.revisions) = (moved, vec![joined]);
    let merged = written(&line.put(LandingForm::CherryPick, 1, None)).commit;
    let parents = line.stored(merged, |commit| commit.parent_ids().map(sha).collect::<Vec<_>>());
    assert_eq!(parents, [moved, joined], "a merge commit is merged");
    let remote = line.world.remote("q");
    let (pair, tip) = (Pair::new("q", "main"), base(&remote));
    let revision = change(&remote, 2, tip, &[(b"x", Some("1"))]);
    let (held, _) = line.world.prepare(5, vec![merge(&pair, 2, revision, tip, Onto::Commit(tip), &[])]);
    assert_eq!(held, Prepared::Held { reason: Reason::ReadOnly { repository: "q".into() } });
}
