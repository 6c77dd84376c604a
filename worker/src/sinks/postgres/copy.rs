//! Rows in the binary format of COPY.
//!
//! The format is PostgreSQL's: a signature, for each row the number of its fields, for each field its length and bytes,
//! all big-endian (<https://www.postgresql.org/docs/current/sql-copy.html>, Binary Format).

use sqlx::PgConnection;

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
pub(super) struct Rows {
    bytes: Vec<u8>,
    fields: i16,
}

impl Rows {
    /// No rows yet, of this many fields each.
    pub(super) fn new(fields: i16) -> Self {
        Self { bytes: SIGNATURE.to_vec(), fields }
    }

    /// Begins a row; its fields follow, in the order of the columns.
    pub(super) fn row(&mut self) -> &mut Self {
        self.bytes.extend_from_slice(&self.fields.to_be_bytes());
        self
    }

    pub(super) fn text(&mut self, text: &str) -> &mut Self {
        self.field(text.len(), |bytes| bytes.extend_from_slice(text.as_bytes()))
    }

    pub(super) fn text_or_null(&mut self, text: Option<&str>) -> &mut Self {
        match text {
            Some(text) => self.text(text),
            None => self.null(),
        }
    }

    /// JSON text, checked by the server.
    pub(super) fn jsonb_or_null(&mut self, json: Option<&[u8]>) -> &mut Self {
        match json {
            Some(json) => self.field(json.len() + 1, |bytes| {
                bytes.push(JSONB_VERSION);
                bytes.extend_from_slice(json);
            }),
            None => self.null(),
        }
    }

    pub(super) fn bigint(&mut self, number: i64) -> &mut Self {
        self.field(8, |bytes| bytes.extend_from_slice(&number.to_be_bytes()))
    }

    pub(super) fn integer(&mut self, number: i32) -> &mut Self {
        self.field(4, |bytes| bytes.extend_from_slice(&number.to_be_bytes()))
    }

    /// Microseconds since the Unix epoch, as a timestamptz.
    pub(super) fn time(&mut self, time_us: i64) -> &mut Self {
        self.bigint(time_us.saturating_sub(EPOCH_US))
    }

    /// A text[] without NULLs.
    pub(super) fn texts(&mut self, texts: &[String]) -> &mut Self {
        // Dimensions, whether there are NULLs, the type; then, where there is something, its length and first index.
        let head = if texts.is_empty() { 12 } else { 20 };
        let len = head + texts.iter().map(|text| 4 + text.len()).sum::<usize>();
        self.field(len, |bytes| {
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
        })
    }

    pub(super) fn null(&mut self) -> &mut Self {
        self.bytes.extend_from_slice(&NULL.to_be_bytes());
        self
    }

    /// Sends the rows by this COPY statement.
    pub(super) async fn send(mut self, connection: &mut PgConnection, statement: &str) -> Result<(), sqlx::Error> {
        self.bytes.extend_from_slice(&(-1i16).to_be_bytes());
        let mut copy = connection.copy_in_raw(statement).await?;
        if let Err(error) = copy.send(self.bytes).await {
            copy.abort("the rows could not be sent").await?;
            return Err(error);
        }
        copy.finish().await?;
        Ok(())
    }

    fn field(&mut self, len: usize, write: impl FnOnce(&mut Vec<u8>)) -> &mut Self {
        // A field is at most as long as the largest frame of a source, which is far below this bound.
        let len = i32::try_from(len).unwrap_or(i32::MAX);
        self.bytes.extend_from_slice(&len.to_be_bytes());
        write(&mut self.bytes);
        self
    }
}
