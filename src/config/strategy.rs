//! How a queue chooses what to build ahead of need.

use super::section::Section;
use crate::model::policy::{Growth, StrategyPolicy, Tuning};

/// The widest window, and the largest batch.
const MOST: u32 = 10_000;

/// The most slots that alternatives may use, per cent.
const ALTERNATIVES_MOST: u32 = 50;

/// The strategy of a queue. What a key means for another strategy only is warned of.
pub(super) fn read_strategy(queue: &Section<'_>) -> StrategyPolicy {
    let window = queue.count("window", 40, 1, MOST);
    let words = [
        ("adaptive", StrategyPolicy::Adaptive),
        ("ranked", StrategyPolicy::Ranked),
        ("batch", StrategyPolicy::Batch),
        ("dependent", StrategyPolicy::Dependent { window }),
        ("serial", StrategyPolicy::Serial),
    ];
    // Who has set a window has meant the strategy that has one.
    let usual = if queue.has("window") { words[3].1 } else { words[0].1 };
    let strategy = queue.choice("strategy", &words, usual);
    let dependent = matches!(strategy, StrategyPolicy::Dependent { .. });
    let batches = matches!(strategy, StrategyPolicy::Batch | StrategyPolicy::Adaptive);
    let ranked = matches!(strategy, StrategyPolicy::Ranked | StrategyPolicy::Adaptive);
    let keys = [
        ("window", dependent, "`dependent`"),
        ("window-growth", dependent, "`dependent`"),
        ("batch-max", batches, "`batch` or `adaptive`"),
        ("alternatives", ranked, "`ranked` or `adaptive`"),
        ("early-landing", ranked, "`ranked` or `adaptive`"),
    ];
    for (key, _, wanted) in keys.iter().filter(|(key, of_use, _)| queue.has(key) && !of_use) {
        let what = format!("has an effect with the strategy {wanted} only");
        queue.source.warn(queue.at_of(key), &format!("queue.{key}"), what, "remove it");
    }
    strategy
}

/// What the strategy may do.
pub(super) fn read_tuning(queue: &Section<'_>) -> Tuning {
    let usual = Tuning::default();
    let start = queue.count("window", 40, 1, MOST);
    let grows = queue.flag("window-growth", false);
    let growth = Growth { start, floor: start.min(3), ceiling: start.saturating_mul(5).min(MOST), by: 1 };
    let alternatives = queue.count("alternatives", usual.alternatives, 0, ALTERNATIVES_MOST);
    let early_landing = queue.flag("early-landing", usual.early_landing);
    if early_landing && alternatives == 0 {
        let what = "has no effect without alternatives: nothing is built in both orders then".to_owned();
        queue.source.warn(
            queue.at_of("early-landing"),
            "queue.early-landing",
            what,
            "set `alternatives = 5`",
        );
    }
    Tuning {
        growth: grows.then_some(growth),
        fail_fast: queue.flag("fail-fast", usual.fail_fast),
        batch_max: queue.count("batch-max", usual.batch_max, 1, 1_000),
        alternatives,
        early_landing,
    }
}
