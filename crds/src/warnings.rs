//! What is allowed, and hardly meant.

use crate::{TurboPipelineSpec, problem::Problem};

impl TurboPipelineSpec {
    /// What a user should look at; nothing of it keeps the pipeline from running.
    #[must_use]
    pub fn warnings(&self) -> Vec<Problem> {
        let Some(jetstream) = self.source.jetstream.as_ref().filter(|jetstream| !jetstream.collections.is_empty())
        else {
            return Vec::new();
        };
        let asked = |collection: &str| jetstream.collections.iter().any(|asked| matches(asked, collection));
        let mut warnings = Vec::new();
        for (at, slice) in self.slices.iter().enumerate() {
            for collection in slice.collections.iter().flatten().filter(|collection| !asked(collection)) {
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

/// Whether a filter of the source, an NSID or a prefix like `app.bsky.feed.*`, takes the collection.
fn matches(filter: &str, collection: &str) -> bool {
    match filter.strip_suffix('*') {
        Some(prefix) => collection.starts_with(prefix),
        None => filter == collection,
    }
}
