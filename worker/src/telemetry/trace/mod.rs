//! Tracing: one trace for an event, from the socket through the log to the commit, the enriched stream and the archive.
//!
//! Invariants:
//! - whether an event is traced is decided once, where it is received; only one that is carries a context, so that all the
//!   others pay for nothing but a look at an empty field;
//! - a span is made when its step is done, with the times of its beginning and its end: nothing is open in between;
//! - a full queue, a collector that is away or stands still costs spans, and nothing else;
//! - not installed, every function here returns at once.

mod collector;
mod context;
mod waiting;

pub use collector::{Error, Options, Tracing, install};
pub use context::{TRACEPARENT, TraceContext};

use crate::log::{Batch, Entry, Item};
use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::trace::{BatchSpanProcessor, SpanData, SpanProcessor};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::SystemTime;
use turbo_core::shard::Slices;
use waiting::Waiting;

/// What is done with an event; each is a span, children of the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// From the socket into the log of the process.
    Receive,
    /// Into the log on NATS.
    Append,
    /// Into the database.
    Commit,
    /// Into the enriched stream.
    Publish,
    /// Into an object of the archive.
    Put,
}

impl Step {
    /// The name of the span.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Receive => "receive",
            Self::Append => "append",
            Self::Commit => "commit",
            Self::Publish => "publish",
            Self::Put => "put",
        }
    }
}

/// What is installed.
static TRACER: OnceLock<Tracer> = OnceLock::new();

/// Whether an archive takes what is committed.
static ARCHIVED: AtomicBool = AtomicBool::new(false);

#[derive(Debug)]
struct Tracer {
    processor: BatchSpanProcessor,
    /// A random number up to this one says that an event is traced; `None` for no event.
    threshold: Option<u64>,
    scope: InstrumentationScope,
    /// What was committed and is in no object yet.
    waiting: Mutex<Waiting>,
}

/// Decides whether the event that has just come is traced.
#[must_use]
pub fn begin() -> Option<Arc<TraceContext>> {
    let threshold = TRACER.get()?.threshold?;
    (rand::random::<u64>() <= threshold).then(|| Arc::new(TraceContext::root()))
}

/// The time at which a step begins; `None` where nothing is traced.
#[must_use]
pub fn now() -> Option<SystemTime> {
    TRACER.get().map(|_| SystemTime::now())
}

/// The traced items of a batch, each once.
#[must_use]
pub fn traced(batch: &Batch) -> Vec<Arc<TraceContext>> {
    match TRACER.get() {
        Some(_) => batch.items().filter_map(|item: &Item| item.trace.clone()).collect(),
        None => Vec::new(),
    }
}

/// Items have been received, and handed to the log.
pub fn received(contexts: &[Arc<TraceContext>]) {
    let Some(tracer) = TRACER.get() else { return };
    let ended = SystemTime::now();
    for context in contexts {
        tracer.span(Step::Receive, context.span, SpanId::INVALID, context, (context.began, ended), Vec::new());
    }
}

/// A step that began then has been done for these entries.
pub fn done<'a>(step: Step, began: Option<SystemTime>, slices: &Slices, entries: impl IntoIterator<Item = &'a Entry>) {
    let (Some(tracer), Some(began)) = (TRACER.get(), began) else { return };
    let times = (began, SystemTime::now());
    for entry in entries {
        let Some(context) = &entry.item.trace else { continue };
        let (slice, partition) = (slices.name(entry.shard), entry.shard.partition);
        tracer.step(step, context, times, (slice, partition, entry.seq));
        if step == Step::Commit && ARCHIVED.load(Ordering::Relaxed) {
            tracer.waiting().push(context, slice, partition, entry.seq);
        }
    }
}

/// There is an archive: from here on what is committed waits for its object.
pub fn archived() {
    ARCHIVED.store(true, Ordering::Relaxed);
}

/// An object that was begun then is in the archive: the shard's entries up to this log sequence are in it, or in one before.
pub fn put(began: Option<SystemTime>, slice: &str, partition: u16, upto: u64) {
    let (Some(tracer), Some(began)) = (TRACER.get(), began) else { return };
    let times = (began, SystemTime::now());
    let put = tracer.waiting().take(slice, partition, upto);
    for (context, seq) in put {
        tracer.step(Step::Put, &context, times, (slice, partition, seq));
    }
}

impl Tracer {
    fn step(&self, step: Step, context: &TraceContext, times: (SystemTime, SystemTime), at: (&str, u16, u64)) {
        let (slice, partition, seq) = at;
        let attributes = vec![
            KeyValue::new("turbo.slice", slice.to_owned()),
            KeyValue::new("turbo.partition", i64::from(partition)),
            KeyValue::new("turbo.seq", seq as i64),
        ];
        self.span(step, context.child(step, seq).span, context.span, context, times, attributes);
    }

    fn span(
        &self,
        step: Step,
        id: SpanId,
        parent: SpanId,
        context: &TraceContext,
        (start_time, end_time): (SystemTime, SystemTime),
        attributes: Vec<KeyValue>,
    ) {
        let flags = TraceFlags::SAMPLED;
        self.processor.on_end(SpanData {
            span_context: SpanContext::new(context.trace, id, flags, false, TraceState::default()),
            parent_span_id: parent,
            parent_span_is_remote: false,
            span_kind: match step {
                Step::Receive => SpanKind::Consumer,
                Step::Append | Step::Publish => SpanKind::Producer,
                Step::Commit | Step::Put => SpanKind::Client,
            },
            name: step.as_str().into(),
            start_time,
            end_time: end_time.max(start_time),
            attributes,
            dropped_attributes_count: 0,
            events: Default::default(),
            links: Default::default(),
            status: Status::Unset,
            instrumentation_scope: self.scope.clone(),
        });
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
