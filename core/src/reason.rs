//! Why a condition of a pipeline is as it is: one list, from which come the reasons of conditions and events, the labels of
//! metrics, and the headings of docs/conditions.md.

use std::fmt::Write as _;

/// Why a condition is as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// Everything that is wanted is there.
    Running,
    /// Nothing is wrong.
    AsWanted,
    /// Pods are on their way.
    Starting,
    /// Pods are replaced.
    Updating,
    /// `spec.paused`.
    Paused,
    /// It is not paused.
    NotPaused,
    /// No worker is wanted.
    NoWorkers,
    /// The spec breaks a rule.
    InvalidSpec,
    /// The spec is not one for a cluster.
    NotForClusters,
    /// A Secret or a key is not there.
    SecretMissing,
    /// The API server refuses an object.
    ApplyRefused,
    /// A kind is not served.
    KindMissing,
    /// A quota keeps pods away.
    QuotaExceeded,
    /// Pod Security keeps pods away.
    PodSecurityRefuses,
    /// No node takes a pod.
    Unschedulable,
    /// An image can not be pulled.
    ImageNotPulled,
    /// A program ends again and again.
    Crashing,
    /// Pods are there and not ready.
    NotReady,
    /// A pod has no proxy.
    NotInMesh,
    /// Every pod has a proxy.
    InMesh,
}

impl Reason {
    /// All of them, in the order of the page.
    pub fn all() -> impl Iterator<Item = Self> {
        TEXTS.into_iter().map(|(reason, ..)| reason)
    }

    /// As it stands in the condition.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.texts().0
    }

    /// What it means, for the page.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        self.texts().1
    }

    /// What to do, where something is to be done.
    #[must_use]
    pub const fn mend(self) -> Option<&'static str> {
        let mend = self.texts().2;
        if mend.is_empty() { None } else { Some(mend) }
    }

    const fn texts(self) -> (&'static str, &'static str, &'static str) {
        let (_, name, meaning, mend) = TEXTS[self as usize];
        (name, meaning, mend)
    }
}

/// Each with its name, what it means, and what to do, where something is to be done; in the order of the page, and of the enum.
const TEXTS: [(Reason, &str, &str, &str); 20] = [
    (Reason::Running, "Running", "Every worker and every reader of the source that is wanted is ready.", ""),
    (Reason::AsWanted, "AsWanted", "Nothing is wrong, and nothing is missing that the spec asks for.", ""),
    (Reason::Starting, "Starting", "Pods are on their way, and nothing is known to keep them.", ""),
    (
        Reason::Updating,
        "Updating",
        "Pods are replaced, one of each role at a time, since what they are made from has changed.",
        "",
    ),
    (
        Reason::Paused,
        "Paused",
        "`spec.paused` is true: the processes have finished what they had, and are gone.",
        "Set `spec.paused` to false.",
    ),
    (Reason::NotPaused, "NotPaused", "`spec.paused` is false.", ""),
    (
        Reason::NoWorkers,
        "NoWorkers",
        "`spec.workers.replicas` is 0: what is read waits in the log, up to its limit.",
        "Give `spec.workers.replicas`, or scale the pipeline with `kubectl scale tp/NAME --replicas=N`.",
    ),
    (
        Reason::InvalidSpec,
        "InvalidSpec",
        "The spec breaks a rule that the API server did not enforce: the CustomResourceDefinition of the cluster is of another version than the operator. Pods that run go on; nothing is changed.",
        "Update the CustomResourceDefinition, or mend what the message names.",
    ),
    (
        Reason::NotForClusters,
        "NotForClusters",
        "The spec is a valid one for a machine of one's own, and can not run on a cluster. Pods that run go on; nothing is changed.",
        "Mend what the message names; `turbo check --cluster -f FILE` says the same.",
    ),
    (
        Reason::SecretMissing,
        "SecretMissing",
        "A Secret that the spec names is not there, or lacks a key. Its pods can not start; those that run go on with what they have.",
        "Make the Secret, with that key, in the namespace of the pipeline.",
    ),
    (
        Reason::ApplyRefused,
        "ApplyRefused",
        "The API server refuses an object of the pipeline: by a rule, a webhook, or for want of a right. It is tried again; the rest was applied.",
        "Mend what the message names. Where it is `pods.template`, see the fields of a pod template.",
    ),
    (
        Reason::KindMissing,
        "KindMissing",
        "The spec asks for objects of a kind that the cluster does not serve. Everything else runs. Once the kind is there, they are made within a minute.",
        "Install what brings the kind, or leave out the part of the spec that asks for it.",
    ),
    (
        Reason::QuotaExceeded,
        "QuotaExceeded",
        "A ResourceQuota of the namespace keeps pods away.",
        "Raise the quota, or lower `pods.resources` or `replicas`.",
    ),
    (
        Reason::PodSecurityRefuses,
        "PodSecurityRefuses",
        "The Pod Security standard of the namespace refuses a pod. What the operator makes passes the restricted one, so it is `pods.template`, or a proxy that a mesh puts in.",
        "Take what the message names out of `pods.template`; for a mesh use Istio's CNI plugin, or `spec.mesh.istio.mode: Ambient`.",
    ),
    (
        Reason::Unschedulable,
        "Unschedulable",
        "No node takes a pod.",
        "Add nodes, lower `pods.resources`, or widen `pods.affinity`, `pods.nodeSelector` or `pods.tolerations`.",
    ),
    (
        Reason::ImageNotPulled,
        "ImageNotPulled",
        "The image of a pod can not be pulled.",
        "Mend `spec.image`, or give `pods.imagePullSecrets`.",
    ),
    (
        Reason::Crashing,
        "Crashing",
        "The program of a pod ends again and again; the message has its last words.",
        "Mend what they name. `kubectl logs` shows all of it.",
    ),
    (
        Reason::NotReady,
        "NotReady",
        "Pods are there and not ready: the program says by `/health/ready` why; most often a server that it needs does not answer.",
        "See `kubectl logs` of the pod that the message names.",
    ),
    (
        Reason::NotInMesh,
        "NotInMesh",
        "A pod has no proxy of the mesh, so its connections are not encrypted by it.",
        "See that istiod runs and takes the namespace, then delete the pod: the next one is given a proxy.",
    ),
    (Reason::InMesh, "InMesh", "Every pod has a proxy of the mesh.", ""),
];

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// The page of all reasons.
#[must_use]
pub fn page() -> String {
    let mut page = String::from(
        "# Conditions\n\nWhy a condition of a `TurboPipeline` is as it is. The same words are the reasons of its Events and the \
         label `reason` of the operator's metrics. This page is made from the code: `turbo-operator reference conditions`.\n",
    );
    for reason in Reason::all() {
        let _ = write!(page, "\n## {reason}\n\n{}\n", reason.meaning());
        if let Some(mend) = reason.mend() {
            let _ = write!(page, "\nMend: {mend}\n");
        }
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_reason_is_on_the_page_once_and_named_as_it_is_written() {
        let names: BTreeSet<String> = Reason::all().map(|reason| format!("{reason:?}")).collect();
        assert_eq!(names.len(), TEXTS.len());
        for reason in Reason::all() {
            assert_eq!(reason, TEXTS[reason as usize].0);
            assert_eq!(format!("{reason:?}"), reason.name());
            assert_eq!(page().matches(&format!("\n## {reason}\n")).count(), 1);
        }
    }
}
