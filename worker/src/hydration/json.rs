//! The JSON of an item, as it stands in the hydrated document.

use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use std::ops::Deref;
use std::sync::Arc;

/// A text that is JSON: it is written into documents as it is. Copies share it.
#[derive(Clone, Debug)]
pub struct Json(Arc<RawValue>);

impl Json {
    /// `None` where the text is no JSON.
    #[must_use]
    pub fn read(text: String) -> Option<Self> {
        RawValue::from_string(text).ok().map(|json| Self(json.into()))
    }
}

impl From<String> for Json {
    /// Of a text that was written as JSON.
    fn from(text: String) -> Self {
        Self::read(text).unwrap_or_else(|| Self(RawValue::NULL.to_owned().into()))
    }
}

impl Deref for Json {
    type Target = str;

    fn deref(&self) -> &str {
        self.0.get()
    }
}

impl PartialEq for Json {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Json {}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}
