//! Sizes as they are written in a manifest: `1048576`, `"64Ki"`, `"128Mi"`, `"20G"`. All count bytes.

use crate::patterns;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{borrow::Cow, fmt, str::FromStr};

/// Suffixes as Kubernetes has them: powers of 1024 with an `i`, powers of 1000 without.
const SUFFIXES: [(&str, u64); 9] = [
    ("Ki", 1 << 10),
    ("Mi", 1 << 20),
    ("Gi", 1 << 30),
    ("Ti", 1 << 40),
    ("k", 1_000),
    ("M", 1_000_000),
    ("G", 1_000_000_000),
    ("T", 1_000_000_000_000),
    ("", 1),
];

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Quantity(u64);

/// Why a text is not a [`Quantity`].
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not a whole number with one of the suffixes.
    #[error("{0:?} {what}; {mend}", what = patterns::QUANTITY.what, mend = patterns::QUANTITY.mend)]
    Form(String),
    /// More bytes than 64 bits hold.
    #[error("{0:?} is more than 64 bits of bytes; give a smaller size")]
    TooLarge(String),
}

impl Quantity {
    /// From a number of bytes.
    #[must_use]
    pub const fn from_bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// From a number of mebibytes (1024 × 1024 bytes).
    #[must_use]
    pub const fn from_mebibytes(mebibytes: u64) -> Self {
        Self(mebibytes.saturating_mul(1 << 20))
    }

    /// The number of bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

impl FromStr for Quantity {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let (digits, suffix) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
        let factor = SUFFIXES.iter().find(|(name, _)| *name == suffix).map(|(_, factor)| *factor);
        let (false, Some(factor)) = (digits.is_empty(), factor) else { return Err(Error::Form(text.to_owned())) };
        let number: Option<u64> = digits.parse().ok();
        number.and_then(|n| n.checked_mul(factor)).map(Self).ok_or_else(|| Error::TooLarge(text.to_owned()))
    }
}

impl fmt::Display for Quantity {
    /// The shortest of the ways to write it exactly; powers of 1024 win a tie.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exact = SUFFIXES.iter().filter(|(_, factor)| self.0.is_multiple_of(*factor));
        let written = exact.map(|(name, factor)| format!("{}{name}", self.0 / factor));
        f.write_str(&if self.0 == 0 { "0".to_owned() } else { written.min_by_key(String::len).unwrap_or_default() })
    }
}

impl Serialize for Quantity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Visitor)
    }
}

struct Visitor;

impl de::Visitor<'_> for Visitor {
    type Value = Quantity;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a size in bytes, as a whole number or a text like 128Mi")
    }

    fn visit_u64<E: de::Error>(self, bytes: u64) -> Result<Quantity, E> {
        Ok(Quantity(bytes))
    }

    fn visit_i64<E: de::Error>(self, bytes: i64) -> Result<Quantity, E> {
        u64::try_from(bytes).map(Quantity).map_err(|_| E::invalid_value(de::Unexpected::Signed(bytes), &self))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Quantity, E> {
        text.parse().map_err(E::custom)
    }
}

/// Narrower than [`FromStr`]: what the schema lets through always fits into 64 bits.
impl JsonSchema for Quantity {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Quantity".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "x-kubernetes-int-or-string": true,
            // Said outright, or kube makes every optional one nullable.
            "nullable": false,
            "minimum": 0,
            "maximum": 1_000_000_000_000_000u64,
            "maxLength": 16,
            "pattern": patterns::QUANTITY.regex,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn what_is_written_is_what_is_meant() {
        for (text, bytes) in [
            ("0", 0),
            ("1048576", 1 << 20),
            ("64Ki", 1 << 16),
            ("128Mi", 1 << 27),
            ("1Gi", 1 << 30),
            ("20G", 20_000_000_000),
        ] {
            assert_eq!(text.parse().map(Quantity::bytes), Ok(bytes), "{text}");
        }
        for value in [json!(1024), json!("1024"), json!("1Ki")] {
            assert_eq!(serde_json::from_value::<Quantity>(value).unwrap().bytes(), 1024);
        }
        for (bytes, text) in [(1024, "1Ki"), (1000, "1k"), (1 << 27, "128Mi"), (20_000_000_000, "20G"), (7, "7")] {
            assert_eq!(Quantity::from_bytes(bytes).to_string(), text);
        }
    }

    #[test]
    fn the_rest_is_refused_with_value_and_mend() {
        for text in ["", "Mi", "1.5Gi", "-1", "1 Mi", "1m", "1KiB", "1e3", "１Mi"] {
            let error = text.parse::<Quantity>().unwrap_err().to_string();
            let mend = "write whole bytes (1048576) or a whole number with k, M, G, T, Ki, Mi, Gi or Ti (128Mi)";
            assert_eq!(error, format!("{text:?} is not a size; {mend}"));
        }
        let error = "20000000Ti".parse::<Quantity>().unwrap_err().to_string();
        assert_eq!(error, "\"20000000Ti\" is more than 64 bits of bytes; give a smaller size");
    }

    proptest! {
        #[test]
        fn display_parses_back(bytes: u64, shift in 0u32..64) {
            let quantity = Quantity::from_bytes(bytes << shift);
            prop_assert_eq!(quantity.to_string().parse(), Ok(quantity));
        }

        #[test]
        fn no_text_panics(text: String) {
            let _ = text.parse::<Quantity>();
        }
    }
}
