//! How the branches may stand for the daemon, by what it was told of them.

use std::collections::BTreeMap;

use super::Audit;
use crate::model::{Pair, Sha};

impl Audit {
    /// The tips that the daemon may hold for true: for each branch the newest and the last it was
    /// told.
    pub(super) fn beliefs(&self, pair: &Pair) -> Vec<Sha> {
        let (Some(tips), Some((newest, last))) = (self.tips.get(pair), self.told.get(pair)) else {
            return Vec::new();
        };
        let mut values: Vec<Sha> = [*newest, *last].iter().filter_map(|at| tips.get(*at).copied()).collect();
        values.dedup();
        values
    }

    /// Each way in which the branches may stand for the daemon; few, since branches rarely move.
    pub(super) fn worlds(&self) -> Vec<BTreeMap<Pair, Sha>> {
        let mut worlds = vec![BTreeMap::new()];
        for (pair, tips) in &self.tips {
            let mut values = self.beliefs(pair);
            if values.is_empty() {
                values.extend(tips.last());
            }
            let mut more = Vec::new();
            for value in values.iter().skip(1) {
                more.extend(worlds.iter().cloned().map(|mut world: BTreeMap<Pair, Sha>| {
                    world.insert(pair.clone(), *value);
                    world
                }));
            }
            if let Some(first) = values.first() {
                for world in &mut worlds {
                    world.insert(pair.clone(), *first);
                }
            }
            worlds.extend(more);
            worlds.truncate(32);
        }
        worlds
    }
}
