//! The work that every part is measured on: events of the simulated network, as the pipeline has them.

use crate::shared::{Running, network, read};
use std::collections::HashMap;
use std::sync::Arc;
use turbo_core::event::{Body, Event};
use turbo_core::id::EventId;
use turbo_core::shard::{Shard, Slice, Slices};
use turbo_core::window::{Passed, Window};
use turbo_core::wire::{Frame, decode};
use turbo_worker::log::{Content, Entry, Item, Numbered};

/// Shards of the parts that are measured by themselves.
const SHARDS: u16 = 4;

/// The events, and the network that tells of them.
pub(crate) struct Work {
    pub(crate) url: String,
    pub(crate) slices: Arc<Slices>,
    pub(crate) entries: Vec<Numbered>,
    _network: Running,
}

/// One slice with so many partitions: an event is one entry.
pub(crate) fn slices(partitions: u16) -> Arc<Slices> {
    Arc::new(Slices::new(vec![Slice { name: "default".into(), collections: None, partitions }]).unwrap())
}

impl Work {
    pub(crate) async fn read(events: usize) -> Self {
        let (_network, url) = network(events);
        let mut all = Vec::with_capacity(events);
        read(&url, events, |text| {
            if let Ok(Frame::Event(event)) = decode(&text) {
                all.push(event);
            }
        })
        .await;
        assert_eq!(all.len(), events, "each frame is an event");
        let slices = slices(SHARDS);
        Self { url, entries: numbered(&slices, all), slices, _network }
    }

    /// What one event costs or takes, as a rate.
    pub(crate) fn rate(&self, took: std::time::Duration) -> f64 {
        self.entries.len() as f64 / took.as_secs_f64()
    }
}

/// Events as ingest has them: with what the dedup window has to remember.
fn numbered(slices: &Slices, events: impl IntoIterator<Item = Box<Event>>) -> Vec<Numbered> {
    let (mut window, mut passed) = (Window::new(), Passed::new(true));
    let host: Arc<str> = "127.0.0.1:6008".into();
    let mut numbers = HashMap::<Shard, u64>::new();
    let mut all = Vec::new();
    for (event, seq) in events.into_iter().zip(1..) {
        let shard = match &event.body {
            Body::Commit(commit) => slices.of_record(&event.key, &commit.collection),
            _ => slices.of_repository(&event.key).next().unwrap(),
        };
        let id = window.id(&event, EventId::of(&event), &mut passed);
        let marks = window.take(&event, id, i64::MAX);
        let item =
            Arc::new(Item { content: Content::Event(event), host: host.clone(), marks, trace: None, rejoined: false });
        let number = numbers.entry(shard).or_default();
        *number += 1;
        all.push(Numbered { entry: Entry::new(seq, shard, item), number: *number });
    }
    all
}
