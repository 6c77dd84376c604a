//! What projections and hydration read of a record. Accounts may write anything: what is not there, or is of another
//! type than its lexicon says, is NULL, and nothing here fails.

mod wanted;

use serde::Deserializer as _;
use serde_json::Value;
use serde_json::value::RawValue;
use turbo_core::event::parse_time;
use wanted::Wanted;

const FACET: &str = "app.bsky.richtext.facet#";
/// The longest name, in bytes, that a column for names takes: what an index can bear. No DID or AT URI comes near.
const LONGEST_NAME: usize = 2048;
/// Years 1 to 9999.
const TIMES_US: std::ops::Range<i64> = -62_135_596_800_000_000..253_402_300_800_000_000;

/// A value of a column, as the server takes it without a doubt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Datum {
    /// NULL.
    Null,
    /// Without a NUL.
    Text(String),
    /// Each without a NUL.
    Texts(Vec<String>),
    /// Microseconds since the Unix epoch.
    Time(i64),
}

/// The fields of a record: few, so that they are looked through; of a repeated one the last counts.
#[derive(Debug, Default)]
pub(crate) struct Record {
    /// `None` for what can not be read.
    fields: Vec<(String, Option<Value>)>,
}

impl Record {
    /// Of the record's JSON. One that is no object has no fields, and neither has it one that can not be read: half a
    /// character, a number beyond all range, nesting beyond 128.
    pub(crate) fn new(json: &[u8]) -> Self {
        Self::of(json, |_| true)
    }

    /// The same, with the fields of these names only.
    pub(crate) fn of(json: &[u8], wanted: impl Fn(&str) -> bool) -> Self {
        let mut reader = serde_json::Deserializer::from_slice(json);
        let fields = reader.deserialize_map(Wanted(wanted)).and_then(|fields| reader.end().map(|()| fields));
        let fields = fields.unwrap_or_default().into_iter();
        let read = |(name, raw): (String, &RawValue)| (name, serde_json::from_str(raw.get()).ok());
        Self { fields: fields.map(read).collect() }
    }

    /// What stands at a path of names.
    pub(crate) fn at(&self, path: &[&str]) -> Option<&Value> {
        let (first, rest) = path.split_first()?;
        let (_, value) = self.fields.iter().rfind(|(name, _)| name == first)?;
        rest.iter().try_fold(value.as_ref()?, |value, name| value.get(name))
    }

    /// The elements of a list at a path; none where there is none.
    pub(crate) fn list(&self, path: &[&str]) -> &[Value] {
        self.at(path).and_then(Value::as_array).map_or(&[], |list| list)
    }

    /// A text of any length.
    pub(crate) fn text(&self, path: &[&str]) -> Datum {
        self.at(path).and_then(Value::as_str).map_or(Datum::Null, |text| Datum::Text(without_nul(text)))
    }

    /// A name: a URI, a DID, a CID.
    pub(crate) fn name(&self, path: &[&str]) -> Datum {
        self.at(path).and_then(name).map_or(Datum::Null, Datum::Text)
    }

    /// The content id of a blob.
    pub(crate) fn blob(&self, path: &[&str]) -> Datum {
        self.at(path).and_then(blob).map_or(Datum::Null, Datum::Text)
    }

    /// The texts of a list; NULL where it is no list, and without the elements that are no texts.
    pub(crate) fn names(&self, path: &[&str]) -> Datum {
        let list = self.at(path).and_then(Value::as_array);
        list.map_or(Datum::Null, |list| Datum::Texts(list.iter().filter_map(name).collect()))
    }

    /// A time as RFC 3339 has it.
    pub(crate) fn time(&self, path: &[&str]) -> Datum {
        let time = self.at(path).and_then(Value::as_str).and_then(parse_time);
        time.filter(|time| TIMES_US.contains(time)).map_or(Datum::Null, Datum::Time)
    }

    /// What the features of one kind (`mention`, say) have in a field, in the order of the text; `None` where `facets` is
    /// no list.
    pub(crate) fn facets<'a>(&'a self, kind: &'a str, field: &'a str) -> Option<impl Iterator<Item = &'a Value>> {
        let facets = self.at(&["facets"])?.as_array()?;
        let features = facets.iter().filter_map(|facet| facet.get("features")?.as_array()).flatten();
        let of_kind = features.filter(move |feature| {
            feature.get("$type").and_then(Value::as_str).and_then(|kind| kind.strip_prefix(FACET)) == Some(kind)
        });
        Some(of_kind.filter_map(move |feature| feature.get(field)))
    }

    /// The values of `com.atproto.label.defs#selfLabels`.
    pub(crate) fn labels(&self) -> Datum {
        let list = self.at(&["labels", "values"]).and_then(Value::as_array);
        list.map_or(Datum::Null, |list| Datum::Texts(list.iter().filter_map(|label| name(label.get("val")?)).collect()))
    }
}

/// The paths of what a post may quote: by itself, or beside media.
pub(crate) const QUOTES: [&[&str]; 2] = [&["embed", "record", "uri"], &["embed", "record", "record", "uri"]];

/// A text that is short enough for a name.
pub(crate) fn name(value: &Value) -> Option<String> {
    value.as_str().filter(|text| text.len() <= LONGEST_NAME).map(without_nul)
}

/// The content id of a blob, in the form of today or in the first one, which was `{cid, mimeType}`.
pub(crate) fn blob(value: &Value) -> Option<String> {
    name(value.get("ref").and_then(|link| link.get("$link")).or_else(|| value.get("cid"))?)
}

/// PostgreSQL takes no NUL. A record with one is a dead letter, and is not projected.
fn without_nul(text: &str) -> String {
    text.replace('\0', "")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_of_another_type_is_null() {
        let record =
            Record::new(br#"{"a":1,"b":"x","c":["y",2,"z"],"d":{"e":"v"},"t":"2026-07-01T00:00:00.5Z","b":"w"}"#);
        assert_eq!(record.text(&["a"]), Datum::Null);
        assert_eq!(record.text(&["b"]), Datum::Text("w".into()), "the last of a repeated key counts, as in jsonb");
        assert_eq!(record.names(&["c"]), Datum::Texts(vec!["y".into(), "z".into()]));
        assert_eq!(record.names(&["b"]), Datum::Null);
        assert_eq!(record.name(&["d", "e"]), Datum::Text("v".into()));
        assert_eq!(record.name(&["b", "e"]), Datum::Null);
        assert_eq!(record.time(&["t"]), Datum::Time(1_782_864_000_500_000));
        for time in ["-009999-01-01T00:00:00Z", "yesterday", "", "2026-07-01"] {
            let record = Record::new(format!(r#"{{"t":"{time}"}}"#).as_bytes());
            assert_eq!(record.time(&["t"]), Datum::Null, "{time}");
        }
    }

    #[test]
    fn a_field_that_can_not_be_read_takes_no_other_with_it() {
        let deep = format!(r#"{{"deep":{}{},"text":"x","n":1E999}}"#, "[".repeat(50_000), "]".repeat(50_000));
        assert_eq!(Record::new(deep.as_bytes()).text(&["text"]), Datum::Text("x".into()));
        assert_eq!(Record::new(br#"{"text":"a\u0000b"}"#).text(&["text"]), Datum::Text("ab".into()));
        assert_eq!(Record::new(br#"{"text":"\ud800","b":"x"}"#).text(&["b"]), Datum::Text("x".into()));
        assert_eq!(Record::new(br#"{"text":"x","text":"\ud800"}"#).text(&["text"]), Datum::Null, "the last counts");
        let long = format!(r#"{{"text":"{}"}}"#, "x".repeat(3000));
        assert_eq!(Record::new(long.as_bytes()).name(&["text"]), Datum::Null);
        for json in ["null", "[1]", "3", "\"text\"", "", "{"] {
            assert_eq!(Record::new(json.as_bytes()).text(&["text"]), Datum::Null);
        }
    }

    proptest! {
        #[test]
        fn no_text_of_json_makes_it_fail(text in "\\PC*", json in "[\\[\\]{}:,\"0-9a-z\\\\]*") {
            let record = serde_json::json!({ "createdAt": text.clone(), "subject": { "uri": text } }).to_string();
            for json in [record, json] {
                let record = Record::new(json.as_bytes());
                record.time(&["createdAt"]);
                record.name(&["subject", "uri"]);
            }
        }
    }
}
