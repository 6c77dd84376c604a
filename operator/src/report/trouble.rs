//! Why pods do not come, as Kubernetes tells it in many places.

use crate::build::Role;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ContainerStateTerminated, ContainerStatus, Pod};
use turbo_core::reason::Reason;

/// How much of what a program said last is told.
const LAST_WORDS: usize = 400;

/// What is wrong, and how to mend it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// The word for it.
    pub reason: Reason,
    /// For people.
    pub message: String,
    /// Whether pods are kept by it.
    pub keeps_pods: bool,
}

impl Trouble {
    /// Pods do not come for it.
    #[must_use]
    pub fn of_pods(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), keeps_pods: true }
    }

    /// The pipeline runs all the same.
    #[must_use]
    pub fn beside(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), keeps_pods: false }
    }
}

/// What a workload says of pods that could not be made.
#[must_use]
pub fn of_workload(role: Role, workload: &Deployment) -> Option<Trouble> {
    let conditions = workload.status.as_ref()?.conditions.as_ref()?;
    let failure = conditions.iter().find(|one| one.type_ == "ReplicaFailure" && one.status == "True")?;
    let said = failure.message.as_deref().unwrap_or_default();
    let reason = match said {
        said if said.contains("exceeded quota") => Reason::QuotaExceeded,
        said if said.contains("violates PodSecurity") => Reason::PodSecurityRefuses,
        _ => Reason::ApplyRefused,
    };
    let mend = reason.mend().unwrap_or_default();
    Some(Trouble::of_pods(reason, format!("no pod of {} is made: {said}; {mend}", role.name())))
}

/// What the pods of a role say: the worst of them.
#[must_use]
pub fn of_pods(pods: &[Pod]) -> Option<Trouble> {
    let mut troubles: Vec<Trouble> = pods.iter().filter_map(of_pod).collect();
    troubles.sort_by_key(|trouble| rank(trouble.reason));
    troubles.into_iter().next()
}

fn rank(reason: Reason) -> usize {
    let order = [Reason::ImageNotPulled, Reason::Crashing, Reason::Unschedulable, Reason::NotReady];
    order.iter().position(|one| *one == reason).unwrap_or(order.len())
}

fn of_pod(pod: &Pod) -> Option<Trouble> {
    if pod.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    let status = pod.status.as_ref()?;
    let conditions = status.conditions.as_deref().unwrap_or_default();
    let fails = |kind: &str| conditions.iter().find(|one| one.type_ == kind && one.status == "False");
    if let Some(unscheduled) = fails("PodScheduled").filter(|one| one.reason.as_deref() == Some("Unschedulable")) {
        let said = unscheduled.message.as_deref().unwrap_or_default();
        return Some(trouble(Reason::Unschedulable, format!("no node takes the pod {name}: {said}")));
    }
    let init = status.init_container_statuses.iter().flatten();
    let all: Vec<&ContainerStatus> = init.chain(status.container_statuses.iter().flatten()).collect();
    all.iter().find_map(|container| of_container(name, container))
}

fn of_container(pod: &str, container: &ContainerStatus) -> Option<Trouble> {
    let state = container.state.as_ref()?;
    let last = container.last_state.as_ref().and_then(|state| state.terminated.as_ref());
    let waiting = state.waiting.as_ref();
    let said = waiting.and_then(|waiting| waiting.message.as_deref()).unwrap_or_default();
    match waiting.and_then(|waiting| waiting.reason.as_deref()) {
        Some("ErrImagePull" | "ImagePullBackOff" | "InvalidImageName" | "ErrImageNeverPull") => Some(trouble(
            Reason::ImageNotPulled,
            format!("the image {} of the pod {pod} is not pulled: {said}", container.image),
        )),
        Some("CrashLoopBackOff") => {
            let code = last.map(|last| last.exit_code).unwrap_or_default();
            let words = words_of(last);
            Some(trouble(Reason::Crashing, format!("the pod {pod} ends again and again, with {code}{words}")))
        }
        Some(reason @ ("CreateContainerConfigError" | "CreateContainerError" | "RunContainerError")) => {
            Some(trouble(Reason::NotReady, format!("the pod {pod} does not start: {reason}: {said}")))
        }
        // It may be on its way: the pipeline is not down for that, unless nothing else runs.
        None if !container.ready && container.restart_count > 0 => {
            let times = container.restart_count;
            let what = format!("the pod {pod} has begun anew {times} times and is not ready{}", words_of(last));
            Some(Trouble { keeps_pods: false, ..trouble(Reason::NotReady, what) })
        }
        _ => None,
    }
}

/// What a container said last, behind a colon, where it is known.
fn words_of(last: Option<&ContainerStateTerminated>) -> String {
    let words = last.and_then(|last| last.message.as_deref()).map(last_words).unwrap_or_default();
    if words.is_empty() { String::new() } else { format!(": {words}") }
}

fn trouble(reason: Reason, what: String) -> Trouble {
    let mend = reason.mend().unwrap_or_default();
    Trouble::of_pods(reason, format!("{what}; {mend}"))
}

/// The last words of a program: what it said in plain text, or else the last line of its log.
fn last_words(text: &str) -> String {
    let logged = |line: &str| serde_json::from_str::<serde_json::Value>(line).ok();
    let plain: Vec<&str> = text.lines().filter(|line| logged(line).is_none()).collect();
    let of_log = || text.lines().rev().find_map(|line| Some(logged(line)?["fields"]["message"].as_str()?.to_owned()));
    if plain.is_empty() { of_log().map(|line| tail(&line)).unwrap_or_default() } else { tail(&plain.join(" ")) }
}

/// The end of a text, in one line.
fn tail(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let from = line.char_indices().rev().nth(LAST_WORDS).map_or(0, |(at, _)| at);
    line.get(from..).unwrap_or_default().to_owned()
}
