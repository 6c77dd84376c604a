//! What a host's log promises.

use super::log::Log;
use super::*;
use crate::world::{World, WorldConfig};
use std::collections::HashSet;

fn seen(count: usize) -> Vec<(i64, Arc<Happening>)> {
    let mut world = World::new(WorldConfig::seeded(1));
    (0..count).map(|_| Arc::new(world.next())).map(|happening| (happening.at_us, happening)).collect()
}

fn seqs(log: &Log, from: u64) -> Vec<u64> {
    let blocks = log.read(from, usize::MAX);
    blocks.iter().flat_map(|(block, at)| block.rows()[*at..].iter().map(|row| row.seq)).collect()
}

#[test]
fn rows_that_come_one_by_one_are_those_that_come_at_once() {
    let config = HostConfig { segment_us: 1_000_000, sequence_base: 10, ..HostConfig::default() };
    let (mut one, mut all) = (Log::new(10, false), Log::new(10, true));
    for row in seen(5_000) {
        one.append(vec![row], &config);
    }
    all.append(seen(5_000), &config);
    assert_eq!(seqs(&one, 0), (10..5_010).collect::<Vec<_>>());
    for from in [0, 11, 1_000, 1_033, 5_009, 5_010] {
        assert_eq!(seqs(&one, from), seqs(&all, from));
    }
    let starts = |log: &Log| log.segments().iter().map(|segment| segment.first_seq()).collect::<Vec<_>>();
    assert_eq!(starts(&one), starts(&all));
    assert!(one.segments().len() > 8);
    let blocks: usize = one.segments().iter().map(|segment| segment.blocks().len()).sum();
    assert!(blocks < 600, "small blocks are merged: {blocks}");
    assert_eq!(one.before(1_000, 3).iter().map(|row| row.seq).collect::<Vec<_>>(), [997, 998, 999]);
}

#[test]
fn what_is_too_much_or_too_old_goes_in_whole_segments() {
    let config = HostConfig { segment_us: 1_000_000, keep: 2_000, ..HostConfig::default() };
    let mut log = Log::new(1, false);
    log.append(seen(20_000), &config);
    let kept = log.next_seq() - log.oldest();
    assert!((2_000..3_500).contains(&kept), "{kept}");
    assert_eq!(seqs(&log, 1)[0], log.oldest());

    let config = HostConfig { segment_us: 1_000_000, lookback_us: 4_000_000, ..HostConfig::default() };
    let mut log = Log::new(1, false);
    log.append(seen(20_000), &config);
    let kept = log.next_seq() - log.oldest();
    assert!((2_000..3_500).contains(&kept), "{kept}");
}

#[test]
fn times_do_not_go_back_and_those_of_the_old_server_go_on() {
    let same: Vec<_> = seen(100).into_iter().map(|(_, happening)| (5_000_000, happening)).collect();
    for (flavour, different) in [(Flavour::New, 1), (Flavour::Old, 100)] {
        let config = HostConfig { flavour, ..HostConfig::default() };
        let mut log = Log::new(1, false);
        log.append(same.clone(), &config);
        let blocks = log.read(1, 1000);
        let times: Vec<i64> = blocks.iter().flat_map(|(block, _)| block.rows().iter().map(|row| row.time_us)).collect();
        assert!(times.is_sorted());
        assert_eq!(times.iter().collect::<HashSet<_>>().len(), different);
    }
}
