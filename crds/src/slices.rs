//! `spec.slices`: how collections are grouped and spread over partitions.

use crate::{Hydrate, patterns, rules};
use kube::{KubeSchema, core::Rule};
use serde::{Deserialize, Serialize};

/// A named group of collections with its own number of partitions. Fixed when the pipeline is made.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Slice {
    /// The name, a DNS label of at most 20 characters, unique in the pipeline.
    #[schemars(length(min = 1, max = 20), regex(pattern = patterns::LABEL.regex))]
    pub name: String,
    /// The collections of the slice, as whole NSIDs: 1 to 64, at most 512 in all slices together, each in one slice
    /// only. Default: absent, which takes what no other slice names; exactly one slice does that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    #[schemars(inner(length(min = 1, max = 128), regex(pattern = patterns::COLLECTION.regex)))]
    #[x_kube(validation = each_stands_once())]
    pub collections: Option<Vec<String>>,
    /// The number of partitions, 1 to 256, at most 1024 in all slices together. A repository's events are always in the
    /// same partition. Default: 4.
    #[serde(default = "default_partitions")]
    #[schemars(range(min = 1, max = 256))]
    pub partitions: u16,
    /// What is looked up for the records of the slice. Default: absent, which is nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hydrate: Option<Hydrate>,
}

const fn default_partitions() -> u16 {
    4
}

/// No collection twice in the list of a slice.
fn each_stands_once() -> Rule {
    rules::computed(
        "self.all(one, self.exists_one(other, other == one))",
        "'the collection %s stands twice; give it once'\
         .format([self.filter(one, !self.exists_one(other, other == one))[0]])",
    )
}

/// One slice that takes everything.
pub(crate) fn default_slices() -> Vec<Slice> {
    vec![Slice { name: "default".to_owned(), collections: None, partitions: default_partitions(), hydrate: None }]
}

/// No two slices of one name.
pub(crate) fn names_are_unique() -> Rule {
    rules::computed(
        "self.all(one, self.exists_one(other, other.name == one.name))",
        "'the name %s stands twice; give each slice a name of its own'\
         .format([self.filter(one, !self.exists_one(other, other.name == one.name))[0].name])",
    )
}

/// One slice takes the rest.
pub(crate) fn one_takes_the_rest() -> Rule {
    rules::computed(
        "self.filter(one, !has(one.collections)).size() == 1",
        "self.filter(one, !has(one.collections)).size() == 0 ? \
         'every slice has collections; leave them out of one, which takes the rest' : \
         'the slices %s have no collections; leave them out of one only, which takes the rest'\
         .format([self.filter(one, !has(one.collections)).map(one, one.name)])",
    )
}

/// A bound below which the server's budget lets the next rule run (it was seen to run with 896 and not with 992).
pub(crate) fn collections_are_bounded() -> Rule {
    let count = "self.map(one, has(one.collections) ? one.collections.size() : 0).sum()";
    rules::computed(
        format!("{count} <= 512"),
        format!(
            "'%d collections in all slices together are above 512; leave some to the slice that takes the rest'\
             .format([{count}])"
        ),
    )
}

/// No collection in two slices. (To name the collection in the message is beyond the server's budget.)
pub(crate) fn collections_are_apart() -> Rule {
    let among = "self.filter(other, has(other.collections) && collection in other.collections).size()";
    rules::computed(
        format!("self.all(one, !has(one.collections) || one.collections.all(collection, {among} == 1))"),
        format!(
            "'the slices %s name the same collection; name it in one of them'.format([self.filter(one, \
             has(one.collections) && one.collections.exists(collection, {among} > 1)).map(one, one.name)])"
        ),
    )
}

/// A bound for what one pipeline asks of workers and catalog.
pub(crate) fn partitions_are_bounded() -> Rule {
    rules::computed(
        "self.map(one, one.partitions).sum() <= 1024",
        "'%d partitions in all slices together are above 1024; lower the partitions of some'\
         .format([self.map(one, one.partitions).sum()])",
    )
}

/// What is in the catalog and in the log is by the names of slices, in their order.
pub(crate) fn names_stay() -> Rule {
    Rule::new("self.map(one, one.name) == oldSelf.map(one, one.name)").message(
        "has other slices than the pipeline was made with, or in another order; put them back, or make another pipeline",
    )
}

/// Where an account's events are is by the number of partitions.
pub(crate) fn partitions_stay() -> Rule {
    Rule::new("self.map(one, one.partitions) == oldSelf.map(one, one.partitions)").message(
        "changes partitions, which are fixed when the pipeline is made; put them back, or make another pipeline",
    )
}

/// Which slice an event is in is by its collections.
pub(crate) fn collections_stay() -> Rule {
    let of = |whose: &str| format!("{whose}.map(one, has(one.collections) ? one.collections : [])");
    Rule::new(format!("{} == {}", of("self"), of("oldSelf"))).message(
        "changes collections, which are fixed when the pipeline is made; put them back, or make another pipeline",
    )
}
