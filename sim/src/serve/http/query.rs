//! Query strings as Go's `url.ParseQuery` reads them.

/// Names and values in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads a query; the error is Go's.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut pairs = Vec::new();
        for part in text.split('&').filter(|part| !part.is_empty()) {
            if part.contains(';') {
                return Err(String::from("invalid semicolon separator in query"));
            }
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            pairs.push((unescaped(name)?, unescaped(value)?));
        }
        Ok(Self(pairs))
    }

    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> + Clone {
        self.0.iter().filter(move |(theirs, _)| theirs == name).map(|(_, value)| value.as_str())
    }

    /// The first value.
    pub(crate) fn first(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(theirs, _)| theirs == name).map(|(_, value)| value.as_str())
    }
}

fn unescaped(text: &str) -> Result<String, String> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'+' => out.push(b' '),
            b'%' => {
                let two = bytes.get(at + 1..at + 3).and_then(|two| std::str::from_utf8(two).ok());
                let byte = two.filter(|two| two.bytes().all(|byte| byte.is_ascii_hexdigit()));
                match byte.and_then(|two| u8::from_str_radix(two, 16).ok()) {
                    Some(byte) => out.push(byte),
                    None => {
                        let wrong = String::from_utf8_lossy(&bytes[at..bytes.len().min(at + 3)]).into_owned();
                        return Err(format!("invalid URL escape {}", crate::json::quoted(&wrong)));
                    }
                }
                at += 2;
            }
            byte => out.push(byte),
        }
        at += 1;
    }
    Ok(String::from_utf8_lossy(&out).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_read_as_go_reads_them() {
        let query = Query::parse("a=1&b=x%3Ay+z&a=2&c").unwrap();
        assert_eq!(query.all("a").collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!((query.first("b"), query.first("c"), query.first("d")), (Some("x:y z"), Some(""), None));
        assert_eq!(Query::parse("a=%zz").unwrap_err(), "invalid URL escape \"%zz\"");
        assert_eq!(Query::parse("a=1;b=2").unwrap_err(), "invalid semicolon separator in query");
    }
}
