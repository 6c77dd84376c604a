//! What a projection is: its columns stand in one place, and tables, documentation and COPY are made from them.

use crate::record::{Datum, Record};
use std::fmt::Write as _;

/// The type of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Any text.
    Text,
    /// A text that is compared: a URI, a DID, a CID.
    Name,
    /// A list of texts.
    Texts,
    /// A time.
    Time,
}

impl Kind {
    /// As SQL.
    pub(crate) fn sql(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Name => "text COLLATE \"C\"",
            Self::Texts => "text[]",
            Self::Time => "timestamptz",
        }
    }

    fn word(self) -> &'static str {
        self.sql().split(' ').next().unwrap_or_default()
    }
}

/// A column that is read from the record.
#[derive(Debug)]
pub(crate) struct Column {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// For the documentation.
    pub(crate) what: &'static str,
    pub(crate) read: fn(&Record) -> Datum,
}

/// A table with the latest state of the records of one collection, field by field.
#[derive(Debug)]
pub(crate) struct Projection {
    /// What the pipeline file and SQL call it.
    pub(crate) name: &'static str,
    pub(crate) collection: &'static str,
    /// Whether others refer to its records by URI.
    pub(crate) uri: bool,
    pub(crate) columns: &'static [Column],
    /// The columns of each index, and its conditions.
    pub(crate) indexes: &'static [&'static str],
}

/// Columns of every projection: those of `records`.
pub(crate) const COMMON: [(&str, &str); 6] = [
    ("did", "text COLLATE \"C\" NOT NULL"),
    ("rkey", "text COLLATE \"C\" NOT NULL"),
    ("rev", "text COLLATE \"C\" NOT NULL"),
    ("cid", "text COLLATE \"C\""),
    ("time_us", "bigint NOT NULL"),
    ("seq", "bigint NOT NULL"),
];

impl Projection {
    /// The columns that are written (name, type), in the order in which they are sent.
    pub(crate) fn written(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        COMMON.into_iter().chain(self.columns.iter().map(|column| (column.name, column.kind.sql())))
    }

    /// The statements that make the table.
    pub(crate) fn ddl(&self) -> String {
        let Self { name, collection, .. } = self;
        let mut columns: Vec<String> = COMMON.iter().map(|(name, kind)| format!("{name} {kind}")).collect();
        if self.uri {
            let uri = format!("'at://' || did || '/{collection}/' || rkey");
            columns.push(format!("uri text COLLATE \"C\" GENERATED ALWAYS AS ({uri}) STORED"));
        }
        columns.extend(self.columns.iter().map(|column| format!("{} {}", column.name, column.kind.sql())));
        columns.push("PRIMARY KEY (did, rkey)".to_owned());
        let mut ddl = format!("-- {collection}\nCREATE TABLE {name} (\n    {}\n);\n", columns.join(",\n    "));
        for index in self.indexes {
            let _ = writeln!(ddl, "CREATE INDEX ON {name} {index};");
        }
        ddl
    }

    /// The part of the documentation about it.
    pub(crate) fn reference(&self) -> String {
        let Self { name, collection, .. } = self;
        let mut page = format!("## `{name}`: {collection}\n\n| column | type | what |\n|---|---|---|\n");
        if self.uri {
            let _ = writeln!(page, "| uri | text | `at://<did>/{collection}/<rkey>` |");
        }
        for Column { name, kind, what, .. } in self.columns {
            let _ = writeln!(page, "| {name} | {} | {what} |", kind.word());
        }
        let indexes: Vec<String> =
            ["(did, rkey)"].iter().chain(self.indexes).map(|index| format!("`{index}`")).collect();
        let _ = writeln!(page, "\nIndexes: {}.\n", indexes.join(", "));
        page
    }
}

/// `createdAt`, which most records have.
pub(crate) const CREATED_AT: Column = Column {
    name: "created_at",
    kind: Kind::Time,
    what: "`createdAt`, as the client claims it; NULL where it is no RFC 3339 time of the years 1 to 9999",
    read: |record| record.time(&["createdAt"]),
};

/// `subject.uri` of a strong reference.
pub(crate) const SUBJECT_URI: Column = Column {
    name: "subject_uri",
    kind: Kind::Name,
    what: "`subject.uri`: the record that it is about",
    read: |record| record.name(&["subject", "uri"]),
};

/// The DID in `subject.uri`.
pub(crate) const SUBJECT_OWNER: Column = Column {
    name: "subject_did",
    kind: Kind::Name,
    what: "the DID in `subject.uri`",
    read: |record| owner(record, &["subject", "uri"]),
};

/// `subject.cid` of a strong reference.
pub(crate) const SUBJECT_CID: Column = Column {
    name: "subject_cid",
    kind: Kind::Name,
    what: "`subject.cid`: the version that it is about",
    read: |record| record.name(&["subject", "cid"]),
};

/// `via.uri` of a strong reference.
pub(crate) const VIA_URI: Column = Column {
    name: "via_uri",
    kind: Kind::Name,
    what: "`via.uri`: the repost or other record through which it came",
    read: |record| record.name(&["via", "uri"]),
};

/// `subject`, where it is an account.
pub(crate) const SUBJECT_DID: Column = Column {
    name: "subject_did",
    kind: Kind::Name,
    what: "`subject`: the account that it is about",
    read: |record| record.name(&["subject"]),
};

/// The DID in an AT URI.
fn owner(record: &Record, path: &[&str]) -> Datum {
    let Datum::Text(uri) = record.name(path) else { return Datum::Null };
    let did = uri.strip_prefix("at://").and_then(|rest| rest.split('/').next());
    did.filter(|did| did.starts_with("did:")).map_or(Datum::Null, |did| Datum::Text(did.to_owned()))
}
