//! What the loop does after a task of its own has panicked.

use super::super::buffer::Buffer;
use super::super::{AskLog, Options};
use super::*;
use crate::sinks::archive::{Folder, Store};
use crate::sinks::feed::{Report, SinkPosition};
use crate::sinks::postgres::Database;
use futures_util::future::BoxFuture;
use tokio::sync::Semaphore;
use turbo_core::shard::{Slice, Slices};

struct Nothing;

impl AskLog for Nothing {
    fn has_event<'a>(
        &'a self,
        _: &'a Slices,
        _: Shard,
        _: u64,
        _: u64,
    ) -> BoxFuture<'a, Result<bool, crate::log::nats::Error>> {
        Box::pin(async { Ok(false) })
    }

    fn announce_object<'a>(
        &'a self,
        _: &'a Slices,
        _: Shard,
        _: u64,
        _: u64,
    ) -> BoxFuture<'a, Result<bool, crate::log::nats::Error>> {
        Box::pin(async { Ok(false) })
    }
}

fn service(folder: &std::path::Path) -> Service {
    let options = Options::new(folder.join("buffer"));
    let shared = Shared {
        // Nothing of what is asked for here is asked of it.
        database: Database::open("postgres://u@127.0.0.1:1/d", 1).unwrap(),
        slices: Arc::new(
            Slices::new(vec![Slice { name: "all".to_owned(), collections: None, partitions: 3 }]).unwrap(),
        ),
        store: Store::Folder(Folder::open(folder).unwrap()),
        log: Arc::new(Nothing),
        buffer: Buffer::open(&options.buffer).unwrap(),
        report: Report::default(),
        puts: Semaphore::new(1),
        options,
    };
    Service::new(Arc::new(shared), true)
}

#[tokio::test]
async fn a_task_that_panics_costs_its_own_shard_only_and_the_holder_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let mut service = service(folder.path());
    let shard = |partition| Shard { slice: 0, partition };
    for partition in 0..3 {
        service.told(Order::Claimed { shard: shard(partition), epoch: 7, position: SinkPosition::default() });
    }
    let done = service
        .work
        .spawn(async move { Done::Burnt(shard(0), Fence { slice: String::new(), partition: 0, epoch: 0 }, 0) });
    let panics = service.work.spawn(async { panic!("as a test asks it to") });
    service.lanes.get_mut(&shard(0)).unwrap().work = Some((done, 0));
    service.lanes.get_mut(&shard(1)).unwrap().work = Some((panics, 0));
    while service.lanes[&shard(0)].work.as_ref().is_some_and(|(work, _)| !work.is_finished()) {
        tokio::task::yield_now().await;
    }
    while let Some(done) = service.work.join_next_with_id().await {
        service.done(done);
    }
    assert_eq!(service.shared.report.take_dropped(), [(shard(1), 7)]);
    assert_eq!(service.lanes.keys().copied().collect::<Vec<_>>(), [shard(0), shard(2)]);
}

#[tokio::test]
async fn a_sweep_that_panics_is_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut service = service(folder.path());
    service.sweeping = Some(service.work.spawn(async { panic!("as a test asks it to") }).id());
    let done = service.work.join_next_with_id().await.unwrap();
    service.done(done);
    assert!(service.sweeping.is_none() && service.swept_at.is_some());
}
