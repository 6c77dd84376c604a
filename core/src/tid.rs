//! Timestamp identifiers: the revisions of repositories and most record keys.
//!
//! A TID is 13 characters of base32-sortable; its 64 bits are a zero, 53 bits of microseconds since the Unix epoch and
//! 10 bits of a clock's number (<https://atproto.com/specs/tid>). TIDs compare as text in the order of their time.

const ALPHABET: &[u8; 32] = b"234567abcdefghijklmnopqrstuvwxyz";
const LEN: usize = 13;

/// The microseconds since the Unix epoch that a TID carries, or `None` where the text is no TID.
#[must_use]
pub fn time_us(tid: &str) -> Option<i64> {
    bits(tid).map(|bits| (bits >> 10) as i64)
}

/// The 64 bits of a TID, which sort as its text does, or `None` where the text is no TID.
#[must_use]
pub fn bits(tid: &str) -> Option<u64> {
    let bytes = tid.as_bytes();
    if bytes.len() != LEN {
        return None;
    }
    let mut bits: u64 = 0;
    for (at, byte) in bytes.iter().enumerate() {
        let value = ALPHABET.iter().position(|letter| letter == byte)?;
        // 13 letters hold 65 bits: the first letter has room for four.
        if at == 0 && value > 15 {
            return None;
        }
        bits = bits << 5 | value as u64;
    }
    Some(bits)
}

/// The TID of a time in microseconds and of a clock's number (its low 10 bits count).
#[must_use]
pub fn encode(time_us: i64, clock: u16) -> String {
    let mut bits = ((time_us.max(0) as u64) & ((1 << 53) - 1)) << 10 | u64::from(clock & 0x3ff);
    let mut text = [b'2'; LEN];
    for letter in text.iter_mut().rev() {
        *letter = ALPHABET[(bits & 31) as usize];
        bits >>= 5;
    }
    text.iter().map(|byte| char::from(*byte)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_revision_of_the_network_bears_its_time() {
        // 2026-07-04T14:38:09Z, from an event that its server saw at 14:38:08.085.
        let at = time_us("3mptbypluud2a").unwrap();
        assert!((1_783_175_887_000_000..1_783_175_890_000_000).contains(&at), "{at}");
    }

    #[test]
    fn what_is_no_tid_has_no_time() {
        for text in
            ["", "3jzfcijpj2z2", "3jzfcijpj2z2aa", "3jzfcijpj2z2A", "zzzzzzzzzzzzz", "0000000000000", "kjzfcijpj2z2a"]
        {
            assert_eq!(time_us(text), None, "{text}");
        }
        assert!(time_us("jzzzzzzzzzzzz").is_some());
    }

    proptest! {
        #[test]
        fn time_survives_and_text_sorts_as_time(a in 0i64..1 << 53, b in 0i64..1 << 53, clock in 0u16..1024) {
            prop_assert_eq!(time_us(&encode(a, clock)), Some(a));
            prop_assert_eq!(a.cmp(&b), encode(a, clock).cmp(&encode(b, clock)));
        }
    }
}
