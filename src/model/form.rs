//! How a project's changes come into its branches.

use serde::{Deserialize, Serialize};

/// The form in which a change lands; follows the review host's submit type.
///
/// A commit with several parents is merged in each form that rewrites: there is no single difference
/// that could be put elsewhere.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum LandingForm {
    /// Always by a merge commit.
    MergeAlways,
    /// By a merge commit unless the branch can move forward to the patch set itself.
    MergeIfNecessary,
    /// As the patch set itself; one that does not contain the branch has to be rebased by a person.
    FastForwardOnly,
    /// As the patch set itself where the branch can move forward to it, else as a copy on top.
    RebaseIfNecessary,
    /// As a copy on top of the branch.
    RebaseAlways,
    /// As a copy on top of the branch, whatever the patch set rests on.
    CherryPick,
}

impl LandingForm {
    /// Whether a commit with so many parents may land as another commit than the patch set's. Only
    /// its Change-Id then tells the review host which change has landed.
    pub fn rewrites(self, parents: usize) -> bool {
        parents < 2 && matches!(self, Self::RebaseIfNecessary | Self::RebaseAlways | Self::CherryPick)
    }

    /// Whether a commit with so many parents lands without what it rests on.
    pub fn ignores_parents(self, parents: usize) -> bool {
        parents < 2 && self == Self::CherryPick
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merge_commits_are_never_rewritten() {
        for form in [LandingForm::RebaseIfNecessary, LandingForm::RebaseAlways, LandingForm::CherryPick] {
            assert!(form.rewrites(1) && !form.rewrites(2) && !form.ignores_parents(2), "{form:?}");
        }
        assert!(!LandingForm::FastForwardOnly.rewrites(1) && !LandingForm::RebaseAlways.ignores_parents(1));
    }
}
