//! What each event costs on its way: envelope, hashes, window, compression. Run by `make micro`.

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use turbo_core::event::Event;
use turbo_core::id::EventId;
use turbo_core::shard::partition;
use turbo_core::window::{Passed, Window};
use turbo_core::wire::frame::Inflate;
use turbo_core::wire::{Frame, decode};

/// Likes, and every eighth a post, with the sizes of the network.
fn lines() -> Vec<Bytes> {
    (0..1000i64)
        .map(|n| {
            let rev = turbo_core::tid::encode(1_783_175_888_000_000 + n, 0);
            let record = if n % 8 == 0 {
                format!(r#"{{"$type":"app.bsky.feed.post","createdAt":"2026-07-04T14:38:08.420Z","langs":["en"],"text":"{}"}}"#, "words and more words ".repeat(12))
            } else {
                format!(r#"{{"$type":"app.bsky.feed.like","createdAt":"2026-07-04T14:38:08.999Z","subject":{{"cid":"bafyreiftot7eltsc3f6g4qktykmbv6jcmdmhcx5osscan6jpdxkpqcmcz{n}","uri":"at://did:plc:r2zybk6op3ymzpz6jhqpkoy5/app.bsky.feed.post/3mpsjbtci2c2o"}}}}"#)
            };
            format!(
                r#"{{"did":"did:plc:wq4aajammjtxdomz3e23{n}","time_us":{},"kind":"commit","commit":{{"rev":"{rev}","operation":"create","collection":"app.bsky.feed.like","rkey":"3mptbyplj5d2a","record":{record},"cid":"bafyreiguce4jh7kcbmof3pmcvasifqtw24b6isakj5ve5ga2b4z4alpc4i"}}}}"#,
                1_783_175_888_085_434 + n
            )
            .into()
        })
        .collect()
}

fn events(lines: &[Bytes]) -> Vec<Event> {
    let event = |line| match decode(line) {
        Ok(Frame::Event(event)) => *event,
        other => unreachable!("{other:?}"),
    };
    lines.iter().map(event).collect()
}

fn per_event(c: &mut Criterion) {
    let lines = lines();
    let events = events(&lines);
    let bytes: usize = lines.iter().map(Bytes::len).sum();
    let mut group = c.benchmark_group("1000 events");
    group.throughput(Throughput::Bytes(bytes as u64));
    group.bench_function("decode", |b| b.iter(|| lines.iter().filter(|line| decode(black_box(line)).is_ok()).count()));
    group.bench_function("full parse", |b| {
        b.iter(|| {
            lines.iter().filter(|line| serde_json::from_slice::<serde_json::Value>(black_box(line)).is_ok()).count()
        })
    });
    group.bench_function("partition", |b| {
        b.iter(|| events.iter().map(|e| u64::from(partition(black_box(&e.key), 16))).sum::<u64>())
    });
    group.bench_function("id and window", |b| {
        b.iter(|| {
            let mut window = Window::new();
            for event in &events {
                let id = window.id(event, EventId::of(event), &mut Passed::default());
                if !window.contains(id) {
                    black_box(window.take(event, id, i64::MAX));
                }
            }
            window.len()
        });
    });
    let dictionary = zstd::dict::from_samples(&lines, 64 << 10).unwrap_or_default();
    if let (Ok(mut inflate), Ok(mut compressor)) =
        (Inflate::new(&dictionary, 1 << 20), zstd::bulk::Compressor::with_dictionary(1, &dictionary))
    {
        let frames: Vec<Vec<u8>> = lines.iter().filter_map(|line| compressor.compress(line).ok()).collect();
        group.bench_function("deflate", |b| {
            b.iter(|| lines.iter().filter(|line| compressor.compress(line).is_ok()).count())
        });
        group.bench_function("inflate", |b| {
            b.iter(|| frames.iter().filter(|frame| inflate.inflate(frame).is_ok()).count())
        });
    }
    group.finish();
}

criterion_group!(benches, per_event);
criterion_main!(benches);
