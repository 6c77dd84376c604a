//! Where spans go: an OpenTelemetry collector, by OTLP over gRPC, in batches of a thread of its own.
//!
//! Invariants: a queue and every export have a limit; what does not go out in time is lost, counted, and told once, then
//! now and then.

use super::{TRACER, Tracer};
use crate::telemetry::metrics as m;
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_otlp::{SpanExporter as Otlp, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{BatchConfigBuilder, BatchSpanProcessor, SpanData, SpanExporter, SpanProcessor};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;

/// Spans that wait at most.
const QUEUE: usize = 4096;
/// Spans in an export at most.
const EXPORT: usize = 512;
/// How long spans wait for company.
const DELAY: Duration = Duration::from_secs(1);
/// How long an export may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How long it is silent after a failure was told.
const SILENCE: Duration = Duration::from_secs(600);

/// What the spec says of tracing.
#[derive(Clone, Debug)]
pub struct Options {
    /// The collector: `http://host:4317`.
    pub endpoint: String,
    /// The part of the events that is traced, from 0 to 1.
    pub sample: f64,
    /// `service.name`: what the process is.
    pub service: String,
    /// The pipeline, with its namespace.
    pub pipeline: String,
    /// `service.instance.id`: which process it is.
    pub instance: String,
}

/// Why nothing can be traced.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No address of a collector.
    #[error("spec.tracing.endpoint: {0}: {1}; give http://host:4317, of a collector that takes OTLP over gRPC")]
    Endpoint(String, String),
    /// No part of a whole.
    #[error("spec.tracing.sample: {0} is no part of the events; give a number from 0 to 1")]
    Sample(f64),
    /// Only one tracer can be there.
    #[error("something is traced already in this process")]
    Twice,
}

/// What is traced until this ends.
#[derive(Debug)]
pub struct Tracing(&'static Tracer);

impl Tracing {
    /// Sends what waits, within the limit, and ends: what comes later is lost.
    pub async fn shutdown(self, limit: Duration) {
        let ending = tokio::task::spawn_blocking(move || self.0.processor.shutdown_with_timeout(limit));
        match tokio::time::timeout(limit, ending).await {
            Ok(Ok(Ok(()))) => {}
            _ => tracing::debug!("not all spans were sent before the end"),
        }
    }
}

/// Begins to trace. Within a Tokio runtime, which has to live until the end; the collector need not be there yet.
///
/// # Errors
/// The address or the part can not be used, or something is installed already.
pub fn install(options: &Options) -> Result<Tracing, Error> {
    let Options { endpoint, sample, service, pipeline, instance } = options;
    if !(0.0..=1.0).contains(sample) {
        return Err(Error::Sample(*sample));
    }
    let refused = |why: String| Error::Endpoint(endpoint.clone(), why);
    if !endpoint.starts_with("http://") {
        return Err(refused("it does not begin with http://".to_owned()));
    }
    let exporter = Otlp::builder().with_tonic().with_endpoint(endpoint).with_timeout(TIMEOUT).build();
    let exporter = exporter.map_err(|error| refused(error.to_string()))?;
    let watched = Watched { inner: Arc::new(exporter), runtime: Handle::current(), told: Mutex::default() };
    let config = BatchConfigBuilder::default()
        .with_max_queue_size(QUEUE)
        .with_max_export_batch_size(EXPORT)
        .with_scheduled_delay(DELAY)
        .build();
    let mut processor = BatchSpanProcessor::new(watched, config);
    let resource = Resource::builder_empty()
        .with_attributes([
            KeyValue::new("service.name", service.clone()),
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            KeyValue::new("service.instance.id", instance.clone()),
            KeyValue::new("turbo.pipeline", pipeline.clone()),
        ])
        .build();
    processor.set_resource(&resource);
    // 2^64 is out of range, and `as` makes the largest number of it.
    let threshold = (*sample > 0.0).then_some((sample * 2f64.powi(64)) as u64);
    let scope = InstrumentationScope::builder("turbo").with_version(env!("CARGO_PKG_VERSION")).build();
    let tracer = Tracer { processor, threshold, scope, waiting: Mutex::default() };
    TRACER.set(tracer).map_err(|_| Error::Twice)?;
    TRACER.get().map(Tracing).ok_or(Error::Twice)
}

/// The exporter with a limit of time, and with a voice that does not shout.
#[derive(Debug)]
struct Watched {
    inner: Arc<Otlp>,
    runtime: Handle,
    /// When a failure was told last, while it lasts.
    told: Mutex<Option<Instant>>,
}

impl SpanExporter for Watched {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let (spans, inner) = (batch.len() as u64, self.inner.clone());
        // The thread of the processor has no runtime of its own.
        let export = self.runtime.spawn(async move { tokio::time::timeout(TIMEOUT, inner.export(batch)).await });
        let outcome = match export.await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(OTelSdkError::Timeout(TIMEOUT)),
            Err(_) => Err(OTelSdkError::AlreadyShutdown),
        };
        self.tell(spans, &outcome);
        outcome
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        // Nothing is exported yet, so nobody else has it.
        if let Some(inner) = Arc::get_mut(&mut self.inner) {
            inner.set_resource(resource);
        }
    }
}

impl Watched {
    fn tell(&self, spans: u64, outcome: &OTelSdkResult) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        match outcome {
            Ok(()) => {
                metrics::counter!(m::TRACE_SPANS, "what" => "sent").increment(spans);
                if told.take().is_some() {
                    tracing::info!("spec.tracing: the collector takes spans again");
                }
            }
            Err(error) => {
                metrics::counter!(m::TRACE_SPANS, "what" => "lost").increment(spans);
                if told.is_none_or(|at| at.elapsed() >= SILENCE) {
                    *told = Some(Instant::now());
                    tracing::warn!(
                        "spec.tracing: the collector takes no spans, they are lost and nothing else is: {error}"
                    );
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::trace;
    use std::net::TcpListener;

    fn options(endpoint: &str, sample: f64) -> Options {
        let text = |text: &str| text.to_owned();
        Options { endpoint: text(endpoint), sample, service: text("s"), pipeline: text("p"), instance: text("i") }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_can_not_be_used_is_refused_and_an_end_does_not_wait_for_one_who_says_nothing() {
        let refused = |endpoint: &str, sample| install(&options(endpoint, sample)).unwrap_err().to_string();
        for sample in [-0.1, 1.5, f64::NAN] {
            assert!(refused("http://127.0.0.1:1", sample).contains("give a number from 0 to 1"));
        }
        for endpoint in ["https://127.0.0.1:1", "127.0.0.1:4317", "http://", "http://a b"] {
            let said = refused(endpoint, 1.0);
            assert!(said.contains("spec.tracing.endpoint") && said.contains("give http://host:4317"), "{said}");
        }
        assert!(trace::begin().is_none() && trace::now().is_none(), "nothing is installed");
        // It takes connections, and says nothing at all.
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", silent.local_addr().unwrap());
        let tracing = install(&options(&endpoint, 1.0)).unwrap();
        for _ in 0..4 * QUEUE {
            trace::received(&[trace::begin().unwrap()]);
        }
        tracing.shutdown(Duration::from_millis(500)).await;
    }
}
