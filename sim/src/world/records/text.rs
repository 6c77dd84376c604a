//! Text and its facets: `app.bsky.richtext.facet`, whose indices count bytes of UTF-8.

use super::words::{SPICE, TONGUES, Tongue};
use crate::json::string;
use crate::world::dice::Dice;
use std::fmt::Write;

/// A text with what is marked in it.
#[derive(Default)]
pub(crate) struct Text {
    pub(crate) text: String,
    pub(crate) tag: &'static str,
    /// The JSON array of facets; empty where there are none.
    pub(crate) facets: String,
}

impl Text {
    /// As much as about this many letters of English, in any language.
    pub(crate) fn plain(dice: &mut Dice, letters: usize) -> Self {
        let tongue = &TONGUES[dice.weighted(TONGUES.iter().map(|tongue| tongue.share))];
        let mut text = Self { tag: tongue.tag, ..Self::default() };
        let bytes = (letters as f64 * tongue.width) as usize;
        while text.text.len() < bytes {
            text.word(dice, tongue);
        }
        text
    }

    fn word(&mut self, dice: &mut Dice, tongue: &Tongue) {
        if !self.text.is_empty() {
            self.text.push_str(tongue.space);
        }
        let words: &[&str] = if dice.chance(0.06) { &SPICE } else { tongue.words };
        self.text.push_str(dice.pick(words));
    }

    /// Adds a marked piece of text: a link, a mention or a tag.
    pub(crate) fn mark(&mut self, shown: &str, kind: &str, key: &str, value: &str) {
        if !self.text.is_empty() {
            self.text.push(' ');
        }
        let start = self.text.len();
        self.text.push_str(shown);
        self.facets.push_str(if self.facets.is_empty() { "[" } else { "," });
        let _ = write!(self.facets, r#"{{"features":[{{"$type":"app.bsky.richtext.facet#{kind}","{key}":"#);
        string(&mut self.facets, value);
        let end = self.text.len();
        let _ = write!(self.facets, r#"}}],"index":{{"byteEnd":{end},"byteStart":{start}}}}}"#);
    }

    /// `"facets":[…],`, or nothing.
    pub(crate) fn facets_field(&self) -> String {
        if self.facets.is_empty() { String::new() } else { format!(r#""facets":{}],"#, self.facets) }
    }
}

/// A line of text as a JSON string.
pub(crate) fn quoted(dice: &mut Dice, letters: usize) -> String {
    crate::json::quoted(&Text::plain(dice, letters).text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facets_point_at_what_they_mark() {
        let mut text = Text::plain(&mut Dice::new(3), 200);
        text.mark("#été", "tag", "tag", "été");
        let facets: serde_json::Value = serde_json::from_str(&format!("{}]", text.facets)).unwrap();
        let index = &facets[0]["index"];
        let (start, end) = (index["byteStart"].as_u64().unwrap() as usize, index["byteEnd"].as_u64().unwrap() as usize);
        assert_eq!(&text.text[start..end], "#été");
    }
}
