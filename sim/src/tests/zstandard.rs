//! Compression on both endpoints.

use super::client::{Client, End, get, refusal};
use super::{V1, V2, full, stepped};
use crate::{Fault, Garbage, HostConfig, Network};
use tokio_tungstenite::tungstenite::Message;
use zstd::bulk::Decompressor;

const GET: &str = "/xrpc/network.bsky.jetstream.getZstdDictionary";

fn read(message: &Message, dictionary: &[u8]) -> String {
    let Message::Binary(bytes) = message else { panic!("not binary: {message:?}") };
    let text = Decompressor::with_dictionary(dictionary).unwrap().decompress(bytes, 50 << 20).unwrap();
    String::from_utf8(text).unwrap()
}

#[tokio::test]
async fn each_message_is_one_frame_of_the_text_that_others_get() {
    let network = full(2_000, HostConfig::default());
    let (v1, (id, v2)) = (network.v1_dictionary().unwrap(), network.v2_dictionary(0).unwrap());
    for (plain, squeezed, headers, dictionary) in [
        (format!("{V2}?cursor=1"), format!("{V2}?cursor=1&zstdDictionary={id}"), None, &v2),
        (format!("{V1}?cursor=1"), format!("{V1}?cursor=1&compress=true"), None, &v1),
        (format!("{V1}?cursor=1"), format!("{V1}?cursor=1"), Some(("socket-encoding", "zstd")), &v1),
    ] {
        let mut plain = Client::to(&network, &plain).await;
        let headers: Vec<_> = headers.into_iter().collect();
        let mut squeezed = Client::with(&network, &squeezed, &headers).await.unwrap();
        let (mut many, mut few) = (0, 0);
        for text in plain.texts(1_000).await {
            let message = squeezed.message().await;
            few += message.len();
            many += text.len();
            assert_eq!(read(&message, dictionary), text);
        }
        assert!(few * 2 < many, "{few} of {many} bytes");
    }
}

#[tokio::test]
async fn the_dictionary_is_to_be_had() {
    let network = full(2_000, HostConfig::default());
    let (id, bytes) = network.v2_dictionary(0).unwrap();
    for path in [GET.to_owned(), format!("{GET}?id={id}")] {
        let (status, head, body) = get(&network, &path, "").await;
        assert_eq!((status, &body), (200, &bytes));
        for line in [
            "Content-Type: application/octet-stream",
            &format!("ETag: \"zstd-dict-{id}\""),
            "Cache-Control: public, max-age=31536000, immutable",
            &format!("X-Zstd-Dictionary-Id: {id}"),
        ] {
            assert!(head.lines().any(|header| header == line), "{line} not in {head}");
        }
    }
    assert_eq!(get(&network, GET, &format!("If-None-Match: \"zstd-dict-{id}\"\r\n")).await.0, 304);
    let message = format!("no dictionary with id 5; current dictionary id is {id}");
    let body = format!(r#"{{"error":"DictionaryNotFound","message":"{message}"}}"#);
    assert_eq!(refusal(&network, &format!("{GET}?id=5")).await, (404, body));
    assert_eq!(refusal(&network, &format!("{GET}?id=x")).await.0, 400);
    let message = format!("unknown zstd dictionary id 5; current dictionary id is {id}");
    let hint = "(fetch it via getZstdDictionary and reconnect)";
    let body = format!(r#"{{"error":"UnknownZstdDictionary","message":"{message} {hint}"}}"#);
    assert_eq!(refusal(&network, &format!("{V2}?zstdDictionary=5")).await, (400, body));
    let body = r#"{"error":"InvalidRequest","message":"zstdDictionary must be a positive integer zstd dictionary ID"}"#;
    assert_eq!(refusal(&network, &format!("{V2}?zstdDictionary=0")).await, (400, body.into()));
}

async fn squeezed(network: &Network, cursor: &str) -> (Client, Vec<u8>) {
    let (id, dictionary) = network.v2_dictionary(0).unwrap();
    (Client::to(network, &format!("{V2}?zstdDictionary={id}{cursor}")).await, dictionary)
}

#[tokio::test]
async fn info_and_error_are_compressed_too() {
    let network = full(2_000, HostConfig::default());
    let (mut client, dictionary) = squeezed(&network, "&cursor=1000000000000000").await;
    assert!(read(&client.message().await, &dictionary).contains("OutdatedCursor"));
    let (mut client, dictionary) = squeezed(&network, "").await;
    while network.stats(0).subscriptions < 2 {}
    network.fault(0, &Fault::TooSlow);
    assert!(read(&client.message().await, &dictionary).contains("ConsumerTooSlow"));
    assert_eq!(client.end().await.1, End::Dropped);
}

#[tokio::test]
async fn a_dictionary_may_be_given_and_may_change() {
    let (_, given) = full(2_000, HostConfig::default()).v2_dictionary(0).unwrap();
    let config = crate::NetworkConfig { v2_dictionary: Some(given.clone()), ..crate::NetworkConfig::default() };
    let network = Network::start(config).unwrap();
    let (id, bytes) = network.v2_dictionary(0).unwrap();
    assert_eq!(bytes, given);
    network.fault(0, &Fault::NewDictionary);
    assert_eq!(refusal(&network, &format!("{V2}?zstdDictionary={id}")).await.0, 400);
    assert_eq!(network.v2_dictionary(0).unwrap().0, id + 1);
    let broken = crate::NetworkConfig { v1_dictionary: Some(vec![1, 2, 3]), ..crate::NetworkConfig::default() };
    assert!(Network::start(broken).is_err());
}

#[tokio::test]
async fn corrupt_frames_stand_between_good_ones() {
    let network = stepped(HostConfig::default());
    network.step(2_000);
    let (mut client, dictionary) = squeezed(&network, "").await;
    while network.fault(0, &Fault::CorruptZstd { instead: true }) == 0 {}
    network.step(2);
    let bad = client.message().await;
    assert!(Decompressor::with_dictionary(&dictionary).unwrap().decompress(&bad.into_data(), 1 << 20).is_err());
    assert!(read(&client.message().await, &dictionary).contains("\"seq\":2002,"));
    network.fault(0, &Fault::Garbage { what: Garbage::NotJson, instead: false });
    assert!(read(&client.message().await, &dictionary).contains("Bad Gateway"));
    network.fault(0, &Fault::Oversized { bytes: 40 << 20 });
    let bomb = client.message().await;
    assert!(bomb.len() < 100_000 && read(&bomb, &dictionary).len() > 40 << 20);
}
