//! What the cluster serves of the kinds that not every cluster does, asked again and again.

use crate::build::Kind;
use crate::controller::Guarded;
use crate::observe;
use futures_util::{Stream, StreamExt};
use kube::Client;
use kube::runtime::reflector::{ObjectRef, Store};
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// What is served. A copy tells the same.
#[derive(Clone)]
pub struct Served(watch::Receiver<BTreeSet<Kind>>);

impl Served {
    /// Asks now, and then at these intervals until the token fires.
    ///
    /// # Errors
    /// The API server does not answer.
    pub async fn begin(client: Client, every: Duration, stop: CancellationToken) -> Result<Self, crate::error::Error> {
        let (tell, told) = watch::channel(observe::served(&client).await?);
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    () = tokio::time::sleep(every) => {}
                    () = stop.cancelled() => return,
                }
                match observe::served(&client).await {
                    Ok(served) => drop(tell.send_if_modified(|now| std::mem::replace(now, served.clone()) != served)),
                    Err(error) => tracing::warn!(%error, "what the cluster serves is not known anew"),
                }
            }
        });
        Ok(Self(told))
    }

    /// What is served now.
    #[must_use]
    pub fn now(&self) -> BTreeSet<Kind> {
        self.0.borrow().clone()
    }

    /// Waits until the kind is served.
    pub async fn wait_for(&self, kind: Kind) {
        let mut told = self.0.clone();
        if kind.brought_by().is_some() && told.wait_for(|served| served.contains(&kind)).await.is_err() {
            // It never will be.
            std::future::pending::<()>().await;
        }
    }

    /// Every pipeline, each time that something else is served.
    pub fn changes(&self, pipelines: &Store<Guarded>) -> impl Stream<Item = ObjectRef<Guarded>> + Send + 'static {
        let (pipelines, mut told) = (pipelines.clone(), self.0.clone());
        told.mark_unchanged();
        let changes =
            futures_util::stream::unfold(
                told,
                |mut told| async move { told.changed().await.ok().map(|()| ((), told)) },
            );
        changes.flat_map(move |()| {
            let all: Vec<_> = pipelines.state().iter().map(|one| ObjectRef::from_obj(&**one)).collect();
            futures_util::stream::iter(all)
        })
    }
}
