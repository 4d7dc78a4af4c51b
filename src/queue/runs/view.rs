//! Runs as pages and the socket show them.

use super::super::Queue;
use super::Run;
use crate::model::run::Blame;
use crate::model::view::RunView;
use crate::model::{Pair, Pipeline};

impl Queue {
    /// The runs under way, oldest first, then the last of each pipeline and branch.
    pub(in crate::queue) fn view_runs(&self) -> Vec<RunView> {
        let under_way = self.state.runs.under_way.values().filter_map(|run| self.view_run(run));
        let ended = self.state.runs.ended.values().map(|ended| {
            let blames = self.blames(&ended.pipeline, ended);
            RunView { blames, ..ended.clone() }
        });
        under_way.chain(ended).collect()
    }

    fn view_run(&self, run: &Run) -> Option<RunView> {
        let (pair, commit) = run.tips.first().cloned()?;
        Some(RunView {
            run: run.stay.id,
            pipeline: run.stay.pipeline.clone(),
            pair,
            commit,
            began_at: run.stay.entered_at,
            ended_at: None,
            outcome: None,
            probes: run.probe.as_ref().map(|probe| probe.job.clone()),
            jobs: self.job_results(run.stay.id),
            blames: Vec::new(),
            words: self.reason(&run.stay, None).to_string(),
        })
    }

    /// Since when the failed jobs of a run fail.
    fn blames(&self, pipeline: &Pipeline, ended: &RunView) -> Vec<Blame> {
        let at = |home: &Pair, job: &crate::model::JobName| (pipeline.clone(), job.clone(), home.clone());
        let known =
            ended.jobs.iter().filter_map(|job| self.state.runs.verdicts.get(&at(&job.home, &job.job)));
        known.filter_map(|known| known.blame.clone()).collect()
    }
}
