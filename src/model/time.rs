//! Time as the core knows it: integer milliseconds, given by whoever calls.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Milliseconds since 1970-01-01 UTC.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// The moment `millis` milliseconds later; stops at the end of time rather than overflow.
    pub fn plus_ms(self, millis: i64) -> Self {
        Self(self.0.saturating_add(millis))
    }

    /// The time of day, as in `09:30:00 UTC`.
    pub fn of_day(self) -> String {
        let seconds = self.0.div_euclid(1000).rem_euclid(86_400);
        format!("{:02}:{:02}:{:02} UTC", seconds / 3600, seconds / 60 % 60, seconds % 60)
    }

    /// Milliseconds from `earlier` to here; negative when `earlier` is later.
    pub fn since_ms(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ms since 1970", self.0)
    }
}

/// A duration of `millis` milliseconds in words, as in `1m 02s`.
pub fn in_words(millis: i64) -> String {
    let seconds = millis.max(0) / 1000;
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 {
        format!("{hours}h {minutes:02}m {seconds:02}s")
    } else if minutes > 0 {
        format!("{minutes}m {seconds:02}s")
    } else {
        format!("{seconds}s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_day_is_that_of_utc() {
        assert_eq!(Timestamp(34_200_000).of_day(), "09:30:00 UTC");
        assert_eq!(Timestamp(-1).of_day(), "23:59:59 UTC");
    }

    #[test]
    fn durations_read_as_people_say_them() {
        for (millis, words) in [(-5, "0s"), (999, "0s"), (62_000, "1m 02s"), (3_723_000, "1h 02m 03s")] {
            assert_eq!(in_words(millis), words);
        }
    }
}
