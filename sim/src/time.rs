//! Times as text.

use jiff::Timestamp;
use jiff::fmt::strtime;

/// `2026-05-25T14:23:29.950Z`.
pub(crate) fn millis(us: i64) -> String {
    text("%Y-%m-%dT%H:%M:%S.%3fZ", us)
}

/// `2026-05-25T14:23:29.950123Z`.
pub(crate) fn micros(us: i64) -> String {
    text("%Y-%m-%dT%H:%M:%S.%6fZ", us)
}

fn text(format: &str, us: i64) -> String {
    let time = Timestamp::from_microsecond(us).unwrap_or(Timestamp::UNIX_EPOCH);
    strtime::format(format, time).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_fixed_number_of_digits() {
        assert_eq!(millis(1_700_000_000_000_000), "2023-11-14T22:13:20.000Z");
        assert_eq!(micros(1_700_000_000_120_001), "2023-11-14T22:13:20.120001Z");
    }
}
