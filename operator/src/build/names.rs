//! Names, labels and annotations of what is made for a pipeline.

use std::collections::BTreeMap;

/// Who owns the fields that are applied, and is said to manage the objects.
pub const MANAGER: &str = "turbo-operator";

/// Which pipeline an object is for.
pub const PIPELINE: &str = "turbopipeline.dev/pipeline";
/// The hash of everything that a workload's pods are made from.
pub const INPUTS: &str = "turbopipeline.dev/inputs";
/// The template that was made from those inputs, as it was made then.
pub const TEMPLATE: &str = "turbopipeline.dev/template";
/// The pipeline file of a workload: the hash of its spec and its generation, `<hash>-<generation>`.
pub const FILE: &str = "turbopipeline.dev/file";

/// The processes of a pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// They read the source.
    Ingest,
    /// They own shards.
    Workers,
}

impl Role {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Ingest, Self::Workers];

    /// As it is in names, labels and in the spec.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::Workers => "workers",
        }
    }

    /// What `turbo` is told to do.
    #[must_use]
    pub const fn command(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::Workers => "work",
        }
    }
}

/// The name of an object of a role.
#[must_use]
pub fn of_role(pipeline: &str, role: Role) -> String {
    format!("{pipeline}-{}", role.name())
}

/// The labels of everything that is made for a pipeline.
pub(super) fn labels(pipeline: &str) -> BTreeMap<String, String> {
    texts([
        ("app.kubernetes.io/name", "turbopipeline"),
        ("app.kubernetes.io/instance", pipeline),
        ("app.kubernetes.io/managed-by", MANAGER),
        (PIPELINE, pipeline),
    ])
}

/// The labels of what is made for a role.
pub(super) fn role_labels(pipeline: &str, role: Role) -> BTreeMap<String, String> {
    let mut labels = labels(pipeline);
    labels.insert(COMPONENT.to_owned(), role.name().to_owned());
    labels
}

/// Which role a pod has.
pub(super) const COMPONENT: &str = "app.kubernetes.io/component";

/// The labels by which the pods of a pipeline are found.
#[must_use]
pub fn pipeline_selector(pipeline: &str) -> BTreeMap<String, String> {
    texts([(PIPELINE, pipeline)])
}

/// The labels by which the pods of a role are found. A workload can not change them.
#[must_use]
pub fn role_selector(pipeline: &str, role: Role) -> BTreeMap<String, String> {
    texts([(PIPELINE, pipeline), (COMPONENT, role.name())])
}

/// Labels as `kubectl -l` takes them.
#[must_use]
pub fn as_text(labels: &BTreeMap<String, String>) -> String {
    labels.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(",")
}

fn texts<const N: usize>(pairs: [(&str, &str); N]) -> BTreeMap<String, String> {
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}
