//! nats-server, alone and in a cluster.

use crate::{eventually, timed};
use async_nats::ConnectOptions;
use async_nats::jetstream::{self, stream};
use std::time::Duration;
use turbo_testkit::Nats;

async fn context(url: &str) -> jetstream::Context {
    jetstream::new(async_nats::connect(url.split(',').collect::<Vec<_>>()).await.unwrap())
}

fn config(replicas: usize) -> stream::Config {
    let subjects = vec!["log.>".to_owned()];
    stream::Config { name: "LOG".to_owned(), subjects, num_replicas: replicas, ..stream::Config::default() }
}

async fn publish(context: &jetstream::Context, count: usize) {
    for n in 0..count {
        context.publish(format!("log.{n}"), "x".into()).await.unwrap().await.unwrap();
    }
}

async fn stored(context: &jetstream::Context) -> u64 {
    context.get_stream("LOG").await.unwrap().get_info().await.unwrap().state.messages
}

/// Waits until the stream takes a message. Who creates it hears so from the leader of the cluster; the server that the
/// client is connected to may not yet know who listens to its subjects, and answers that nobody does.
async fn takes_messages(context: &jetstream::Context) {
    eventually("it takes messages", || async {
        match context.publish("log.more", "x".into()).await {
            Ok(acknowledged) => acknowledged.await.is_ok(),
            Err(_) => false,
        }
    })
    .await;
}

/// Does something that cuts the client off, and waits until it is back: what it sends into a connection that is gone,
/// before it has noticed, is lost, and costs the whole time limit of the request.
async fn cut_off_by(context: &jetstream::Context, cut: impl FnOnce()) {
    let server = || context.client().server_info().server_id;
    let before = server();
    cut();
    eventually("the client is back", || async { server() != before }).await;
}

#[tokio::test]
async fn what_is_stored_outlives_a_restart_and_a_crash() {
    let Some(nats) = timed("nats: start", Nats::start) else { return };
    let context = context(&nats.url()).await;
    context.create_stream(config(1)).await.unwrap();
    publish(&context, 10).await;
    cut_off_by(&context, || timed("nats: restart", || nats.restart())).await;
    assert_eq!(stored(&context).await, 10, "the client finds it again: its port is the same");
    publish(&context, 5).await;
    cut_off_by(&context, || {
        nats.kill();
        assert_eq!(nats.pid(), None);
        timed("nats: start after a kill", || nats.restart());
    })
    .await;
    assert_eq!(stored(&context).await, 15);
}

#[tokio::test]
async fn while_paused_it_is_silent_and_then_it_goes_on() {
    let Some(nats) = Nats::start() else { return };
    let context = context(&nats.url()).await;
    context.query_account().await.unwrap();
    nats.pause();
    assert!(tokio::time::timeout(Duration::from_millis(500), context.query_account()).await.is_err());
    nats.resume();
    tokio::time::timeout(Duration::from_secs(5), context.query_account()).await.unwrap().unwrap();
    nats.pause();
    timed("nats: stop out of a pause", || nats.stop());
}

#[tokio::test]
async fn without_jetstream_there_are_no_streams() {
    let Some(nats) = Nats::without_jetstream() else { return };
    let context = context(&nats.url()).await;
    assert!(context.create_stream(config(1)).await.is_err());
}

#[tokio::test]
async fn limits_users_and_files_are_the_callers() {
    let options = Nats::options().jetstream("max_file_store: 1MB").config("max_payload: 1KB").user("u", "p");
    let options = options.config("include extra.conf").file("extra.conf", "lame_duck_duration: \"31s\"\n");
    let Some(nats) = options.start() else { return };
    assert!(async_nats::connect(nats.url()).await.is_err(), "without the password");
    let login = ConnectOptions::with_user_and_password("u".to_owned(), "p".to_owned());
    let client = login.connect(nats.url()).await.unwrap();
    assert_eq!(client.server_info().max_payload, 1024);
    let large = stream::Config { max_bytes: 2 << 20, ..config(1) };
    assert!(jetstream::new(client).create_stream(large).await.is_err());
    assert_eq!(nats.monitor("/varz").unwrap()["jetstream"]["config"]["max_storage"], 1 << 20);
}

#[tokio::test]
async fn a_cluster_serves_as_soon_as_it_is_there_and_outlives_its_leader() {
    let Some(cluster) = timed("nats: start of a cluster", || Nats::cluster(3)) else { return };
    let context = context(&cluster.url()).await;
    context.create_stream(config(3)).await.unwrap();
    takes_messages(&context).await;
    publish(&context, 10).await;
    let leader = cluster.stream_leader("LOG").unwrap();
    let node = &cluster.nodes()[leader];
    node.kill();
    eventually("another leader", || async { cluster.stream_leader("LOG").is_some_and(|now| now != leader) }).await;
    takes_messages(&context).await;
    node.restart();
    timed("nats: a node catches up", || cluster.settle());
    assert!(stored(&context).await >= 12);
    // Without two of three there is no leader.
    cluster.nodes()[1].kill();
    cluster.nodes()[2].kill();
    assert_eq!(cluster.stream_leader("LOG"), None);
    cluster.nodes()[1].restart();
    timed("nats: two of three agree", || cluster.settle());
    assert!(cluster.meta_leader().is_some());
}
