//! When periodic pipelines are due: the moments of a crontab line in a time zone.
//!
//! The core knows no clock and no time zone. Whoever drives it asks here, and tells it of each moment as
//! [`Event::Due`]; the core heeds each at most once.

use std::collections::BTreeMap;

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::Zoned;
use jiff::tz::TimeZone;

use crate::model::{Event, PipelineName, Policy, Timestamp};

/// From when on a line must have a moment, to be accepted: any will do.
const REFERENCE_MS: i64 = 1_767_225_600_000;

/// A crontab line in a time zone.
#[derive(Clone, Debug)]
pub struct Timetable {
    cron: Cron,
    zone: TimeZone,
}

impl Timetable {
    /// Reads a line of five fields.
    ///
    /// # Errors
    /// What is wrong with the line or the zone, in words.
    pub fn new(cron: &str, zone: &str) -> Result<Self, String> {
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
        let parsed = parser.parse(cron).map_err(|error| format!("`{cron}` is no crontab line ({error})"))?;
        let zone = TimeZone::get(zone).map_err(|_| format!("there is no time zone `{zone}`"))?;
        let table = Self { cron: parsed, zone };
        match table.next_after(Timestamp(REFERENCE_MS)) {
            Some(_) => Ok(table),
            None => Err(format!("`{cron}` never comes")),
        }
    }

    /// Whether there is such a time zone.
    ///
    /// # Errors
    /// That there is none, in words.
    pub fn check_zone(zone: &str) -> Result<(), String> {
        TimeZone::get(zone).map(drop).map_err(|_| format!("there is no time zone `{zone}`"))
    }

    /// The first moment after `at`.
    pub fn next_after(&self, at: Timestamp) -> Option<Timestamp> {
        let found = self.cron.find_next_occurrence(&self.zoned(at)?, false).ok()?;
        Some(Timestamp(found.timestamp().as_millisecond()))
    }

    /// The last moment that is not after `at`.
    pub fn last_until(&self, at: Timestamp) -> Option<Timestamp> {
        let found = self.cron.find_previous_occurrence(&self.zoned(at)?, true).ok()?;
        Some(Timestamp(found.timestamp().as_millisecond()))
    }

    fn zoned(&self, at: Timestamp) -> Option<Zoned> {
        Some(jiff::Timestamp::from_millisecond(at.0).ok()?.to_zoned(self.zone.clone()))
    }
}

/// The timetables of all periodic pipelines of a configuration.
#[derive(Clone, Debug, Default)]
pub struct Timetables(BTreeMap<PipelineName, Timetable>);

impl Timetables {
    /// Those of a configuration that was checked.
    pub fn of(policy: &Policy) -> Self {
        let read = policy.pipelines.periodic.iter().filter_map(|periodic| {
            Some((periodic.name.clone(), Timetable::new(&periodic.cron, &periodic.time_zone).ok()?))
        });
        Self(read.collect())
    }

    /// When the first of them is due, each after the moment of it that was heeded last.
    pub fn next(&self, heeded: &[(PipelineName, Timestamp)]) -> Option<Timestamp> {
        heeded.iter().filter_map(|(name, last)| self.0.get(name)?.next_after(*last)).min()
    }

    /// What is due at `now`: of several moments that have passed since the one that was heeded last, the
    /// latest.
    pub fn due(&self, heeded: &[(PipelineName, Timestamp)], now: Timestamp) -> Vec<Event> {
        let due = heeded.iter().filter_map(|(name, last)| {
            let at = self.0.get(name)?.last_until(now).filter(|at| at > last)?;
            Some(Event::Due { pipeline: name.clone(), at })
        });
        due.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        let stamp: jiff::Timestamp = text.parse().unwrap();
        Timestamp(stamp.as_millisecond())
    }

    /// The moments of a line from one moment on until another, in UTC.
    fn moments(cron: &str, zone: &str, from: &str, until: &str) -> Vec<String> {
        let table = Timetable::new(cron, zone).unwrap();
        let mut moments = Vec::new();
        let mut last = at(from);
        while let Some(next) = table.next_after(last).filter(|next| *next <= at(until)) {
            assert_eq!(table.last_until(next), Some(next), "{cron}");
            assert_eq!(table.last_until(next.plus_ms(59_999)), Some(next), "{cron}");
            moments.push(jiff::Timestamp::from_millisecond(next.0).unwrap().to_string());
            last = next;
        }
        moments
    }

    #[test]
    fn moments_are_those_of_the_clock_on_the_wall() {
        for (cron, zone, from, until, expected) in [
            (
                "0 3 * * *",
                "UTC",
                "2026-01-01T03:00:00Z",
                "2026-01-03T03:00:00Z",
                vec!["2026-01-02T03:00:00Z", "2026-01-03T03:00:00Z"],
            ),
            (
                "0 3 * * *",
                "Europe/Berlin",
                "2026-03-28T00:00:00Z",
                "2026-03-30T12:00:00Z",
                vec!["2026-03-28T02:00:00Z", "2026-03-29T01:00:00Z", "2026-03-30T01:00:00Z"],
            ),
            (
                "30 22 * * 1-5",
                "America/New_York",
                "2026-01-02T00:00:00Z",
                "2026-01-06T12:00:00Z",
                vec!["2026-01-02T03:30:00Z", "2026-01-03T03:30:00Z", "2026-01-06T03:30:00Z"],
            ),
        ] {
            assert_eq!(moments(cron, zone, from, until), expected, "{cron} {zone}");
        }
    }

    #[test]
    fn where_the_clock_jumps_a_fixed_time_comes_once() {
        // 29 March 2026: 02:00 is followed by 03:00. 25 October: 03:00 is followed by 02:00.
        let spring = moments("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", "2026-03-29T12:00:00Z");
        assert_eq!(spring, ["2026-03-29T01:00:00Z"]);
        let autumn = moments("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", "2026-10-25T12:00:00Z");
        assert_eq!(autumn, ["2026-10-25T00:30:00Z"]);
    }

    #[test]
    fn where_the_clock_jumps_intervals_go_on() {
        let spring = moments("0,30 * * * *", "Europe/Berlin", "2026-03-29T00:00:00Z", "2026-03-29T02:00:00Z");
        let expected =
            ["2026-03-29T00:30:00Z", "2026-03-29T01:00:00Z", "2026-03-29T01:30:00Z", "2026-03-29T02:00:00Z"];
        assert_eq!(spring, expected);
        let autumn = moments("0 * * * *", "Europe/Berlin", "2026-10-24T23:30:00Z", "2026-10-25T02:30:00Z");
        assert_eq!(autumn, ["2026-10-25T00:00:00Z", "2026-10-25T01:00:00Z", "2026-10-25T02:00:00Z"]);
    }

    #[test]
    fn what_is_no_line_or_never_comes_is_refused() {
        for cron in ["", "3", "0 3 * *", "0 0 3 * * *", "60 3 * * *", "0 0 30 2 *", "soon"] {
            assert!(Timetable::new(cron, "UTC").is_err(), "{cron}");
        }
        assert!(Timetable::new("0 3 * * *", "Mars/Olympus").is_err());
    }

    #[test]
    fn of_moments_that_were_missed_the_latest_is_due() {
        let table = Timetable::new("0 3 * * *", "UTC").unwrap();
        let tables = Timetables([("nightly".into(), table)].into());
        let since = |text: &str| vec![("nightly".into(), at(text))];
        assert_eq!(tables.due(&since("2026-01-01T03:00:00Z"), at("2026-01-02T02:59:59Z")), []);
        let due = Event::Due { pipeline: "nightly".into(), at: at("2026-01-04T03:00:00Z") };
        assert_eq!(tables.due(&since("2026-01-01T03:00:00Z"), at("2026-01-04T09:00:00Z")), [due]);
        assert_eq!(tables.next(&since("2026-01-04T03:00:00Z")), Some(at("2026-01-05T03:00:00Z")));
        assert_eq!(
            tables.due(&[("other".into(), at("2026-01-01T03:00:00Z"))], at("2026-02-01T00:00:00Z")),
            []
        );
    }
}
