use super::*;
use proptest::prelude::*;
use std::io::Write as _;

fn trained() -> Vec<u8> {
    let samples: Vec<Vec<u8>> = (0..2000)
        .map(|n| format!("{{\"did\":\"did:plc:{n:024}\",\"kind\":\"commit\",\"n\":{}}}", n * 7919 % 4096).into_bytes())
        .collect();
    zstd::dict::from_samples(&samples, 4096).unwrap()
}

fn deflate(dictionary: &[u8], text: &[u8]) -> Vec<u8> {
    zstd::bulk::Compressor::with_dictionary(3, dictionary).unwrap().compress(text).unwrap()
}

#[test]
fn the_networks_dictionaries_make_a_round_trip() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data/jetstream/");
    let Ok(events) = std::fs::read_to_string(format!("{folder}captured_v1.jsonl")) else {
        let _ = writeln!(std::io::stderr(), "skipped: {folder} is not there");
        return;
    };
    for (file, id) in [("legacy_subscribe.zdict", 1_612_007_021), ("subscribe_events_20260811.zdict", 20_260_811)] {
        let dictionary = std::fs::read(format!("{folder}{file}")).unwrap();
        assert_eq!(dictionary_id(&dictionary).unwrap(), id);
        let mut inflate = Inflate::new(&dictionary, 1 << 20).unwrap();
        for line in events.lines() {
            let frame = deflate(&dictionary, line.as_bytes());
            assert!(frame.len() < line.len());
            assert_eq!(inflate.inflate(&frame).unwrap(), line);
        }
    }
}

#[test]
fn what_comes_out_is_bounded() {
    let dictionary = trained();
    let bomb = deflate(&dictionary, &vec![b'a'; 10 << 20]);
    assert!(bomb.len() < 4096);
    let error = Inflate::new(&dictionary, 1 << 20).unwrap().inflate(&bomb).unwrap_err();
    assert!(matches!(error, Error::Frame { limit: 1_048_576, .. }), "{error}");
}

#[test]
fn another_dictionary_and_no_dictionary_are_told() {
    let dictionary = trained();
    let mut other = dictionary.clone();
    other[4..8].copy_from_slice(&77u32.to_le_bytes());
    let frame = deflate(&other, b"{}");
    let mut inflate = Inflate::new(&dictionary, 1024).unwrap();
    assert!(matches!(inflate.inflate(&frame), Err(Error::OtherDictionary { frame: 77, .. })));
    assert!(matches!(Inflate::new(b"no dictionary", 1024), Err(Error::Dictionary(_))));
    assert!(inflate.inflate(b"garbage").is_err());
    assert_eq!(inflate.inflate(&deflate(&dictionary, b"{}")).unwrap(), "{}", "an error leaves nothing behind");
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(input: Vec<u8>) {
        let _ = Inflate::new(&trained(), 4096).unwrap().inflate(&input);
    }
}
