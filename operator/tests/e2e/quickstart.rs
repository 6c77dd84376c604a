//! The quickstart, as a user applies it, while pods are killed and the operator is away.
//!
//! `EVENTS` says how many events there are; they come at a rate that takes a minute or more.

use super::archive;
use super::landed::{Truth, query, records};
use super::stage::{Stage, manifests};
use turbo_testkit::Door;

/// Events where nobody says how many.
const EVENTS: u64 = 30_000;
/// Events a second.
const RATE: u64 = 500;

#[test]
fn what_lands_is_the_truth_whoever_is_killed_meanwhile() {
    let Some(stage) = Stage::start() else { return };
    let events = std::env::var("EVENTS").ok().map_or(EVENTS, |events| events.parse().expect("EVENTS: a number"));
    apply(&stage, events);
    let ready = || stage.get("tp/quickstart")["status"]["conditions"].clone();
    stage.until("the pipeline is ready", ready, |conditions| {
        let all = conditions.as_array().cloned().unwrap_or_default();
        all.iter().any(|one| one["type"] == "Ready" && one["status"] == "True" && one["reason"] == "Running")
    });
    let truth = Truth::of(&stage.quickstart(&["logs", "deployment/network"]), events);
    let wanted = truth.records();
    let database = stage.door("postgres");
    until_part(&stage, &database, wanted.len() as u64, 10);
    kill(&stage, "workers");
    let operator = |replicas: &str| {
        let replicas = format!("--replicas={replicas}");
        stage.kubectl(&["-n", "turbo-system", "scale", "deployment/turbo-operator", &replicas], "");
    };
    operator("0");
    kill(&stage, "ingest");
    until_part(&stage, &database, wanted.len() as u64, 40);
    // Nobody but the workload is there to make another one.
    kill(&stage, "workers");
    until_part(&stage, &database, wanted.len() as u64, 60);
    operator("2");
    let all = || records(&database.address()).map(|there| there.symmetric_difference(&wanted).count());
    stage.until("every record is there as it has to be", all, |wrong| *wrong == Ok(0)).unwrap();
    let dead = query(&database.address(), "SELECT count(*) FROM dead_letters").unwrap();
    assert_eq!(dead.trim(), "0");
    let (s3, commits) = (stage.door("s3"), archive::wanted(&truth));
    let archived = || archive::commits(&s3.address()).map(|there| (there == commits, there.len()));
    stage.until("every commit is in the archive, once", archived, |there| *there == Ok((true, commits.len()))).unwrap();

    stage.quickstart(&["delete", "tp", "quickstart", "--timeout=120s"]);
    let pods = || stage.quickstart(&["get", "pods", "-l", "turbopipeline.dev/pipeline=quickstart", "-o", "name"]);
    stage.until("its pods are gone", pods, String::is_empty);
    let there = records(&database.address()).map(|there| there == wanted);
    assert_eq!(there, Ok(true), "what landed stays");
}

/// The manifests, with a network that ends, and is read from its beginning.
fn apply(stage: &Stage, events: u64) {
    for file in ["00-namespace", "nats", "postgres", "s3", "network", "pipeline"] {
        let path = manifests("quickstart").join(format!("{file}.yaml"));
        let text = std::fs::read_to_string(path).unwrap();
        let text = match file {
            "network" => changed(
                &text,
                r#"--rate, "200""#,
                &format!(r#"--rate, "{RATE}", --nasty, "0", --keep, "0", --events, "{events}""#),
            ),
            "pipeline" => changed(&text, "jetstream: {", "jetstream: { cursor: 1,"),
            _ => text,
        };
        stage.kubectl(&["apply", "--server-side", "-f", "-"], &text);
    }
}

fn changed(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "no {from} in {text}");
    text.replace(from, to)
}

/// Waits until so many in a hundred of the records are there.
fn until_part(stage: &Stage, database: &Door, all: u64, part: u64) {
    let count = || query(&database.address(), "SELECT count(*) FROM records");
    let enough = |count: &Result<String, String>| {
        count.as_ref().is_ok_and(|count| count.trim().parse::<u64>().unwrap() >= all * part / 100)
    };
    stage.until(&format!("{part} in a hundred are there"), count, enough).unwrap();
}

/// Ends a pod of a role at once, as a machine does that is lost.
fn kill(stage: &Stage, role: &str) {
    let labels = format!("turbopipeline.dev/pipeline=quickstart,app.kubernetes.io/component={role}");
    let pods = stage.quickstart(&["get", "pods", "-l", &labels, "-o", "name"]);
    let pod = pods.lines().next().unwrap_or_else(|| panic!("no {role}"));
    stage.quickstart(&["delete", pod, "--grace-period=0", "--force"]);
}
