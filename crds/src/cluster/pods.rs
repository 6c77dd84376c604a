//! `spec.ingest.pods`, `spec.workers.pods`: what is said of the pods of a role.

use super::free;
use crate::{patterns, problem::Problem};
use k8s_openapi::api::core::v1::{Affinity, PodTemplateSpec, Toleration};
use kube::KubeSchema;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// What is said of the pods of a role.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Pods {
    /// What a pod asks for and may use. What is left out has the default of the role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
    /// Labels of the pods, beside those that the operator gives.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "texts")]
    pub labels: BTreeMap<String, String>,
    /// Annotations of the pods.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "texts")]
    pub annotations: BTreeMap<String, String>,
    /// Labels that a node must have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "texts")]
    pub node_selector: BTreeMap<String, String>,
    /// Which nodes are taken, as `affinity` of a pod. Default: absent, which is any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "free::object")]
    pub affinity: Option<Value>,
    /// Taints that the pods bear, as `tolerations` of a pod.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "free::objects")]
    pub tolerations: Vec<Value>,
    /// The PriorityClass of the pods. Default: absent, which is that of the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = patterns::OBJECT_NAME.regex))]
    pub priority_class_name: Option<String>,
    /// Secrets by which the image is pulled, at most 8, by their names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), inner(length(min = 1, max = 253), regex(pattern = patterns::SECRET_NAME.regex)))]
    pub image_pull_secrets: Vec<String>,
    /// Who the pods are to the cluster and to a cloud. Default: absent, which makes an account without rights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account: Option<ServiceAccount>,
    /// Certificates that the pods trust in place of those in the image, PEM. Default: absent, which is those in the image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trust: Option<ConfigMapKey>,
    /// What nobody foresaw: a pod template, merged over what the operator makes, lists by the names of their entries. The
    /// container is `turbo`. Default: absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "free::object")]
    pub template: Option<Value>,
}

/// What a pod asks for and may use, as `resources` of a container.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Resources {
    /// What it asks for, such as cpu and memory.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "amounts")]
    pub requests: BTreeMap<String, Amount>,
    /// What it may use at most.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "amounts")]
    pub limits: BTreeMap<String, Amount>,
}

/// A quantity of Kubernetes, as it was written: `2`, `500m`, `1Gi`.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(untagged)]
pub enum Amount {
    /// A whole number.
    Number(u64),
    /// A text.
    Text(String),
}

impl std::fmt::Display for Amount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => text.fmt(f),
        }
    }
}

impl JsonSchema for Amount {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Amount".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "x-kubernetes-int-or-string": true,
            "pattern": patterns::AMOUNT.regex,
            "maxLength": 32,
            "minimum": 0,
            "maximum": 1_000_000_000_000_000_u64,
        })
    }
}

/// Who the pods are to the cluster and to a cloud.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ServiceAccount {
    /// One that is there already. Default: absent, which makes one for the role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = patterns::OBJECT_NAME.regex))]
    pub name: Option<String>,
    /// Annotations of the one that is made, as a cloud's workload identity wants them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "texts")]
    pub annotations: BTreeMap<String, String>,
}

/// One key of a ConfigMap in the namespace of the pipeline.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ConfigMapKey {
    /// The name of the ConfigMap.
    #[schemars(length(min = 1, max = 253), regex(pattern = patterns::OBJECT_NAME.regex))]
    pub config_map: String,
    /// The key in it.
    #[schemars(length(min = 1, max = 253), regex(pattern = patterns::SECRET_KEY.regex))]
    pub key: String,
}

/// Texts by their names.
fn texts(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object", "additionalProperties": { "type": "string", "maxLength": 4096 }, "maxProperties": 64 })
}

fn amounts(generator: &mut SchemaGenerator) -> Schema {
    let amount = Amount::json_schema(generator);
    json_schema!({ "type": "object", "additionalProperties": amount, "maxProperties": 16 })
}

/// The schema of the name of an image.
pub(crate) fn image(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "minLength": 1, "maxLength": 512, "pattern": patterns::IMAGE.regex })
}

impl Pods {
    /// The affinity in its type. The path is that of these pods.
    ///
    /// # Errors
    /// It does not fit.
    pub fn affinity(&self, path: &str) -> Result<Option<Affinity>, Problem> {
        let typed = |given| free::typed(&format!("{path}.affinity"), "affinity of a pod", given);
        self.affinity.as_ref().map(typed).transpose()
    }

    /// The tolerations in their type. The path is that of these pods.
    ///
    /// # Errors
    /// One does not fit.
    pub fn tolerations(&self, path: &str) -> Result<Vec<Toleration>, Problem> {
        let typed = |(at, given)| free::typed(&format!("{path}.tolerations[{at}]"), "a toleration of a pod", given);
        self.tolerations.iter().enumerate().map(typed).collect()
    }

    /// The template in its type. The path is that of these pods.
    ///
    /// # Errors
    /// It does not fit.
    pub fn template(&self, path: &str) -> Result<Option<PodTemplateSpec>, Problem> {
        let typed = |given| free::typed(&format!("{path}.template"), "the template of a pod", given);
        self.template.as_ref().map(typed).transpose()
    }

    /// What does not fit the types of Kubernetes.
    pub(super) fn problems(&self, path: &str) -> Vec<Problem> {
        let (template, unfit) = match self.template(path) {
            Ok(template) => (template, None),
            Err(problem) => (None, Some(problem)),
        };
        let containers = template.and_then(|template| template.spec).map(|spec| spec.containers).unwrap_or_default();
        let nameless = containers.iter().position(|container| container.name.is_empty()).map(|at| {
            let place = format!("{path}.template.spec.containers[{at}]");
            let mend = "give turbo for the container that there is, or a name of its own";
            Problem::at(place, "has no name, so it is merged with nothing", mend)
        });
        let unfits = [self.affinity(path).err(), self.tolerations(path).err(), unfit, nameless];
        unfits.into_iter().flatten().collect()
    }
}
