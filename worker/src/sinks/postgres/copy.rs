//! Rows on their way to the server: in the binary format of COPY, or, where they are few, as arrays of texts.
//!
//! The format of COPY is PostgreSQL's: a signature, for each row the number of its fields, for each field its length and
//! bytes, all big-endian (<https://www.postgresql.org/docs/current/sql-copy.html>, Binary Format).

const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
const NULL: i32 = -1;
/// 2000-01-01T00:00:00Z, from which a timestamptz counts.
const EPOCH_US: i64 = 946_684_800_000_000;
/// The type `text` in the header of an array.
const TEXT_OID: usize = 25;
/// Before the text of a jsonb.
const JSONB_VERSION: u8 = 1;

/// Rows that are being written.
#[derive(Debug)]
pub(super) enum Rows {
    /// For COPY.
    Binary {
        /// What is written so far.
        bytes: Vec<u8>,
        /// Fields of each row.
        fields: i16,
    },
    /// A column each.
    Arrays {
        /// The columns.
        columns: Vec<Vec<Option<String>>>,
        /// The column of the next field.
        at: usize,
    },
}

impl Rows {
    /// No rows yet, of this many fields each, for COPY.
    pub(super) fn binary(fields: usize) -> Self {
        Self::Binary { bytes: SIGNATURE.to_vec(), fields: i16::try_from(fields).unwrap_or_default() }
    }

    /// No rows yet, of this many fields each, as arrays.
    pub(super) fn arrays(fields: usize) -> Self {
        Self::Arrays { columns: vec![Vec::new(); fields], at: 0 }
    }

    /// Begins a row; its fields follow, in the order of the columns.
    pub(super) fn row(&mut self) -> &mut Self {
        match self {
            Self::Binary { bytes, fields } => bytes.extend_from_slice(&fields.to_be_bytes()),
            Self::Arrays { at, .. } => *at = 0,
        }
        self
    }

    pub(super) fn text(&mut self, text: &str) -> &mut Self {
        self.field(text.len(), |bytes| bytes.extend_from_slice(text.as_bytes()), || text.to_owned())
    }

    pub(super) fn text_or_null(&mut self, text: Option<&str>) -> &mut Self {
        match text {
            Some(text) => self.text(text),
            None => self.null(),
        }
    }

    /// JSON text, checked by the server.
    pub(super) fn jsonb_or_null(&mut self, json: Option<&[u8]>) -> &mut Self {
        let Some(json) = json else { return self.null() };
        let binary = |bytes: &mut Vec<u8>| {
            bytes.push(JSONB_VERSION);
            bytes.extend_from_slice(json);
        };
        self.field(json.len() + 1, binary, || String::from_utf8_lossy(json).into_owned())
    }

    pub(super) fn bigint(&mut self, number: i64) -> &mut Self {
        self.field(8, |bytes| bytes.extend_from_slice(&number.to_be_bytes()), || number.to_string())
    }

    pub(super) fn integer(&mut self, number: i32) -> &mut Self {
        self.field(4, |bytes| bytes.extend_from_slice(&number.to_be_bytes()), || number.to_string())
    }

    /// Microseconds since the Unix epoch, as a timestamptz.
    pub(super) fn time(&mut self, time_us: i64) -> &mut Self {
        let binary = |bytes: &mut Vec<u8>| bytes.extend_from_slice(&time_us.saturating_sub(EPOCH_US).to_be_bytes());
        self.field(8, binary, || jiff::Timestamp::from_microsecond(time_us).unwrap_or_default().to_string())
    }

    /// A text[] without NULLs.
    pub(super) fn texts(&mut self, texts: &[String]) -> &mut Self {
        // Dimensions, whether there are NULLs, the type; then, where there is something, its length and first index.
        let head = if texts.is_empty() { 12 } else { 20 };
        let len = head + texts.iter().map(|text| 4 + text.len()).sum::<usize>();
        let binary = |bytes: &mut Vec<u8>| {
            let integer = |number: usize| i32::try_from(number).unwrap_or(i32::MAX).to_be_bytes();
            for number in [usize::from(!texts.is_empty()), 0, TEXT_OID] {
                bytes.extend_from_slice(&integer(number));
            }
            if !texts.is_empty() {
                bytes.extend_from_slice(&integer(texts.len()));
                bytes.extend_from_slice(&integer(1));
            }
            for text in texts {
                bytes.extend_from_slice(&integer(text.len()));
                bytes.extend_from_slice(text.as_bytes());
            }
        };
        self.field(len, binary, || literal(texts))
    }

    pub(super) fn null(&mut self) -> &mut Self {
        match self {
            Self::Binary { bytes, .. } => bytes.extend_from_slice(&NULL.to_be_bytes()),
            Self::Arrays { columns, at } => push(columns, at, None),
        }
        self
    }

    fn field(&mut self, len: usize, binary: impl FnOnce(&mut Vec<u8>), text: impl FnOnce() -> String) -> &mut Self {
        match self {
            Self::Binary { bytes, .. } => {
                // A field is at most as long as the largest frame of a source, which is far below this bound.
                bytes.extend_from_slice(&i32::try_from(len).unwrap_or(i32::MAX).to_be_bytes());
                binary(bytes);
            }
            Self::Arrays { columns, at } => push(columns, at, Some(text())),
        }
        self
    }
}

/// The end of a COPY.
pub(super) fn end(bytes: &mut Vec<u8>) {
    bytes.extend_from_slice(&(-1i16).to_be_bytes());
}

fn push(columns: &mut [Vec<Option<String>>], at: &mut usize, field: Option<String>) {
    if let Some(column) = columns.get_mut(*at) {
        column.push(field);
    }
    *at += 1;
}

/// The text form of a text[].
fn literal(texts: &[String]) -> String {
    let mut literal = String::from("{");
    for (n, text) in texts.iter().enumerate() {
        literal.push_str(if n == 0 { "\"" } else { ",\"" });
        for letter in text.chars() {
            if matches!(letter, '"' | '\\') {
                literal.push('\\');
            }
            literal.push(letter);
        }
        literal.push('"');
    }
    literal.push('}');
    literal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_array_as_text_keeps_quotes_and_backslashes() {
        assert_eq!(literal(&[]), "{}");
        let texts = ["a\"b", "\\", "", "NULL", "{,}"].map(str::to_owned);
        assert_eq!(literal(&texts), r#"{"a\"b","\\","","NULL","{,}"}"#);
    }
}
