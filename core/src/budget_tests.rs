use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A share that has seen a plan with this many workers for long enough.
fn settled(among: u32) -> Share {
    let mut share = Share::default();
    share.planned(1, Some(among), s(0));
    share.knows(s(100));
    assert_eq!(share.at(s(100)), Some(among));
    share
}

#[test]
fn a_new_worker_starts_at_nothing_for_a_period() {
    let mut share = Share::default();
    assert_eq!(share.at(s(0)), None);
    share.planned(7, Some(3), s(5));
    share.knows(s(14));
    assert_eq!(share.at(s(14)), None);
    assert_eq!(share.at(s(15)), Some(3));
}

#[test]
fn what_a_plan_takes_is_gone_at_once_and_what_it_gives_comes_late() {
    let mut share = settled(2);
    share.planned(2, Some(4), s(100));
    assert_eq!(share.at(s(100)), Some(4));
    share.planned(3, Some(1), s(105));
    share.knows(s(114));
    assert_eq!(share.at(s(109)), Some(4), "all of what counted in the last period");
    assert_eq!(share.at(s(114)), Some(4));
    share.knows(s(115));
    assert_eq!(share.at(s(115)), Some(1));
}

#[test]
fn a_worker_that_hears_nothing_has_nothing_after_a_period() {
    let mut share = settled(2);
    assert_eq!(share.at(s(109)), Some(2));
    assert_eq!(share.at(s(110)), None);
    share.knows(s(109));
    assert_eq!(share.at(s(110)), Some(2), "nothing was planned meanwhile");
    share.knows(s(50));
    assert_eq!(share.at(s(110)), Some(2), "older news takes nothing away");
}

#[test]
fn a_plan_without_this_worker_gives_it_nothing() {
    let mut share = settled(2);
    share.planned(2, None, s(101));
    share.knows(s(130));
    assert_eq!(share.at(s(130)), None);
    share.planned(3, Some(2), s(130));
    assert_eq!(share.at(s(130)), None);
    share.knows(s(140));
    assert_eq!(share.at(s(140)), Some(2));
}

#[test]
fn a_plan_that_was_missed_counts_as_nothing() {
    let mut share = settled(2);
    share.planned(3, Some(2), s(100));
    assert_eq!(share.at(s(100)), None);
    share.knows(s(110));
    assert_eq!(share.at(s(110)), Some(2));
}

#[test]
fn another_plan_of_the_same_number_is_another_plan() {
    for forget in [false, true] {
        let mut share = settled(2);
        if forget {
            share.forget();
        }
        share.planned(1, Some(3), s(100));
        assert_eq!(share.at(s(100)), None);
        share.knows(s(110));
        assert_eq!(share.at(s(110)), Some(3));
    }
}

#[test]
fn one_process_has_all_of_it() {
    assert_eq!(Share::whole().at(s(0)), Some(1));
    assert_eq!(Share::whole().at(s(1_000_000)), Some(1));
}

/// Workers that watch one list of plans, each in its own time: what they are told is late, stands still, or leaves plans
/// out, and their clocks began at different times.
#[derive(Debug)]
struct Worker {
    share: Share,
    clock: Duration,
    /// What was sent and has not come back: when, and behind which plan.
    sent: Option<(Duration, usize)>,
    seen: usize,
}

#[derive(Clone, Debug)]
enum Step {
    /// Time passes, in milliseconds.
    Pass(u64),
    /// The next plan has these workers (bits).
    Plan(u8),
    /// A worker sends something to the place of the plans.
    Send(usize),
    /// A worker is told of the next plan, or of a later one where it was not told of some between.
    Hear(usize, bool),
    /// What a worker has sent comes back to it.
    Back(usize),
}

const WORKERS: usize = 4;

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (1u64..4000).prop_map(Step::Pass),
        1 => (0u8..16).prop_map(Step::Plan),
        3 => (0..WORKERS).prop_map(Step::Send),
        3 => (0..WORKERS, prop::bool::weighted(0.1)).prop_map(|(worker, skips)| Step::Hear(worker, skips)),
        4 => (0..WORKERS).prop_map(Step::Back),
    ];
    prop::collection::vec(step, 0..200)
}

impl Worker {
    fn new(index: usize) -> Self {
        Self { share: Share::default(), clock: s(index as u64 * 1000), sent: None, seen: 0 }
    }

    fn hear(&mut self, me: usize, plans: &[BTreeSet<usize>], skips: bool) {
        let next = (self.seen + if skips { 2 } else { 1 }).min(plans.len());
        if next > self.seen {
            let workers = &plans[next - 1];
            let among = workers.contains(&me).then(|| u32::try_from(workers.len()).unwrap());
            self.share.planned(next as u64, among, self.clock);
            self.seen = next;
        }
    }

    /// It comes in the order of the plans: behind all that were written before it.
    fn back(&mut self, me: usize, plans: &[BTreeSet<usize>]) {
        if let Some((then, behind)) = self.sent.take() {
            while self.seen < behind {
                self.hear(me, plans, false);
            }
            self.share.knows(then);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn the_shares_of_all_workers_are_never_more_than_the_whole(steps in steps()) {
        let mut workers: Vec<Worker> = (0..WORKERS).map(Worker::new).collect();
        let mut plans: Vec<BTreeSet<usize>> = Vec::new();
        for step in steps {
            match step {
                Step::Pass(ms) => workers.iter_mut().for_each(|worker| worker.clock += Duration::from_millis(ms)),
                Step::Plan(bits) => plans.push((0..WORKERS).filter(|worker| bits & 1 << worker != 0).collect()),
                Step::Send(at) => {
                    let behind = plans.len();
                    let worker = &mut workers[at];
                    worker.sent.get_or_insert((worker.clock, behind));
                }
                Step::Hear(at, skips) => workers[at].hear(at, &plans, skips),
                Step::Back(at) => workers[at].back(at, &plans),
            }
            let sum: f64 = workers.iter().filter_map(|worker| worker.share.at(worker.clock)).map(|n| 1.0 / f64::from(n)).sum();
            prop_assert!(sum <= 1.0 + 1e-9, "{sum} of the whole: {workers:?}");
        }
    }
}
