//! What is said of a pipeline: conditions, numbers, one sentence. A function of what was seen.
//!
//! Invariants:
//! - the status that is written is a function of what is there and of the status before, so a pipeline at rest is written
//!   once;
//! - a condition keeps the time of its last change.

mod mesh;
mod trouble;

pub use mesh::is_meshed;
pub use trouble::{Trouble, of_pods, of_workload};

use crate::build::{Kind, Role, as_text, role_selector};
use crate::observe::Workloads;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use turbo_core::reason::Reason;
use turbo_crds::{Count, TurboPipeline, TurboPipelineStatus};

/// What was seen of a pipeline.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// What keeps the whole of it: then the rest was not looked at.
    pub stopped: Option<Trouble>,
    /// What is wrong beside.
    pub troubles: Vec<Trouble>,
    /// How many pods of a role are ready, of how many; and whether they are all of the newest template.
    pub roles: BTreeMap<Role, Pods>,
    /// Kinds that are wanted and not served.
    pub missing: BTreeSet<Kind>,
    /// Whether each pod has a proxy; `None` where there is no mesh or no pod.
    pub meshed: Option<bool>,
    /// The image of the pods.
    pub image: String,
}

/// The pods of a role.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pods {
    /// There.
    pub there: i32,
    /// Ready.
    pub ready: i32,
    /// Wanted.
    pub wanted: i32,
    /// Of the newest template.
    pub updated: i32,
}

impl Pods {
    /// Of a workload that is there.
    #[must_use]
    pub fn of(workloads: &Workloads, role: Role, wanted: i32) -> Self {
        let status = workloads.get(&role).and_then(|workload| workload.status.as_ref());
        let Some(status) = status else { return Self { wanted, ..Self::default() } };
        Self {
            there: status.replicas.unwrap_or_default(),
            ready: status.ready_replicas.unwrap_or_default(),
            updated: status.updated_replicas.unwrap_or_default(),
            wanted,
        }
    }

    fn is_all(self) -> bool {
        self.ready >= self.wanted && self.there == self.wanted && self.updated == self.wanted
    }

    fn count(self) -> Count {
        Count::new(self.ready, self.wanted)
    }
}

/// One condition, before it is compared with the one that stands there.
struct Says {
    kind: &'static str,
    holds: Option<bool>,
    reason: Reason,
    message: String,
}

/// The status of a pipeline, at this time.
#[must_use]
pub fn status(pipeline: &TurboPipeline, seen: &Seen, now: Timestamp) -> TurboPipelineStatus {
    let before = pipeline.status.clone().unwrap_or_default();
    let ready = ready(pipeline, seen);
    let summary = ready.message.clone();
    let mut says = vec![progressing(seen, &ready), degraded(seen), paused(pipeline)];
    says.extend(meshed(seen));
    says.insert(0, ready);
    let generation = pipeline.metadata.generation;
    let conditions = says.into_iter().map(|says| says.condition(&before.conditions, generation, now)).collect();
    let name = pipeline.metadata.name.as_deref().unwrap_or_default();
    let (roles, stopped) = (&seen.roles, seen.stopped.is_some());
    let count = |role| roles.get(&role).map(|pods: &Pods| pods.count());
    TurboPipelineStatus {
        observed_generation: generation,
        summary: Some(summary),
        conditions,
        replicas: roles.get(&Role::Workers).map_or(before.replicas, |pods| pods.there),
        selector: Some(as_text(&role_selector(name, Role::Workers))),
        workers: if stopped { before.workers } else { count(Role::Workers) },
        ingest: if stopped { before.ingest } else { count(Role::Ingest) },
        image: if seen.image.is_empty() { before.image } else { Some(seen.image.clone()) },
    }
}

fn ready(pipeline: &TurboPipeline, seen: &Seen) -> Says {
    let says = |holds, reason, message: String| Says { kind: "Ready", holds: Some(holds), reason, message };
    let of = |role: Role| seen.roles.get(&role).copied().unwrap_or_default();
    let (ingest, workers) = (of(Role::Ingest), of(Role::Workers));
    if let Some(trouble) = &seen.stopped {
        return says(false, trouble.reason, trouble.message.clone());
    }
    if pipeline.spec.paused {
        let left = ingest.there + workers.there;
        let doing = if left == 0 { "it rests".to_owned() } else { format!("{left} pods finish what they have") };
        return says(false, Reason::Paused, format!("paused: {doing}"));
    }
    if let Some(trouble) = seen.troubles.iter().find(|trouble| trouble.keeps_pods) {
        return says(false, trouble.reason, trouble.message.clone());
    }
    if workers.wanted == 0 {
        let message = "no worker is wanted: what is read waits in the log".to_owned();
        return says(false, Reason::NoWorkers, message);
    }
    let counts = format!(
        "{} of {} workers and {} of {} readers are ready",
        workers.ready, workers.wanted, ingest.ready, ingest.wanted
    );
    match (ingest.is_all() && workers.is_all(), ingest.ready > 0 && workers.ready > 0) {
        (true, _) => says(true, Reason::Running, format!("running: {counts}")),
        (false, true) => says(true, Reason::Updating, format!("running, and pods come and go: {counts}")),
        (false, false) => match seen.troubles.iter().find(|trouble| trouble.reason == Reason::NotReady) {
            Some(trouble) => says(false, trouble.reason, trouble.message.clone()),
            None => says(false, Reason::Starting, format!("starting: {counts}")),
        },
    }
}

fn progressing(seen: &Seen, ready: &Says) -> Says {
    let moves = !seen.roles.values().all(|pods| pods.is_all()) && seen.stopped.is_none();
    let message = if moves { ready.message.clone() } else { String::new() };
    let reason = if moves { ready.reason } else { Reason::AsWanted };
    Says { kind: "Progressing", holds: Some(moves), reason, message }
}

/// What is wrong, also where the pipeline runs all the same.
fn degraded(seen: &Seen) -> Says {
    let missing = seen.missing.iter().map(|kind| {
        let brings = kind.brought_by().unwrap_or("a CustomResourceDefinition");
        Trouble::beside(Reason::KindMissing, format!("the cluster serves no {kind:?}; install {brings}"))
    });
    let all: Vec<Trouble> = seen.stopped.iter().chain(&seen.troubles).cloned().chain(missing).collect();
    let Some(first) = all.first() else {
        return Says { kind: "Degraded", holds: Some(false), reason: Reason::AsWanted, message: String::new() };
    };
    let messages: Vec<&str> = all.iter().map(|trouble| trouble.message.as_str()).collect();
    Says { kind: "Degraded", holds: Some(true), reason: first.reason, message: messages.join("; ") }
}

fn paused(pipeline: &TurboPipeline) -> Says {
    let holds = pipeline.spec.paused;
    let reason = if holds { Reason::Paused } else { Reason::NotPaused };
    Says { kind: "Paused", holds: Some(holds), reason, message: String::new() }
}

fn meshed(seen: &Seen) -> Option<Says> {
    let meshed = seen.meshed?;
    let (reason, message) = if meshed {
        (Reason::InMesh, String::new())
    } else {
        (
            Reason::NotInMesh,
            "a pod has no proxy: see that istiod runs and takes the namespace, then delete the pod".to_owned(),
        )
    };
    Some(Says { kind: "MeshSecured", holds: Some(meshed), reason, message })
}

impl Says {
    fn condition(self, before: &[Condition], generation: Option<i64>, now: Timestamp) -> Condition {
        let status = match self.holds {
            Some(true) => "True",
            Some(false) => "False",
            None => "Unknown",
        };
        let same = before.iter().find(|one| one.type_ == self.kind && one.status == status);
        Condition {
            last_transition_time: same.map_or(Time(now), |one| one.last_transition_time.clone()),
            message: self.message,
            observed_generation: generation,
            reason: self.reason.name().to_owned(),
            status: status.to_owned(),
            type_: self.kind.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests;
