//! Jobs that need others: when they may be built, and who is to blame.

use super::{Audit, Checked, fault};
use crate::model::{ItemId, JobName, ResolvedJob, VerdictKey};

impl Audit {
    /// A build is bought for an item: what its job needs has passed for that item.
    pub(super) fn check_needs(&self, id: ItemId, key: VerdictKey) -> Checked {
        for job in self.jobs_of(id).iter().filter(|job| job.key == key) {
            let passed = |need: &&ResolvedJob| self.verdict_of(id, need) == Some(true);
            if self.needs_of(id, job).filter(passed).count() < job.needs.len() {
                return fault(
                    "needs",
                    format!("{} is built for item {id} before what it needs has passed", job.name),
                );
            }
        }
        Ok(())
    }

    /// An item leaves because of these jobs: none of them is one that was to be skipped.
    pub(super) fn check_blame(&self, id: ItemId, named: &[JobName]) -> Checked {
        for job in self.jobs_of(id).iter().filter(|job| named.contains(&job.name)) {
            let failed = |need: &ResolvedJob| self.verdict_of(id, need) == Some(false);
            let alone = self.jobs_of(id).iter().filter(|other| other.name == job.name).count() == 1;
            if self.deterministic && alone && self.needs_of(id, job).any(failed) {
                return fault(
                    "needs",
                    format!("item {id} leaves because of {}, which needs a job that failed", job.name),
                );
            }
        }
        Ok(())
    }

    fn jobs_of(&self, id: ItemId) -> &[ResolvedJob] {
        let node = self.items.get(&id).and_then(|book| self.nodes.get(&book.node?));
        node.map_or(&[], |node| node.jobs())
    }

    fn needs_of<'a>(&'a self, id: ItemId, job: &'a ResolvedJob) -> impl Iterator<Item = &'a ResolvedJob> {
        let is_needed = move |other: &&ResolvedJob| other.home == job.home && job.needs.contains(&other.name);
        self.jobs_of(id).iter().filter(is_needed)
    }

    fn verdict_of(&self, id: ItemId, job: &ResolvedJob) -> Option<bool> {
        self.items.get(&id)?.adopted.get(&job.key).copied()
    }
}
