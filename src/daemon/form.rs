//! How a project's submit type is landed by push.

use crate::gerrit::Project;
use crate::git::LandingForm;

/// The landing form of a project; `None` is one that cannot be read now.
pub fn landing_form(project: &Option<Project>) -> LandingForm {
    let Some(project) = project else { return LandingForm::Unknown };
    match project.submit_type.as_str() {
        "MERGE_ALWAYS" => LandingForm::MergeAlways,
        "MERGE_IF_NECESSARY" => LandingForm::MergeIfNecessary,
        other => LandingForm::Other(format!(
            "the project's submit type is {other}, and this daemon lands MERGE_ALWAYS and MERGE_IF_NECESSARY; ask an administrator to set one of them, or take the project out of its [[queue]]"
        )),
    }
}
