//! The same manifests before a real API server: what the loader takes it takes, what the loader refuses it refuses.

use super::{accepted, changed, refused, smallest, with};
use serde_json::{Value, json};
use turbo_testkit::Kubernetes;

/// A server that has the CRD; `None` where its programs are not there.
fn server() -> Option<Kubernetes> {
    let server = Kubernetes::start()?;
    server.kubectl(&["create", "namespace", "social"], "").unwrap();
    server.kubectl(&["apply", "--server-side", "-f", "-"], &turbo_crds::crd_yaml().unwrap()).unwrap();
    let name = "crd/turbopipelines.turbopipeline.dev";
    server.kubectl(&["wait", "--for=condition=Established", name], "").unwrap();
    Some(server)
}

/// What the server says of a manifest; an error is why it refuses.
fn asked(server: &Kubernetes, manifest: &Value) -> Result<String, String> {
    server.kubectl(&["create", "--dry-run=server", "--validate=strict", "-f", "-"], &manifest.to_string())
}

#[test]
fn what_the_loader_accepts_the_server_accepts() {
    let Some(server) = server() else { return };
    for changes in accepted::cases() {
        let said = asked(&server, &with(&changes));
        assert!(said.is_ok(), "{changes}: {said:?}");
    }
}

#[test]
fn what_the_loader_refuses_the_server_refuses_and_names_the_field() {
    let Some(server) = server() else { return };
    let mut rules = 0;
    for (changes, said) in refused::cases() {
        let answer = asked(&server, &with(&changes));
        let Err(refused) = answer else { panic!("{changes}: accepted, and the loader says {said}") };
        for line in said.lines() {
            let (path, rest) = line.split_once(": ").unwrap();
            rules += usize::from(rest.split_once("; ").is_some_and(|(_, mend)| refused.contains(mend)));
            // An unknown field or a wrong type is told by itself: then no rule is run.
            let by_itself = ["strict decoding error", "were not checked", "unable to decode"];
            let by_rule = path.starts_with("spec") && !by_itself.iter().any(|said| refused.contains(said));
            assert!(!by_rule || refused.contains(path), "{line}\n{refused}");
        }
    }
    assert!(rules >= 60, "{rules} are told in our own words");
}

#[test]
fn what_is_fixed_the_server_keeps() {
    let Some(server) = server() else { return };
    let put =
        |verb: &[&str], changes: &Value| server.kubectl(&[verb, &["-f", "-"]].concat(), &with(changes).to_string());
    for (before, after, said) in changed::refused() {
        put(&["create"], &before).unwrap();
        let refused = put(&["replace"], &after).unwrap_err();
        let (path, words) = said.split_once(": ").unwrap();
        assert!(refused.contains(path) && refused.contains(words), "{said}\n{refused}");
        put(&["delete"], &before).unwrap();
    }
    for (before, after) in changed::taken() {
        put(&["create"], &before).unwrap();
        put(&["replace"], &after).unwrap();
        put(&["delete"], &before).unwrap();
    }
}

#[test]
fn the_number_of_workers_is_what_autoscalers_change() {
    let Some(server) = server() else { return };
    server.kubectl(&["create", "-f", "-"], &smallest().to_string()).unwrap();
    let scale = |replicas: &str| server.kubectl(&["scale", "tp/bluesky", &format!("--replicas={replicas}")], "");
    scale("4").unwrap();
    let now = server.kubectl(&["get", "turbo", "-o", "jsonpath={.items[0].spec.workers.replicas}"], "").unwrap();
    assert_eq!(now, "4");
    assert!(scale("5").unwrap_err().contains("is above 4, the partitions of all slices"));
}

#[test]
fn the_server_fills_in_what_the_loader_does() {
    let Some(server) = server() else { return };
    let manifest = smallest().to_string();
    let stored = server.kubectl(&["create", "-o", "json", "-f", "-"], &manifest).unwrap();
    let stored: Value = serde_json::from_str(&stored).unwrap();
    let loaded = serde_json::to_value(turbo_crds::load(&manifest).unwrap()).unwrap();
    assert_eq!(stored["spec"], loaded["spec"]);
    assert_eq!(stored["spec"]["slices"], json!([{"name": "default", "partitions": 4}]));
    assert_eq!(stored["spec"]["workers"]["replicas"], 1);
}
