//! What the operator costs a cluster, and how soon it acts: each a bound to what was measured.
//!
//! The cluster is an API server with its controllers and without nodes; the operator is a process with the rights of its
//! manifest.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a benchmark fails loudly"
)]

#[path = "../tests/control/cluster.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod cluster;

/// The pipelines of the tests.
mod fixtures {
    pub(super) fn pipeline(name: &str) -> turbo_crds::TurboPipeline {
        let path = format!("{}/tests/fixtures/{name}.yaml", env!("CARGO_MANIFEST_DIR"));
        turbo_crds::load(&std::fs::read_to_string(path).unwrap()).unwrap()
    }
}

use cluster::{Cluster, Operator};
use serde_json::json;
use std::time::{Duration, Instant};

/// Pipelines at once.
const MANY: usize = 200;
/// What the operator may take with them.
const MEMORY_MB: f64 = 64.0;
/// How long an apply may take to become all objects.
const CHILDREN: Duration = Duration::from_secs(2);
/// How long a take-over may take: after a stop in good order, and after a kill, with the default Lease.
const AFTER_STOP: Duration = Duration::from_secs(3);
const AFTER_KILL: Duration = Duration::from_secs(20);
/// How long anything is waited for.
const PATIENCE: Duration = Duration::from_secs(900);

fn main() {
    let Some(cluster) = Cluster::start() else { panic!("no Kubernetes: scripts/tools.sh test builds it") };
    let turns = std::env::var("BENCH_TURNS").ok().and_then(|turns| turns.parse().ok()).unwrap_or(5);
    let mut lines = take_overs(&cluster, turns);
    let operator = cluster.operator(&[]);
    lines.push(children(&cluster, turns));
    lines.extend(many(&cluster, &operator));
    lines.iter().for_each(|line| println!("{line}"));
}

/// From an apply until the last object is there.
fn children(cluster: &Cluster, turns: usize) -> String {
    let took = (0..turns).map(|turn| {
        let (name, began) = (format!("turn{turn}"), Instant::now());
        cluster.apply("small", &name);
        let last = || cluster.get(&format!("deployment/{name}-workers"));
        cluster.patient(PATIENCE, "no workers", last, |seen| !seen.is_null());
        began.elapsed()
    });
    line("operator_children", CHILDREN, median(took.collect()))
}

/// What many pipelines cost, and what they cost once more when each is looked at and nothing has changed.
fn many(cluster: &Cluster, operator: &Operator) -> [String; 2] {
    let before = operator.metric("turbo_operator_reconciles_total");
    let all: Vec<_> = (0..MANY).map(|number| cluster.manifest("small", &format!("p{number}"))).collect();
    let list = json!({ "apiVersion": "v1", "kind": "List", "items": all });
    cluster.kubectl(&["apply", "--server-side", "-f", "-"], &list.to_string());
    let workers = || cluster.names("deployment").iter().filter(|name| name.starts_with('p')).count();
    cluster.patient(PATIENCE, "they are not all made", workers, |count| *count == 2 * MANY);
    let rest = || {
        let before = operator.writes();
        std::thread::sleep(Duration::from_secs(5));
        (before, operator.writes())
    };
    let writes = cluster.patient(PATIENCE, "no rest", rest, |(before, after)| before == after).1;
    let reconciles = || operator.metric("turbo_operator_reconciles_total");
    println!("{MANY} pipelines: {writes:.0} writes, {:.0} reconciles", reconciles() - before);
    let looked = reconciles() + MANY as f64;
    cluster.kubectl(&["-n", "social", "annotate", "tp", "--all", "touched=1"], "");
    cluster.patient(PATIENCE, "they are not looked at", reconciles, |count| *count >= looked);
    let (written, memory) = (operator.writes() - writes, operator.peak_mb());
    [
        format!("bench operator_noop_writes ratio={:.2} goal=1 writes={written}", 1.0 / (1.0 + written)),
        format!("bench operator_memory ratio={:.2} goal=1 mb={memory:.0} pipelines={MANY}", MEMORY_MB / memory),
    ]
}

/// From the end of the operator that acts until another one does.
fn take_overs(cluster: &Cluster, turns: usize) -> Vec<String> {
    let mut acts = cluster.operator(&["--identity", "0"]);
    acts.until_log("this operator acts");
    let mut number = 0;
    let mut next = |end: fn(Operator)| {
        number += 1;
        let other = cluster.operator(&["--identity", &number.to_string()]);
        other.until_log("health and metrics at");
        // It has asked for the Lease, and did not get it.
        std::thread::sleep(Duration::from_secs(3));
        let began = Instant::now();
        end(std::mem::replace(&mut acts, other));
        acts.until_log("this operator acts");
        began.elapsed()
    };
    let stopped = (0..turns).map(|_| next(Operator::stop)).collect();
    let killed = (0..turns).map(|_| next(drop)).collect();
    vec![
        line("operator_takeover_after_stop", AFTER_STOP, median(stopped)),
        line("operator_takeover_after_kill", AFTER_KILL, median(killed)),
    ]
}

fn median(mut all: Vec<Duration>) -> Duration {
    all.sort_unstable();
    all[all.len() / 2]
}

fn line(name: &str, bound: Duration, measured: Duration) -> String {
    let (bound, measured) = (bound.as_secs_f64(), measured.as_secs_f64());
    format!("bench {name} ratio={:.2} goal=1 seconds={measured:.2} bound={bound}", bound / measured)
}
