//! Landing by the review host: it submits one change after another and makes the commits itself.
//!
//! What it makes may differ from what was tested: Gerrit does not follow renames, for example. So the
//! landed tree is compared; a difference is told aloud and counts as a push by someone else.

use crate::model::report::Says;
use crate::model::{EffectId, ItemId, Pair, Sha};

use super::Queue;
use super::speak::report;

impl Queue {
    /// The review host has landed what it was told to submit, as `commit`.
    pub(super) fn submitted(
        &mut self,
        effect: EffectId,
        pair: &Pair,
        tip: Sha,
        commit: Sha,
        same_tree: bool,
    ) {
        self.state.effects.remove(&effect);
        let found = self.state.landings.iter_mut().find(|(id, landing)| {
            let asked = landing.unknown.as_ref().and_then(|unknown| unknown.asked);
            landing.pair == *pair && (**id == effect || asked == Some(effect))
        });
        let Some((id, landing)) = found else { return };
        let (id, old, job_file) = (*id, landing.old, landing.job_file);
        landing.new = commit;
        landing.landed = true;
        landing.unknown = None;
        landing.differs = !same_tree;
        let landed = self.landed_by(id);
        self.index.dirty_landings.insert(id);
        self.index.dirty_reports = true;
        if same_tree {
            self.tip_landed(pair.clone(), old, commit, job_file, landed);
        } else {
            // Nothing that was predicted holds, not even the job file.
            self.move_tip(pair.clone(), Some(commit), None, landed);
        }
        if tip != commit {
            self.see_tip(pair.clone(), Some(tip));
        }
    }

    /// Says that another tree has landed than the one that was tested.
    pub(super) fn tell_difference(&mut self, effect: EffectId) {
        let Some(landing) = self.state.landings.get(&effect) else { return };
        let Some(tree) = landing.submit.as_ref().map(|submit| submit.tree) else { return };
        let text = format!(
            "Gerrit has submitted this change as {} in {}, with other content than the tested tree {}: nothing has judged what is in the branch now. Compare the two, repair or revert what is wrong, and consider `landing = \"push\"` for this queue",
            landing.new.short(),
            landing.pair,
            tree.short()
        );
        let items: Vec<ItemId> = landing.items.clone();
        self.out.notes.push(super::Note::Said(text.clone()));
        for item in items.iter().filter_map(|id| self.state.items.get(id)).cloned().collect::<Vec<_>>() {
            for change in &item.changes {
                self.speak(report(&item, change, None, Some(Says::Alarm { text: text.as_str().into() })));
            }
        }
    }
}
