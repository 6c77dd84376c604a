//! Lengths of time as they are written in a manifest: `500ms`, `30s`, `10m`, `1h30m`, `1d`.

use crate::patterns;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{borrow::Cow, fmt, str::FromStr};

/// The units from the longest to the shortest, in milliseconds. A text names each at most once, in this order.
const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// A length of time in whole milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Duration(u64);

/// Why a text is not a [`Duration`].
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No number with a unit, an unknown unit, or units out of order.
    #[error("{0:?} {what}; {mend}", what = patterns::DURATION.what, mend = patterns::DURATION.mend)]
    Form(String),
    /// More milliseconds than 64 bits hold.
    #[error("{0:?} is more than 64 bits of milliseconds; give a shorter time")]
    TooLong(String),
}

impl Duration {
    /// From whole seconds.
    #[must_use]
    pub const fn from_secs(seconds: u64) -> Self {
        Self(seconds.saturating_mul(1_000))
    }

    /// From whole milliseconds.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// As the type of the standard library.
    #[must_use]
    pub const fn as_std(self) -> std::time::Duration {
        std::time::Duration::from_millis(self.0)
    }
}

impl FromStr for Duration {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let form = || Error::Form(text.to_owned());
        let too_long = || Error::TooLong(text.to_owned());
        let mut units = UNITS.iter();
        let mut rest = text;
        let mut total = 0u64;
        while !rest.is_empty() || text.is_empty() {
            let (digits, tail) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(form)?);
            let (unit, tail) = tail.split_at(tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len()));
            // Taking from the same iterator again and again is what holds the units in order.
            let (_, millis) = units.find(|(name, _)| *name == unit).ok_or_else(form)?;
            if digits.is_empty() {
                return Err(form());
            }
            let number: u64 = digits.parse().map_err(|_| too_long())?;
            total = number.checked_mul(*millis).and_then(|part| total.checked_add(part)).ok_or_else(too_long)?;
            rest = tail;
        }
        Ok(Self(total))
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("0s");
        }
        let mut rest = self.0;
        for (name, millis) in UNITS {
            if rest >= millis {
                write!(f, "{}{name}", rest / millis)?;
                rest %= millis;
            }
        }
        Ok(())
    }
}

impl Serialize for Duration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// Narrower than [`FromStr`]: what the pattern lets through always fits, here and in the duration of CEL (292 years).
impl JsonSchema for Duration {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "minLength": 2, "maxLength": 32, "pattern": patterns::DURATION.regex })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_written_is_what_is_meant() {
        for (text, millis) in [
            ("0s", 0),
            ("500ms", 500),
            ("90s", 90_000),
            ("10m", 600_000),
            ("1h30m", 5_400_000),
            ("1d2h3m4s5ms", 93_784_005),
        ] {
            let duration: Duration = text.parse().unwrap();
            assert_eq!(duration.as_std().as_millis(), millis, "{text}");
        }
    }

    #[test]
    fn the_rest_is_refused_with_value_and_mend() {
        for text in ["", "10", "m", "10 m", "-1s", "1.5h", "1m1h", "1s1s", "1w", "1µs", "５s"] {
            let error = text.parse::<Duration>().unwrap_err().to_string();
            assert_eq!(error, format!("{text:?} is not a length of time; write it like 500ms, 30s, 10m, 1h30m or 1d"));
        }
        let error = "99999999999999999999s".parse::<Duration>().unwrap_err().to_string();
        assert_eq!(error, "\"99999999999999999999s\" is more than 64 bits of milliseconds; give a shorter time");
    }

    proptest! {
        #[test]
        fn display_parses_back(millis: u64) {
            let duration = Duration::from_millis(millis);
            prop_assert_eq!(duration.to_string().parse(), Ok(duration));
        }

        #[test]
        fn no_text_panics(text: String) {
            let _ = text.parse::<Duration>();
        }
    }
}
