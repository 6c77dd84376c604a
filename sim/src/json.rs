//! Strings in JSON as Go's encoder writes them, which is what both servers are written in: `<`, `>`, `&` and the two
//! Unicode line ends are escaped, all else that may stand bare does.

use std::fmt::Write;

/// Writes a JSON string with its quotes.
pub(crate) fn string(out: &mut String, text: &str) {
    out.push('"');
    escaped(out, text);
    out.push('"');
}

fn escaped(out: &mut String, text: &str) {
    let mut from = 0;
    for (at, letter) in text.char_indices() {
        let short = match letter {
            '"' => "\\\"",
            '\\' => "\\\\",
            '\n' => "\\n",
            '\r' => "\\r",
            '\t' => "\\t",
            '<' | '>' | '&' | '\0'..='\x1f' | '\u{2028}' | '\u{2029}' => "",
            _ => continue,
        };
        out.push_str(&text[from..at]);
        out.push_str(short);
        if short.is_empty() {
            // Writing to a string does not fail.
            let _ = write!(out, "\\u{:04x}", u32::from(letter));
        }
        from = at + letter.len_utf8();
    }
    out.push_str(&text[from..]);
}

/// A JSON string as a value of its own.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    string(&mut out, text);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_escaped_as_go_does_it() {
        assert_eq!(quoted("a\"b\\c\n<&>\u{1}\u{2028}é🦋"), r#""a\"b\\c\n\u003c\u0026\u003e\u0001\u2028é🦋""#);
    }

    #[test]
    fn what_is_written_can_be_read() {
        let text: String = (0..0x3000).filter_map(char::from_u32).collect();
        assert_eq!(serde_json::from_str::<String>(&quoted(&text)).unwrap(), text);
    }
}
