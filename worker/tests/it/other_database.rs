//! Two databases under one pipeline: what one's worker purges the other would miss, so there is one at a time.

use crate::harness::{PATIENCE, Process, eventually};
use crate::processes::{Servers, network, source, stop};
use turbo_sim::Pace;

#[test]
fn a_worker_with_another_database_is_refused_while_one_lives_and_takes_its_place_when_none_does() {
    let Some(servers) = Servers::start() else { return };
    let other = servers.postgres.create_database("other");
    let network = network(18, 4_000, Pace::Real { speed: 3.0 });
    let pipeline = servers.pipeline(&source(&network), "");
    let mut both = [servers.process(&pipeline, "ingest"), servers.process(&pipeline, "work")];
    eventually(PATIENCE, "it is ready", || both[1].get("/health/ready").0 == 200);
    eventually(PATIENCE, "some of it lands", || servers.entries() > 100);
    let elsewhere = |role| pipeline.start_as(role, &[("TURBO_PG", &other)]);
    for role in ["work", "ingest", "run"] {
        let mut refused = elsewhere(role);
        assert!(!refused.wait().success(), "{role}");
        let log = refused.log();
        assert!(log.contains("turbo: spec.sinks.postgres.urlFrom: worker ") && log.contains("lives"), "{role}: {log}");
    }
    // It is paused, and taken for gone.
    both[1].signal("STOP");
    let next = elsewhere("work");
    eventually(PATIENCE, "it takes the place", || next.get("/health/ready").0 == 200);
    assert!(next.log().contains("another database takes the place"), "{}", next.log());
    both[1].signal("CONT");
    assert!(!both[1].wait().success());
    assert!(both[1].log().contains("have taken the place of this one's"), "{}", both[1].log());
    // One that knows the new one is welcome.
    let third: Process = elsewhere("work");
    eventually(PATIENCE, "both have shards", || {
        [&next, &third]
            .iter()
            .all(|worker| worker.stats()["shards"].as_array().is_some_and(|shards| !shards.is_empty()))
    });
    for mut process in [third, next] {
        process.signal("TERM");
        assert!(process.wait().success(), "{}", process.log());
    }
}

#[test]
fn a_worker_that_another_databases_archive_refuses_has_taken_nobodys_place() {
    let Some(servers) = Servers::start() else { return };
    let other = servers.postgres.create_database("other");
    let network = network(19, 4_000, Pace::Real { speed: 3.0 });
    let pipeline = servers.pipeline(&source(&network), "");
    servers.rewrite(&pipeline, &source(&network), ", archive: {directory: archive}", "");
    let both = [servers.process(&pipeline, "ingest"), servers.process(&pipeline, "work")];
    eventually(PATIENCE, "it is ready", || both[1].get("/health/ready").0 == 200);
    both[1].signal("STOP");
    let mut refused = pipeline.start_as("work", &[("TURBO_PG", &other)]);
    assert!(!refused.wait().success());
    let log = refused.log();
    assert!(log.contains("turbo: spec.sinks.archive: ") && log.contains("_turbo_owner"), "{log}");
    assert!(!log.contains("takes the place"), "{log}");
    both[1].signal("CONT");
    let before = servers.entries();
    eventually(PATIENCE, "the one that was paused goes on", || servers.entries() > before + 500);
    stop(both);
}
