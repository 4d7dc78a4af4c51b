//! What the configuration says to the adapter and may say otherwise while it runs.

use crate::model::pipeline::Asks;

/// Approvals, branches and intervals.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rules {
    /// The votes that approve a change: label and least value.
    pub approval: Vec<(String, i32)>,
    /// Branches named in the configuration, whose tips are polled. Others are polled once seen.
    pub branches: Vec<String>,
    /// How often the tips are polled, in milliseconds (30,000 by default).
    pub tips_poll_ms: u64,
    /// How often everything is swept, in milliseconds (900,000 by default).
    pub sweep_ms: u64,
    /// A comment with one of these lines alone asks for that pipeline, for the check where none is named.
    pub asks: Asks,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            approval: Vec::new(),
            branches: Vec::new(),
            tips_poll_ms: 30_000,
            sweep_ms: 900_000,
            asks: Vec::new(),
        }
    }
}
