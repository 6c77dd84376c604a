//! A pipeline in, every object out, byte for byte. `TURBO_FIXTURES=write` writes what is made instead.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use turbo_crds::TurboPipeline;
use turbo_operator::build::{Facts, Kind, build};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

/// A pipeline as the server has it.
pub(super) fn pipeline(name: &str) -> TurboPipeline {
    let text = std::fs::read_to_string(folder().join(format!("{name}.yaml"))).unwrap();
    turbo_crds::load(&text).unwrap()
}

/// A cluster that serves everything.
pub(super) fn facts() -> Facts {
    Facts { image: "turbopipeline:1".to_owned(), served: BTreeSet::from(Kind::ALL), ..Facts::default() }
}

fn made(name: &str) -> String {
    let mut text = String::new();
    for child in build(&pipeline(name), &facts()).unwrap().list {
        let object = serde_saphyr::to_string(&child.object).unwrap();
        write!(text, "---\n{object}").unwrap();
    }
    text
}

#[test]
fn each_pipeline_gives_these_objects() {
    for name in ["small", "full", "ambient"] {
        let file = folder().join(format!("{name}.children.yaml"));
        let made = made(name);
        if std::env::var("TURBO_FIXTURES").is_ok_and(|value| value == "write") {
            std::fs::write(&file, &made).unwrap();
        }
        let expected = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(
            made == expected,
            "{name}: other objects than in {}; look at them: TURBO_FIXTURES=write",
            file.display()
        );
    }
}

#[test]
fn a_valid_pipeline_is_one_for_clusters() {
    for name in ["small", "full", "ambient"] {
        assert_eq!(pipeline(name).spec.not_for_clusters(), []);
    }
}

/// The file of the pods is one that they can read, and says the same.
#[test]
fn the_file_in_the_pods_is_the_pipeline_without_what_is_not_for_them() {
    for name in ["small", "full"] {
        let pipeline = pipeline(name);
        let children = build(&pipeline, &facts()).unwrap();
        let map = children.list.iter().find(|child| child.kind == Kind::ConfigMap).unwrap();
        let file = turbo_crds::load(map.object["data"]["pipeline.yaml"].as_str().unwrap()).unwrap();
        let mut wanted = pipeline.spec.clone();
        (wanted.image, wanted.ingest, wanted.mesh, wanted.monitoring, wanted.network) = (None, None, None, None, None);
        (wanted.paused, wanted.workers.replicas, wanted.workers.pods) = (false, 1, None);
        assert_eq!(file.spec, wanted, "{name}");
        assert_eq!(
            (file.metadata.name, file.metadata.namespace),
            (pipeline.metadata.name, pipeline.metadata.namespace)
        );
    }
}

#[test]
fn kinds_that_are_not_served_are_told_and_left_out() {
    let children = build(&pipeline("full"), &Facts { served: BTreeSet::new(), ..facts() }).unwrap();
    let optional = BTreeSet::from([Kind::PodMonitor, Kind::PeerAuthentication, Kind::AuthorizationPolicy]);
    assert_eq!(children.missing, optional);
    assert!(children.list.iter().all(|child| !optional.contains(&child.kind)));
}
