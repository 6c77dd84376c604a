//! What is known of what a record points at, beside the record.

use std::sync::Arc;

/// How much of it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hydration {
    /// All of it.
    Full,
    /// Some of it.
    Partial,
    /// Nothing.
    None,
}

impl Hydration {
    /// The word of the column.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Partial => "partial",
            Self::None => "none",
        }
    }
}

/// What is known of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hydrated {
    /// How much.
    pub hydration: Hydration,
    /// The hydrated document, as JSON; `None` where nothing is known. Copies share it.
    pub document: Option<Arc<str>>,
}

/// What is known of a record of which nothing is.
pub static NOTHING: Hydrated = Hydrated { hydration: Hydration::None, document: None };

impl Hydrated {
    /// The word of the column, of a record that may have nothing to be known.
    #[must_use]
    pub fn word(of: Option<&Self>) -> &'static str {
        of.map_or(Hydration::None, |hydrated| hydrated.hydration).as_str()
    }

    /// The document, of a record that may have none.
    #[must_use]
    pub fn json(of: Option<&Self>) -> Option<&str> {
        of?.document.as_deref()
    }
}
