//! The numbers at the top of the status page.

use super::html::Html;
use super::picture::Picture;
use super::state::State;
use crate::model::time::in_words;

/// Minutes over which landings are counted.
const MINUTES: i64 = 60;

/// Writes them.
pub fn write(html: &mut Html, picture: &Picture) {
    let view = &picture.view;
    let items = || picture.queues.iter().flatten();
    let failing = items().filter(|row| State::of(&row.item) == State::Bad).count();
    let since = view.at.0.div_euclid(super::history::MINUTE_MS) - MINUTES;
    let (mut landed, mut left, mut stay_ms) = (0_u32, 0_u32, 0_i64);
    let recent = picture.minutes.iter().filter(|minute| minute.at > since);
    for sample in recent.flat_map(|minute| minute.queues.values()) {
        landed += sample.landed;
        left += sample.left;
        stay_ms += sample.stay_ms;
    }
    html.raw("<dl class=\"figures\">");
    figure(html, "in queues", &items().count().to_string(), "");
    figure(html, "failing", &failing.to_string(), if failing > 0 { "failing" } else { "" });
    figure(html, "waiting outside", &view.waiting.len().to_string(), "");
    figure(html, "builds / slots", &format!("{} / {}", view.builds_running, view.slots), "");
    figure(html, "landed, last hour", &landed.to_string(), "");
    figure(html, "left, last hour", &left.to_string(), "");
    let stay = if landed == 0 { "–".to_owned() } else { in_words(stay_ms / i64::from(landed)) };
    figure(html, "mean time to land", &stay, "");
    html.raw("</dl>");
}

fn figure(html: &mut Html, name: &'static str, value: &str, class: &'static str) {
    html.raw("<div><dt>").raw(name).element("</dt><dd class=\"", class, "\">").text(value).raw("</dd></div>");
}
