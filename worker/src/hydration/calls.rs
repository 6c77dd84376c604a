//! Calls, the hosts that they go to, and what is told of what became of them.

use super::client::{AppView, Error, Told};
use super::item::{Item, Kind};
use super::limits::Limits;
use super::report::{self, Report};
use super::standing::Outcome;
use crate::telemetry::events;
use crate::telemetry::metrics as m;
use metrics::counter;
use std::sync::Arc;
use tokio::time::Instant;

/// So many single names that are refused in a row, without an answer between them, are not the faults of names.
const REFUSED: u32 = 20;

/// What a call asks for; all of it is marked in the cache as asked for.
pub(super) struct Call {
    pub(super) kind: Kind,
    pub(super) items: Vec<Item>,
    /// Profiles that come with posts.
    pub(super) beside: Vec<Item>,
}

impl Call {
    /// Two calls for the same.
    pub(super) fn halves(mut self) -> [Self; 2] {
        let items = self.items.split_off(self.items.len() / 2);
        let (beside, rest) =
            self.beside.into_iter().partition(|profile| items.iter().any(|item| item.did() == profile.did()));
        [Self { kind: self.kind, items, beside }, Self { kind: self.kind, items: self.items, beside: rest }]
    }
}

/// A call that has ended.
pub(super) struct Ended {
    pub(super) call: Call,
    /// Whom it asked.
    pub(super) host: usize,
    pub(super) sent: (Instant, i64),
    pub(super) answer: Result<Told, Error>,
    pub(super) limits: Option<Limits>,
}

/// The hosts, in the order of the pipeline file.
pub(super) struct Hosts {
    all: Vec<Host>,
    report: Report,
}

struct Host {
    view: Arc<AppView>,
    /// Names that it has refused in a row.
    refused: u32,
    /// Whether the last call had no answer.
    fails: bool,
}

impl Hosts {
    pub(super) fn new(all: Vec<AppView>, report: Report) -> Self {
        let host = |view| Host { view: Arc::new(view), refused: 0, fails: false };
        Self { all: all.into_iter().map(host).collect(), report }
    }

    /// Sends a call to one of them.
    pub(super) fn ask(&self, host: usize, call: Call, sent: (Instant, i64)) -> impl Future<Output = Ended> + use<> {
        let view = self.all[host].view.clone();
        async move {
            let (answer, limits) = view.look_up(call.kind, &call.items).await;
            Ended { call, host, sent, answer, limits }
        }
    }

    /// What an answer says of the host. One that refuses whatever it is asked fails.
    pub(super) fn outcome(&mut self, ended: &Ended) -> Outcome {
        let (refused, single) = (&mut self.all[ended.host].refused, ended.call.items.len() == 1);
        match &ended.answer {
            Ok(_) => *refused = 0,
            Err(Error::Refused(_)) if single => *refused += 1,
            Err(_) => {}
        }
        match &ended.answer {
            Ok(_) => Outcome::Answered,
            Err(Error::Busy(_, wait)) => Outcome::Busy(*wait),
            Err(Error::Refused(_)) if *refused < REFUSED => Outcome::Answered,
            Err(Error::Large) if !single => Outcome::Answered,
            Err(_) => Outcome::Failed,
        }
    }

    /// Tells what became of a call; `left_alone`: all hosts are.
    pub(super) fn tell(&mut self, ended: &Ended, outcome: Outcome, left_alone: bool) {
        let error = ended.answer.as_ref().err();
        let label = match (outcome, error) {
            (Outcome::Failed, _) => "failed",
            (Outcome::Busy(_), _) => "busy",
            (Outcome::Answered, Some(_)) => "refused",
            (Outcome::Answered, None) => "answered",
        };
        counter!(m::HYDRATION_REQUESTS, "outcome" => label).increment(1);
        let error = error.filter(|_| outcome != Outcome::Answered).map(ToString::to_string);
        let Host { view, fails, .. } = &mut self.all[ended.host];
        let (host, failed) = (view.host(), std::mem::replace(fails, error.is_some()));
        match &error {
            Some(error) => events::HydrationFailed { host, error, first: !failed }.emit(),
            None if failed => events::HydrationAnswered { host }.emit(),
            None => {}
        }
        self.report.tell(|told| {
            told.requests += 1;
            *told = report::Told { host: host.to_owned(), error, left_alone, ..told.clone() };
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(answer: Result<(), Error>, items: usize) -> Ended {
        let item = |n: usize| Item::profile(&format!("did:plc:{n}")).unwrap();
        let call = Call { kind: Kind::Profile, items: (0..items).map(item).collect(), beside: Vec::new() };
        let answer = answer.map(|()| Told::default());
        Ended { call, host: 0, sent: (Instant::now(), 0), answer, limits: None }
    }

    #[test]
    fn a_host_that_refuses_every_name_fails_until_it_answers() {
        let view = AppView::new(reqwest::Client::new(), "http://a.example".parse().unwrap());
        let mut hosts = Hosts::new(vec![view], Report::default());
        for _ in 1..REFUSED {
            assert_eq!(hosts.outcome(&ended(Err(Error::Refused(431)), 1)), Outcome::Answered);
            assert_eq!(hosts.outcome(&ended(Err(Error::Refused(431)), 25)), Outcome::Answered);
        }
        for items in [1, 25] {
            let refused = ended(Err(Error::Refused(431)), items);
            let outcome = hosts.outcome(&refused);
            assert_eq!(outcome, Outcome::Failed);
            hosts.tell(&refused, outcome, false);
        }
        assert!(hosts.report.now().error.unwrap().contains("431"));
        assert_eq!(hosts.outcome(&ended(Ok(()), 25)), Outcome::Answered);
        assert_eq!(hosts.outcome(&ended(Err(Error::Refused(400)), 1)), Outcome::Answered);
    }

    #[test]
    fn what_is_too_large_for_one_answer_is_no_failure_until_it_is_asked_for_alone() {
        let view = AppView::new(reqwest::Client::new(), "http://a.example".parse().unwrap());
        let mut hosts = Hosts::new(vec![view], Report::default());
        assert_eq!(hosts.outcome(&ended(Err(Error::Large), 2)), Outcome::Answered);
        assert_eq!(hosts.outcome(&ended(Err(Error::Large), 1)), Outcome::Failed);
    }
}
