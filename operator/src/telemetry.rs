//! Logs and metrics of the operator.

use crate::children::Key;
use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
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

/// Begins to count. Everything that is counted is there from the start.
///
/// # Errors
/// It was done before in this process.
pub fn metrics() -> anyhow::Result<PrometheusHandle> {
    let seconds = [0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0];
    let builder = PrometheusBuilder::new().set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &seconds)?;
    let handle = builder.install_recorder()?;
    describe_counter!(WRITES, "Writes to the API server, by verb.");
    describe_counter!(RECONCILES, "Reconciles that came to their end.");
    describe_counter!(ERRORS, "Reconciles that failed, by reason.");
    describe_histogram!(SECONDS, "How long a reconcile took.");
    describe_gauge!(LEADER, "1 while this operator acts, 0 while it stands by.");
    describe_gauge!(NOT_READY, "Pipelines that are not ready, by reason.");
    VERBS.iter().for_each(|verb| counter!(WRITES, "verb" => *verb).absolute(0));
    FAILURES.iter().for_each(|reason| counter!(ERRORS, "reason" => *reason).absolute(0));
    Reason::all().for_each(|reason| gauge!(NOT_READY, "reason" => reason.name()).set(0.0));
    counter!(RECONCILES).absolute(0);
    gauge!(LEADER).set(0.0);
    Ok(handle)
}
