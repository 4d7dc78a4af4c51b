//! The plots of the last day: how deep the queues were, how much landed, how long it took. Drawn by hand
//! as SVG; what they show is said in words for those who do not see them.

use std::fmt::Write as _;

use super::history::{MINUTE_MS, Minute};
use super::html::Html;
use super::picture::Picture;
use crate::model::time::in_words;

/// Steps of the time axis.
const STEPS: usize = 48;
/// The shortest time that is drawn, in minutes.
const SHORTEST: i64 = 48;
/// The longest, in minutes.
const LONGEST: i64 = 1_440;
/// The drawing's size in its own units.
const WIDTH: i64 = 288;
const HEIGHT: i64 = 56;

/// What is drawn for one step.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
struct Step {
    depth: i64,
    landed: i64,
    stay_ms: i64,
}

/// Writes the three plots.
pub fn write(html: &mut Html, picture: &Picture) {
    let now = picture.view.at.0.div_euclid(MINUTE_MS);
    let (span, steps) = gather(&picture.minutes, now);
    html.raw("<section class=\"plots\" aria-labelledby=\"plots-head\"><h2 id=\"plots-head\">");
    html.element("Last ", span_in_words(span), "</h2>");
    let depth: Vec<i64> = steps.iter().map(|step| step.depth).collect();
    let (most, last) = (peak(&depth), depth.last().copied().unwrap_or_default());
    let words = format!("Items in queues: {last} now, {most} at most");
    plot(html, "Items in queues", &most.to_string(), &words, &area(&depth), "area depth");

    let landed: Vec<i64> = steps.iter().map(|step| step.landed).collect();
    let (most, all) = (peak(&landed), landed.iter().sum::<i64>());
    let per = span_in_words(span / STEPS as i64);
    let words = format!("Landings: {all} in all, {most} at most in {per}");
    let name = format!("Landings in {per}");
    plot(html, &name, &most.to_string(), &words, &bars(&landed), "bars landed");

    let stay: Vec<i64> =
        steps.iter().map(|step| if step.landed > 0 { step.stay_ms / step.landed } else { 0 }).collect();
    let longest = in_words(peak(&stay));
    let words = format!("Mean time from entering a queue to landing: {longest} at most");
    plot(html, "Mean time to land", &longest, &words, &bars(&stay), "bars stay");
    html.raw("</section>");
}

fn plot(html: &mut Html, name: &str, most: &str, words: &str, path: &str, class: &'static str) {
    html.element("<figure><figcaption>", name, " <span class=\"dim\">most: ").text(most);
    html.raw("</span></figcaption><svg role=\"img\" viewBox=\"0 0 288 58\" preserveAspectRatio=\"none\" ");
    html.element("aria-label=\"", words, "\"><path class=\"axis\" d=\"M0 57.5H288\"/><path class=\"")
        .element("", class, "\" d=\"")
        .element("", path, "\"/></svg></figure>");
}

/// The minutes drawn, and their steps. The time drawn grows with what is on record.
fn gather(minutes: &[Minute], now: i64) -> (i64, Vec<Step>) {
    let oldest = minutes.first().map_or(now, |minute| minute.at);
    let steps = STEPS as i64;
    let span = (now - oldest + 1).clamp(SHORTEST, LONGEST);
    let width = (span + steps - 1) / steps;
    let begin = now + 1 - width * steps;
    let mut found = vec![Step::default(); STEPS];
    for minute in minutes {
        let place = usize::try_from((minute.at - begin).div_euclid(width));
        let Some(step) = place.ok().and_then(|place| found.get_mut(place)) else { continue };
        let depth: i64 = minute.queues.values().map(|sample| i64::from(sample.depth)).sum();
        step.depth = step.depth.max(depth);
        for sample in minute.queues.values() {
            step.landed += i64::from(sample.landed);
            step.stay_ms += sample.stay_ms;
        }
    }
    (width * steps, found)
}

fn peak(values: &[i64]) -> i64 {
    values.iter().copied().max().unwrap_or_default()
}

/// The height of `value` below the upper edge.
fn y(value: i64, most: i64) -> i64 {
    1 + HEIGHT - HEIGHT.saturating_mul(value) / most.max(1)
}

fn area(values: &[i64]) -> String {
    let most = peak(values);
    let step = WIDTH / STEPS as i64;
    let mut path = format!("M0 {}", HEIGHT + 1);
    for (at, value) in (0..).zip(values) {
        // Writing to a string cannot fail.
        let _ = write!(path, "L{} {}H{}", at * step, y(*value, most), (at + 1) * step);
    }
    let _ = write!(path, "V{}Z", HEIGHT + 1);
    path
}

fn bars(values: &[i64]) -> String {
    let most = peak(values);
    let step = WIDTH / STEPS as i64;
    let mut path = String::new();
    for (at, value) in (0..).zip(values).filter(|(_, value)| **value > 0) {
        let left = at * step;
        // Even the smallest bar can be seen.
        let top = y(*value, most).min(HEIGHT - 1);
        let _ = write!(path, "M{left} {}V{top}h{}V{}Z", HEIGHT + 1, step - 1, HEIGHT + 1);
    }
    path
}

fn span_in_words(minutes: i64) -> String {
    match minutes {
        1 => "a minute".into(),
        ..120 => format!("{minutes} minutes"),
        _ if minutes % 60 == 0 => format!("{} hours", minutes / 60),
        _ => format!("{}h {:02}m", minutes / 60, minutes % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::history::Sample;

    fn minute(at: i64, sample: Sample) -> Minute {
        Minute { at, queues: [("main".into(), sample)].into() }
    }

    #[test]
    fn a_day_is_drawn_in_steps_of_half_an_hour() {
        let one = Sample { depth: 3, landed: 1, left: 0, stay_ms: 500 };
        let minutes: Vec<_> = (0..1_440).map(|at| minute(at, one)).collect();
        let (span, steps) = gather(&minutes, 1_439);
        assert_eq!(span, 1_440);
        assert!(
            steps.iter().all(|step| *step == Step { depth: 3, landed: 30, stay_ms: 15_000 }),
            "{steps:?}"
        );
    }

    #[test]
    fn a_young_daemon_shows_its_first_minutes_at_the_right_edge() {
        let (span, steps) = gather(&[minute(100, Sample { depth: 2, ..Sample::default() })], 100);
        assert_eq!(
            (span, steps[STEPS - 1].depth, steps[..STEPS - 1].iter().any(|s| s.depth > 0)),
            (48, 2, false)
        );
    }

    #[test]
    fn drawings_stay_within_their_frame() {
        assert_eq!(bars(&[0, 0]), "");
        assert_eq!(bars(&[10, 1]), "M0 57V1h5V57ZM6 57V52h5V57Z");
        assert!(area(&[1, 2]).starts_with("M0 57L0 29H6L6 1H12"));
        assert!(bars(&[i64::MAX]).starts_with("M0 57V"));
    }
}
