use super::*;
use crate::hydration::cache::{Cache, Entry, Known};
use crate::hydration::fetcher::Handle;
use crate::hydration::hydrator::Targets;
use crate::hydration::item::Item;
use crate::hydration::references::Target;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

const TTL: Duration = Duration::from_secs(600);
const KEEP_ALL: Keep = Keep { records: u64::MAX, age: Duration::from_secs(3600) };

/// A queue in memory, and what was written of each.
#[derive(Clone, Default)]
struct Memory(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    queue: BTreeMap<u64, Waiting>,
    written: BTreeMap<u64, Hydrated>,
    given_up: Vec<(Duration, u64)>,
    gives_up_to: u64,
    reads: usize,
    fails: bool,
    owned: Option<BTreeMap<Shard, u64>>,
}

impl Queue for Memory {
    type Error = &'static str;

    fn owned(&self) -> Option<BTreeMap<Shard, u64>> {
        self.0.lock().unwrap().owned.clone()
    }

    async fn waiting(&self, behind: u64, limit: usize) -> Result<Vec<Waiting>, Self::Error> {
        let mut state = self.0.lock().unwrap();
        state.reads += 1;
        let behind = state.queue.range(behind + 1..).map(|(_, waiting)| waiting.clone());
        if state.fails { Err("away") } else { Ok(behind.take(limit).collect()) }
    }

    async fn give_up(&self, age: Duration, most: u64) -> Result<GivenUp, Self::Error> {
        let mut state = self.0.lock().unwrap();
        state.given_up.push((age, most));
        let last = state.gives_up_to;
        let stays = state.queue.split_off(&(last + 1));
        let gone = std::mem::replace(&mut state.queue, stays);
        let mut given_up = GivenUp::default();
        if let Some(waiting) = gone.values().next() {
            given_up.add(waiting.shard, gone.len() as u64, last);
        }
        Ok(given_up)
    }

    async fn depth(&self) -> Result<(u64, f64), Self::Error> {
        Ok((self.0.lock().unwrap().queue.len() as u64, 0.0))
    }

    async fn complete(&self, completions: &[Completion]) -> Result<(), Self::Error> {
        let mut state = self.0.lock().unwrap();
        for completion in completions {
            if let Some(hydrated) = completion.hydrated() {
                state.written.insert(completion.waiting.seq, hydrated.clone());
            }
            if !completion.waits {
                state.queue.remove(&completion.waiting.seq);
            }
        }
        Ok(())
    }
}

struct Rig {
    memory: Memory,
    cache: Arc<Cache>,
    completer: Completer<Memory>,
}

impl Rig {
    fn new() -> Self {
        let cache = Arc::new(Cache::new(1 << 24));
        let targets = Targets::from([(Target::Author, TTL), (Target::Subject, TTL)]);
        let hydrator = Hydrator::new(cache.clone(), Handle::new(cache.clone()), vec![targets]);
        let memory = Memory::default();
        let completer = Completer::new(memory.clone(), hydrator, KEEP_ALL, Report::default());
        Self { memory, cache, completer }
    }

    /// The account follows another.
    fn waits(&self, seq: u64) {
        let record = Some(format!(r#"{{"subject":"{}"}}"#, did(1_000_000 + seq)));
        let collection = "app.bsky.graph.follow".to_owned();
        let waiting = Waiting {
            seq,
            shard: Shard { slice: 0, partition: 0 },
            did: did(seq),
            collection,
            rkey: "k".into(),
            record,
            partial: false,
        };
        self.memory.0.lock().unwrap().queue.insert(seq, waiting);
    }

    fn knows(&self, account: u64) {
        let item = Item::profile(&did(account)).unwrap();
        let entry = Entry { known: Known::Missing, at: Instant::now(), at_us: 0 };
        self.cache.changed(&item, Some(entry));
    }

    async fn step(&mut self, answers: u64) {
        self.completer.step(answers).await.unwrap();
    }

    fn queued(&self) -> BTreeSet<u64> {
        self.memory.0.lock().unwrap().queue.keys().copied().collect()
    }

    fn written(&self, seq: u64) -> Option<Hydration> {
        self.memory.0.lock().unwrap().written.get(&seq).map(|hydrated| hydrated.hydration)
    }
}

fn did(account: u64) -> String {
    format!("did:plc:{account}")
}

#[tokio::test(start_paused = true)]
async fn what_waits_is_asked_for_and_written_when_all_of_it_is_known() {
    let mut rig = Rig::new();
    rig.waits(1);
    rig.step(0).await;
    assert_eq!(rig.completer.hydrator.handle().waiting(), (0, 2), "who follows, and whom");
    rig.knows(1);
    rig.step(1).await;
    assert_eq!((rig.written(1), rig.queued().len()), (None, 1));
    rig.knows(1_000_001);
    rig.step(2).await;
    assert_eq!((rig.written(1), rig.queued().len()), (Some(Hydration::Full), 0));
    assert!(rig.completer.hand.is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_is_gone_or_of_another_shape_now_leaves_the_queue_untouched() {
    let mut rig = Rig::new();
    rig.waits(1);
    rig.memory.0.lock().unwrap().queue.get_mut(&1).unwrap().record = None;
    rig.step(0).await;
    assert_eq!((rig.written(1), rig.queued().len()), (None, 0));
}

#[tokio::test(start_paused = true)]
async fn one_that_never_gets_an_answer_holds_nobody_up_and_comes_again() {
    let mut rig = Rig::new();
    let all = 2 * IN_HAND as u64 + 10;
    (1..=all).for_each(|seq| rig.waits(seq));
    // The last is known, and would come after two hands full that are not; of the first one half is known.
    rig.knows(all);
    rig.knows(1_000_000 + all);
    rig.knows(1);
    for answers in 0..8 * PATIENCE {
        rig.step(answers).await;
    }
    assert_eq!(rig.written(all), Some(Hydration::Full));
    assert_eq!(rig.written(1), Some(Hydration::Partial), "what is known is written when it is put back");
    assert_eq!(rig.written(2), None, "nothing is known");
    assert_eq!(rig.queued().len() as u64, all - 1);
    rig.knows(1_000_001);
    for answers in 8 * PATIENCE..20 * PATIENCE {
        rig.step(answers).await;
    }
    assert_eq!(rig.written(1), Some(Hydration::Full));
}

#[tokio::test(start_paused = true)]
async fn what_stands_there_is_not_replaced_by_what_is_no_more() {
    let mut rig = Rig::new();
    rig.waits(1);
    rig.memory.0.lock().unwrap().queue.get_mut(&1).unwrap().partial = true;
    rig.knows(1);
    rig.step(0).await;
    rig.step(PATIENCE - 1).await;
    assert!(!rig.completer.hand.is_empty());
    rig.step(PATIENCE).await;
    assert_eq!((rig.written(1), rig.queued().len()), (None, 1));
    assert!(rig.completer.hand.is_empty(), "it was put back");
}

#[tokio::test(start_paused = true)]
async fn shards_that_come_are_begun_from_their_oldest_and_those_that_go_leave_the_hand() {
    let mut rig = Rig::new();
    let [mine, another] = [0, 1].map(|partition| Shard { slice: 0, partition });
    let owns = |rig: &Rig, shard: Shard| rig.memory.0.lock().unwrap().owned = Some(BTreeMap::from([(shard, 1)]));
    (1..=2 * IN_HAND as u64).for_each(|seq| rig.waits(seq + 10));
    owns(&rig, mine);
    rig.step(0).await;
    assert_eq!((rig.completer.hand.len(), rig.completer.pass.last), (IN_HAND, IN_HAND as u64 + 10));
    owns(&rig, another);
    rig.memory.0.lock().unwrap().queue.clear();
    rig.waits(1);
    rig.memory.0.lock().unwrap().queue.get_mut(&1).unwrap().shard = another;
    rig.step(0).await;
    assert_eq!(rig.completer.hand.keys().copied().collect::<Vec<_>>(), [1]);
}

#[tokio::test(start_paused = true)]
async fn one_whose_turn_has_not_come_is_not_put_back() {
    let mut rig = Rig::new();
    let all = IN_HAND as u64;
    (1..=all).for_each(|seq| rig.waits(seq));
    // Two items each, which are told in their order by every third call.
    let per_call = MOST as u64 / 2;
    let calls = all.div_ceil(per_call) * u64::from(TURNS);
    assert!(calls > PATIENCE);
    for answers in 0..=calls {
        rig.step(answers).await;
        let told = answers / u64::from(TURNS) * per_call;
        (1..=told.min(all)).for_each(|seq| [seq, 1_000_000 + seq].into_iter().for_each(|one| rig.knows(one)));
    }
    rig.step(calls).await;
    assert_eq!((rig.completer.pass.put_back, rig.queued().len()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn one_that_was_put_back_does_not_wait_for_all_that_has_come_since() {
    let mut rig = Rig::new();
    let all = 20 * IN_HAND as u64;
    (1..=all).for_each(|seq| rig.waits(seq));
    let late = 7;
    (1..=all)
        .filter(|seq| *seq != late)
        .for_each(|seq| [seq, 1_000_000 + seq].into_iter().for_each(|one| rig.knows(one)));
    let (mut put_back, mut again) = (None, None);
    for answers in 0.. {
        rig.step(answers).await;
        let held = rig.completer.hand.contains_key(&late);
        match (put_back, held) {
            (None, false) => put_back = Some(rig.queued().len()),
            (Some(_), true) => {
                again = Some(rig.queued().len());
                break;
            }
            _ => {}
        }
    }
    let passed = put_back.unwrap() - again.unwrap();
    assert!(passed <= PASS, "{passed} others came first");
}

#[tokio::test(start_paused = true)]
async fn while_nobody_answers_the_queue_is_not_read_over_and_over() {
    let mut rig = Rig::new();
    (1..=3 * IN_HAND as u64).for_each(|seq| rig.waits(seq));
    for _ in 0..100 {
        rig.step(7).await;
    }
    assert_eq!(rig.memory.0.lock().unwrap().reads, 1);
    assert_eq!(rig.completer.hand.len(), IN_HAND);
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_is_away_is_read_again_from_its_oldest() {
    let mut rig = Rig::new();
    rig.waits(1);
    rig.memory.0.lock().unwrap().fails = true;
    assert!(rig.completer.step(0).await.is_err());
    rig.knows(1);
    rig.knows(1_000_001);
    rig.memory.0.lock().unwrap().fails = false;
    rig.step(0).await;
    rig.step(0).await;
    assert_eq!((rig.written(1), rig.queued().len()), (Some(Hydration::Full), 0));
}

#[tokio::test(start_paused = true)]
async fn the_limits_are_told_to_the_queue_now_and_then() {
    let mut rig = Rig::new();
    rig.step(0).await;
    rig.step(0).await;
    let given_up = rig.memory.0.lock().unwrap().given_up.clone();
    assert_eq!(given_up, [(KEEP_ALL.age, KEEP_ALL.records)]);
    tokio::time::advance(KEEP).await;
    rig.step(0).await;
    assert_eq!(rig.memory.0.lock().unwrap().given_up.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_is_given_up_stays_as_it_is_even_where_it_was_in_hand() {
    let mut rig = Rig::new();
    (1..=10).for_each(|seq| rig.waits(seq));
    rig.step(0).await;
    rig.memory.0.lock().unwrap().gives_up_to = 4;
    tokio::time::advance(KEEP).await;
    for seq in 1..=10 {
        rig.knows(seq);
        rig.knows(1_000_000 + seq);
    }
    rig.step(0).await;
    let written: Vec<u64> = rig.memory.0.lock().unwrap().written.keys().copied().collect();
    assert_eq!(written, [5, 6, 7, 8, 9, 10]);
    let told = rig.completer.report.now();
    assert_eq!((told.given_up, told.completed), (4, 6));
}

/// Changes come from the stream while records are completed: what is let go of must be full.
#[tokio::test]
async fn what_changes_at_the_moment_of_completion_goes_on_waiting() {
    let mut rig = Rig::new();
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let (cache, stopped) = (rig.cache.clone(), stop.clone());
    let changing = std::thread::spawn(move || {
        let item = Item::profile(&did(1)).unwrap();
        while !stopped.load(std::sync::atomic::Ordering::Relaxed) {
            cache.changed(&item, Some(Entry { known: Known::Missing, at: Instant::now(), at_us: 0 }));
            cache.changed(&item, None);
        }
    });
    rig.knows(1_000_001);
    for _ in 0..20_000 {
        rig.waits(1);
        rig.completer.hand.clear();
        rig.completer.pass = Pass::default();
        rig.step(0).await;
        if rig.queued().is_empty() {
            assert_eq!(rig.written(1), Some(Hydration::Full));
        }
        rig.memory.0.lock().unwrap().written.clear();
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    changing.join().unwrap();
}
