use super::*;

fn headers(list: &[(&'static str, String)]) -> HeaderMap {
    list.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
}

fn in_seconds(seconds: u64) -> String {
    (SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() + seconds).to_string()
}

#[test]
fn the_reset_is_a_time_and_the_window_is_in_the_policy() {
    let headers = headers(&[
        ("ratelimit-limit", "3000".into()),
        ("ratelimit-remaining", "12".into()),
        ("ratelimit-reset", in_seconds(60)),
        ("ratelimit-policy", "3000;w=300".into()),
    ]);
    let limits = Limits::of(&headers).unwrap();
    assert_eq!((limits.limit, limits.remaining, limits.window), (3000, 12, Some(Duration::from_secs(300))));
    assert!((58..=60).contains(&limits.reset.as_secs()), "{limits:?}");
}

#[test]
fn what_is_not_said_whole_is_not_said() {
    for list in [vec![], vec![("ratelimit-limit", "x".into()), ("ratelimit-remaining", "1".into())]] {
        assert_eq!(Limits::of(&headers(&list)), None);
    }
}

#[test]
fn a_busy_server_is_left_alone_for_as_long_as_it_says() {
    let wait = |list: &[(&'static str, String)]| {
        let headers = headers(list);
        Limits::wait(&headers, Limits::of(&headers).as_ref())
    };
    assert_eq!(wait(&[("retry-after", "7".into())]), Duration::from_secs(7));
    assert_eq!(wait(&[("retry-after", "soon".into())]), UNSAID);
    assert_eq!(wait(&[]), UNSAID);
    assert_eq!(wait(&[("retry-after", "99999".into())]), LONGEST);
    let date = jiff::Timestamp::now().checked_add(jiff::SignedDuration::from_secs(30)).unwrap();
    let date = date.strftime("%a, %d %b %Y %H:%M:%S +0000").to_string();
    assert!((28..=30).contains(&wait(&[("retry-after", date)]).as_secs()));
    let used_up =
        [("ratelimit-limit", "1".into()), ("ratelimit-remaining", "0".into()), ("ratelimit-reset", in_seconds(40))];
    assert!((38..=40).contains(&wait(&used_up).as_secs()));
}
