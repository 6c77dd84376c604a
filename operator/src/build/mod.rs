//! From a pipeline, and what is known of the cluster, to the objects that it is made of. Nothing here touches the network.

mod children;
mod deployment;
mod file;
mod mesh;
mod names;
mod network;
mod pods;
mod small;

pub use children::{Child, Children, Kind};
pub use deployment::replicas;
pub use file::File;
pub use names::{FILE, INPUTS, MANAGER, PIPELINE, Role, TEMPLATE, as_text, of_role, pipeline_selector, role_selector};

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use turbo_crds::TurboPipeline;

/// What is known of the cluster.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// The image of a pipeline that names none.
    pub image: String,
    /// The kinds that the cluster serves, of those that not every cluster does.
    pub served: BTreeSet<Kind>,
    /// The annotations of the workloads that are there.
    pub running: BTreeMap<Role, BTreeMap<String, String>>,
}

/// Why a valid pipeline can not be built: a bug.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The pipeline file is not YAML.
    #[error("the pipeline file can not be written: {0}")]
    File(#[from] serde_saphyr::SerializeError),
    /// An object is not JSON.
    #[error("an object can not be written: {0}")]
    Object(#[from] serde_json::Error),
    /// What was checked before does not hold.
    #[error("{0}")]
    Unchecked(String),
}

/// The image of the pods: that of the spec, or the one that the pipeline was first seen with.
#[must_use]
pub fn image<'a>(pipeline: &'a TurboPipeline, facts: &'a Facts) -> &'a str {
    let kept = pipeline.status.as_ref().and_then(|status| status.image.as_ref());
    pipeline.spec.image.as_ref().or(kept).unwrap_or(&facts.image)
}

/// Every object of a valid pipeline, in the order in which they are applied: workloads last, since their pods need the rest.
///
/// # Errors
/// A bug; see [`Error`].
pub fn build(pipeline: &TurboPipeline, facts: &Facts) -> Result<Children, Error> {
    let marks = facts.running.values().filter_map(|annotations| annotations.get(FILE));
    let file = File::new(pipeline, marks.map(String::as_str));
    let mut children = Children::new(pipeline, &facts.served);
    for role in Role::ALL {
        small::service_account(&mut children, pipeline, role)?;
    }
    children.add(Kind::ConfigMap, &file.name(children.pipeline()), file.config_map(pipeline)?)?;
    network::policies(&mut children, pipeline)?;
    mesh::policies(&mut children, pipeline)?;
    small::monitor(&mut children, pipeline)?;
    for role in Role::ALL {
        small::service(&mut children, role)?;
        small::disruption_budget(&mut children, role)?;
    }
    for role in Role::ALL {
        deployment::deployment(&mut children, pipeline, facts, &file, role)?;
    }
    Ok(children)
}

/// A short name for a value: equal values have equal ones.
pub(crate) fn hash(value: &Value) -> String {
    format!("{:016x}", xxhash_rust::xxh3::xxh3_64(value.to_string().as_bytes()))
}
