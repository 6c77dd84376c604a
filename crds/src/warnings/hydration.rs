//! What is allowed of hydration, and hardly meant.

use super::twice;
use crate::{Hydrate, Slice, TurboPipelineSpec, problem::Problem};
use std::net::IpAddr;

const HOSTS: &str = "spec.hydration.hosts";
const POSTS: &[&str] = &["app.bsky.feed.post"];
const WITH_SUBJECT: &[&str] = &[
    "app.bsky.feed.like",
    "app.bsky.feed.repost",
    "app.bsky.graph.follow",
    "app.bsky.graph.block",
    "app.bsky.graph.listitem",
];

pub(super) fn warnings(spec: &TurboPipelineSpec) -> Vec<Problem> {
    let mut warnings = Vec::new();
    if spec.hydration.is_some() && spec.hydration().is_none() {
        let what = "no slice looks anything up, so nobody is asked";
        warnings.push(Problem::at("spec.hydration", what, "give a slice hydrate, if that is not meant"));
    }
    if let Some(hydration) = &spec.hydration {
        warnings.extend(twice(HOSTS, &hydration.hosts));
        if hydration.session.is_some() || hydration.tokens.is_some() {
            warnings.extend(in_the_open(&hydration.hosts));
        }
    }
    let calls = calls_take(spec);
    for (at, slice) in spec.slices.iter().enumerate() {
        warnings.extend(targets_of_none(at, slice));
        warnings.extend(times_of_a_few_calls(at, slice, calls));
    }
    warnings
}

/// Hosts that are sent a secret without encryption, over more than this machine.
fn in_the_open(hosts: &[String]) -> impl Iterator<Item = Problem> {
    hosts.iter().enumerate().filter(|(_, host)| is_in_the_open(host)).map(|(at, host)| {
        let what = format!("{host} is sent the app password, or tokens, without encryption");
        Problem::at(format!("{HOSTS}[{at}]"), what, "give https://, if it is on another machine")
    })
}

fn is_in_the_open(url: &str) -> bool {
    let Some(rest) = url.strip_prefix("http://") else { return false };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    let name = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => authority.split(':').next().unwrap_or(authority),
    };
    name != "localhost" && !name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Seconds in which a worker may send a few calls.
fn calls_take(spec: &TurboPipelineSpec) -> f64 {
    let rate = spec.hydration.clone().unwrap_or_default().requests_per_second;
    10.0 * f64::from(spec.workers.replicas.max(1)) / rate
}

/// Times to live in which what one record wants is too old before all of it was told.
fn times_of_a_few_calls(at: usize, slice: &Slice, calls: f64) -> impl Iterator<Item = Problem> {
    let wanted = slice.hydrate.iter().flat_map(|Hydrate { author, mentions, reply, quote, subject }| {
        [("author", author), ("mentions", mentions), ("reply", reply), ("quote", quote), ("subject", subject)]
    });
    wanted
        .filter_map(|(target, ttl)| Some((target, ttl.as_ref()?)))
        .filter(move |(_, ttl)| ttl.as_std().as_secs_f64() < calls)
        .map(move |(target, ttl)| {
            let what = format!("{ttl} is as long as a few calls take, so a record may never be complete");
            let mend = format!("give {}s or more, or a higher spec.hydration.requestsPerSecond", calls.ceil());
            Problem::at(format!("spec.slices[{at}].hydrate.{target}"), what, mend)
        })
}

/// Targets of a slice none of whose collections has them.
fn targets_of_none(at: usize, slice: &Slice) -> impl Iterator<Item = Problem> {
    let wanted = slice.hydrate.iter().flat_map(|Hydrate { author: _, mentions, reply, quote, subject }| {
        [
            ("mentions", mentions, POSTS),
            ("reply", reply, POSTS),
            ("quote", quote, POSTS),
            ("subject", subject, WITH_SUBJECT),
        ]
    });
    let has = |of: &[&str]| match &slice.collections {
        Some(collections) => collections.iter().any(|collection| of.contains(&collection.as_str())),
        None => true,
    };
    wanted.filter(move |(_, ttl, of)| ttl.is_some() && !has(of)).map(move |(target, _, of)| {
        let what = format!("no collection of the slice {} has one", slice.name);
        let mend = format!("leave it out, or give the slice one of {}", of.join(", "));
        Problem::at(format!("spec.slices[{at}].hydrate.{target}"), what, mend)
    })
}
