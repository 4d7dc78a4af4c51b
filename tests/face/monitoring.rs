//! The example alerts and the dashboard name only series that are really exported.

use std::collections::BTreeSet;

use std::time::Duration;

use super::made::busy;
use seakeeper::model::item::JobOutcome;
use seakeeper::model::{Departure, Timestamp};
use seakeeper::web::Metrics;
use seakeeper::web::metrics::{Ended, GerritCounts};

const FILES: [(&str, &str); 2] = [
    ("config/alerts.yaml", include_str!("../../config/alerts.yaml")),
    ("config/grafana.json", include_str!("../../config/grafana.json")),
];

/// All names that a scrape can hold, from the lines that tell the types.
fn exported() -> BTreeSet<String> {
    let metrics = Metrics::new();
    metrics.observe_view(&busy(Timestamp(0), 40));
    metrics.gate_ended(&"main".into(), &Departure::Landed { commits: vec![] }, 1);
    metrics.gate_ended(&"main".into(), &Departure::Abandoned, 1);
    metrics.build_ended(&"unit".into(), JobOutcome::Success, 1);
    metrics.effect("land", Duration::ZERO, Ended::Well);
    metrics.effect("prepare", Duration::ZERO, Ended::Well);
    metrics.gerrit(&GerritCounts { requests: [("ok", 1); 5], events: 1, reconnects: 1, streaming: true });
    let text = metrics.encode();
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let names = types.flat_map(|(name, kind)| match kind {
        "counter" => vec![format!("{name}_total")],
        "histogram" => ["bucket", "sum", "count"].map(|end| format!("{name}_{end}")).into(),
        _ => vec![name.to_owned()],
    });
    names.collect()
}

fn named(text: &str) -> BTreeSet<String> {
    let part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.split(|c| !part(c)).filter(|word| word.starts_with("seakeeper_")).map(str::to_owned).collect()
}

#[test]
fn alerts_and_dashboard_name_only_what_is_exported() {
    let exported = exported();
    assert!(
        exported.contains("seakeeper_landed_total") && exported.contains("seakeeper_landing_seconds_bucket")
    );
    for (file, text) in FILES {
        let named = named(text);
        assert!(named.len() >= 5, "{file} names {named:?}");
        let missing: Vec<_> = named.difference(&exported).collect();
        assert!(missing.is_empty(), "{file} names {missing:?}, which nothing exports");
    }
    let panels: serde_json::Value = serde_json::from_str(FILES[1].1).expect("the dashboard is JSON");
    assert!(panels["panels"].as_array().is_some_and(|panels| panels.len() >= 8));
}

#[test]
fn the_table_of_metrics_is_whole() {
    let page = include_str!("../../docs/operations.md");
    let exported = exported();
    let missing: Vec<_> = exported
        .iter()
        .filter(|name| !["_bucket", "_sum", "_count"].iter().any(|end| name.ends_with(end)))
        .filter(|name| !page.contains(name.as_str()))
        .collect();
    assert!(missing.is_empty(), "docs/operations.md does not explain {missing:?}");
}
