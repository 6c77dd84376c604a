//! What is allowed, and hardly meant.

mod hydration;

use crate::{Jetstream, TurboPipelineSpec, problem::Problem};

/// Seconds of the dedup window that another host needs: it is asked for two minutes at first.
const SHORT_WINDOW: u64 = 180;

impl TurboPipelineSpec {
    /// What a user should look at; nothing of it keeps the pipeline from running.
    #[must_use]
    pub fn warnings(&self) -> Vec<Problem> {
        let mut warnings: Vec<Problem> = small_log(self).into_iter().collect();
        warnings.extend(hydration::warnings(self));
        let Some(jetstream) = &self.source.jetstream else { return warnings };
        warnings.extend(twice("spec.source.jetstream.endpoints", &jetstream.endpoints).chain(sizes(jetstream)));
        for (at, slice) in self.slices.iter().enumerate() {
            for collection in slice.collections.iter().flatten().filter(|collection| !asked(jetstream, collection)) {
                warnings.push(Problem::at(
                    format!("spec.slices[{at}].collections"),
                    format!("{collection} is not asked for, so the slice {} gets none of it", slice.name),
                    "add it to spec.source.jetstream.collections, if that is not meant",
                ));
            }
        }
        warnings
    }
}

/// A log whose dedup window, a quarter of it, is short: about 0.4 MB of messages come in a second of the whole network.
fn small_log(spec: &TurboPipelineSpec) -> Option<Problem> {
    let bytes = spec.log.as_ref()?.nats.as_ref()?.stream.max_bytes.bytes();
    let seconds = bytes / 4 / 400_000;
    (seconds < SHORT_WINDOW).then(|| {
        let what = format!(
            "a quarter of it is the dedup window, {seconds} s of the whole network, of which the first minute is no place to \
             join: after a restart another host may not be joined, and then there is a gap"
        );
        Problem::at("spec.log.nats.stream.maxBytes", what, "give 512Mi or more, if much is read")
    })
}

/// The same service under two spellings, in a list that is the value of `field`.
fn twice(field: &str, addresses: &[String]) -> impl Iterator<Item = Problem> {
    let same = |one: &str, other: &str| one.trim_end_matches('/') == other.trim_end_matches('/');
    let twice = addresses
        .iter()
        .enumerate()
        .filter(move |(at, address)| addresses.iter().take(*at).any(|other| same(other, address)));
    twice.map(move |(at, address)| {
        Problem::at(format!("{field}[{at}]"), format!("{address} stands twice"), "give each service once")
    })
}

/// Events that are asked for and then refused.
fn sizes(jetstream: &Jetstream) -> Option<Problem> {
    let above = jetstream.max_message_size.is_some_and(|size| size.bytes() > jetstream.max_frame.bytes());
    above.then(|| {
        Problem::at(
            "spec.source.jetstream.maxMessageSize",
            "events above maxFrame are asked for, and become dead letters",
            "give maxFrame at least as much, or less here",
        )
    })
}

fn asked(jetstream: &Jetstream, collection: &str) -> bool {
    jetstream.collections.is_empty() || jetstream.collections.iter().any(|asked| takes(asked, collection))
}

/// Whether a filter of collections, an NSID, a prefix like `app.bsky.feed.*`, or `*`, takes the collection.
#[must_use]
pub fn takes(filter: &str, collection: &str) -> bool {
    match filter.strip_suffix('*') {
        Some(prefix) => collection.starts_with(prefix),
        None => filter == collection,
    }
}
