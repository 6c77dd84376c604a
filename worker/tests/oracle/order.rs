//! The comparison of what was sent of one DID to one slice with what landed there, in order.

use crate::truth::Sent;
use std::collections::HashMap;
use turbo_sim::EventId;

/// How many examples of each kind are told.
const EXAMPLES: usize = 5;

/// One event that landed, in the order of the sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Landed {
    /// Its sequence in the log.
    pub seq: u64,
    /// What it is known by.
    pub id: EventId,
    /// Its content: see [`crate::truth::content`].
    pub content: u64,
}

/// What is wrong, counted, with the first examples of each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wrong {
    pub lost: u64,
    pub duplicated: u64,
    pub out_of_order: u64,
    /// Whatever else differs from the truth.
    pub different: u64,
    /// What is shown of something else is older than it may be.
    pub stale: u64,
    pub examples: Vec<String>,
}

/// Kinds of wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Lost,
    Duplicated,
    OutOfOrder,
    Different,
    Stale,
}

impl Wrong {
    /// Counts one, and keeps it as an example where it is among the first.
    pub fn note(&mut self, kind: Kind, example: impl FnOnce() -> String) {
        let count = match kind {
            Kind::Lost => &mut self.lost,
            Kind::Duplicated => &mut self.duplicated,
            Kind::OutOfOrder => &mut self.out_of_order,
            Kind::Different => &mut self.different,
            Kind::Stale => &mut self.stale,
        };
        *count += 1;
        if *count <= EXAMPLES as u64 {
            let name = match kind {
                Kind::Lost => "lost",
                Kind::Duplicated => "duplicated",
                Kind::OutOfOrder => "out of order",
                Kind::Different => "different",
                Kind::Stale => "stale",
            };
            self.examples.push(format!("{name}: {}", example()));
        }
    }

    /// Whether nothing is.
    pub fn is_nothing(&self) -> bool {
        (self.lost, self.duplicated, self.out_of_order, self.different, self.stale) == (0, 0, 0, 0, 0)
    }

    /// Adds what is wrong elsewhere.
    pub fn add(&mut self, other: Self) {
        self.lost += other.lost;
        self.duplicated += other.duplicated;
        self.out_of_order += other.out_of_order;
        self.different += other.different;
        self.stale += other.stale;
        self.examples.extend(other.examples);
    }
}

/// Compares the events of one DID in one slice. `place` is told with every example.
pub fn compare(place: &str, sent: &[&Sent], landed: &[Landed], wrong: &mut Wrong) {
    if is_right(sent, landed) {
        return;
    }
    let occurrences = occurrences(sent);
    let mut count = HashMap::<&EventId, usize>::new();
    // Where each event that landed belongs: the second one of the same id to the second that was sent.
    let mut order = Vec::new();
    for event in landed {
        let nth = count.entry(&event.id).or_default();
        match occurrences.get(&event.id).and_then(|of| of.get(*nth)) {
            Some(at) => order.push((*at, event)),
            None => wrong.note(Kind::Duplicated, || {
                let all = landed.iter().filter(|other| other.id == event.id).map(|other| other.seq).collect::<Vec<_>>();
                format!("{place}: {} landed {} times, seqs {all:?}", name(&event.id), all.len())
            }),
        }
        *nth += 1;
    }
    for (id, of) in &occurrences {
        let needed = of.iter().filter(|at| !sent[**at].again).count();
        for at in of.iter().take(needed).skip(count.get(id).copied().unwrap_or_default()) {
            wrong.note(Kind::Lost, || format!("{place}: {} {}", name(id), between(*at, &order)));
        }
    }
    for &(at, event) in order.iter().filter(|(at, event)| sent[*at].content != event.content) {
        wrong.note(Kind::Different, || format!("{place}: the record of {}, seq {}", name(&sent[at].id), event.seq));
    }
    let mut highest: Option<(usize, &Landed)> = None;
    for &(at, event) in &order {
        match highest {
            Some((before, other)) if at < before => wrong.note(Kind::OutOfOrder, || {
                let (late, early) = (name(&event.id), name(&other.id));
                format!("{place}: {late}, seq {}, landed behind {early}, seq {}", event.seq, other.seq)
            }),
            _ => highest = Some((at, event)),
        }
    }
}

/// Whether all that was sent landed in its order, but for what may be passed over.
fn is_right(sent: &[&Sent], landed: &[Landed]) -> bool {
    let mut landed = landed.iter().peekable();
    let all = sent.iter().all(|sent| {
        let here = landed.next_if(|landed| landed.id == sent.id && landed.content == sent.content);
        here.is_some() || sent.again
    });
    all && landed.next().is_none()
}

/// Where each id stands among what was sent.
fn occurrences<'a>(sent: &[&'a Sent]) -> HashMap<&'a EventId, Vec<usize>> {
    let mut all = HashMap::<_, Vec<usize>>::new();
    for (at, sent) in sent.iter().enumerate() {
        all.entry(&sent.id).or_default().push(at);
    }
    all
}

/// The neighbours that a lost event would have.
fn between(at: usize, order: &[(usize, &Landed)]) -> String {
    let before = order.iter().filter(|(other, _)| *other < at).max_by_key(|(other, _)| *other);
    let after = order.iter().filter(|(other, _)| *other > at).min_by_key(|(other, _)| *other);
    match (before, after) {
        (Some((_, before)), Some((_, after))) => format!("between seqs {} and {}", before.seq, after.seq),
        (Some((_, before)), None) => format!("behind seq {}, the last one", before.seq),
        (None, Some((_, after))) => format!("before seq {}, the first one", after.seq),
        (None, None) => "and nothing else of it landed".to_owned(),
    }
}

/// An event as one can look for it.
pub fn name(id: &EventId) -> String {
    match id {
        EventId::Commit { rev, operation, collection, rkey } => format!("{operation} of {collection}/{rkey} at {rev}"),
        EventId::Identity { time } => format!("identity of {time}"),
        EventId::Account { time } => format!("account of {time}"),
        EventId::Sync { rev, time } => format!("sync to {rev} of {time:?}"),
    }
}
