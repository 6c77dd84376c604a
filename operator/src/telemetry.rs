//! Logs and metrics of the operator.

use crate::children::Key;
use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use turbo_core::reason::Reason;

/// Writes to the API server, by verb.
pub const WRITES: &str = "turbo_operator_writes_total";
/// Reconciles that came to their end.
pub const RECONCILES: &str = "turbo_operator_reconciles_total";
/// Reconciles that failed, by what failed.
pub const ERRORS: &str = "turbo_operator_reconcile_errors_total";
/// How long a reconcile took.
pub const SECONDS: &str = "turbo_operator_reconcile_seconds";
/// Whether this operator acts.
pub const LEADER: &str = "turbo_operator_leader";
/// Pipelines that are not ready, by reason.
pub const NOT_READY: &str = "turbo_operator_pipelines_not_ready";

/// Reconciles that have run for so long that something holds them.
pub const STUCK: &str = "turbo_operator_reconciles_stuck";
/// For how long that is: every request of a reconcile ends in less.
const STUCK_AFTER: Duration = Duration::from_secs(60);

/// The reconciles that run now, at most one of each pipeline.
#[derive(Default)]
pub struct Running(Mutex<HashMap<Key, Instant>>);

impl Running {
    fn all(&self) -> MutexGuard<'_, HashMap<Key, Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One begins.
    pub fn begins(&self, pipeline: &Key) {
        self.all().insert(pipeline.clone(), Instant::now());
    }

    /// It has come to an end.
    pub fn ends(&self, pipeline: &Key) {
        self.all().remove(pipeline);
    }

    /// Counts those that are stuck, again and again, until it is dropped.
    pub async fn watch(&self) {
        loop {
            let stuck = self.all().values().filter(|began| began.elapsed() > STUCK_AFTER).count();
            gauge!(STUCK).set(stuck as f64);
            tokio::time::sleep(Duration::from_secs(5)).await;
        }
    }
}

/// Which pipelines are not ready, and why.
#[derive(Default)]
pub struct Unready(Mutex<HashMap<Key, String>>);

impl Unready {
    /// A pipeline is ready, or gone, or for this reason not ready.
    pub fn is(&self, pipeline: &Key, reason: Option<String>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = match reason.clone() {
            Some(reason) => all.insert(pipeline.clone(), reason),
            None => all.remove(pipeline),
        };
        for of in before.into_iter().chain(reason) {
            let count = all.values().filter(|reason| **reason == of).count();
            gauge!(NOT_READY, "reason" => of).set(count as f64);
        }
    }
}

/// What each verb of a write is called.
const VERBS: [&str; 5] = ["apply", "create", "delete", "status", "event"];
/// What each failed reconcile is called.
pub const FAILURES: [&str; 6] = ["Conflict", "ApplyRefused", "ServerFailed", "NoAnswer", "NotLeading", "Bug"];

/// What kind of metric it is.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// Everything that is counted: name, kind, label, what it says.
const METRICS: [(&str, Kind, Option<&str>, &str); 7] = [
    (WRITES, Kind::Counter, Some("verb"), "Writes to the API server, but those of the Lease."),
    (RECONCILES, Kind::Counter, None, "Reconciles that came to their end."),
    (ERRORS, Kind::Counter, Some("reason"), "Reconciles that failed, and are tried again."),
    (SECONDS, Kind::Histogram, None, "How long a reconcile took, in seconds."),
    (STUCK, Kind::Gauge, None, "Reconciles that have run for more than a minute."),
    (LEADER, Kind::Gauge, None, "1 while this operator acts, 0 while it stands by."),
    (NOT_READY, Kind::Gauge, Some("reason"), "Pipelines that are not ready; docs/conditions.md has the reasons."),
];

/// The page of all of them.
#[must_use]
pub fn page() -> String {
    let mut page = String::from(
        "# Metrics of the operator\n\n`/metrics` on port 8081, in the Prometheus text format. This page is made from the code: \
         `turbo-operator reference metrics`.\n\n| name | kind | label | what it says |\n|---|---|---|---|\n",
    );
    for (name, kind, label, help) in METRICS {
        let (kind, label) =
            (format!("{kind:?}").to_lowercase(), label.map_or(String::new(), |label| format!("`{label}`")));
        page += &format!("| `{name}` | {kind} | {label} | {help} |\n");
    }
    page
}

/// Begins to count. Everything that is counted is there from the start.
///
/// # Errors
/// It was done before in this process.
pub fn metrics() -> anyhow::Result<PrometheusHandle> {
    let seconds = [0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0];
    let builder = PrometheusBuilder::new().set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &seconds)?;
    let handle = builder.install_recorder()?;
    for (name, kind, _, help) in METRICS {
        match kind {
            Kind::Counter => describe_counter!(name, help),
            Kind::Gauge => describe_gauge!(name, help),
            Kind::Histogram => describe_histogram!(name, help),
        }
    }
    VERBS.iter().for_each(|verb| counter!(WRITES, "verb" => *verb).absolute(0));
    FAILURES.iter().for_each(|reason| counter!(ERRORS, "reason" => *reason).absolute(0));
    Reason::all().for_each(|reason| gauge!(NOT_READY, "reason" => reason.name()).set(0.0));
    counter!(RECONCILES).absolute(0);
    gauge!(LEADER).set(0.0);
    gauge!(STUCK).set(0.0);
    Ok(handle)
}
