//! The tests, by subject.

mod bad_input;
mod crash;
mod demonstration;
mod dependencies;
mod doctor;
mod forms;
mod hidden;
mod landing;
mod leaving;
mod moving;
mod network;
mod order;
mod outside;
mod pipelines;
mod reload;

use crate::support::runner::Case;

/// A list of tests, each named as its function.
macro_rules! cases {
    ($($function:ident),* $(,)?) => {
        /// The tests of this file.
        pub fn cases() -> Vec<$crate::support::runner::Case> {
            vec![$($crate::support::runner::Case { name: stringify!($function), run: $function }),*]
        }
    };
}
use cases;

/// All tests; the longest first, so that they do not stand alone at the end.
pub fn all() -> Vec<Case> {
    [
        crash::cases(),
        network::cases(),
        doctor::cases(),
        demonstration::cases(),
        forms::cases(),
        hidden::cases(),
        order::cases(),
        landing::cases(),
        leaving::cases(),
        moving::cases(),
        dependencies::cases(),
        outside::cases(),
        pipelines::cases(),
        reload::cases(),
        bad_input::cases(),
    ]
    .concat()
}
