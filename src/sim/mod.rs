//! The simulator: the real core and engine on a faked world in virtual time, seed by seed.
//!
//! A seed draws a site, what people do, what is bad about their changes, and how often what goes
//! wrong. After every transaction the audit compares what was decided with the world's own truth; at
//! the end all faults are healed and everything must come to rest. A seed that breaks a promise is
//! made smaller by leaving out what people did, and kept under `simulations/regressions/`.

pub mod audit;
pub mod compare;
mod extras;
pub mod fakes;
pub mod play;
pub mod regression;
pub mod rng;
pub mod run;
pub mod setting;
pub mod shrink;
pub mod trace;
pub mod workload;

use std::collections::BTreeSet;
use std::fmt;

pub use regression::Regression;
pub use run::Report;

use setting::Setting;

/// What kind of promise was broken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Class {
    /// The program itself broke.
    Crash,
    /// Something does not come to an end.
    Liveness,
    /// Something wrong was done.
    Correctness,
}

impl Class {
    /// The class's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Crash => "crash",
            Self::Liveness => "liveness",
            Self::Correctness => "correctness",
        }
    }
}

/// A seed that broke a promise.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation {
    /// The seed.
    pub seed: u64,
    /// What kind.
    pub class: Class,
    /// Which promise.
    pub invariant: String,
    /// What was seen.
    pub what: String,
    /// The last of what happened.
    pub trace: Vec<String>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seed {}: {} ({}): {}", self.seed, self.class.name(), self.invariant, self.what)
    }
}

/// Runs a seed.
///
/// # Errors
/// The first promise that it breaks. A panic of the core goes through.
pub fn run_seed(seed: u64) -> Result<Report, Box<Violation>> {
    run_without(seed, &BTreeSet::new(), false)
}

/// Runs a seed without some of its steps, with the whole trace where asked for.
///
/// # Errors
/// As [`run_seed`].
pub fn run_without(
    seed: u64,
    disabled: &BTreeSet<usize>,
    whole_trace: bool,
) -> Result<Report, Box<Violation>> {
    run::run(&Setting::draw(seed), disabled, whole_trace).map_err(|ended| {
        let class = if ended.fault.invariant == "liveness" { Class::Liveness } else { Class::Correctness };
        Box::new(Violation {
            seed,
            class,
            invariant: ended.fault.invariant.into(),
            what: ended.fault.what,
            trace: ended.trace,
        })
    })
}
