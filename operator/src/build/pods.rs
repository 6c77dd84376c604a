//! The template of the pods of a role: what the restricted Pod Security standard takes.

use super::{Error, File, Role, file::FILE_NAME, names};
use k8s_openapi::DeepMerge;
use k8s_openapi::api::core::v1::{Capabilities, ConfigMapVolumeSource, ProjectedVolumeSource};
use k8s_openapi::api::core::v1::{
    Container, ContainerPort, EmptyDirVolumeSource, EnvVar, HTTPGetAction, KeyToPath, LocalObjectReference,
    PodSecurityContext, PodSpec, PodTemplateSpec, Probe, ResourceRequirements, SeccompProfile, SecretProjection,
    SecurityContext, TopologySpreadConstraint, Volume, VolumeMount, VolumeProjection,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use std::collections::{BTreeMap, BTreeSet};
use turbo_crds::{Amount, Pods, TurboPipeline};

/// The container of the program.
pub(super) const CONTAINER: &str = "turbo";
/// Where its HTTP listens: health, metrics, statistics and a page.
pub(super) const PORT: i32 = 8080;
/// The name of that port.
pub(super) const PORT_NAME: &str = "http";
/// The user of the image.
const USER: i64 = 65532;
/// How long a pod may take to end after its drain.
const AFTER_DRAIN: u64 = 15;

const FILES: &str = "/etc/turbo";
const SECRETS: &str = "/run/secrets/turbo";
const TRUST: &str = "/etc/turbo-trust";
const SCRATCH: &str = "/var/lib/turbo";
/// What a pod may keep on disk that has no archive.
const NO_ARCHIVE: &str = "64Mi";

/// The template, as this version makes it.
pub(super) fn template(
    pipeline: &TurboPipeline,
    image: &str,
    file: &File,
    role: Role,
) -> Result<PodTemplateSpec, Error> {
    let name = pipeline.metadata.name.as_deref().unwrap_or_default();
    let path = format!("spec.{}.pods", role.name());
    let said = said(pipeline, role);
    let account = said.service_account.as_ref().and_then(|account| account.name.clone());
    let spec = PodSpec {
        service_account_name: Some(account.unwrap_or_else(|| names::of_role(name, role))),
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        termination_grace_period_seconds: Some(grace(pipeline)),
        security_context: Some(pod_security()),
        containers: vec![container(pipeline, image, role, &said)],
        volumes: Some(volumes(pipeline, file, role, &said)),
        topology_spread_constraints: Some(spread(name, role)),
        affinity: said.affinity(&path).map_err(|problem| Error::Unchecked(problem.to_string()))?,
        tolerations: some(said.tolerations(&path).map_err(|problem| Error::Unchecked(problem.to_string()))?),
        node_selector: (!said.node_selector.is_empty()).then(|| said.node_selector.clone()),
        priority_class_name: said.priority_class_name.clone(),
        image_pull_secrets: some(
            said.image_pull_secrets.iter().map(|name| LocalObjectReference { name: name.clone() }).collect(),
        ),
        ..PodSpec::default()
    };
    let mut own = names::role_labels(name, role);
    own.extend(super::mesh::pod_labels(pipeline));
    let mut labels = said.labels.clone();
    labels.extend(own.clone());
    let annotations = (!said.annotations.is_empty()).then(|| said.annotations.clone());
    let metadata = ObjectMeta { labels: Some(labels), annotations, ..ObjectMeta::default() };
    let mut template = PodTemplateSpec { metadata: Some(metadata), spec: Some(spec) };
    if let Some(over) = said.template(&path).map_err(|problem| Error::Unchecked(problem.to_string()))? {
        template.merge_from(over);
        // By these the pods are found; no template takes them away.
        template.metadata.get_or_insert_default().labels.get_or_insert_default().extend(own);
    }
    Ok(template)
}

/// What is said of the pods of a role.
pub(super) fn said(pipeline: &TurboPipeline, role: Role) -> Pods {
    let spec = &pipeline.spec;
    let pods = match role {
        Role::Ingest => spec.ingest.as_ref().and_then(|ingest| ingest.pods.clone()),
        Role::Workers => spec.workers.pods.clone(),
    };
    pods.unwrap_or_default()
}

fn grace(pipeline: &TurboPipeline) -> i64 {
    let seconds = pipeline.spec.workers.drain.as_std().as_secs_f64().ceil() as u64 + AFTER_DRAIN;
    i64::try_from(seconds).unwrap_or(i64::MAX)
}

fn container(pipeline: &TurboPipeline, image: &str, role: Role, said: &Pods) -> Container {
    let file = format!("{FILES}/{FILE_NAME}");
    let listen = format!("[::]:{PORT}");
    let args = [role.command(), "--file", &file, "--secrets", SECRETS, "--listen", &listen, "--log-format", "json"];
    Container {
        name: CONTAINER.to_owned(),
        image: Some(image.to_owned()),
        command: Some(vec!["turbo".to_owned()]),
        args: Some(args.map(str::to_owned).into()),
        env: Some(environment(said)),
        ports: Some(vec![ContainerPort {
            name: Some(PORT_NAME.to_owned()),
            container_port: PORT,
            protocol: Some("TCP".to_owned()),
            ..ContainerPort::default()
        }]),
        // It opens everything that the file names, and gives up after a minute.
        startup_probe: Some(probe("/health/startup", 2, 60)),
        readiness_probe: Some(probe("/health/ready", 5, 3)),
        liveness_probe: Some(probe("/health/live", 10, 6)),
        resources: Some(resources(pipeline, role, said)),
        security_context: Some(container_security()),
        // The last lines of the log are the reason of a crash.
        termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
        volume_mounts: Some(mounts(said)),
        ..Container::default()
    }
}

fn environment(said: &Pods) -> Vec<EnvVar> {
    let variable =
        |name: &str, value: String| EnvVar { name: name.to_owned(), value: Some(value), ..EnvVar::default() };
    let scratch = ["TURBO_BUFFER", "TMPDIR"].map(|name| variable(name, SCRATCH.to_owned()));
    let trust = said.trust.as_ref().map(|trust| variable("SSL_CERT_FILE", format!("{TRUST}/{}", trust.key)));
    scratch.into_iter().chain(trust).collect()
}

fn probe(path: &str, period: i32, failures: i32) -> Probe {
    let http_get = HTTPGetAction {
        path: Some(path.to_owned()),
        port: IntOrString::String(PORT_NAME.to_owned()),
        ..HTTPGetAction::default()
    };
    Probe {
        http_get: Some(http_get),
        period_seconds: Some(period),
        timeout_seconds: Some(3),
        failure_threshold: Some(failures),
        ..Probe::default()
    }
}

/// What a pod asks for where nothing is said: what one worker of the whole network was measured to need.
fn resources(pipeline: &TurboPipeline, role: Role, said: &Pods) -> ResourceRequirements {
    let quantities = |amounts: &BTreeMap<String, Amount>| {
        amounts.iter().map(|(name, amount)| (name.clone(), Quantity(amount.to_string()))).collect::<BTreeMap<_, _>>()
    };
    let mut requests: BTreeMap<String, Quantity> = match role {
        Role::Ingest => [("cpu", "100m"), ("memory", "256Mi")],
        Role::Workers => [("cpu", "500m"), ("memory", "512Mi")],
    }
    .map(|(name, amount)| (name.to_owned(), Quantity(amount.to_owned())))
    .into();
    requests.insert("ephemeral-storage".to_owned(), scratch_size(pipeline, role));
    let mut limits: BTreeMap<String, Quantity> = [("memory".to_owned(), Quantity("1Gi".to_owned()))].into();
    let given = said.resources.clone().unwrap_or_default();
    requests.extend(quantities(&given.requests));
    limits.extend(quantities(&given.limits));
    ResourceRequirements { requests: Some(requests), limits: Some(limits), claims: None }
}

fn scratch_size(pipeline: &TurboPipeline, role: Role) -> Quantity {
    match (role, &pipeline.spec.sinks.archive) {
        (Role::Workers, Some(_)) => Quantity(pipeline.spec.workers.buffer.to_string()),
        _ => Quantity(NO_ARCHIVE.to_owned()),
    }
}

fn mounts(said: &Pods) -> Vec<VolumeMount> {
    let mount = |name: &str, path: &str, read_only: bool| VolumeMount {
        name: name.to_owned(),
        mount_path: path.to_owned(),
        read_only: read_only.then_some(true),
        ..VolumeMount::default()
    };
    let mut mounts =
        vec![mount("file", FILES, true), mount("secrets", SECRETS, true), mount("scratch", SCRATCH, false)];
    mounts.extend(said.trust.as_ref().map(|_| mount("trust", TRUST, true)));
    mounts
}

fn volumes(pipeline: &TurboPipeline, file: &File, role: Role, said: &Pods) -> Vec<Volume> {
    let name = pipeline.metadata.name.as_deref().unwrap_or_default();
    let config_map = |volume: &str, name: String| Volume {
        name: volume.to_owned(),
        config_map: Some(ConfigMapVolumeSource { name, ..ConfigMapVolumeSource::default() }),
        ..Volume::default()
    };
    let secrets = ProjectedVolumeSource { sources: Some(secrets(pipeline)), ..ProjectedVolumeSource::default() };
    let scratch = EmptyDirVolumeSource { size_limit: Some(scratch_size(pipeline, role)), medium: None };
    let mut volumes = vec![
        config_map("file", file.name(name)),
        Volume { name: "secrets".to_owned(), projected: Some(secrets), ..Volume::default() },
        Volume { name: "scratch".to_owned(), empty_dir: Some(scratch), ..Volume::default() },
    ];
    volumes.extend(said.trust.as_ref().map(|trust| config_map("trust", trust.config_map.clone())));
    volumes
}

/// The keys that the file names, each as `<name>/<key>`, where `turbo --secrets` looks for it. A key that is changed is
/// changed in the pod; one that is missing keeps the pod from starting.
fn secrets(pipeline: &TurboPipeline) -> Vec<VolumeProjection> {
    let mut keys: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (_, reference) in pipeline.spec.secrets() {
        if let Some(secret) = &reference.secret {
            keys.entry(&secret.name).or_default().insert(&secret.key);
        }
    }
    let item = |name: &str, key: &str| KeyToPath { key: key.to_owned(), path: format!("{name}/{key}"), mode: None };
    let projection = |(name, keys): (&str, BTreeSet<&str>)| VolumeProjection {
        secret: Some(SecretProjection {
            name: name.to_owned(),
            items: Some(keys.into_iter().map(|key| item(name, key)).collect()),
            optional: None,
        }),
        ..VolumeProjection::default()
    };
    keys.into_iter().map(projection).collect()
}

fn spread(pipeline: &str, role: Role) -> Vec<TopologySpreadConstraint> {
    let selector =
        LabelSelector { match_labels: Some(names::role_selector(pipeline, role)), ..LabelSelector::default() };
    let over = |topology: &str| TopologySpreadConstraint {
        max_skew: 1,
        topology_key: topology.to_owned(),
        when_unsatisfiable: "ScheduleAnyway".to_owned(),
        label_selector: Some(selector.clone()),
        ..TopologySpreadConstraint::default()
    };
    vec![over("kubernetes.io/hostname"), over("topology.kubernetes.io/zone")]
}

fn pod_security() -> PodSecurityContext {
    PodSecurityContext {
        run_as_non_root: Some(true),
        run_as_user: Some(USER),
        run_as_group: Some(USER),
        // Secrets and the scratch folder are readable for this group.
        fs_group: Some(USER),
        seccomp_profile: Some(SeccompProfile { type_: "RuntimeDefault".to_owned(), localhost_profile: None }),
        ..PodSecurityContext::default()
    }
}

fn container_security() -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        read_only_root_filesystem: Some(true),
        capabilities: Some(Capabilities { drop: Some(vec!["ALL".to_owned()]), add: None }),
        ..SecurityContext::default()
    }
}

fn some<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}
