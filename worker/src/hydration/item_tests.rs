use super::*;

#[test]
fn what_an_appview_takes_is_an_item_and_nothing_else() {
    for did in ["did:plc:ewvi7nxzyoun6zhxrhs64oiz", "did:web:a.example", "did:web:localhost%3A8080", "did:m:v%3a9"] {
        assert_eq!(Item::profile(did).unwrap().did(), did);
        let uri = format!("at://{did}/app.bsky.feed.post/3l7~:_-.a");
        assert_eq!(Item::post(&uri).unwrap().did(), did);
    }
    let long = format!("did:plc:{}", "a".repeat(254));
    for no in
        ["", "did:", "did:plc", "did:plc:", "DID:plc:a", "did:PLC:a", "did::a", "did:plc:a:", "did:plc:a b", &long]
    {
        assert_eq!(Item::profile(no), None, "{no}");
        assert_eq!(Item::post(&format!("at://{no}/app.bsky.feed.post/a")), None, "{no}");
    }
    let long = "a".repeat(513);
    for rkey in ["", ".", "..", "a/b", "a?b", "a b", "é", &long] {
        assert_eq!(Item::post(&format!("at://did:plc:a/app.bsky.feed.post/{rkey}")), None, "{rkey}");
    }
    for no in [
        "at://did:plc:a/app.bsky.feed.generator/a",
        "at://did:plc:a",
        "https://a.example/",
        "at://a.example/app.bsky.feed.post/a",
    ] {
        assert_eq!(Item::post(no), None, "{no}");
    }
}

/// Of the protocol's own test vectors, where they are there.
#[test]
fn dids_are_told_as_the_protocol_has_them() {
    let vectors = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/interop/syntax");
    for (file, valid) in [("did_syntax_valid.txt", true), ("did_syntax_invalid.txt", false)] {
        let Ok(text) = std::fs::read_to_string(vectors.join(file)) else {
            eprintln!("SKIPPED: there is no {file}");
            continue;
        };
        let lines: Vec<&str> = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
        assert!(lines.len() > 5, "{file}");
        for line in lines {
            assert_eq!(is_did(line), valid, "{line}");
        }
    }
}
