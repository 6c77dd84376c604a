//! Slices, partitions and shards: where an event goes.
//!
//! - A collection belongs to exactly one slice; the slice without a list takes all that is left.
//! - `partition = xxh3_64(key) mod partitions`: the same key lands in the same partition of a slice for good.
//! - Events without a collection go to the key's partition in every slice.

use std::collections::HashMap;
use xxhash_rust::xxh3::xxh3_64;

/// A named group of collections with its own number of partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slice {
    /// Name, unique in the pipeline.
    pub name: String,
    /// Exact collections (NSIDs); `None` takes what no other slice names.
    pub collections: Option<Vec<String>>,
    /// Number of partitions, at least 1.
    pub partitions: u16,
}

/// The smallest thing that is owned, moved, fenced and checkpointed: (slice, partition). `slice` is an index into
/// [`Slices`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Shard {
    /// Index of the slice.
    pub slice: u16,
    /// Partition within the slice.
    pub partition: u16,
}

/// The partition of a key among `partitions`.
#[must_use]
pub fn partition(key: &str, partitions: u16) -> u16 {
    (xxh3_64(key.as_bytes()) % u64::from(partitions.max(1))) as u16
}

/// Why a list of slices can not route events.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Two slices name one collection.
    #[error("the collection {0} is in two slices; name it once")]
    CollectionTwice(String),
    /// Not exactly one slice is without a list of collections.
    #[error("{0} slices have no list of collections; exactly one takes the rest")]
    Rest(usize),
    /// A slice without partitions.
    #[error("the slice {0} has no partitions; give it at least 1")]
    NoPartitions(String),
}

/// The slices of a pipeline, ready to route.
#[derive(Clone, Debug)]
pub struct Slices {
    list: Vec<Slice>,
    by_collection: HashMap<String, u16>,
    rest: u16,
}

impl Slices {
    /// Checks the list: every collection in one slice, exactly one slice for the rest, partitions above zero.
    ///
    /// # Errors
    /// The first contradiction.
    pub fn new(list: Vec<Slice>) -> Result<Self, Error> {
        let mut by_collection = HashMap::new();
        let mut rest = Vec::new();
        for (index, slice) in (0u16..).zip(&list) {
            if slice.partitions == 0 {
                return Err(Error::NoPartitions(slice.name.clone()));
            }
            let Some(collections) = &slice.collections else {
                rest.push(index);
                continue;
            };
            for collection in collections {
                if by_collection.insert(collection.clone(), index).is_some() {
                    return Err(Error::CollectionTwice(collection.clone()));
                }
            }
        }
        match rest[..] {
            [rest] => Ok(Self { list, by_collection, rest }),
            _ => Err(Error::Rest(rest.len())),
        }
    }

    /// The slices, in the order of their index.
    #[must_use]
    pub fn list(&self) -> &[Slice] {
        &self.list
    }

    /// The name of a shard's slice.
    #[must_use]
    pub fn name(&self, shard: Shard) -> &str {
        self.list.get(usize::from(shard.slice)).map_or("", |slice| slice.name.as_str())
    }

    /// The shard of a slice's name and a partition; `None` for one that there is not.
    #[must_use]
    pub fn shard(&self, slice: &str, partition: i32) -> Option<Shard> {
        let partition = u16::try_from(partition).ok()?;
        let (slice, known) = (0u16..).zip(&self.list).find(|(_, known)| known.name == slice)?;
        (partition < known.partitions).then_some(Shard { slice, partition })
    }

    /// Every shard, in order.
    pub fn shards(&self) -> impl Iterator<Item = Shard> + '_ {
        (0u16..)
            .zip(&self.list)
            .flat_map(|(slice, s)| (0..s.partitions).map(move |partition| Shard { slice, partition }))
    }

    /// The one shard of a record of `collection` in the repository `key`.
    #[must_use]
    pub fn of_record(&self, key: &str, collection: &str) -> Shard {
        self.of_key(key, self.by_collection.get(collection).copied().unwrap_or(self.rest))
    }

    /// The shards of an event that has no collection: one in every slice.
    pub fn of_repository<'a>(&'a self, key: &'a str) -> impl Iterator<Item = Shard> + 'a {
        (0u16..).zip(&self.list).map(|(slice, _)| self.of_key(key, slice))
    }

    /// Where what has no readable key goes: the first partition of the slice that takes the rest.
    #[must_use]
    pub fn of_unreadable(&self) -> Shard {
        Shard { slice: self.rest, partition: 0 }
    }

    fn of_key(&self, key: &str, slice: u16) -> Shard {
        let partitions = self.list.get(usize::from(slice)).map_or(1, |s| s.partitions);
        Shard { slice, partition: partition(key, partitions) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn slice(name: &str, collections: Option<&[&str]>, partitions: u16) -> Slice {
        let collections = collections.map(|list| list.iter().map(ToString::to_string).collect());
        Slice { name: name.into(), collections, partitions }
    }

    fn two() -> Slices {
        Slices::new(vec![slice("posts", Some(&["app.bsky.feed.post"]), 16), slice("rest", None, 8)]).unwrap()
    }

    #[test]
    fn the_hash_is_fixed_for_good() {
        // A change of these numbers would send the history of an account to another shard.
        assert_eq!(xxh3_64(b"did:plc:z72i7hdynmk6r22z27h6tvur"), 9_695_512_386_294_249_562);
    }

    #[test]
    fn a_record_goes_to_one_slice_and_a_repository_event_to_all() {
        let slices = two();
        assert_eq!(slices.of_record("did:plc:a", "app.bsky.feed.post").slice, 0);
        assert_eq!(slices.of_record("did:plc:a", "app.bsky.feed.like").slice, 1);
        let all: Vec<_> = slices.of_repository("did:plc:a").collect();
        assert_eq!(all.len(), 2);
        assert_eq!(all[0], slices.of_record("did:plc:a", "app.bsky.feed.post"));
        assert_eq!(slices.shards().count(), 24);
    }

    #[test]
    fn contradictions_are_refused() {
        assert_eq!(Slices::new(vec![]).unwrap_err(), Error::Rest(0));
        assert_eq!(Slices::new(vec![slice("a", None, 1), slice("b", None, 1)]).unwrap_err(), Error::Rest(2));
        assert_eq!(Slices::new(vec![slice("a", None, 0)]).unwrap_err(), Error::NoPartitions("a".into()));
        let twice = vec![slice("a", Some(&["x.y.z"]), 1), slice("b", Some(&["x.y.z"]), 1), slice("c", None, 1)];
        assert_eq!(Slices::new(twice).unwrap_err(), Error::CollectionTwice("x.y.z".into()));
    }

    proptest! {
        #[test]
        fn a_partition_is_in_range_and_stable(key in ".*", partitions in 1u16..=256) {
            let p = partition(&key, partitions);
            prop_assert!(p < partitions);
            prop_assert_eq!(p, partition(&key, partitions));
        }

        #[test]
        fn keys_spread_evenly(seed in any::<u64>()) {
            let mut counts = [0u32; 16];
            for n in 0..16_000u64 {
                counts[usize::from(partition(&format!("did:plc:{}", seed.wrapping_add(n)), 16))] += 1;
            }
            // 1,000 each, with a standard deviation of about 31.
            prop_assert!(counts.iter().all(|c| (800..1200).contains(c)), "{counts:?}");
        }
    }
}
