//! Pipelines: what makes items and runs, and what is done with the outcome.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::PipelineName;

/// A pipeline. Those that slots go to first stand first, but for the gate, which goes before all.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Pipeline {
    /// A new patch set: judged and voted on, lands nothing.
    Check,
    /// An approved change: lands when it passes.
    Gate,
    /// A change that somebody asked for in a comment: judged, lands nothing.
    OnDemand(PipelineName),
    /// The tip of a branch, after something has landed there.
    Post,
    /// The tip of a branch, at set times.
    Periodic(PipelineName),
}

impl Pipeline {
    /// The pipeline's name in configuration, messages and on pages.
    pub fn name(&self) -> &str {
        match self {
            Self::Check => "check",
            Self::Gate => "gate",
            Self::Post => "post",
            Self::OnDemand(name) | Self::Periodic(name) => name.as_str(),
        }
    }

    /// Whether what passes in it lands.
    pub fn lands(&self) -> bool {
        *self == Self::Gate
    }

    /// Whether it judges branches as they are, rather than changes.
    pub fn is_at_tips(&self) -> bool {
        matches!(self, Self::Post | Self::Periodic(_))
    }

    /// Its place among those that want slots; the smallest goes first.
    pub fn urgency(&self) -> u8 {
        match self {
            Self::Gate => 0,
            Self::Check => 1,
            Self::OnDemand(_) => 2,
            Self::Post => 3,
            Self::Periodic(_) => 4,
        }
    }
}

impl fmt::Display for Pipeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The pipelines in which a job runs, by name.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JobPipelines(pub Vec<PipelineName>);

impl Default for JobPipelines {
    fn default() -> Self {
        Self(vec![PipelineName::from("check"), PipelineName::from("gate")])
    }
}

impl JobPipelines {
    /// Whether they are those of a job that says nothing.
    pub fn is_usual(&self) -> bool {
        *self == Self::default()
    }

    /// Whether `pipeline` is one of them.
    pub fn has(&self, pipeline: &Pipeline) -> bool {
        self.0.iter().any(|name| name.as_str() == pipeline.name())
    }
}

/// The lines that comments ask with: for that pipeline, or for the check where none is named.
pub type Asks = Vec<(String, Option<PipelineName>)>;

/// The pipelines of which a comment has the line, whatever the case: each once, the check as none.
pub fn asked_for(comment: &str, asks: &Asks) -> Vec<Option<PipelineName>> {
    let has = |text: &str| comment.lines().any(|line| line.trim().eq_ignore_ascii_case(text));
    asks.iter().filter(|(text, _)| has(text)).map(|(_, pipeline)| pipeline.clone()).collect()
}

/// The pipelines beside check and gate, as configured.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Pipelines {
    /// What is done after a landing.
    pub post: PostPolicy,
    /// Pipelines that run at set times.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub periodic: Vec<PeriodicPolicy>,
    /// Pipelines that comments ask for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub on_demand: Vec<OnDemandPolicy>,
}

/// What is done after a landing.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PostPolicy {
    /// Whether the change since which a job fails is told so.
    pub report: bool,
    /// Whether that change is looked for by further builds.
    pub bisect: bool,
}

impl Default for PostPolicy {
    fn default() -> Self {
        Self { report: true, bisect: true }
    }
}

/// A pipeline that runs at set times.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PeriodicPolicy {
    /// Its name.
    pub name: PipelineName,
    /// When: five fields as in a crontab. The shell reads them; the core is told when they are due.
    pub cron: Arc<str>,
    /// In which time zone, by its IANA name.
    pub time_zone: Arc<str>,
    /// Whether the change since which a job fails is looked for, and told.
    pub bisect: bool,
}

/// A pipeline that comments ask for.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct OnDemandPolicy {
    /// Its name.
    pub name: PipelineName,
    /// A comment with a line of exactly this asks for it.
    pub comment: Arc<str>,
    /// The vote on success, on the gate's label; 0 for none.
    pub success: i32,
    /// The vote on failure; 0 for none.
    pub failure: i32,
}

impl Pipelines {
    /// Whether nothing is configured.
    pub fn is_usual(&self) -> bool {
        *self == Self::default()
    }

    /// The on-demand pipeline of that name.
    pub fn on_demand(&self, name: &PipelineName) -> Option<&OnDemandPolicy> {
        self.on_demand.iter().find(|pipeline| pipeline.name == *name)
    }

    /// The periodic pipeline of that name.
    pub fn periodic(&self, name: &PipelineName) -> Option<&PeriodicPolicy> {
        self.periodic.iter().find(|pipeline| pipeline.name == *name)
    }

    /// The names that jobs may give, the fixed ones first.
    pub fn names(&self) -> Vec<&str> {
        let fixed = ["check", "gate", "post"].into_iter();
        let periodic = self.periodic.iter().map(|pipeline| pipeline.name.as_str());
        fixed.chain(periodic).chain(self.on_demand.iter().map(|pipeline| pipeline.name.as_str())).collect()
    }

    /// Whether runs of `pipeline` look for the change since which a job fails.
    pub fn bisects(&self, pipeline: &Pipeline) -> bool {
        match pipeline {
            Pipeline::Post => self.post.bisect,
            Pipeline::Periodic(name) => self.periodic(name).is_some_and(|periodic| periodic.bisect),
            Pipeline::Check | Pipeline::Gate | Pipeline::OnDemand(_) => false,
        }
    }

    /// Whether that change is told so.
    pub fn reports(&self, pipeline: &Pipeline) -> bool {
        self.bisects(pipeline) && (*pipeline != Pipeline::Post || self.post.report)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_asks_with_a_line_of_its_own() {
        let perf: Option<PipelineName> = Some("perf".into());
        let asks = vec![("recheck".to_owned(), None), ("check perf".to_owned(), perf.clone())];
        for (comment, expected) in [
            ("recheck", vec![None]),
            ("Patch Set 1:\n\n  Check Perf \n", vec![perf.clone()]),
            ("check perf\nrecheck\ncheck perf", vec![None, perf]),
            ("please check perf", vec![]),
            ("check  perf", vec![]),
            ("", vec![]),
        ] {
            assert_eq!(asked_for(comment, &asks), expected, "{comment:?}");
        }
    }
}
