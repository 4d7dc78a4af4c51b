//! Who goes first: the table `[priority]`.

use super::section::Section;
use crate::model::Account;
use crate::model::priority::PriorityPolicy;

/// The most that a limit can be.
const MOST: u32 = 10_000;

/// Reads the table.
pub(super) fn read_priority(priority: &Section<'_>) -> PriorityPolicy {
    let usual = PriorityPolicy::default();
    let limit = |key| priority.has(key).then(|| priority.count(key, 1, 1, MOST));
    let accounts = priority.texts("urgent-accounts").unwrap_or_default();
    let read = PriorityPolicy {
        fair_share: priority.flag("fair-share", usual.fair_share),
        changes_per_turn: priority.count("changes-per-turn", usual.changes_per_turn, 1, MOST),
        urgent_hashtag: priority.text("urgent-hashtag").map(|hashtag| hashtag.value.into()),
        urgent_accounts: accounts.iter().map(|account| Account::from(account.value)).collect(),
        urgent_overtakes: priority.count("urgent-overtakes", usual.urgent_overtakes, 1, MOST),
        most_per_owner: limit("most-per-owner"),
        most_per_repository: limit("most-per-repository"),
    };
    if !read.fair_share && priority.has("changes-per-turn") {
        let path = "priority.changes-per-turn";
        let at = priority.at_of("changes-per-turn");
        priority.source.warn(at, path, "has no effect without `fair-share`", "remove one of the two");
    }
    for key in ["urgent-accounts", "urgent-overtakes"] {
        if read.urgent_hashtag.is_none() && priority.has(key) {
            let path = format!("priority.{key}");
            let remedy = "add for example `urgent-hashtag = \"urgent\"`, or remove it";
            priority.source.warn(
                priority.at_of(key),
                &path,
                "has no effect without `urgent-hashtag`",
                remedy,
            );
        }
    }
    read
}
