//! The small objects: accounts, services, disruption budgets, the monitor.

use super::{Children, Error, Kind, Role, names, pods};
use k8s_openapi::api::core::v1::{Service, ServiceAccount, ServicePort, ServiceSpec};
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::json;
use turbo_crds::TurboPipeline;

/// Who the pods of a role are. They need nothing of the API server; a cloud may know them by the annotations.
pub(super) fn service_account(children: &mut Children, pipeline: &TurboPipeline, role: Role) -> Result<(), Error> {
    let said = pods::said(pipeline, role).service_account.unwrap_or_default();
    if said.name.is_some() {
        return Ok(());
    }
    let annotations = (!said.annotations.is_empty()).then_some(said.annotations);
    let metadata = ObjectMeta { annotations, ..ObjectMeta::default() };
    let account =
        ServiceAccount { metadata, automount_service_account_token: Some(false), ..ServiceAccount::default() };
    children.add_of(role, Kind::ServiceAccount, account)
}

/// The page and the statistics of a role.
pub(super) fn service(children: &mut Children, role: Role) -> Result<(), Error> {
    let port = ServicePort {
        name: Some(pods::PORT_NAME.to_owned()),
        port: pods::PORT,
        target_port: Some(IntOrString::String(pods::PORT_NAME.to_owned())),
        protocol: Some("TCP".to_owned()),
        app_protocol: Some("http".to_owned()),
        ..ServicePort::default()
    };
    let spec = ServiceSpec {
        selector: Some(names::role_selector(children.pipeline(), role)),
        ports: Some(vec![port]),
        ..ServiceSpec::default()
    };
    children.add_of(role, Kind::Service, Service { spec: Some(spec), ..Service::default() })
}

/// One pod at a time is taken away, and one that is not well whenever somebody asks: it does no work.
pub(super) fn disruption_budget(children: &mut Children, role: Role) -> Result<(), Error> {
    let spec = PodDisruptionBudgetSpec {
        max_unavailable: Some(IntOrString::Int(1)),
        selector: Some(LabelSelector {
            match_labels: Some(names::role_selector(children.pipeline(), role)),
            ..LabelSelector::default()
        }),
        unhealthy_pod_eviction_policy: Some("AlwaysAllow".to_owned()),
        ..PodDisruptionBudgetSpec::default()
    };
    let budget = PodDisruptionBudget { spec: Some(spec), ..PodDisruptionBudget::default() };
    children.add_of(role, Kind::PodDisruptionBudget, budget)
}

/// The PodMonitor, where the spec asks for one: it also gives pipeline and role to what is read.
pub(super) fn monitor(children: &mut Children, pipeline: &TurboPipeline) -> Result<(), Error> {
    let Some(monitoring) = &pipeline.spec.monitoring else { return Ok(()) };
    let name = children.pipeline().to_owned();
    let monitor = json!({
        "metadata": { "labels": monitoring.labels },
        "spec": {
            "selector": { "matchLabels": names::pipeline_selector(&name) },
            "podTargetLabels": [names::PIPELINE, names::COMPONENT],
            "podMetricsEndpoints": [{
                "port": pods::PORT_NAME, "path": "/metrics", "interval": monitoring.interval.to_string(),
            }],
        },
    });
    children.add(Kind::PodMonitor, &name, monitor)
}
