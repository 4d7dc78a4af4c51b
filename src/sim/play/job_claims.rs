//! Sentences about jobs that can be so or not.

use super::reader::Reader;
use super::story::{Amount, Claim, Together};
use super::words::Read;

impl Reader<'_> {
    /// `unit is building on A+B`, `unit reused for A`, `unit was stopped on A`, `unit ran 3 times`.
    pub(super) fn claim_of_job(&mut self) -> Read<Option<Claim>> {
        let verdict = self.line.phrase(&["the verdict of", "verdict of"]);
        if self.maybe_content_ahead() && !verdict {
            return Ok(None);
        }
        let Some(job) = self.maybe_job() else { return Ok(None) };
        self.line.skip(&["is", "was", "were", "has", "been", "did"]);
        let not = self.line.eat(&["not"]);
        self.line.skip(&["been"]);
        if self.line.eat(&["reused", "known"]) {
            self.line.skip(&["for", "by", "in"]);
            return Ok(Some(Claim::Reused(self.change()?, Some(job), !not)));
        }
        if self.line.eat(&["skipped"]) {
            self.line.skip(&["for", "by", "in", "on"]);
            return Ok(Some(Claim::Skipped(self.change()?, Some(job), !not)));
        }
        if self.line.eat(&["flaky"]) {
            return Ok(Some(Claim::Flaky(job, !not)));
        }
        if self.line.eat(&["building", "builds", "running", "runs", "build", "run"])
            && self.line.peek_at(1).is_none_or(|w| w.small != "times")
        {
            self.line.skip(&["on", "now", "exactly", "only"]);
            if not {
                let tree = if self.line.is_over() {
                    return Ok(Some(Claim::Building(Some(job), Vec::new())));
                } else {
                    self.tree()?
                };
                return Ok(Some(Claim::BuildingAmong(Some(job), tree, false)));
            }
            return Ok(Some(Claim::Building(Some(job), self.trees()?)));
        }
        let builds = |amount, on, stopped| Claim::Builds {
            amount,
            job: Some(job.clone()),
            on,
            with: Together::new(),
            anew: false,
            stopped,
        };
        let some = if not { Amount::Exactly(0) } else { Amount::AtLeast(1) };
        if self.line.eat(&["stopped", "aborted", "cancelled", "canceled"]) {
            self.line.skip(&["on", "for"]);
            let on = if self.line.is_over() { None } else { Some(self.tree()?) };
            return Ok(Some(builds(some, on, true)));
        }
        if self.line.eat(&["ran", "built", "run", "runs", "started", "builds"]) {
            if let Some(amount) = self.amount()? {
                self.line.skip(&["times", "time"]);
                return Ok(Some(builds(amount, None, false)));
            }
            if let Some(count) = self.line.peek().and_then(|word| super::words::number(&word.small)) {
                self.line.next();
                return Ok(Some(builds(Amount::Exactly(count), None, false)));
            }
            self.line.skip(&["on", "for"]);
            let on = if self.line.is_over() { None } else { Some(self.tree()?) };
            return Ok(Some(builds(some, on, false)));
        }
        self.fault("is nothing that a job does", "write for example `expect unit is building on A+B`, `expect unit reused for A` or `expect unit was stopped on A`")
    }
}
