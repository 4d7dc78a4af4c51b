//! Plain values: what the rest of the crate talks about. Floor 0: no I/O, no clock, no decisions.

pub mod action;
pub mod change;
pub mod cost;
pub mod event;
pub mod form;
pub mod id;
pub mod item;
pub mod job;
pub mod past;
pub mod pattern;
pub mod pipeline;
pub mod policy;
pub mod priority;
pub mod reason;
mod reason_words;
pub mod reference;
pub mod report;
pub mod run;
pub mod site;
pub mod time;
pub mod tree;
pub mod verdict;
pub mod view;

pub use action::{Action, Effect, EffectKind};
pub use change::{ChangeSnapshot, ChangeStatus, Requirement, Vote};
pub use event::{Event, Outcome};
pub use form::LandingForm;
pub use id::{
    Account, Branch, BuildId, ChangeId, ChangeNumber, EffectId, ItemId, JobName, Label, NodeId, Pair,
    PatchSet, PipelineName, QueueName, Repository, Sha, SiteName,
};
pub use item::{Departure, ItemChange};
pub use job::{BuildSpec, InputPolicy, JobPolicy, ResolvedInput, ResolvedJob};
pub use pattern::{Pattern, Patterns};
pub use pipeline::Pipeline;
pub use policy::Policy;
pub use priority::{Class, Place};
pub use reason::Reason;
pub use reference::{Reference, Target};
pub use site::SitePolicy;
pub use time::Timestamp;
pub use verdict::{Verdict, VerdictKey};
