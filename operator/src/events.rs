//! What is told to people as Events: each change of a condition, with its reason.

use crate::telemetry::WRITES;
use crate::writer::Writer;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::Resource;
use kube::runtime::events::{Event, EventType, Recorder};
use metrics::counter;
use std::time::Duration;
use turbo_crds::{TurboPipeline, TurboPipelineStatus};

/// The longest note that the API server takes.
const NOTE: usize = 1024;
/// How long the API server is waited for: an Event is no reason to stand still.
const PATIENCE: Duration = Duration::from_secs(2);

/// Tells people.
pub struct Events {
    writer: Writer,
    recorder: Recorder,
}

impl Events {
    /// Tells while the writer may write.
    #[must_use]
    pub fn new(writer: Writer, recorder: Recorder) -> Self {
        Self { writer, recorder }
    }

    /// Tells which conditions are other than before.
    pub async fn tell(&self, pipeline: &TurboPipeline, status: &TurboPipelineStatus) {
        let before = pipeline.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
        for condition in status.conditions.iter().filter(|condition| is_news(condition, before)) {
            if !self.writer.leads() {
                return;
            }
            let event = Event {
                type_: if is_bad(condition) { EventType::Warning } else { EventType::Normal },
                reason: condition.reason.clone(),
                note: Some(cut(if condition.message.is_empty() { &condition.reason } else { &condition.message })),
                action: condition.type_.clone(),
                secondary: None,
            };
            counter!(WRITES, "verb" => "event").increment(1);
            let told = tokio::time::timeout(PATIENCE, self.recorder.publish(&event, &pipeline.object_ref(&()))).await;
            if let Ok(Err(error)) = told {
                tracing::debug!(%error, "an Event was not told");
            }
        }
    }
}

/// Whether it is another one than before; one that was not there before is news only where it says something is so.
fn is_news(condition: &Condition, before: &[Condition]) -> bool {
    match before.iter().find(|one| one.type_ == condition.type_) {
        Some(before) => (&before.status, &before.reason) != (&condition.status, &condition.reason),
        None => condition.status == "True" || condition.type_ == "Ready",
    }
}

fn is_bad(condition: &Condition) -> bool {
    let is_good_when = match condition.type_.as_str() {
        "Ready" => {
            return condition.status == "False" && !["Starting", "Paused", "NoWorkers"].contains(&&*condition.reason);
        }
        "MeshSecured" => "True",
        "Degraded" => "False",
        _ => return false,
    };
    condition.status != is_good_when
}

fn cut(text: &str) -> String {
    text.char_indices()
        .nth(NOTE - 4)
        .map_or_else(|| text.to_owned(), |(end, _)| format!("{}…", text.get(..end / 2).unwrap_or_default()))
}
