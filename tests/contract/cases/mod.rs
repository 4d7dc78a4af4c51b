//! The cases, by subject.

mod branches;
mod changes;
mod events;
mod queries;
mod reading;
mod review;
mod submit;
mod upload;

use crate::support::runner::Case;

/// A list of cases, each named as its function.
macro_rules! cases {
    ($($function:ident),* $(,)?) => {
        /// The cases of this file.
        pub fn cases() -> Vec<$crate::support::runner::Case> {
            vec![$($crate::support::runner::Case { name: stringify!($function), run: $function }),*]
        }
    };
}
use cases;

/// All cases.
pub fn all() -> Vec<Case> {
    [
        reading::cases(),
        upload::cases(),
        review::cases(),
        changes::cases(),
        branches::cases(),
        submit::cases(),
        events::cases(),
        queries::cases(),
    ]
    .concat()
}
