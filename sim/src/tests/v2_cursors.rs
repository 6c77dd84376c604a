//! Cursors of `subscribeEvents`.

use super::client::{Client, payload, refusal};
use super::{V2, full, stepped};
use crate::{HostConfig, TimeCursors};
use serde_json::Value;

/// Ten events to a second of world time, segments of twenty seconds.
fn host() -> HostConfig {
    HostConfig { segment_us: 2_000_000, sequence_base: 1, ..HostConfig::default() }
}

fn seq(payload: &Value) -> u64 {
    payload["seq"].as_u64().unwrap()
}

fn time_us(payload: &Value) -> i64 {
    payload["time"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_microsecond()
}

#[tokio::test]
async fn sequences_are_inclusive_and_increase() {
    let network = full(3_000, host());
    let mut client = Client::to(&network, &format!("{V2}?cursor=1000")).await;
    for want in 1000..=3_000 {
        assert_eq!(seq(&client.payload().await), want);
    }
    assert!(client.is_quiet().await);
    let mut client = Client::to(&network, &format!("{V2}?cursor=0")).await;
    assert_eq!(seq(&client.payload().await), 1);
}

#[tokio::test]
async fn the_next_sequence_and_later_ones_are_live() {
    let network = stepped(host());
    network.step(100);
    for cursor in ["", "?cursor=", "?cursor={next}", "?cursor={beyond}"] {
        let next = network.stats(0).next_seq;
        let cursor = cursor.replace("{next}", &next.to_string()).replace("{beyond}", &(next + 50).to_string());
        let mut client = Client::to(&network, &format!("{V2}{cursor}")).await;
        assert!(client.is_quiet().await, "{cursor}");
        network.step(1);
        assert_eq!(seq(&client.payload().await), next, "{cursor}");
    }
}

#[tokio::test]
async fn newer_servers_tell_of_a_future_cursor() {
    let network = stepped(HostConfig { future_cursor: true, ..host() });
    network.step(10);
    let mut client = Client::to(&network, &format!("{V2}?cursor=5000")).await;
    let info = client.payload().await;
    assert_eq!(
        (&info["$type"], &info["name"]),
        (&"network.bsky.jetstream.subscribeEvents#info".into(), &"FutureCursor".into())
    );
    let message = "requested seq cursor 5000 is beyond this archive's next seq; starting at the live tip";
    assert_eq!(info["message"], message);
    network.step(1);
    assert_eq!(seq(&client.payload().await), 11);
}

#[tokio::test]
async fn times_begin_at_the_segments_start_or_at_the_event() {
    let network = full(5_000, host());
    let mut all = Client::to(&network, &format!("{V2}?cursor=1")).await;
    let mut times = Vec::new();
    for _ in 0..5_000 {
        times.push(time_us(&all.payload().await));
    }
    let (at, first) = (3_000, times[3_000]);
    let exact = times.iter().position(|time| *time >= first).unwrap() as u64 + 1;

    let mut client = Client::to(&network, &format!("{V2}?cursor={first}")).await;
    let start = client.payload().await;
    assert!(seq(&start) < exact, "the segment begins before it");
    assert!(first - time_us(&start) < 2_000_000, "but not by more than a segment");

    let network = full(5_000, HostConfig { time_cursors: TimeCursors::Exact, ..host() });
    let mut client = Client::to(&network, &format!("{V2}?cursor={first}")).await;
    assert_eq!(seq(&client.payload().await), exact, "{at}");
    let future = network.now_us() + 1_000_000;
    let mut client = Client::to(&network, &format!("{V2}?cursor={future}")).await;
    assert!(client.is_quiet().await);
}

#[tokio::test]
async fn what_is_below_the_floor_is_refused_or_clamped() {
    // Ten seconds of world time at 500 events per second, of which about four are kept.
    let network = full(5_000, HostConfig { lookback_us: 3_000_000, ..host() });
    let (status, body) = refusal(&network, &format!("{V2}?cursor=1")).await;
    assert_eq!(status, 400);
    let floor: u64 = body.split("lookback floor ").nth(1).unwrap().split(';').next().unwrap().parse().unwrap();
    let message =
        format!("subscribe: cursor too old: cursor 1 below lookback floor {floor}; re-backfill from your last seq");
    assert_eq!(body, format!(r#"{{"error":"CursorTooOld","message":"{message}"}}"#));
    assert!((2_000..4_000).contains(&floor), "{floor}");
    assert_eq!(refusal(&network, &format!("{V2}?cursor=0")).await.0, 400);

    let mut client = Client::to(&network, &format!("{V2}?cursor={floor}")).await;
    assert_eq!(seq(&client.payload().await), floor);
    let mut client = Client::to(&network, &format!("{V2}?cursor=1000000000000000")).await;
    let info = client.payload().await;
    assert_eq!(info["name"], "OutdatedCursor");
    assert_eq!(info["message"], format!("requested timestamp cursor below retention floor; starting at seq {floor}"));
    assert_eq!(seq(&client.payload().await), floor);
}

#[tokio::test]
async fn a_time_before_everything_is_told() {
    let network = full(100, host());
    let mut client = Client::to(&network, &format!("{V2}?cursor=1000000000000000")).await;
    let message = "requested timestamp cursor precedes the oldest archived event; starting at seq 1";
    assert_eq!(payload(&client.text().await)["message"], message);
    assert_eq!(seq(&client.payload().await), 1);
}

#[tokio::test]
async fn without_lookback_cursors_are_ignored() {
    let network = stepped(HostConfig { lookback_us: 0, ..host() });
    network.step(10);
    let mut client = Client::to(&network, &format!("{V2}?cursor=garbage")).await;
    assert!(client.is_quiet().await);
}

#[tokio::test]
async fn cursors_that_are_none_are_refused() {
    let network = full(10, host());
    for (cursor, message) in [
        ("abc", r#"subscribe: invalid cursor: \"abc\""#),
        ("-42", "subscribe: invalid cursor: negative value -42"),
        ("1.5", r#"subscribe: invalid cursor: \"1.5\""#),
    ] {
        let answer = refusal(&network, &format!("{V2}?cursor={cursor}")).await;
        assert_eq!(answer, (400, format!(r#"{{"error":"InvalidRequest","message":"{message}"}}"#)));
    }
}

#[tokio::test]
async fn a_cursor_in_a_vacancy_is_moved_to_its_end() {
    let network = full(2_000, HostConfig { vacancies: 0.02, ..host() });
    let mut client = Client::to(&network, &format!("{V2}?cursor=1")).await;
    let mut seqs = Vec::new();
    for _ in 0..2_000 {
        seqs.push(seq(&client.payload().await));
    }
    let gap = seqs.windows(2).find(|two| two[1] > two[0] + 2).unwrap();
    assert!(seqs.is_sorted_by(|a, b| a < b) && *seqs.last().unwrap() > 5_000);
    let mut client = Client::to(&network, &format!("{V2}?cursor={}", gap[0] + 1)).await;
    assert_eq!(seq(&client.payload().await), gap[1]);
}
