//! The pipeline file of the test, and what its processes are given.

use crate::process::Launch;
use crate::slices;
use std::path::Path;
use std::time::Duration;

/// How long a worker may drain.
pub const DRAIN: Duration = Duration::from_secs(20);
/// After so long without a heartbeat a process is gone.
pub const LEASE: Duration = Duration::from_secs(4);
/// Whether the pipeline has these sinks.
pub const ARCHIVE: bool = true;
pub const ENRICHED: bool = true;
/// The name of the pipeline.
pub const NAME: &str = "oracle";
/// The database.
pub const DATABASE: &str = "oracle";
/// The bucket.
pub const BUCKET: &str = "oracle";

/// Where the pipeline finds what it needs: proxies, all of them.
pub struct Addresses {
    /// URLs of the hosts of the source.
    pub hosts: Vec<String>,
    /// Source time of the beginning, in microseconds.
    pub from_us: i64,
    /// `host:port` of each NATS server.
    pub nats: Vec<String>,
    pub postgres: String,
    /// Of S3: endpoint, id and secret of the access key.
    pub s3: Option<(String, String, String)>,
    /// Messages that may wait before the source is not read: few, so that faults of ingest fall all along a run.
    pub high_water: u64,
    /// The enriched stream must hold everything.
    pub enriched_gibibytes: u64,
    /// The URL of the AppView, where records are to be hydrated.
    pub appview: Option<String>,
}

/// Calls to the AppView in a second, of all workers together.
pub const REQUESTS: u32 = 100;
/// Records that may wait to be completed: more than there are, since each has to be complete in the end.
const QUEUE: u32 = 1_000_000_000;

/// Writes the pipeline file.
///
/// # Errors
/// The folder can not be written.
pub fn write(folder: &Path, at: &Addresses) -> std::io::Result<Launch> {
    std::fs::write(folder.join("pipeline.yaml"), yaml(at))?;
    let mut environment = vec![("TURBO_PG".to_owned(), at.postgres.clone())];
    if let Some((_, id, secret)) = &at.s3 {
        environment.push(("TURBO_S3_ID".into(), id.clone()));
        environment.push(("TURBO_S3_SECRET".into(), secret.clone()));
    }
    environment.push(("TURBO_LOG".into(), std::env::var("TURBO_LOG").unwrap_or_else(|_| "info".into())));
    Ok(Launch { folder: folder.to_owned(), file: "pipeline.yaml", environment })
}

fn yaml(at: &Addresses) -> String {
    let nats: Vec<String> = at.nats.iter().map(|address| format!("nats://{address}")).collect();
    let (nats, replicas) = (nats.join(","), at.nats.len());
    let (hosts, from_us, slices, high_water) =
        (&at.hosts, at.from_us, slices::yaml(at.appview.is_some()), at.high_water);
    let archive = at.s3.as_ref().map_or_else(String::new, |(endpoint, ..)| {
        format!(
            "    archive: {{ s3: {{ bucket: {BUCKET}, prefix: test, region: us-east-1, endpoint: \"{endpoint}\", \
             accessKeyIdFrom: {{ env: TURBO_S3_ID }}, secretAccessKeyFrom: {{ env: TURBO_S3_SECRET }} }}, \
             roll: {{ size: 1Mi, age: 5s }} }}\n"
        )
    });
    let hydration = at.appview.as_ref().map_or_else(String::new, |url| {
        format!("  hydration: {{ hosts: [\"{url}\"], requestsPerSecond: {REQUESTS}, queue: {{ records: {QUEUE} }} }}\n")
    });
    let bytes = at.enriched_gibibytes;
    let enriched =
        if ENRICHED { format!("    enriched: {{ nats: {{ maxBytes: {bytes}Gi }} }}\n") } else { String::new() };
    format!(
        "apiVersion: turbopipeline.dev/v1alpha1
kind: TurboPipeline
metadata: {{ name: {NAME} }}
spec:
  source: {{ jetstream: {{ version: v2, endpoints: {hosts:?}, cursor: {from_us}, silence: 2s }} }}
  slices: {slices}
{hydration}  log: {{ nats: {{ url: \"{nats}\", stream: {{ replicas: {replicas}, maxBytes: 1Gi, highWater: {high_water} }} }} }}
  sinks:
    postgres: {{ urlFrom: {{ env: TURBO_PG }}, connections: 4 }}
{archive}{enriched}  workers: {{ drain: {}s, lease: {}s }}
",
        DRAIN.as_secs(),
        LEASE.as_secs()
    )
}
