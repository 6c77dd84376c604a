//! Calls, the hosts that they go to, and what is told of what became of them.

use super::client::{AppView, Error, Told};
use super::item::{Item, Kind};
use super::limits::Limits;
use super::report::{self, Report};
use super::standing::Outcome;
use crate::telemetry::events;
use crate::telemetry::metrics as m;
use futures_util::FutureExt;
use metrics::counter;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// So many single items in a row of which the host tells nothing, without an answer between them, are not the faults of items.
const REFUSED: u32 = 20;
/// So many items in a row that it leaves out, without one that it tells of between them, are not missing: it knows nothing.
const LEFT_OUT: usize = 50;
/// A host that fails now and then is told of once in this time.
const LOUD: Duration = Duration::from_secs(60);

/// What a call asks for; all of it is marked in the cache as asked for.
pub(super) struct Call {
    pub(super) kind: Kind,
    pub(super) items: Vec<Item>,
    /// Profiles that come with posts.
    pub(super) beside: Vec<Item>,
    pub(super) doubt: Doubt,
}

/// What an answer is to show, where a single item was refused: that it is the item, and not the host.
#[derive(Default)]
pub(super) enum Doubt {
    #[default]
    None,
    /// Whether the host answers another, which is all that the call asks for; this one was refused.
    Probe(Box<Call>),
    /// Whether this host refuses the item again: it has answered another meanwhile.
    Again(usize),
}

impl Call {
    pub(super) fn new(kind: Kind, items: Vec<Item>, beside: Vec<Item>) -> Self {
        Self { kind, items, beside, doubt: Doubt::None }
    }

    /// Two calls for the same.
    pub(super) fn halves(mut self) -> [Self; 2] {
        let items = self.items.split_off(self.items.len() / 2);
        let (beside, rest) =
            self.beside.into_iter().partition(|profile| items.iter().any(|item| item.did() == profile.did()));
        [Self::new(self.kind, items, beside), Self::new(self.kind, self.items, rest)]
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
    /// Single items in a row of which it has told nothing: it refuses them, or they can not be read, or are too large.
    refused: u32,
    /// Items in a row that it has left out of its answers.
    left_out: usize,
    /// Why the last call had no answer, if it had none.
    error: Option<String>,
    /// When it was told of loudly last, and whether of the failure that goes on.
    loud: (Option<Instant>, bool),
}

impl Hosts {
    pub(super) fn new(all: Vec<AppView>, report: Report) -> Self {
        let host = |view| Host { view: Arc::new(view), refused: 0, left_out: 0, error: None, loud: (None, false) };
        Self { all: all.into_iter().map(host).collect(), report }
    }

    /// Sends a call to one of them.
    pub(super) fn ask(&self, host: usize, call: Call, sent: (Instant, i64)) -> impl Future<Output = Ended> + use<> {
        let view = self.all[host].view.clone();
        async move {
            let (answer, limits) = caught(view.look_up(call.kind, &call.items)).await;
            Ended { call, host, sent, answer, limits }
        }
    }

    /// Whether a call to it waits for a token: those behind it would all go at once when it has come.
    pub(super) fn waits(&self, host: usize) -> bool {
        self.all[host].view.waits()
    }

    /// What an answer says of the host. One that tells nothing of whatever it is asked fails, and so does one that leaves out
    /// whatever it is asked for.
    pub(super) fn outcome(&mut self, ended: &Ended) -> Outcome {
        let Host { refused, left_out, .. } = &mut self.all[ended.host];
        let told = match &ended.answer {
            Ok(told) if told.finds_nothing() => {
                *left_out += ended.call.items.len();
                if *left_out > LEFT_OUT {
                    return Outcome::Failed;
                }
                true
            }
            Ok(told) => {
                *left_out = 0;
                !told.known.is_empty()
            }
            Err(Error::Refused(_) | Error::Large) => false,
            Err(Error::Busy(_, wait)) => return Outcome::Busy(*wait),
            Err(_) => return Outcome::Failed,
        };
        *refused = if told { 0 } else { *refused + u32::from(ended.call.items.len() == 1) };
        if *refused < REFUSED { Outcome::Answered } else { Outcome::Failed }
    }

    /// Tells what became of a call.
    pub(super) fn tell(&mut self, ended: &Ended, outcome: Outcome) {
        let error = ended.answer.as_ref().err();
        let label = match (outcome, error) {
            (_, Some(Error::NoToken(_))) => "no_token",
            (Outcome::Failed, _) => "failed",
            (Outcome::Busy(_), _) => "busy",
            (Outcome::Answered, Some(_)) => "refused",
            (Outcome::Answered, None) => "answered",
        };
        counter!(m::HYDRATION_REQUESTS, "outcome" => label).increment(1);
        let nothing = match &ended.answer {
            Ok(told) if told.finds_nothing() => {
                "it knows nothing of whatever it is asked for; give the address of an AppView"
            }
            _ => "nothing of what it answers can be read, or is of what it was asked for",
        };
        let error = (outcome != Outcome::Answered).then(|| error.map_or(nothing.to_owned(), ToString::to_string));
        let host = &mut self.all[ended.host];
        host.tell(error.clone());
        self.report.tell(|told| {
            told.requests += u64::from(label != "no_token");
            (told.host, told.error) = (host.view.host().to_owned(), error);
        });
    }

    /// Tells how all of them stand, each of which rests for so long, and why none is asked, where that is so.
    pub(super) fn tell_standing(&self, rests: impl Iterator<Item = Duration>, held: Option<String>) {
        let host = |(host, rests): (&Host, Duration)| report::Host {
            host: host.view.host().to_owned(),
            error: host.error.clone(),
            rests_seconds: rests.as_secs_f64(),
        };
        let hosts = self.all.iter().zip(rests).map(host).collect();
        self.report.tell(|told| (told.hosts, told.held) = (hosts, held));
    }
}

impl Host {
    /// Why the last call had no answer, if it had none.
    fn tell(&mut self, error: Option<String>) {
        let host = self.view.host();
        let (last, loudly) = &mut self.loud;
        match &error {
            Some(error) => {
                let loud = self.error.is_none() && last.is_none_or(|last| last.elapsed() >= LOUD);
                if loud {
                    (*last, *loudly) = (Some(Instant::now()), true);
                }
                events::HydrationFailed { host, error, loud }.emit();
            }
            None if std::mem::take(loudly) => events::HydrationAnswered { host }.emit(),
            None => {}
        }
        self.error = error;
    }
}

/// What a call was told, and the limits of its host.
type Answer = (Result<Told, Error>, Option<Limits>);

/// The same. An answer that the program panics over is one that can not be read: it spoils none but its own items.
async fn caught(call: impl Future<Output = Answer>) -> Answer {
    let unclear = |_| (Ok(Told { unclear: true, ..Told::default() }), None);
    AssertUnwindSafe(call).catch_unwind().await.unwrap_or_else(unclear)
}

#[cfg(test)]
mod tests {
    use super::super::cache::Known;
    use super::*;

    #[tokio::test]
    async fn an_answer_that_the_program_panics_over_can_not_be_read() {
        let (answer, limits) = caught(async { panic!("planted") }).await;
        let told = answer.unwrap();
        assert!(told.unclear && told.known.is_empty() && limits.is_none());
    }

    /// An answer that tells of one of them, or an error.
    fn ended(answer: Result<(), Error>, items: usize) -> Ended {
        let item = |n: usize| Item::profile(&format!("did:plc:{n}")).unwrap();
        let call = Call::new(Kind::Profile, (0..items).map(item).collect(), Vec::new());
        let answer = answer.map(|()| Told { known: [(item(0), Known::Blocked)].into(), ..Told::default() });
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
            hosts.tell(&refused, outcome);
        }
        assert!(hosts.report.now().error.unwrap().contains("431"));
        assert_eq!(hosts.outcome(&ended(Ok(()), 25)), Outcome::Answered);
        assert_eq!(hosts.outcome(&ended(Err(Error::Refused(400)), 1)), Outcome::Answered);
    }

    #[test]
    fn a_host_of_which_nothing_can_be_read_fails_too() {
        let view = AppView::new(reqwest::Client::new(), "http://a.example".parse().unwrap());
        let mut hosts = Hosts::new(vec![view], Report::default());
        let unclear = || {
            let mut unclear = ended(Ok(()), 1);
            unclear.answer = Ok(Told { unclear: true, ..Told::default() });
            unclear
        };
        for _ in 1..REFUSED / 2 {
            assert_eq!(hosts.outcome(&unclear()), Outcome::Answered);
            assert_eq!(hosts.outcome(&ended(Err(Error::Large), 1)), Outcome::Answered);
        }
        assert_eq!(hosts.outcome(&ended(Err(Error::Large), 25)), Outcome::Answered, "that says nothing of single ones");
        hosts.outcome(&unclear());
        let last = unclear();
        assert_eq!(hosts.outcome(&last), Outcome::Failed);
        hosts.tell(&last, Outcome::Failed);
        assert!(hosts.report.now().error.unwrap().contains("can be read"));
    }

    #[test]
    fn a_host_that_leaves_out_whatever_it_is_asked_for_fails_until_it_tells_of_something() {
        let view = AppView::new(reqwest::Client::new(), "http://a.example".parse().unwrap());
        let mut hosts = Hosts::new(vec![view], Report::default());
        let left_out = |items: usize| {
            let mut ended = ended(Ok(()), items);
            let known = ended.call.items.iter().map(|item| (item.clone(), Known::Missing)).collect();
            ended.answer = Ok(Told { known, ..Told::default() });
            ended
        };
        for _ in 0..3 {
            assert_eq!(hosts.outcome(&left_out(25)), Outcome::Answered);
            assert_eq!(hosts.outcome(&left_out(25)), Outcome::Answered);
            let last = left_out(1);
            assert_eq!(hosts.outcome(&last), Outcome::Failed);
            hosts.tell(&last, Outcome::Failed);
            assert!(hosts.report.now().error.unwrap().contains("knows nothing"));
            assert_eq!(hosts.outcome(&ended(Ok(()), 25)), Outcome::Answered);
        }
    }
}
