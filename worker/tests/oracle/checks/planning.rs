//! The schedule and the settings.

use crate::schedule::{There, kind, kinds, plan};
use crate::settings::{SHORT, Settings};
use std::collections::BTreeSet;
use std::time::Duration;

const THERE: There = There { workers: 6, hosts: 3, s3: true, appview: true, lease: Duration::from_secs(10) };

pub fn a_seed_is_a_schedule() {
    let of = |seed| plan(seed, 1_000_000, 140, true, &THERE);
    assert_eq!(of(7), of(7));
    assert_ne!(of(7), of(8));
    assert_eq!(of(7).len(), 140);
    assert!(of(7).is_sorted_by_key(|step| step.at));
    assert!(of(7).iter().all(|step| step.at <= 950_000), "something goes on behind every fault");
    assert!(plan(7, 100, 0, false, &THERE).is_empty());
}

pub fn a_long_run_meets_every_fault() {
    for seed in 0..50 {
        let met: BTreeSet<_> = plan(seed, 1_000_000, 60, true, &THERE).iter().map(|step| kind(&step.act)).collect();
        assert_eq!(met, kinds(&THERE).into_iter().collect(), "seed {seed}");
    }
    let without = There { s3: false, appview: false, workers: 1, ..THERE };
    let met: BTreeSet<_> = plan(1, 1_000_000, 500, true, &without).iter().map(|step| kind(&step.act)).collect();
    assert_eq!(met, kinds(&without).into_iter().collect());
}

pub fn settings_are_read_and_refused_by_name() {
    let read = |name: &'static str, value: &'static str| {
        Settings::read(move |asked| (asked == name).then(|| value.to_owned()))
    };
    assert_eq!(read("", ""), Ok(SHORT));
    let long = read("EVENTS", "1_000_000").map(|settings| (settings.events, settings.workers, settings.is_long()));
    assert_eq!(long, Ok((1_000_000, 6, true)));
    assert_eq!(read("SEED", "x").unwrap_err(), "SEED: x is no number from 0 to 18446744073709551615");
    assert_eq!(read("WORKERS", "7").unwrap_err(), "WORKERS: 7 is no number from 1 to 6");
    assert!(read("NATS", "2").unwrap_err().contains("give 1 or 3"));
    assert!(SHORT.to_string().starts_with("make oracle SEED=1 EVENTS=20000 "));
}
