//! The landing rule, checked when a push is asked for.

use std::collections::BTreeMap;

use super::books::LandingBook;
use super::oracle::{has_form, jobs_at, landed_tree};
use super::{Audit, Checked, Fault, fault};
use crate::model::action::Push;
use crate::model::event::Scope;
use crate::model::tree::Resolved;
use crate::model::{
    ChangeNumber, ChangeSnapshot, ChangeStatus, EffectId, ItemChange, ItemId, NodeId, Pair, Policy, Sha,
    Timestamp, VerdictKey,
};
use crate::sim::fakes::site::passes;
use crate::sim::fakes::trees::alters;
use crate::sim::setting::Setting;
use crate::world::Gerrit;

impl Audit {
    /// Checks one push of a `Land` and writes it down.
    pub(super) fn check_landing(
        &mut self,
        at: Timestamp,
        effect: EffectId,
        valid_until: Timestamp,
        push: &Push,
        gerrit: &mut Gerrit,
        setting: &Setting,
    ) -> Checked {
        let Some(policy) = self.policy.clone() else {
            return fault("landing rule", "a push before any configuration".into());
        };
        let items = self.items_of(push)?;
        if items.is_empty() {
            return fault("landing rule", "a push of nothing".into());
        }
        for (number, _, revision) in &push.changes {
            self.check_look(at, valid_until, *number, *revision, &policy)?;
        }
        for id in &items {
            self.check_pause(*id)?;
            self.check_pinned(at, *id)?;
        }
        self.check_others(&items, push)?;
        self.check_order(&items)?;
        self.check_dependencies(push, gerrit)?;
        self.check_topics(&items, &policy)?;
        self.check_trees(&policy, push, &items, gerrit, setting)?;
        self.pushed.insert(effect, items.clone());
        let book =
            LandingBook { push: push.clone(), items, asked_at: at, applied: false, unknown_until: None };
        self.landings.insert(effect, book);
        Ok(())
    }

    fn items_of(&mut self, push: &Push) -> Result<Vec<ItemId>, Fault> {
        let mut items = Vec::new();
        for (number, patchset, revision) in &push.changes {
            let found = self.items.iter().find(|(_, book)| {
                book.ended.is_none()
                    && book.queue.is_some()
                    && book.changes.iter().any(|change| {
                        change.number == *number
                            && change.revision == *revision
                            && change.patchset == *patchset
                    })
            });
            match found {
                Some((id, _)) if items.last() == Some(id) => {}
                Some((id, _)) => items.push(*id),
                None => return fault("landing rule", format!("change {number} is pushed and in no queue")),
            }
        }
        Ok(items)
    }

    /// The last look: fresh, and nothing in it or learnt since stands against landing.
    fn check_look(
        &self,
        at: Timestamp,
        valid_until: Timestamp,
        number: ChangeNumber,
        revision: Sha,
        policy: &Policy,
    ) -> Checked {
        let Some((looked_at, look)) = self.looks.get(&number) else {
            return fault("last look", format!("change {number} is pushed without a look"));
        };
        let limit = looked_at.plus_ms(policy.limits.look_age_ms);
        if at > limit || valid_until > limit {
            return fault("last look", format!("change {number} is pushed at {at}, looked at {looked_at}"));
        }
        if let Some(why) = stands_against(look, revision, policy) {
            return fault("last look", format!("change {number} is pushed though it was {why} at the look"));
        }
        if self.gone.contains(&number) {
            return fault("last look", format!("change {number} is pushed though it is known to be gone"));
        }
        match self.known.get(&number).and_then(|known| stands_against(known, revision, policy)) {
            Some(why) => {
                fault("last look", format!("change {number} is pushed though it is known to be {why}"))
            }
            None => Ok(()),
        }
    }

    fn check_pause(&self, id: ItemId) -> Checked {
        let Some(book) = self.items.get(&id) else { return Ok(()) };
        let stopped = self.paused.iter().find(|scope| match scope {
            Scope::Everything => true,
            Scope::Queue(name) => book.queue.as_ref() == Some(name),
            Scope::Repository(repository) => {
                book.changes.iter().any(|change| change.pair.repository == *repository)
            }
        });
        match stopped {
            Some(scope) => fault("a stop holds", format!("item {id} is pushed though {scope:?} is stopped")),
            None => Ok(()),
        }
    }

    /// Nothing lands that meets a push under way.
    fn check_others(&self, items: &[ItemId], push: &Push) -> Checked {
        for landing in self.landings.values() {
            // An item of several branches is in a push of each.
            let same = landing.items == items && landing.push.pair != push.pair;
            for other in landing.items.iter().filter(|_| !same) {
                if let Some(id) = items.iter().find(|id| *id == other || self.meet(**id, *other)) {
                    return fault(
                        "a push of unknown outcome may land",
                        format!("item {id} is pushed while item {other} is in a push that is not decided"),
                    );
                }
            }
        }
        Ok(())
    }

    /// What meets lands in the order of the queue.
    fn check_order(&self, items: &[ItemId]) -> Checked {
        for (place, id) in items.iter().enumerate() {
            for ahead in self.ahead(*id) {
                if !items[..place].contains(&ahead) && self.meet(ahead, *id) {
                    return fault(
                        "queue order",
                        format!("item {id} is pushed before item {ahead}, which it meets"),
                    );
                }
            }
        }
        Ok(())
    }

    /// The trees pushed are those tested, their jobs are those at the pushed nodes, and each voting
    /// job has passed there, in truth too.
    fn check_trees(
        &self,
        policy: &Policy,
        push: &Push,
        items: &[ItemId],
        gerrit: &mut Gerrit,
        setting: &Setting,
    ) -> Checked {
        if !self.beliefs(&push.pair).contains(&push.old) {
            return fault(
                "landing rule",
                format!("{} is pushed from a tip that it is not known to have", push.pair),
            );
        }
        let mut wrong = None;
        for mut tips in self.worlds() {
            tips.insert(push.pair.clone(), push.old);
            match self.check_trees_on(&tips, policy, push, items, gerrit, setting) {
                Ok(()) => return Ok(()),
                Err(fault) => wrong = Some(fault),
            }
        }
        wrong.map_or(Ok(()), Err)
    }

    fn check_trees_on(
        &self,
        tips: &BTreeMap<Pair, Sha>,
        policy: &Policy,
        push: &Push,
        items: &[ItemId],
        gerrit: &mut Gerrit,
        setting: &Setting,
    ) -> Checked {
        let mut onto = push.old;
        for (place, id) in items.iter().enumerate() {
            let commit = self.commit_of(*id, &push.pair)?;
            let changes = self.items.get(id).map_or(Vec::new(), |book| book.changes.clone());
            let here: Vec<ItemChange> =
                changes.iter().filter(|change| change.pair == push.pair).cloned().collect();
            let expected = landed_tree(gerrit, &here, onto);
            if expected != Some(gerrit.git.tree_id(commit)) || !gerrit.git.reaches(commit, onto) {
                return fault(
                    "tested tree",
                    format!("item {id} is pushed with a tree that is not its merge"),
                );
            }
            if let [only] = &here[..]
                && !has_form(gerrit, only, onto, commit)
            {
                return fault(
                    "landing form",
                    format!("item {id} is pushed as a commit of another form than its repository's"),
                );
            }
            let mut made = BTreeMap::from([(push.pair.clone(), (onto, commit))]);
            for change in changes.iter().filter(|change| change.pair != push.pair) {
                let start = self.start_of(*id, &change.pair)?;
                made.insert(change.pair.clone(), (start, self.commit_of(*id, &change.pair)?));
            }
            match jobs_at(gerrit, policy, &changes, &made, &self.as_pinned(*id, tips)) {
                Resolved::Jobs { jobs, noop, .. } => {
                    if jobs.is_empty() && !noop {
                        return fault("tested tree", format!("item {id} is pushed and no job judges it"));
                    }
                    let alters = here.iter().any(|change| alters(gerrit, change.revision, onto, commit));
                    self.check_pool(items, place, &jobs, alters)?;
                    let judged_here = self.judge_of(items, place).is_none();
                    for job in jobs.iter().filter(|job| job.voting && judged_here) {
                        if !self.has_pass(*id, &job.key) {
                            return fault(
                                "tested tree",
                                format!("item {id} is pushed without a pass of {} for its tree", job.name),
                            );
                        }
                        if !passes(gerrit, &setting.poison, &job.name, &job.inputs) {
                            return fault(
                                "tested tree",
                                format!("item {id} is pushed though {} fails there in truth", job.name),
                            );
                        }
                    }
                }
                _ => return fault("tested tree", format!("item {id} is pushed with a broken job file")),
            }
            onto = commit;
        }
        if onto != push.new {
            return fault("tested tree", format!("{} gets a tip that is no item's node", push.pair));
        }
        Ok(())
    }

    /// What an item's merge in a branch starts from.
    fn start_of(&self, id: ItemId, pair: &Pair) -> Result<Sha, Fault> {
        let node = self.items.get(&id).and_then(|book| self.nodes.get(&book.node?));
        match node.and_then(|node| node.writes.as_ref()?.iter().find(|written| written.pair == *pair)) {
            Some(written) => Ok(written.onto),
            None => fault("tested tree", format!("item {id} is pushed without a node that writes {pair}")),
        }
    }

    /// Whether an item uses a pass for a key, or for that key at its node alone.
    fn has_pass(&self, id: ItemId, key: &VerdictKey) -> bool {
        let Some(book) = self.items.get(&id) else { return false };
        let keys = [Some(*key), book.node.map(|node| key.at_node(node))];
        keys.iter().flatten().any(|key| book.adopted.get(key) == Some(&true))
    }

    fn commit_of(&self, id: ItemId, pair: &Pair) -> Result<Sha, Fault> {
        let node = self.items.get(&id).and_then(|book| book.node);
        let commit = node.and_then(|node: NodeId| self.nodes.get(&node)?.written(pair));
        match commit {
            Some(commit) => Ok(commit),
            None => fault("tested tree", format!("item {id} is pushed without a node that writes {pair}")),
        }
    }

    /// A push has reached the world: its items must still stand for it.
    pub(super) fn check_landed(&self, effect: EffectId, push: &Push) -> Checked {
        for (number, _, revision) in &push.changes {
            let stands = self.items.values().any(|book| {
                let left = book
                    .ended
                    .as_ref()
                    .is_some_and(|ended| !matches!(ended, crate::model::Departure::Landed { .. }));
                !left
                    && book.queue.is_some()
                    && book
                        .changes
                        .iter()
                        .any(|change| change.number == *number && change.revision == *revision)
            });
            if !stands {
                return fault(
                    "a push of unknown outcome may land",
                    format!(
                        "the push of effect {effect} has landed change {number}, which had left its queue"
                    ),
                );
            }
        }
        Ok(())
    }
}

/// What stands against landing a change at `revision`, in words.
fn stands_against(seen: &ChangeSnapshot, revision: Sha, policy: &Policy) -> Option<String> {
    if seen.status != ChangeStatus::Open {
        return Some("closed".into());
    }
    if seen.revision != revision {
        return Some(format!("at patch set {}", seen.patchset));
    }
    if seen.work_in_progress || seen.private {
        return Some("work in progress or private".into());
    }
    let unmet = |label: &crate::model::Label, min: i32| {
        !seen.votes.iter().any(|vote| vote.label == *label && vote.value >= min)
            || seen.vetoed_by(label, &policy.account).is_some()
    };
    if policy.gate.approval.iter().any(|need| unmet(&need.label, need.min)) {
        return Some("not approved".into());
    }
    let open = seen
        .requirements
        .iter()
        .find(|requirement| !requirement.met && !requirement.labels.contains(&policy.gate.label));
    open.map(|requirement| format!("short of {}", requirement.name))
}
