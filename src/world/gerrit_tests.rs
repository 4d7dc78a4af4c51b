//! Claims about the model that a real Gerrit has shown to hold.

use super::*;
use crate::model::PatchSet;

struct Site {
    gerrit: Gerrit,
    pair: Pair,
    root: Sha,
}

fn site() -> Site {
    let mut gerrit = Gerrit::default();
    let pair = Pair::new("p", "main");
    let root = gerrit.create_branch(&pair, tree("base", "1"));
    Site { gerrit, pair, root }
}

fn tree(path: &str, token: &str) -> Tree {
    [(path.into(), token.into())].into_iter().collect()
}

impl Site {
    fn upload(&mut self, change_id: &str, parents: &[Sha], token: &str) -> (ChangeNumber, Sha) {
        let upload = Upload {
            footer: true,
            pair: self.pair.clone(),
            change_id: change_id.into(),
            parents: parents.to_vec(),
            tree: tree("base", token),
            subject: token.into(),
            needs: Vec::new(),
            owner: "alice".into(),
        };
        let number = self.gerrit.upload(Timestamp(1000), upload).expect("an upload of something new");
        let commit = self.gerrit.changes[&number].revision();
        (number, commit)
    }

    fn push(&mut self, old: Sha, new: Sha) -> Result<Vec<(ChangeNumber, Sha)>, PushError> {
        self.gerrit.push(Timestamp(2000), &self.pair.clone(), old, new, &"bot".into())
    }

    fn status(&self, number: ChangeNumber) -> ChangeStatus {
        self.gerrit.changes[&number].status
    }
}

#[test]
fn a_push_of_the_top_closes_the_whole_stack() {
    let mut site = site();
    let (a, first) = site.upload("Ia", &[site.root], "a");
    let (b, second) = site.upload("Ib", &[first], "b");
    let closed = site.push(site.root, second).expect("a fast-forward");
    assert_eq!(closed, [(a, first), (b, second)]);
    assert_eq!(site.gerrit.tip(&site.pair), Some(second));
}

#[test]
fn a_push_closes_a_change_at_an_old_patch_set() {
    let mut site = site();
    let (a, old) = site.upload("Ia", &[site.root], "a1");
    let (_, child) = site.upload("Ib", &[old], "b");
    site.upload("Ia", &[site.root], "a2");
    site.push(site.root, child).expect("a fast-forward");
    assert_eq!(site.status(a), ChangeStatus::Merged);
    assert_eq!(site.gerrit.read(a, &"bot".into()).map(|seen| seen.revision), Some(old));
}

#[test]
fn a_change_id_in_side_history_closes_its_change() {
    let mut site = site();
    let (a, _) = site.upload("Ia", &[site.root], "a");
    let tree_id = site.gerrit.git.add_tree(tree("other", "x"));
    let side = site.gerrit.git.add_commit(&[site.root], tree_id, Some(&"Ia".into()), "side");
    let (_, merge) = site.upload("Ib", &[site.root, side], "b");
    site.push(site.root, merge).expect("a fast-forward");
    assert_eq!(site.status(a), ChangeStatus::Merged);
}

#[test]
fn a_push_needs_the_old_tip_and_lands_over_a_veto() {
    let mut site = site();
    let (a, commit) = site.upload("Ia", &[site.root], "a");
    site.gerrit.vote(Timestamp(1500), a, commit, &REVIEW.into(), -2, &"carol".into());
    assert_eq!(site.push(commit, site.root), Err(PushError::Stale));
    assert_eq!(site.push(site.root, site.root), Err(PushError::NothingNew));
    assert!(site.push(site.root, commit).is_ok());
    assert_eq!(site.push(commit, site.root), Err(PushError::NotFastForward));
    assert_eq!(site.status(a), ChangeStatus::Merged);
}

#[test]
fn votes_make_a_change_submittable_and_are_whole_seconds() {
    let mut site = site();
    let (a, commit) = site.upload("Ia", &[site.root], "a");
    let read = |site: &Site| site.gerrit.read(a, &"bot".into()).expect("a visible change");
    site.gerrit.vote(Timestamp(1500), a, commit, &REVIEW.into(), 2, &"carol".into());
    assert!(!read(&site).submittable);
    site.gerrit.vote(Timestamp(1600), a, commit, &VERIFIED.into(), 1, &"bot".into());
    assert!(read(&site).submittable);
    assert_eq!(read(&site).votes[0].at, Timestamp(1000));
    site.upload("Ia", &[site.root], "a2");
    assert!(read(&site).votes.is_empty());
}

#[test]
fn a_private_change_is_not_there_for_others() {
    let mut site = site();
    let (a, _) = site.upload("Ia", &[site.root], "a");
    assert!(site.gerrit.edit(Timestamp(1500), a, |change| change.private = true));
    assert_eq!(site.gerrit.read(a, &"bot".into()), None);
    assert!(site.gerrit.read(a, &"alice".into()).is_some());
}

#[test]
fn a_tag_is_written_once() {
    let mut site = site();
    let (a, _) = site.upload("Ia", &[site.root], "a");
    let message = Message {
        by: "bot".into(),
        tag: "t1".into(),
        patchset: PatchSet(1),
        at: Timestamp(1500),
        text: "hello".into(),
    };
    assert!(site.gerrit.post(a, message.clone()));
    assert!(!site.gerrit.post(a, message));
    assert_eq!(site.gerrit.changes[&a].messages.len(), 1);
}
