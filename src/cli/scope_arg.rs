//! Where landing is stopped or goes on, as options.

use clap::Args;

use crate::model::event::Scope;

/// At most one of them; without any, everything is meant.
#[derive(Args, Debug, Clone)]
#[group(multiple = false)]
pub struct ScopeArg {
    /// Only this queue.
    #[arg(long, value_name = "NAME")]
    pub queue: Option<String>,
    /// Only this repository, in all its branches.
    #[arg(long, value_name = "NAME")]
    pub repository: Option<String>,
}

impl From<ScopeArg> for Scope {
    fn from(given: ScopeArg) -> Self {
        match (given.queue, given.repository) {
            (Some(queue), _) => Self::Queue(queue.into()),
            (None, Some(repository)) => Self::Repository(repository.into()),
            (None, None) => Self::Everything,
        }
    }
}
