//! JSON that every sink takes.
//!
//! A record is stored as its account wrote it, and one that a database does not take is a dead letter of that database.
//! What stands in a hydrated document is another's, and must cost a record nothing: so it is left out where it is not
//! plain: without NULs and halves of surrogates in its texts, with numbers that fit 64 bits or a double and are no
//! longer than a line, at most 128 levels deep.

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// PostgreSQL takes no number with more digits than 16,383 behind the point.
const LONGEST_NUMBER: usize = 1000;

/// Whether a text of JSON is plain.
pub(super) fn is_plain(json: &str) -> bool {
    let long = json.as_bytes().split(|c| !matches!(c, b'0'..=b'9' | b'.')).any(|run| run.len() > LONGEST_NUMBER);
    !long && serde_json::from_str::<Plain>(json).is_ok()
}

/// Plain JSON, of which nothing is kept.
struct Plain;

impl<'de> Deserialize<'de> for Plain {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Plain)
    }
}

impl<'de> Visitor<'de> for Plain {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("plain JSON")
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Self, E> {
        if number.is_finite() { Ok(self) } else { Err(E::custom("a number is too large")) }
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self, E> {
        if text.contains('\0') { Err(E::custom("a NUL")) } else { Ok(self) }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self, A::Error> {
        while list.next_element::<Plain>()?.is_some() {}
        Ok(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self, A::Error> {
        while map.next_entry::<Plain, Plain>()?.is_some() {}
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_database_does_not_take_is_not_plain() {
        for plain in
            ["null", "[]", r#"{"a":[1,-1.5e300,"é\u00e9 \ud83d\ude00",{"b":null}],"t":true}"#, "18446744073709551615"]
        {
            assert!(is_plain(plain), "{plain}");
        }
        let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
        let long = format!("0.{}", "1".repeat(20_000));
        for not in [r#""a\u0000""#, r#"{"a\u0000":1}"#, r#""\ud800""#, "1E999", "{", &deep, &long] {
            assert!(!is_plain(not), "{not}");
        }
    }
}
