//! What a change costs: the builds that one to a repository causes in its gate.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Branch, JobName, Pair, Pattern, QueueName, SiteName};

/// The builds that a change to one branch causes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ChangeCost {
    /// The branch.
    pub pair: Pair,
    /// The queue that gates it.
    pub queue: QueueName,
    /// How many builds there are.
    pub count: usize,
    /// How many repositories are checked out for them, each build counted.
    pub checkouts: usize,
    /// The builds; none where all together would be too many to tell.
    pub builds: Vec<CausedBuild>,
    /// Why they could not be found, in words; empty where they were.
    pub problem: Arc<str>,
}

/// A build that a change causes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CausedBuild {
    /// The job.
    pub job: JobName,
    /// The branch that it is run for.
    pub home: Pair,
    /// Whether it decides.
    pub voting: bool,
    /// How many repositories it checks out.
    pub checkouts: usize,
    /// Why it runs.
    pub why: Cause,
}

/// Why a job runs for a change.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Cause {
    /// The change is to the job's own branch.
    Own,
    /// The job names the repository as an input.
    Input,
    /// The job reads the repository because a site has both.
    Site(SiteName),
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Own => f.write_str("own"),
            Self::Input => f.write_str("reads it as input"),
            Self::Site(name) => write!(f, "through site {name}"),
        }
    }
}

/// What changes cost, dearest first.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Costs {
    /// One entry for each gated branch that was asked for.
    pub changes: Vec<ChangeCost>,
    /// Branches whose job files were not read, so that their jobs are not counted: what they hold was not
    /// fetched yet.
    pub unread: Vec<Pair>,
}

impl Costs {
    /// Leaves the builds of the cheapest changes out where there are more than `most`; their number stays.
    pub fn cut(&mut self, most: usize) {
        let mut told = 0;
        for change in &mut self.changes {
            told += change.builds.len();
            if told > most {
                change.builds.clear();
            }
        }
    }
}

/// The branches whose changes are asked about.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CostOf {
    /// Their repositories.
    pub repository: Pattern,
    /// Their branch; `None` for all.
    pub branch: Option<Branch>,
}

impl CostOf {
    /// Reads `REPOSITORY` or `REPOSITORY:BRANCH`; Gerrit has no repository with a colon in its name.
    pub fn parse(text: &str) -> Self {
        match text.rsplit_once(':') {
            Some((repository, branch)) => {
                Self { repository: Pattern::new(repository), branch: Some(Branch::from(branch)) }
            }
            None => Self { repository: Pattern::new(text), branch: None },
        }
    }

    /// Whether `pair` is among them.
    pub fn means(&self, pair: &Pair) -> bool {
        self.repository.matches(pair.repository.as_str())
            && self.branch.as_ref().is_none_or(|branch| *branch == pair.branch)
    }
}

impl fmt::Display for CostOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.branch {
            Some(branch) => write!(f, "{}:{branch}", self.repository),
            None => write!(f, "{}", self.repository),
        }
    }
}
