//! Why a reconcile fails.

use crate::build;

/// Why a reconcile fails. It is tried again, later and later.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server refuses.
    #[error("{what}: {}", said(.source))]
    Refused {
        /// What was asked.
        what: String,
        /// What it says.
        source: Box<kube::Error>,
    },
    /// The API server says nothing.
    #[error("{what}: the API server does not answer")]
    NoAnswer {
        /// What was asked.
        what: String,
    },
    /// This operator no longer acts.
    #[error("{what}: another operator acts now")]
    NotLeading {
        /// What was to be written.
        what: String,
    },
    /// The objects of a pipeline can not be made: a bug.
    #[error("BUG in this program: {0}; please report it with the manifest")]
    Build(#[from] build::Error),
    /// A reconcile has panicked: a bug.
    #[error("BUG in this program: a panic; please report it with the manifest and the log")]
    Panic,
}

/// What the API server says, without all that the client knows of it.
fn said(source: &kube::Error) -> String {
    match source {
        kube::Error::Api(status) => status.message.clone(),
        other => other.to_string(),
    }
}

impl Error {
    /// What the API server said, where it refuses.
    fn status(&self) -> Option<&kube::core::Status> {
        match self {
            Self::Refused { source, .. } => match &**source {
                kube::Error::Api(status) => Some(status),
                _ => None,
            },
            _ => None,
        }
    }

    /// Somebody else has written in between, or has made what was to be made.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        self.status().is_some_and(|status| status.code == 409)
    }

    /// It is not there, or its kind is not.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        self.status().is_some_and(|status| status.code == 404)
    }

    /// It is refused for what it is, not for want of an answer: 4xx but the ones that go away by themselves.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        self.status().is_some_and(|status| {
            let code = status.code;
            // An apply that the schema can not take is 500 without a reason.
            ((400..500).contains(&code) && ![404, 408, 409, 429].contains(&code))
                || (code == 500 && status.reason.is_empty())
        })
    }

    /// The label of metrics.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::Refused { .. } if self.is_conflict() => "Conflict",
            Self::Refused { .. } if self.is_refusal() => "ApplyRefused",
            Self::Refused { .. } => "ServerFailed",
            Self::NoAnswer { .. } => "NoAnswer",
            Self::NotLeading { .. } => "NotLeading",
            Self::Build(_) | Self::Panic => "Bug",
        }
    }
}
