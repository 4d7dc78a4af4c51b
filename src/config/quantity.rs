//! Durations (`90s`, `1h30m`) and sizes (`64MiB`) as people write them.

/// The longest duration that is accepted: ten years, in milliseconds.
const LONGEST_MS: i64 = 10 * 365 * 86_400_000;

const DURATION_UNITS: [(&str, i64); 5] =
    [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

const SIZE_UNITS: [(&str, i64); 7] = [
    ("B", 1),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
];

/// A duration in milliseconds.
///
/// # Errors
/// What is wrong with it.
pub(super) fn parse_duration(text: &str) -> Result<i64, String> {
    let mut rest = text.trim();
    if rest.starts_with('-') {
        return Err(format!("`{text}` is negative"));
    }
    let mut total: i64 = 0;
    loop {
        let (millis, after) =
            leading(rest, &DURATION_UNITS).ok_or_else(|| format!("`{text}` is no duration"))?;
        let sum = millis.and_then(|millis| total.checked_add(millis)).filter(|sum| *sum <= LONGEST_MS);
        total = sum.ok_or_else(|| format!("`{text}` is too long (ten years at most)"))?;
        rest = after.trim_start();
        if rest.is_empty() {
            return Ok(total);
        }
    }
}

/// A size in bytes.
///
/// # Errors
/// What is wrong with it.
pub(super) fn parse_size(text: &str) -> Result<u64, String> {
    match leading(text.trim(), &SIZE_UNITS) {
        Some((Some(bytes), "")) => u64::try_from(bytes).map_err(|_| format!("`{text}` is too large")),
        Some((None, "")) => Err(format!("`{text}` is too large")),
        _ => Err(format!("`{text}` is no size")),
    }
}

/// The number and unit at the front of `text`, multiplied (`None` on overflow), and what follows.
fn leading<'a>(text: &'a str, units: &[(&str, i64)]) -> Option<(Option<i64>, &'a str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, rest) = text.split_at(digits);
    if number.is_empty() {
        return None;
    }
    let rest = rest.trim_start();
    let letters = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
    let (unit, rest) = rest.split_at(letters);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    Some((number.parse::<i64>().ok().and_then(|number| number.checked_mul(*factor)), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_with_their_units() {
        for (text, expected) in [
            ("500ms", Some(500)),
            ("90s", Some(90_000)),
            ("30m", Some(1_800_000)),
            ("1h30m", Some(5_400_000)),
            ("1h 30m", Some(5_400_000)),
            ("7d", Some(604_800_000)),
            ("0s", Some(0)),
            ("", None),
            ("30", None),
            ("-5s", None),
            ("5 parsecs", None),
            ("99999999999999999999s", None),
            ("9223372036854775807d", None),
            ("36500d", None),
        ] {
            assert_eq!(parse_duration(text).ok(), expected, "{text}");
        }
    }

    #[test]
    fn sizes_are_read_with_their_units() {
        for (text, expected) in [
            ("64MiB", Some(64 << 20)),
            ("10 kB", Some(10_000)),
            ("64", None),
            ("64MiBs", None),
            ("1GiB 2MiB", None),
            ("99999999999GiB", None),
        ] {
            assert_eq!(parse_size(text).ok(), expected, "{text}");
        }
    }
}
