//! What stories ask of the history of a stay.

use super::stage::Stage;
use super::story::Name;
use crate::model::past::Past;
use crate::model::{ChangeNumber, ItemChange, ItemId};

impl Stage {
    /// Whether an entry of the history of a change's last stay has these texts; what there is, where not.
    pub(super) fn history_says(&self, name: &Name, texts: &[String], so: bool) -> Result<(), String> {
        let entries = self.history(self.number(name));
        let fits = entries.iter().any(|entry| texts.iter().all(|text| self.contains(entry, text)));
        if fits == so {
            return Ok(());
        }
        Err(format!("history of {name}: {}", self.with_names(&entries.join("; "))))
    }

    fn history(&self, number: ChangeNumber) -> Vec<String> {
        let has = |changes: &[ItemChange]| changes.iter().any(|change| change.number == number);
        let queued = self.items(None).into_iter().find(|item| has(&item.changes)).map(|item| item.past);
        let departed = || {
            let view = self.view()?;
            view.departed.into_iter().find(|item| has(&item.changes)).map(|item| item.past)
        };
        let past: Vec<Past> = queued.or_else(departed).unwrap_or_default();
        past.iter().map(|entry| entry.what.to_string()).collect()
    }

    /// Writes down that an item goes before another one.
    pub(super) fn write_down_pass(&mut self, item: ItemId, before: ItemId) {
        let [item, before] = [item, before].map(|id| self.name_of(id));
        self.say(format!("{item} goes before {before}: both pass in either order"));
    }

    fn name_of(&self, id: ItemId) -> String {
        let changes = self.book.stays.get(&id).map(|stay| stay.changes.clone());
        self.sum(&changes.unwrap_or_default())
    }

    /// Writes down that an item is built a second time.
    pub(super) fn write_down_alternative(&mut self, of: ItemId, without: ItemId) {
        let [of, without] = [of, without].map(|id| self.name_of(id));
        self.say(format!("{of} is also built without {without}, in case that fails"));
    }
}
