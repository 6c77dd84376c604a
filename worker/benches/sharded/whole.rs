//! The whole path: `turbo ingest` and `turbo work` from a socket that has everything at once to the last committed row.

use crate::process::Process;
use crate::shared::FROM;
use crate::stage::Stage;
use crate::usage::cpu_seconds;
use crate::work::Work;

/// What a run measured.
#[derive(Clone, Copy)]
pub(crate) struct Run {
    /// Events a second from the first committed row to the last.
    pub(crate) rate: f64,
    /// The most memory of the ingester, and of the largest worker, in MB.
    pub(crate) peaks: [f64; 2],
    /// CPU for each event in microseconds: ingester, workers, NATS, PostgreSQL.
    pub(crate) cpu: [f64; 4],
    /// Entries in a commit, and how much of the time the workers spend in commits.
    pub(crate) batch: f64,
    pub(crate) committing: f64,
}

impl Run {
    /// CPU for each event of all processes, in microseconds.
    pub(crate) fn cost(&self) -> f64 {
        self.cpu.iter().sum()
    }
}

/// One run with so many workers and shards.
pub(crate) async fn run(work: &Work, workers: usize, shards: u16) -> Run {
    let source = format!("{{endpoints: ['{}'], cursor: {FROM}, compression: none}}", work.url);
    let stage = Stage::start(&source, shards);
    let mut connection = stage.connect().await;
    let running: Vec<Process> = (0..workers).map(|_| stage.process("work")).collect();
    stage.owned(&mut connection, &running).await;
    let ingest = stage.process("ingest");
    let all: Vec<&Process> = running.iter().chain([&ingest]).collect();
    let used = || {
        let of = |pid: Option<u32>| pid.map_or(0.0, cpu_seconds);
        let workers = running.iter().map(|worker| of(Some(worker.pid()))).sum();
        [of(Some(ingest.pid())), workers, of(stage.nats.pid()), of(stage.postgres.pid())]
    };
    let (first, before) = stage.entries(&mut connection, 1, &all).await;
    let used_before = used();
    let (last, after) = stage.entries(&mut connection, work.entries.len() as i64, &all).await;
    let used_after = used();
    assert_eq!(after as usize, work.entries.len(), "each event is there once");
    let (events, seconds) = ((after - before) as f64, (last - first).as_secs_f64());
    let sum = |name: &str| running.iter().map(|worker| worker.metric(name)).sum::<f64>();
    let run = Run {
        rate: events / seconds,
        peaks: [ingest.peak(), running.iter().map(Process::peak).fold(0.0, f64::max)],
        cpu: std::array::from_fn(|at| (used_after[at] - used_before[at]) * 1e6 / events),
        batch: after as f64 / sum("turbo_commit_seconds_count").max(1.0),
        committing: sum("turbo_commit_seconds_sum") / seconds / workers as f64,
    };
    println!(
        "  {workers} workers, {shards} shards: {:.0}/s; memory: ingest {:.0} MB, work {:.0} MB; CPU for each event: ingest \
         {:.0}, work {:.0}, NATS {:.0}, PostgreSQL {:.0} microseconds; {:.0} entries in a commit, {:.0} % of the time \
         committing",
        run.rate,
        run.peaks[0],
        run.peaks[1],
        run.cpu[0],
        run.cpu[1],
        run.cpu[2],
        run.cpu[3],
        run.batch,
        100.0 * run.committing
    );
    run
}
