//! The metrics: one table from which they are registered with a value of zero, described, and documented.

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

/// What a metric counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Observations in buckets.
    Histogram,
}

/// One metric.
#[derive(Debug)]
pub struct Metric {
    /// Name, with its unit.
    pub name: &'static str,
    /// Kind.
    pub kind: Kind,
    /// The label and its values that are known from the start; `None` without a label.
    pub label: Option<(&'static str, &'static [&'static str])>,
    /// What it says.
    pub help: &'static str,
}

const fn metric(name: &'static str, kind: Kind, help: &'static str) -> Metric {
    Metric { name, kind, label: None, help }
}

const fn labelled(
    name: &'static str,
    label: &'static str,
    values: &'static [&'static str],
    help: &'static str,
) -> Metric {
    Metric { name, kind: Kind::Counter, label: Some((label, values)), help }
}

/// Events appended to the log.
pub const SOURCE_EVENTS: &str = "turbo_source_events_total";
/// Events that were in the dedup window.
pub const SOURCE_KNOWN: &str = "turbo_source_known_total";
/// Frames and lines that are no event.
pub const SOURCE_UNREADABLE: &str = "turbo_source_unreadable_total";
/// Messages of a kind that this version does not know.
pub const SOURCE_UNKNOWN: &str = "turbo_source_unknown_total";
/// Connections opened.
pub const SOURCE_CONNECTIONS: &str = "turbo_source_connections_total";
/// Connections lost.
pub const SOURCE_LOSSES: &str = "turbo_source_losses_total";
/// Streams that did not join.
pub const SOURCE_NOT_JOINED: &str = "turbo_source_not_joined_total";
/// Gaps.
pub const SOURCE_GAPS: &str = "turbo_source_gaps_total";
/// Lag.
pub const SOURCE_LAG: &str = "turbo_source_lag_seconds";
/// Bytes in the log.
pub const LOG_BYTES: &str = "turbo_log_bytes";
/// Entries committed.
pub const COMMITTED: &str = "turbo_committed_entries_total";
/// Duration of commits.
pub const COMMIT_SECONDS: &str = "turbo_commit_seconds";
/// Failed commits.
pub const COMMIT_FAILURES: &str = "turbo_commit_failures_total";
/// Rows written.
pub const ROWS: &str = "turbo_rows_total";
/// Dead letters.
pub const DEAD_LETTERS: &str = "turbo_dead_letters_total";
/// Segments committed.
pub const SEGMENTS: &str = "turbo_archive_segments_total";
/// Rows in committed segments.
pub const SEGMENT_ROWS: &str = "turbo_archive_rows_total";
/// Bytes in committed segments.
pub const SEGMENT_BYTES: &str = "turbo_archive_bytes_total";
/// Segments that could not be written.
pub const SEGMENT_FAILURES: &str = "turbo_archive_failures_total";
/// Shards owned.
pub const SHARDS_OWNED: &str = "turbo_shards_owned";
/// Claims.
pub const CLAIMS: &str = "turbo_claims_total";
/// Claims lost to another worker.
pub const CLAIMS_LOST: &str = "turbo_claims_lost_total";
/// Positions of sinks that are gone.
pub const SINKS_REMOVED: &str = "turbo_sinks_removed_total";
/// Claims at a catalog that went back.
pub const CATALOG_WENT_BACK: &str = "turbo_catalog_went_back_total";
/// Messages that wait.
pub const QUEUE_DEPTH: &str = "turbo_queue_depth";
/// Messages that the log has lost.
pub const LOG_MISSING: &str = "turbo_log_missing_total";
/// See [`describe`].
pub const LOG_WENT_BACK: &str = "turbo_log_went_back_total";
/// Logs begun anew.
pub const LOG_LOST: &str = "turbo_log_lost_total";
/// Batches of the log that another writer's were before.
pub const LOG_REFUSED: &str = "turbo_log_refused_total";
/// Messages purged from the log.
pub const LOG_PURGED: &str = "turbo_log_purged_total";
/// Segments burnt.
pub const SEGMENTS_BURNT: &str = "turbo_archive_burnt_total";
/// Windows rotated out.
pub const ROTATIONS: &str = "turbo_rotations_total";
/// Windows copied to the store.
pub const WINDOWS_COPIED: &str = "turbo_windows_copied_total";
/// Attempts on the files of windows that failed.
pub const WINDOW_FAILURES: &str = "turbo_window_failures_total";
/// Messages of the enriched stream.
pub const ENRICHED_MESSAGES: &str = "turbo_enriched_messages_total";
/// Attempts on the enriched stream that failed.
pub const ENRICHED_FAILURES: &str = "turbo_enriched_failures_total";
/// Messages of the enriched stream without their content.
pub const ENRICHED_OMITTED: &str = "turbo_enriched_omitted_total";
/// Calls to AppViews.
pub const HYDRATION_REQUESTS: &str = "turbo_hydration_requests_total";
/// Profiles that records wanted.
pub const HYDRATION_PROFILES: &str = "turbo_hydration_profiles_total";
/// Posts that records wanted.
pub const HYDRATION_POSTS: &str = "turbo_hydration_posts_total";
/// Items that were looked for in what all workers share.
pub const HYDRATION_SHARED: &str = "turbo_hydration_shared_total";
/// Items that hosts left out of their answers.
pub const HYDRATION_LEFT_OUT: &str = "turbo_hydration_left_out_total";
/// Records that landed, by how much was known.
pub const HYDRATION_RECORDS: &str = "turbo_hydration_records_total";
/// Records completed later.
pub const HYDRATION_COMPLETED: &str = "turbo_hydration_completed_total";
/// Records given up.
pub const HYDRATION_GIVEN_UP: &str = "turbo_hydration_given_up_total";
/// Records that wait to be completed.
pub const HYDRATION_QUEUE: &str = "turbo_hydration_queue";
/// Age of the oldest of them.
pub const HYDRATION_QUEUE_AGE: &str = "turbo_hydration_queue_age_seconds";
/// Bytes in the cache.
pub const HYDRATION_CACHE_BYTES: &str = "turbo_hydration_cache_bytes";
/// Spans.
pub const TRACE_SPANS: &str = "turbo_trace_spans_total";

/// Every metric.
pub const METRICS: &[Metric] = &[
    labelled(SOURCE_EVENTS, "kind", &["commit", "identity", "account", "sync"], "New events read from the source."),
    metric(SOURCE_KNOWN, Kind::Counter, "Events read again and dropped, because the dedup window holds them."),
    metric(SOURCE_UNREADABLE, Kind::Counter, "Frames or lines that are no event; each becomes a dead letter."),
    metric(SOURCE_UNKNOWN, Kind::Counter, "Messages of a kind that this version does not know; they are left out."),
    metric(SOURCE_CONNECTIONS, Kind::Counter, "Connections opened to hosts of the source."),
    labelled(
        SOURCE_LOSSES,
        "reason",
        &["Closed", "Silent", "Quiet", "Behind", "TooSlow", "Oversized"],
        "Connections lost, by reason.",
    ),
    metric(SOURCE_NOT_JOINED, Kind::Counter, "Streams that did not join what is in the log and were asked for again."),
    metric(SOURCE_GAPS, Kind::Counter, "Parts of the source that were never seen; each is a row of the table gaps."),
    metric(SOURCE_LAG, Kind::Gauge, "Age of the newest event read, by the source's time, in seconds."),
    metric(LOG_BYTES, Kind::Gauge, "Bytes of events in the log that wait for their commit."),
    metric(COMMITTED, Kind::Counter, "Log entries committed: an event counts once for each slice that it goes to."),
    metric(COMMIT_SECONDS, Kind::Histogram, "Duration of a commit in seconds."),
    metric(COMMIT_FAILURES, Kind::Counter, "Commits that failed and were tried again."),
    labelled(
        ROWS,
        "what",
        &["record", "tombstone", "refused"],
        "Rows of records written by commits, after folding; refused: older than a sync or a deleted account.",
    ),
    metric(DEAD_LETTERS, Kind::Counter, "Dead letters written."),
    metric(SEGMENTS, Kind::Counter, "Archive segments committed."),
    metric(SEGMENT_ROWS, Kind::Counter, "Events in committed archive segments."),
    metric(SEGMENT_BYTES, Kind::Counter, "Bytes of committed archive segments."),
    metric(SEGMENT_FAILURES, Kind::Counter, "Archive segments that could not be written and were tried again."),
    metric(SHARDS_OWNED, Kind::Gauge, "Shards that this process owns."),
    metric(CLAIMS, Kind::Counter, "Shards claimed."),
    metric(CLAIMS_LOST, Kind::Counter, "Claims that ended because another worker claimed the shard."),
    metric(
        SINKS_REMOVED,
        Kind::Counter,
        "Positions of sinks that the pipeline file no longer names, removed: one for each shard.",
    ),
    metric(
        CATALOG_WENT_BACK,
        Kind::Counter,
        "Claims that found the catalog behind what was announced: it was restored.",
    ),
    metric(QUEUE_DEPTH, Kind::Gauge, "Messages of the shared log that wait for the workers, as last known."),
    metric(
        LOG_MISSING,
        Kind::Counter,
        "Messages that the shared log has lost before they were read; each run is a gap.",
    ),
    metric(
        LOG_WENT_BACK,
        Kind::Counter,
        "Shards of which the log went back behind what was read and not committed; they are read again.",
    ),
    metric(LOG_LOST, Kind::Counter, "Logs that had lost what the catalog has, and were begun anew; each is a gap."),
    metric(LOG_REFUSED, Kind::Counter, "Batches that the shared log refused because another ingester had written."),
    metric(LOG_PURGED, Kind::Counter, "Messages that every sink had, removed from the shared log."),
    metric(
        SEGMENTS_BURNT,
        Kind::Counter,
        "Archive segments that an earlier owner intended and did not commit, and that were made void.",
    ),
    metric(ROTATIONS, Kind::Counter, "Windows rotated out of the SQLite file."),
    metric(WINDOWS_COPIED, Kind::Counter, "Windows copied to the bucket that spec.sinks.sqlite.rotate.s3 names."),
    metric(
        WINDOW_FAILURES,
        Kind::Counter,
        "Attempts to make, copy or remove the files of windows that failed and were tried again.",
    ),
    metric(ENRICHED_MESSAGES, Kind::Counter, "Messages stored in the enriched stream."),
    metric(ENRICHED_FAILURES, Kind::Counter, "Attempts on the enriched stream that failed and were tried again."),
    labelled(
        HYDRATION_REQUESTS,
        "outcome",
        &["answered", "refused", "busy", "failed", "no_token"],
        "Calls to the hosts of spec.hydration, by what came of them; no_token was never sent.",
    ),
    labelled(
        HYDRATION_PROFILES,
        "lookup",
        &["hit", "miss"],
        "Profiles that new records wanted, and whether they were known.",
    ),
    labelled(
        HYDRATION_SHARED,
        "lookup",
        &["hit", "miss"],
        "Items that were looked for in what all workers share, and whether they were there.",
    ),
    labelled(
        HYDRATION_POSTS,
        "lookup",
        &["hit", "miss"],
        "Posts that new records wanted, and whether they were known.",
    ),
    labelled(
        HYDRATION_LEFT_OUT,
        "kind",
        &["profile", "post"],
        "Items that a host left out of its answer, so that they count as missing.",
    ),
    labelled(
        HYDRATION_RECORDS,
        "hydration",
        &["full", "partial", "none"],
        "Records of slices that look something up, by how much was known when they landed.",
    ),
    metric(HYDRATION_COMPLETED, Kind::Counter, "Records that were completed after they had landed."),
    metric(
        HYDRATION_GIVEN_UP,
        Kind::Counter,
        "Records that waited too long to be completed, or were too many; they stay as they are.",
    ),
    metric(HYDRATION_QUEUE, Kind::Gauge, "Records that wait to be completed."),
    metric(HYDRATION_QUEUE_AGE, Kind::Gauge, "For how long the oldest of them has waited, in seconds."),
    metric(HYDRATION_CACHE_BYTES, Kind::Gauge, "Bytes of profiles and posts that are kept."),
    labelled(
        TRACE_SPANS,
        "what",
        &["sent", "lost"],
        "Spans of traced events that the collector took, or did not take.",
    ),
    metric(
        ENRICHED_OMITTED,
        Kind::Counter,
        "Messages of the enriched stream without their content: above the server's max_payload, compressed too.",
    ),
];

const SECONDS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

/// Installs the recorder, with every metric described and at zero.
///
/// # Errors
/// Another recorder is installed.
pub fn install() -> anyhow::Result<PrometheusHandle> {
    let builder = PrometheusBuilder::new().set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &SECONDS)?;
    let handle = builder.install_recorder()?;
    METRICS.iter().for_each(register);
    Ok(handle)
}

fn register(metric: &Metric) {
    let Metric { name, kind, label, help } = metric;
    match (kind, label) {
        (Kind::Counter, None) => {
            metrics::describe_counter!(*name, *help);
            metrics::counter!(*name).absolute(0);
        }
        (Kind::Counter, Some((label, values))) => {
            metrics::describe_counter!(*name, *help);
            values.iter().for_each(|value| metrics::counter!(*name, *label => *value).absolute(0));
        }
        (Kind::Gauge, _) => {
            metrics::describe_gauge!(*name, *help);
            metrics::gauge!(*name).set(0.0);
        }
        (Kind::Histogram, _) => {
            metrics::describe_histogram!(*name, *help);
            let _ = metrics::histogram!(*name);
        }
    }
}

/// The reference page, made from the table.
#[must_use]
pub fn reference() -> String {
    let mut page = String::from(
        "# Metrics\n\n`/metrics` in the Prometheus text format. This page is made from the code: \
         `turbo reference metrics`.\n\n| name | kind | labels | what it says |\n|---|---|---|---|\n",
    );
    for Metric { name, kind, label, help } in METRICS {
        let kind = format!("{kind:?}").to_lowercase();
        let label = label.map_or(String::new(), |(label, values)| format!("`{label}`: {}", values.join(", ")));
        page += &format!("| `{name}` | {kind} | {label} | {help} |\n");
    }
    page
}
