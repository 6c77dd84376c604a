use super::super::limits::LONGEST;
use super::super::standing::{BACKOFF, FAILURES};
use super::*;

const MINUTE: Duration = Duration::from_secs(60);

fn pacer(rate: f64, hosts: usize) -> Pacer {
    Pacer::new(rate, Shared::new(Share::whole()), hosts)
}

/// The calls of the next minute to each host, with what becomes of each at once.
async fn in_a_minute(pacer: &mut Pacer, outcome: impl Fn(usize) -> Option<Outcome>) -> Vec<usize> {
    let end = Instant::now() + MINUTE;
    let mut calls = vec![0; pacer.hosts.len()];
    while let Ok(host) = tokio::time::timeout_at(end, pacer.turn(NOBODY)).await {
        calls[host] += 1;
        if let Some(outcome) = outcome(host) {
            pacer.ended(host, Instant::now(), outcome, None);
        }
    }
    calls
}

async fn answered(pacer: &mut Pacer) -> usize {
    in_a_minute(pacer, |_| Some(Outcome::Answered)).await.into_iter().sum()
}

fn is_open(pacer: &Pacer) -> bool {
    pacer.hosts.iter().all(Standing::is_open)
}

/// No host waits for anything.
const NOBODY: fn(usize) -> bool = |_| false;

#[tokio::test(start_paused = true)]
async fn calls_are_as_far_apart_as_the_share_says() {
    let calls = answered(&mut pacer(10.0, 1)).await;
    assert!((595..=600).contains(&calls), "{calls}");
    let mut share = Share::default();
    share.planned(1, Some(4), Duration::ZERO);
    let shared = Shared::new(share);
    shared.change(|share, _| share.knows(Duration::from_secs(1000)));
    let calls = answered(&mut Pacer::new(10.0, shared, 1)).await;
    assert!((120..=126).contains(&calls), "nothing for ten seconds, then a quarter: {calls}");
}

#[tokio::test(start_paused = true)]
async fn a_process_that_starts_again_and_again_sends_nothing_more() {
    for _ in 0..100 {
        assert!(tokio::time::timeout(Duration::from_secs(9), pacer(0.1, 2).turn(NOBODY)).await.is_err());
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_host_says_is_kept_where_it_is_less() {
    let limits = |remaining| Limits { limit: 300, remaining, reset: MINUTE, window: Some(MINUTE) };
    let mut pacer = pacer(10.0, 1);
    pacer.ended(0, Instant::now(), Outcome::Answered, Some(limits(60)));
    let calls = answered(&mut pacer).await;
    assert!((55..=62).contains(&calls), "{calls}");
    let calls = answered(&mut pacer).await;
    assert!((280..=305).contains(&calls), "a new window: {calls}");
    pacer.ended(0, Instant::now(), Outcome::Answered, Some(limits(0)));
    assert!(answered(&mut pacer).await <= 1);
}

#[tokio::test(start_paused = true)]
async fn no_window_is_so_long_that_a_host_is_not_asked_any_more() {
    let day = Some(Duration::from_secs(86400));
    let mut pacer = pacer(10.0, 1);
    let limits = Limits { limit: 1, remaining: 0, reset: Duration::ZERO, window: day };
    pacer.turn(NOBODY).await;
    pacer.ended(0, Instant::now(), Outcome::Answered, Some(limits));
    let began = Instant::now();
    pacer.turn(NOBODY).await;
    assert!(began.elapsed() <= LONGEST, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_busy_host_is_left_alone_for_as_long_as_it_wants_and_holds_up_no_other() {
    let mut pacer = pacer(10.0, 2);
    pacer.ended(0, Instant::now(), Outcome::Busy(MINUTE / 2), None);
    let calls = in_a_minute(&mut pacer, |_| Some(Outcome::Answered)).await;
    assert!(calls.iter().all(|calls| (295..=305).contains(calls)), "{calls:?}");
    assert!(!is_open(&pacer));
}

#[tokio::test(start_paused = true)]
async fn a_host_that_is_busy_for_no_time_at_all_is_asked_ever_less() {
    let calls = in_a_minute(&mut pacer(10.0, 1), |_| Some(Outcome::Busy(Duration::ZERO))).await;
    assert!((5..=9).contains(&calls[0]), "{calls:?}");
}

#[tokio::test(start_paused = true)]
async fn calls_that_fail_together_are_one_failure() {
    let mut pacer = pacer(10.0, 1);
    let began = Instant::now();
    for _ in 0..8 {
        pacer.turn(NOBODY).await;
    }
    tokio::time::advance(Duration::from_secs(10)).await;
    (0..8).for_each(|_| pacer.ended(0, began, Outcome::Failed, None));
    assert!(is_open(&pacer));
    let failed = Instant::now();
    pacer.turn(NOBODY).await;
    assert!(failed.elapsed() <= BACKOFF.0 + LOOK, "{:?}", failed.elapsed());
    pacer.ended(0, began, Outcome::Answered, None);
    assert!(is_open(&pacer), "it was sent before the failure");
    pacer.ended(0, Instant::now(), Outcome::Answered, None);
    assert!(!is_open(&pacer));
}

/// The first never answers: each call to it is on its way for ten seconds.
#[tokio::test(start_paused = true)]
async fn one_that_fails_is_tried_by_one_call_at_a_time_and_the_next_one_is_asked() {
    let mut pacer = pacer(10.0, 2);
    for _ in 0..FAILURES {
        pacer.ended(0, Instant::now(), Outcome::Failed, None);
    }
    tokio::time::advance(MINUTE).await;
    assert_eq!(pacer.turn(NOBODY).await, 0, "one call tries it");
    let calls = in_a_minute(&mut pacer, |host| (host == 1).then_some(Outcome::Answered)).await;
    assert!(calls[0] == 0 && calls[1] >= 595, "{calls:?}");
}

#[tokio::test(start_paused = true)]
async fn one_that_goes_on_failing_is_tried_ever_later() {
    let mut pacer = pacer(10.0, 1);
    let calls = in_a_minute(&mut pacer, |_| Some(Outcome::Failed)).await;
    assert!((5..=9).contains(&calls[0]), "{calls:?}");
    let later = in_a_minute(&mut pacer, |_| Some(Outcome::Failed)).await;
    assert!((1..=2).contains(&later[0]), "{later:?}");
    pacer.ended(0, Instant::now(), Outcome::Answered, None);
    assert!(answered(&mut pacer).await >= 595);
}

#[tokio::test(start_paused = true)]
async fn one_that_failed_once_and_has_limits_is_not_preferred_afterwards() {
    let mut pacer = pacer(10.0, 2);
    let limits = Limits { limit: 3000, remaining: 2900, reset: MINUTE, window: Some(MINUTE) };
    pacer.ended(1, Instant::now(), Outcome::Failed, Some(limits));
    tokio::time::advance(MINUTE / 2).await;
    let calls = in_a_minute(&mut pacer, |_| Some(Outcome::Answered)).await;
    assert!(calls[0] >= 595 && calls[1] == 0, "{calls:?}");
}

#[tokio::test(start_paused = true)]
async fn stragglers_let_no_second_call_try_it() {
    let mut pacer = pacer(10.0, 1);
    let began = Instant::now();
    (0..FAILURES).for_each(|_| pacer.ended(0, began, Outcome::Failed, None));
    pacer.turn(NOBODY).await;
    pacer.ended(0, began, Outcome::Failed, None);
    assert!(tokio::time::timeout(MINUTE, pacer.turn(NOBODY)).await.is_err(), "one is on its way");
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_was_asked_for_is_not_ended_by_an_answer_to_a_call_before_it() {
    let mut pacer = pacer(10.0, 1);
    let began = Instant::now();
    pacer.ended(0, began, Outcome::Failed, None);
    tokio::time::advance(Duration::from_secs(2)).await;
    let later = Instant::now();
    tokio::time::advance(Duration::from_secs(1)).await;
    pacer.ended(0, began, Outcome::Busy(MINUTE), None);
    pacer.ended(0, later, Outcome::Answered, None);
    assert!(tokio::time::timeout(MINUTE - LOOK, pacer.turn(NOBODY)).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_host_that_waits_for_its_token_holds_up_no_other() {
    let mut pacer = pacer(10.0, 2);
    assert_eq!(pacer.turn(|host| host == 0).await, 1);
    assert!(tokio::time::timeout(MINUTE, pacer.turn(|_| true)).await.is_err());
    assert_eq!(pacer.turn(NOBODY).await, 0);
}

#[tokio::test(start_paused = true)]
async fn why_nobody_is_asked_is_told() {
    let mut pacer = pacer(10.0, 2);
    assert_eq!(pacer.held(), None);
    pacer.ended(0, Instant::now(), Outcome::Busy(MINUTE), None);
    assert_eq!(pacer.held(), None, "the other one is");
    let limits = Limits { limit: 3000, remaining: 0, reset: MINUTE / 2, window: Some(MINUTE) };
    pacer.ended(1, Instant::now(), Outcome::Answered, Some(limits));
    assert!(pacer.held().unwrap().ends_with("none is asked for 30 s"), "{:?}", pacer.held());
    tokio::time::advance(MINUTE / 2).await;
    assert_eq!(pacer.held(), None);
    pacer.share.change(|share, _| *share = Share::default());
    assert!(pacer.held().unwrap().contains("no part of the rate"));
}
