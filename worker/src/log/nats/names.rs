//! What the parts of a pipeline are called in NATS.

use turbo_core::shard::{Shard, Slices};

/// The names of one pipeline. Namespace and pipeline are DNS labels, as the loader checks, so neither bears a `.`, `_`, `*` or `>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    prefix: String,
    stream: String,
    enriched: String,
    enriched_stream: String,
}

impl Names {
    /// The names of the pipeline in its namespace.
    #[must_use]
    pub fn new(namespace: &str, pipeline: &str) -> Self {
        Self {
            prefix: format!("tp.{namespace}.{pipeline}"),
            stream: format!("tp_{namespace}_{pipeline}"),
            enriched: format!("tpe.{namespace}.{pipeline}"),
            enriched_stream: format!("tpe_{namespace}_{pipeline}"),
        }
    }

    /// The log's stream.
    #[must_use]
    pub fn stream(&self) -> &str {
        &self.stream
    }

    /// The KV bucket: leases, heartbeats, the plan, what the owners of shards announce.
    #[must_use]
    pub fn bucket(&self) -> &str {
        &self.stream
    }

    /// The subjects of the log's stream: every shard's, and the marker's.
    #[must_use]
    pub fn subjects(&self) -> Vec<String> {
        vec![format!("{}.*.*", self.prefix), self.marker()]
    }

    /// All subjects of the log's stream, in one. For a bare `>` a server looks at the stream's last sequence only, and finds
    /// nothing where that message was removed (seen on 2.15).
    #[must_use]
    pub fn all(&self) -> String {
        format!("{}.>", self.prefix)
    }

    /// The subject of a shard: `tp.<namespace>.<pipeline>.<slice>.<partition>`.
    #[must_use]
    pub fn shard(&self, slices: &Slices, shard: Shard) -> String {
        format!("{}.{}.{}", self.prefix, slices.name(shard), shard.partition)
    }

    /// The subject of markers, which is no shard's.
    #[must_use]
    pub fn marker(&self) -> String {
        format!("{}.marker", self.prefix)
    }

    /// Where workers tell each other what has changed of profiles and posts; in no stream.
    #[must_use]
    pub fn changes(&self) -> String {
        format!("{}.hydration", self.prefix)
    }

    /// The stream of what workers share of profiles and posts.
    #[must_use]
    pub fn shared_stream(&self) -> String {
        self.stream.replacen("tp_", "tph_", 1)
    }

    /// What its subjects begin with: `tph.<namespace>.<pipeline>`.
    #[must_use]
    pub fn shared(&self) -> String {
        self.prefix.replacen("tp.", "tph.", 1)
    }

    /// The enriched stream.
    #[must_use]
    pub fn enriched_stream(&self) -> &str {
        &self.enriched_stream
    }

    /// The subjects of the enriched stream.
    #[must_use]
    pub fn enriched_subjects(&self) -> String {
        format!("{}.>", self.enriched)
    }

    /// What the subjects of a shard in the enriched stream begin with: `tpe.<namespace>.<pipeline>.<slice>.<partition>`.
    #[must_use]
    pub fn enriched_shard(&self, slices: &Slices, shard: Shard) -> String {
        format!("{}.{}.{}", self.enriched, slices.name(shard), shard.partition)
    }

    /// The shard of a subject; `None` for the marker's and for what is not ours.
    #[must_use]
    pub fn shard_of(&self, slices: &Slices, subject: &str) -> Option<Shard> {
        let (slice, partition) = subject.strip_prefix(&self.prefix)?.strip_prefix('.')?.split_once('.')?;
        let partition = partition.parse().ok()?;
        let known = (0u16..).zip(slices.list()).find(|(_, known)| known.name == slice)?;
        (partition < known.1.partitions).then_some(Shard { slice: known.0, partition })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use turbo_core::shard::Slice;

    #[test]
    fn a_subject_tells_its_shard() {
        let slice = |name: &str, collections| Slice { name: name.into(), collections, partitions: 3 };
        let slices = Slices::new(vec![slice("posts", Some(vec!["a.b.c".into()])), slice("rest", None)]).unwrap();
        let names = Names::new("social", "blue-sky");
        for shard in slices.shards() {
            assert_eq!(names.shard_of(&slices, &names.shard(&slices, shard)), Some(shard));
        }
        assert_eq!(names.shard(&slices, Shard { slice: 1, partition: 2 }), "tp.social.blue-sky.rest.2");
        for other in ["tp.social.blue-sky.marker", "tp.social.blue-sky.rest.3", "tp.social.blue.rest.1", "x"] {
            assert_eq!(names.shard_of(&slices, other), None, "{other}");
        }
    }
}
