//! How the pipeline under test is divided, reckoned here anew: by the words of the contract, not by the code that is tested.

use turbo_sim::EventId;
use xxhash_rust::xxh3::xxh3_64;

/// A slice of the pipeline.
#[derive(Debug)]
pub struct Slice {
    pub name: &'static str,
    /// None: what no other slice takes.
    pub collections: Option<&'static [&'static str]>,
    pub partitions: u16,
}

pub const SLICES: [Slice; 3] = [
    Slice { name: "posts", collections: Some(&["app.bsky.feed.post"]), partitions: 4 },
    Slice { name: "graph", collections: Some(&["app.bsky.graph.follow", "app.bsky.graph.block"]), partitions: 2 },
    Slice { name: "rest", collections: None, partitions: 5 },
];

/// The slices that look up what their records point at, where a run is to.
pub const HYDRATED: [&str; 2] = ["posts", "rest"];
/// For how many seconds what was looked up counts: some of it expires in every run.
pub const TTL: u32 = 20;

/// The slice of that name.
pub fn named(name: &str) -> Option<usize> {
    SLICES.iter().position(|slice| slice.name == name)
}

/// The slices that an event goes to: one for a commit, every one for what is of the whole repository.
pub fn of(event: &EventId) -> std::ops::Range<usize> {
    let EventId::Commit { collection, .. } = event else { return 0..SLICES.len() };
    let one = of_collection(collection);
    one..one + 1
}

/// The slice of a collection.
pub fn of_collection(collection: &str) -> usize {
    let names = |slice: &Slice| slice.collections.is_some_and(|list| list.contains(&collection));
    let rest = || SLICES.iter().position(|slice| slice.collections.is_none());
    SLICES.iter().position(names).or_else(rest).unwrap_or_default()
}

/// The partition of a DID.
pub fn partition(did: &str, slice: usize) -> u16 {
    (xxh3_64(did.as_bytes()) % u64::from(SLICES[slice].partitions)) as u16
}

/// `slices: […]` of the pipeline file.
pub fn yaml(hydrates: bool) -> String {
    let hydrate =
        format!(", hydrate: {{author: {TTL}s, mentions: {TTL}s, reply: {TTL}s, quote: {TTL}s, subject: {TTL}s}}");
    let slice = |slice: &Slice| {
        let collections = slice.collections.map(|list| format!("collections: [{}], ", list.join(", ")));
        let hydrate = if hydrates && HYDRATED.contains(&slice.name) { &*hydrate } else { "" };
        format!(
            "{{name: {}, {}partitions: {}{hydrate}}}",
            slice.name,
            collections.unwrap_or_default(),
            slice.partitions
        )
    };
    format!("[{}]", SLICES.iter().map(slice).collect::<Vec<_>>().join(", "))
}
