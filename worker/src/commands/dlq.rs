//! `turbo dlq`: looks at dead letters, asks for them again, drops them.
//!
//! What a letter holds was written by strangers: on its way to a terminal every control character is escaped. `--json` and
//! `--out` give what is there.

use crate::sinks::postgres::{Database, Filter, Letter};
use anyhow::{Context, bail, ensure};
use base64::Engine as _;
use std::fmt::Write as _;
use std::io::Write;
use std::path::PathBuf;

/// `turbo dlq list`.
#[derive(Clone, Debug, Default)]
pub struct List {
    /// Which.
    pub filter: Filter,
    /// How many at most, the newest first.
    pub limit: u32,
    /// One JSON object on each line, instead of a table.
    pub json: bool,
}

/// `turbo dlq show`.
#[derive(Clone, Debug, Default)]
pub struct Show {
    /// Which.
    pub id: i64,
    /// Where its bytes go, instead of the terminal.
    pub out: Option<PathBuf>,
    /// One JSON object, instead of text.
    pub json: bool,
}

/// `turbo dlq redrive`.
#[derive(Clone, Debug, Default)]
pub struct Redrive {
    /// Which; empty is all.
    pub filter: Filter,
    /// Whether it is certain. Needed where the filter is empty.
    pub yes: bool,
}

/// `turbo dlq drop`.
#[derive(Clone, Debug, Default)]
pub struct Drop {
    /// Which; empty is all.
    pub filter: Filter,
    /// Whether it is certain. Needed unless the letters are named by their ids.
    pub yes: bool,
}

/// Prints letters.
///
/// # Errors
/// The database or the output refuses.
pub async fn list(database: &Database, options: &List, out: &mut impl Write) -> anyhow::Result<()> {
    let letters = database.dead_letters(&options.filter, options.limit).await?;
    if options.json {
        for letter in &letters {
            writeln!(out, "{}", json(letter))?;
        }
        return Ok(());
    }
    let mut rows =
        vec![["ID", "GIVEN UP", "REASON", "SHARD", "SEQ", "TRIES", "BYTES", "DID", "DETAIL"].map(String::from)];
    rows.extend(letters.iter().map(row));
    let width = |at: usize| rows.iter().map(|row| row[at].chars().count()).max().unwrap_or_default();
    let widths: [usize; 9] = std::array::from_fn(width);
    for row in &rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            let _ = write!(line, "{cell:width$}  ");
        }
        writeln!(out, "{}", line.trim_end())?;
    }
    if letters.len() == options.limit as usize {
        writeln!(out, "There may be more: --limit.")?;
    }
    Ok(())
}

/// Prints all of one letter, or puts its bytes into a file.
///
/// # Errors
/// There is no such letter; the database or the output refuses.
pub async fn show(database: &Database, options: &Show, out: &mut impl Write) -> anyhow::Result<()> {
    let found = database.dead_letter(options.id).await?;
    let Some((letter, payload)) = found else { bail!("there is no dead letter {}", options.id) };
    if let Some(path) = &options.out {
        std::fs::write(path, &payload).with_context(|| format!("{}: can not be written", path.display()))?;
        writeln!(out, "{} bytes are in {}", payload.len(), path.display())?;
        return Ok(());
    }
    let text = std::str::from_utf8(&payload).ok().filter(|text| is_json(text));
    if options.json {
        let mut object = json(&letter);
        let base64 = || base64::engine::general_purpose::STANDARD.encode(&payload);
        object[if text.is_some() { "payload" } else { "payload_base64" }] =
            text.map_or_else(base64, str::to_owned).into();
        writeln!(out, "{object}")?;
        return Ok(());
    }
    for (name, value) in fields(&letter) {
        writeln!(out, "{name:10} {}", printable(&value))?;
    }
    match text {
        Some(text) => writeln!(out, "\n{}", printable(text))?,
        None => writeln!(out, "\n{}", hex(&payload))?,
    }
    Ok(())
}

/// Asks for letters again: the owner of each shard takes them up.
///
/// # Errors
/// It is not certain; there is no such letter; the database or the output refuses.
pub async fn redrive(database: &Database, options: &Redrive, out: &mut impl Write) -> anyhow::Result<()> {
    let certain = options.yes || options.filter != Filter::default();
    ensure!(
        certain,
        "all letters would be asked for; look at them with `turbo dlq list`, then choose some, or give --yes"
    );
    let count = database.ask_again(&options.filter).await?;
    ensure!(count > 0 || !options.filter.by_id(), "there is no such dead letter");
    match count {
        0 => writeln!(out, "there is no dead letter of that kind to ask for")?,
        _ => writeln!(
            out,
            "{count} asked for again; a running worker takes them up. What fails again stays in the list."
        )?,
    }
    Ok(())
}

/// Drops letters for good.
///
/// # Errors
/// It is not certain; there is no such letter; the database or the output refuses.
pub async fn drop(database: &Database, options: &Drop, out: &mut impl Write) -> anyhow::Result<()> {
    let certain = options.yes || options.filter.by_id();
    ensure!(
        certain,
        "all letters that fit would be gone for good; look at them with `turbo dlq list`, then give --yes"
    );
    let count = database.drop_letters(&options.filter).await?;
    ensure!(count > 0 || !options.filter.by_id(), "there is no such dead letter");
    writeln!(out, "{count} dropped")?;
    Ok(())
}

fn row(letter: &Letter) -> [String; 9] {
    let reason = match letter.asked_us {
        Some(_) => format!("{}, asked for", letter.reason),
        None => letter.reason.clone(),
    };
    [
        letter.id.to_string(),
        time(letter.time_us),
        reason,
        format!("{}/{}", letter.slice, letter.partition),
        letter.seq.to_string(),
        letter.tries.to_string(),
        letter.bytes.to_string(),
        letter.did.clone().unwrap_or_default(),
        letter.detail.clone(),
    ]
    .map(|cell| short(&printable(&cell)))
}

fn fields(letter: &Letter) -> Vec<(&'static str, String)> {
    let mut fields = vec![
        ("id", letter.id.to_string()),
        ("given up", time(letter.time_us)),
        ("reason", letter.reason.clone()),
        ("detail", letter.detail.clone()),
        ("did", letter.did.clone().unwrap_or_else(|| "unknown".to_owned())),
        ("shard", format!("{}/{}", letter.slice, letter.partition)),
        ("seq", letter.seq.to_string()),
        ("tries", letter.tries.to_string()),
        ("bytes", letter.bytes.to_string()),
    ];
    fields.extend(letter.asked_us.map(|asked| ("asked for", time(asked))));
    fields
}

fn json(letter: &Letter) -> serde_json::Value {
    serde_json::json!({
        "id": letter.id, "slice": letter.slice, "partition": letter.partition, "seq": letter.seq, "did": letter.did,
        "reason": letter.reason, "detail": letter.detail, "bytes": letter.bytes, "time_us": letter.time_us,
        "tries": letter.tries, "asked_us": letter.asked_us,
    })
}

fn time(us: i64) -> String {
    jiff::Timestamp::from_microsecond(us).map_or_else(|_| us.to_string(), |time| format!("{time:.0}"))
}

fn is_json(text: &str) -> bool {
    serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}

/// Without anything that a terminal would obey.
fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                shown.extend(letter.escape_unicode());
            }
            letter if letter.is_control() => shown.extend(letter.escape_default()),
            letter => shown.push(letter),
        }
    }
    shown
}

/// A cell of a table.
fn short(text: &str) -> String {
    const MOST: usize = 80;
    match text.char_indices().nth(MOST) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// Sixteen bytes on each line, and what they are as ASCII.
fn hex(bytes: &[u8]) -> String {
    let mut dump = String::new();
    for (line, bytes) in bytes.chunks(16).enumerate() {
        let digits: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let ascii: String =
            bytes.iter().map(|byte| if matches!(byte, 0x20..=0x7e) { char::from(*byte) } else { '.' }).collect();
        let _ = writeln!(dump, "{:08x}  {:47}  {ascii}", line * 16, digits.join(" "));
    }
    dump
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_strangers_wrote_does_not_steer_the_terminal() {
        assert_eq!(printable("a\u{1b}[2J\nb\u{9b}c\u{202e}d é"), "a\\u{1b}[2J\\nb\\u{9b}c\\u{202e}d é");
        assert_eq!(hex(b"\x1b[2Jabc"), "00000000  1b 5b 32 4a 61 62 63                             .[2Jabc\n");
        assert_eq!(short(&"é".repeat(90)).chars().count(), 81);
    }
}
