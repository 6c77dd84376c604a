//! Who is asked: the first of the hosts, and the next one while it fails.

use super::client::AppView;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How long another than the first is asked before the first is tried again.
const AGAIN: Duration = Duration::from_secs(60);

/// The hosts, in the order of the pipeline file.
pub(super) struct Hosts {
    all: Vec<Arc<AppView>>,
    at: usize,
    since: Instant,
}

impl Hosts {
    pub(super) fn new(all: Vec<AppView>) -> Self {
        Self { all: all.into_iter().map(Arc::new).collect(), at: 0, since: Instant::now() }
    }

    /// Who is asked now; `None` where there is nobody.
    pub(super) fn current(&mut self) -> Option<Arc<AppView>> {
        if self.at > 0 && self.since.elapsed() >= AGAIN {
            self.at = 0;
        }
        self.all.get(self.at).cloned()
    }

    /// This one fails: the next one is asked.
    pub(super) fn failed(&mut self, host: &Arc<AppView>) {
        if self.all.get(self.at).is_some_and(|current| Arc::ptr_eq(current, host)) {
            self.at = (self.at + 1) % self.all.len();
            self.since = Instant::now();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_next_one_is_asked_while_one_fails_and_the_first_again_after_a_while() {
        let host = |name: &str| AppView::new(reqwest::Client::new(), format!("http://{name}.example").parse().unwrap());
        let mut hosts = Hosts::new(vec![host("a"), host("b")]);
        let asked = |hosts: &mut Hosts| hosts.current().unwrap().host().to_owned();
        let first = hosts.current().unwrap();
        hosts.failed(&first);
        assert_eq!(asked(&mut hosts), "http://b.example/");
        hosts.failed(&first);
        assert_eq!(asked(&mut hosts), "http://b.example/", "calls that were on their way say nothing of the next");
        tokio::time::advance(AGAIN).await;
        assert_eq!(asked(&mut hosts), "http://a.example/");
        let only = Hosts::new(vec![host("a")]).current().unwrap();
        let mut one = Hosts { all: vec![only.clone()], at: 0, since: Instant::now() };
        one.failed(&only);
        assert_eq!(asked(&mut one), "http://a.example/");
    }
}
