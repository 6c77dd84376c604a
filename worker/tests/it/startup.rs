//! How processes start: what is waited for, what is refused, with which words, and what a refused start leaves behind.

use crate::harness::{PATIENCE, Pipeline, Process, eventually};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use turbo_testkit::{Nats, PgBouncer, Postgres, S3};
use turbo_worker::sinks::postgres::Database;

/// Nothing listens there.
const SOURCE: &str = "{jetstream: {endpoints: [\"ws://127.0.0.1:9\"]}}";
const SLICES: &str = "[{name: posts, collections: [app.bsky.feed.post], partitions: 2}, {name: rest, partitions: 3}]";

/// A pipeline over these servers; `nats` and `sinks` are the insides of YAML in flow style.
fn pipeline(url: &str, nats: &str, sinks: &str) -> Pipeline {
    let more = format!("slices: {SLICES}\n  log: {{nats: {{{nats}}}}}\n  workers: {{lease: 3s}}");
    let sinks = format!("{{postgres: {{urlFrom: {{file: url}}}}{sinks}}}");
    let pipeline = Pipeline::with_sinks(SOURCE, &sinks, &more);
    std::fs::write(pipeline.path("url"), url).unwrap();
    pipeline
}

fn over(nats: &str, url: &str) -> Pipeline {
    pipeline(url, &format!("url: \"{nats}\", stream: {{maxBytes: 64Mi}}"), "")
}

/// Edits the pipeline file.
fn edit(pipeline: &Pipeline, from: &str, to: &str) {
    let file = std::fs::read_to_string(pipeline.path("pipeline.yaml")).unwrap();
    assert!(file.contains(from));
    std::fs::write(pipeline.path("pipeline.yaml"), file.replace(from, to)).unwrap();
}

/// What a command says that ends by itself; whether it ended well.
fn says(pipeline: &Pipeline, arguments: &[&str]) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_turbo"))
        .args(arguments)
        .args(["-f", "pipeline.yaml"])
        .current_dir(pipeline.path(""))
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    (output.status.success(), text)
}

/// A worker that is refused at once.
fn refused(pipeline: &Pipeline) -> String {
    let mut worker = pipeline.start_as("work", &[]);
    assert!(!worker.wait().success());
    assert!(!worker.log().contains("waiting for"), "{}", worker.log());
    worker.log()
}

fn is_ready(worker: &Process) -> bool {
    worker.get("/health/ready").0 == 200
}

#[test]
fn a_cluster_without_a_majority_is_waited_for_wherever_the_start_meets_it() {
    let (Some(nats), Some(postgres)) = (Nats::cluster(3), Postgres::start()) else { return };
    let Some(s3) = S3::start() else { return };
    s3.create_bucket("turbo");
    let enriched = ", enriched: {nats: {maxBytes: 64Mi}}";
    let archive = format!(
        ", archive: {{s3: {{bucket: turbo, endpoint: \"{}\", accessKeyIdFrom: {{file: id}}, secretAccessKeyFrom: {{file: key}}}}}}",
        s3.url()
    );
    let nats_of = format!("url: \"{}\", stream: {{replicas: 3, maxBytes: 64Mi}}", nats.url());
    let pipeline = pipeline(&postgres.url(), &nats_of, &format!("{enriched}{archive}"));
    std::fs::write(pipeline.path("id"), s3.access_key()).unwrap();
    std::fs::write(pipeline.path("key"), s3.secret_key()).unwrap();
    let (lose, mend) = (
        || nats.nodes()[1..].iter().for_each(|node| node.kill()),
        || {
            nats.nodes()[1..].iter().for_each(|node| node.restart());
            nats.settle();
        },
    );
    lose();
    let worker = pipeline.start_as("work", &[]);
    eventually(PATIENCE, "it waits", || worker.log().contains("waiting for NATS: "));
    assert_eq!(worker.get("/health/startup").0, 503, "nothing is open yet");
    assert_eq!(worker.get("/health/live").0, 200);
    mend();
    eventually(PATIENCE, "it begins", || is_ready(&worker));
    assert_eq!(worker.get("/health/startup").0, 200);
    // The database and the log are there by now, and the enriched stream comes last.
    worker.kill();
    s3.kill();
    let worker = pipeline.start_as("work", &[]);
    eventually(PATIENCE, "it waits for the store", || worker.log().contains("waiting for the archive's store"));
    assert_eq!(worker.get("/health/startup").0, 503, "the sinks are not open yet");
    lose();
    // Each stream has its own leader, and one that has just lost the others still answers for a while.
    eventually(PATIENCE, "NATS has no leader", || nats.leads_nothing(0) && !says(&pipeline, &["shards"]).0);
    s3.restart();
    // The store may take its time; after a minute the worker goes on without it.
    eventually(3 * PATIENCE, "it waits", || worker.log().contains("waiting for NATS: "));
    let (went_well, said) = says(&pipeline, &["shards"]);
    assert!(!went_well && !said.contains("JetStream is off"), "{said}");
    mend();
    eventually(PATIENCE, "it begins", || is_ready(&worker));
}

#[test]
fn what_postgresql_refuses_is_refused_with_its_field_and_what_is_away_is_waited_for() {
    let (Some(nats), Some(postgres)) = (Nats::start(), Postgres::start()) else { return };
    let url = postgres.url();
    let (scheme, rest) = url.split_once("://").unwrap();
    let (login, place) = rest.split_once('@').unwrap();
    let user = login.split_once(':').unwrap().0;
    let address = place.split_once('/').unwrap().0;
    for (url, said) in [
        (format!("{scheme}://{user}:hunter2@{place}"), "give a user and a password that the server lets in"),
        (format!("{scheme}://{login}@{address}/nobodys"), "create the database"),
        (format!("mysql://{rest}"), "it begins with neither postgres:// nor postgresql://"),
    ] {
        let log = refused(&over(&nats.url(), &url));
        assert!(log.contains("spec.sinks.postgres.urlFrom: ") && log.contains(said), "{log}");
        assert!(!log.contains("hunter2"), "{log}");
    }
    let pipeline = over(&nats.url(), "postgres://someone:hunter2@127.0.0.1:9/pipeline");
    let away = pipeline.start_as("work", &[]);
    eventually(PATIENCE, "it waits", || away.log().contains("waiting for PostgreSQL at 127.0.0.1:9/pipeline: "));
    assert!(!away.log().contains("someone") && !away.log().contains("hunter2"), "{}", away.log());
}

#[tokio::test]
async fn a_database_that_does_not_hold_every_text_is_refused() {
    let Some(postgres) = Postgres::start() else { return };
    let pool = sqlx::PgPool::connect(&postgres.url()).await.unwrap();
    let make = "CREATE DATABASE latin ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0";
    sqlx::raw_sql(make).execute(&pool).await.unwrap();
    let url = format!("{}/latin", postgres.url().rsplit_once('/').unwrap().0);
    let error = Database::open(&url, 1).unwrap().migrate().await.unwrap_err().to_string();
    assert!(error.starts_with("spec.sinks.postgres.urlFrom: ") && error.contains("the encoding LATIN1"), "{error}");
    assert!(error.contains("ENCODING 'UTF8'"), "{error}");
}

#[tokio::test]
async fn a_schema_that_can_not_be_made_through_a_pooler_asks_for_the_direct_address() {
    let Some(postgres) = Postgres::start() else { return };
    let Some(bouncer) = PgBouncer::start(&postgres) else { return };
    // Each leaves a statement in a connection of the pooler, which the next one gets.
    for _ in 0..5 {
        let database = Database::open(&bouncer.url(), 1).unwrap();
        if let Err(error) = database.migrate().await {
            let error = database.named(error, "spec.sinks.postgres.urlFrom").to_string();
            assert!(error.starts_with("spec.sinks.postgres.directUrlFrom: "), "{error}");
            return;
        }
    }
    panic!("the pooler does no harm any more");
}

#[test]
fn a_start_that_nats_refuses_leaves_the_database_to_others() {
    let (Some(nats), Some(off), Some(postgres)) = (Nats::start(), Nats::without_jetstream(), Postgres::start()) else {
        return;
    };
    let log = refused(&over(&off.url(), &postgres.url()));
    assert!(log.contains("JetStream is off"), "{log}");
    let other = over(&nats.url(), &postgres.url());
    edit(&other, "{name: test}", "{name: other}");
    let worker = other.start_as("work", &[]);
    eventually(PATIENCE, "the database is free", || is_ready(&worker));
}

#[test]
fn a_command_looks_only_at_its_own_pipeline() {
    let (Some(nats), Some(postgres)) = (Nats::start(), Postgres::start()) else { return };
    let pipeline = over(&nats.url(), &postgres.url());
    let commands: [&[&str]; 6] = [
        &["dlq", "list"],
        &["dlq", "show", "1"],
        &["dlq", "redrive", "1"],
        &["dlq", "drop", "1"],
        &["shards"],
        &["segments"],
    ];
    let (went_well, said) = says(&pipeline, commands[0]);
    assert!(!went_well && said.contains("no worker has prepared the database"), "{said}");
    let worker = pipeline.start_as("work", &[]);
    eventually(PATIENCE, "it begins", || is_ready(&worker));
    let letter = "INSERT INTO dead_letters (slice, partition, seq, reason, detail, payload, time_us)
                  VALUES ('rest', 0, 1, 'Unreadable', 'x', 'x', 1)";
    postgres.execute("postgres", letter);
    let archive =
        "sinks: {archive: {s3: {bucket: turbo, accessKeyIdFrom: {file: url}, secretAccessKeyFrom: {file: url}}}, ";
    edit(&pipeline, "sinks: {", archive);
    let others = [("{name: test}", "{name: other}"), ("{name: rest, partitions: 3}", "{name: rest, partitions: 4}")];
    for ((from, to), field) in others.into_iter().zip(["metadata.name: default/other", "spec.slices: "]) {
        edit(&pipeline, from, to);
        for command in commands {
            let (went_well, said) = says(&pipeline, command);
            assert!(!went_well && said.contains(field) && said.contains("does not fit"), "{command:?}: {said}");
        }
        edit(&pipeline, to, from);
    }
    let nameless = Command::new(env!("CARGO_BIN_EXE_turbo")).args(["dlq", "list"]).output().unwrap();
    let said = String::from_utf8_lossy(&nameless.stderr);
    assert!(!nameless.status.success() && said.starts_with("turbo: --file: is missing"), "{said}");
    let (went_well, said) = says(&pipeline, &["dlq", "list"]);
    assert!(went_well && said.contains("Unreadable") && !said.contains("asked for"), "it is as it was: {said}");
    for (wrong, right) in
        [(["--slice", "nope"], "posts, rest"), (["--reason", "foo"], "Unreadable, Refused, Misplaced")]
    {
        let (went_well, said) = says(&pipeline, &["dlq", "list", wrong[0], wrong[1]]);
        assert!(!went_well && said.contains(right), "{said}");
    }
    let (went_well, said) = says(&pipeline, &["dlq", "redrive"]);
    assert!(!went_well && said.contains("--yes"), "{said}");
    assert!(says(&pipeline, &["dlq", "redrive", "--yes"]).0);
}

#[test]
fn a_command_whose_reader_is_gone_ends_quietly() {
    for arguments in [&["schema"][..], &["reference", "metrics"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = Command::new(env!("CARGO_BIN_EXE_turbo"));
        let output = command.args(arguments).stdout(writer).stderr(Stdio::piped()).spawn().unwrap();
        let output = output.wait_with_output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn a_database_that_falls_silent_at_the_start_is_asked_again() {
    let (Some(nats), Some(postgres)) = (Nats::start(), Postgres::start()) else { return };
    let url = postgres.url();
    let (before, place) = url.split_once('@').unwrap();
    let (address, database) = place.split_once('/').unwrap();
    let silent = silent_once(address.to_owned(), b"INSERT INTO pipeline");
    let pipeline = over(&nats.url(), &format!("{before}@{silent}/{database}"));
    let worker = pipeline.start_as("work", &[]);
    let long = 3 * PATIENCE;
    eventually(long, "it gives the answer up", || worker.log().contains("does not answer within"));
    eventually(long, "it asks again", || is_ready(&worker));
}

/// A proxy. The first connection that says `word` hears nothing more; it is not closed either.
fn silent_once(server: String, word: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let was_silent = Arc::new(AtomicBool::new(false));
    std::thread::spawn(move || {
        while let Ok((client, _)) = listener.accept() {
            let Ok(server) = TcpStream::connect(&server) else { continue };
            let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            let was_silent = was_silent.clone();
            std::thread::spawn(move || {
                let mut bytes = vec![0; 1 << 16];
                while let Ok(count @ 1..) = from.read(&mut bytes) {
                    let says_it = bytes[..count].windows(word.len()).any(|said| said == word);
                    if says_it && !was_silent.swap(true, Ordering::SeqCst) {
                        std::thread::sleep(Duration::from_secs(600));
                    }
                    if to.write_all(&bytes[..count]).is_err() {
                        return;
                    }
                }
                let _ = to.shutdown(std::net::Shutdown::Both);
            });
            let (mut server, mut client) = (server, client);
            std::thread::spawn(move || std::io::copy(&mut server, &mut client));
        }
    });
    address
}
