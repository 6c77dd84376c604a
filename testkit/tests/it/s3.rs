//! The S3 server.

use crate::timed;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{BehaviorVersion, Config, Credentials, Region};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::ByteStream;
use std::time::Duration;
use turbo_testkit::S3;

/// A client that does not try again: the server is what is tested.
fn client(s3: &S3, secret: &str) -> Client {
    let timeouts = TimeoutConfig::builder().operation_attempt_timeout(Duration::from_secs(2));
    let config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(s3.region()))
        .endpoint_url(s3.url())
        .force_path_style(true)
        .credentials_provider(Credentials::new(s3.access_key(), secret, None, None, "test"))
        .retry_config(RetryConfig::disabled())
        .timeout_config(timeouts.build())
        .build();
    Client::from_conf(config)
}

/// `"ok"`, or the code of the refusal.
async fn put(client: &Client, bucket: &str, key: &str, once: bool) -> String {
    let put = client.put_object().bucket(bucket).key(key).body(ByteStream::from_static(b"hello"));
    match put.set_if_none_match(once.then(|| "*".to_owned())).send().await {
        Ok(_) => "ok".to_owned(),
        Err(SdkError::ServiceError(error)) => error.err().code().unwrap_or_default().to_owned(),
        Err(error) => format!("{error:?}"),
    }
}

async fn get(client: &Client, bucket: &str, key: &str) -> Vec<u8> {
    let object = client.get_object().bucket(bucket).key(key).send().await.unwrap();
    object.body.collect().await.unwrap().to_vec()
}

#[tokio::test]
async fn what_is_put_outlives_restarts_and_crashes() {
    let Some(s3) = timed("s3: start", S3::start) else { return };
    // A new one after each cut: without retries, an old one meets its dead connections.
    let client = || client(&s3, s3.secret_key());
    s3.create_bucket("mine");
    assert_eq!(put(&client(), "mine", "a/b", false).await, "ok");
    for n in 0..3 {
        timed("s3: stop", || s3.stop());
        timed("s3: start after a stop", || s3.restart());
        assert_eq!(get(&client(), "mine", "a/b").await, b"hello");
        assert_eq!(put(&client(), "mine", &format!("stop/{n}"), false).await, "ok");
        s3.kill();
        timed("s3: start after a kill", || s3.restart());
        assert_eq!(put(&client(), "mine", &format!("kill/{n}"), false).await, "ok");
        assert_eq!(get(&client(), "mine", "a/b").await, b"hello");
    }
    let listed = client().list_objects_v2().bucket("mine").send().await.unwrap();
    assert_eq!(listed.key_count(), Some(7), "nothing but what was put");
}

#[tokio::test]
async fn it_refuses_what_s3_refuses() {
    let Some(s3) = S3::start() else { return };
    let honest = client(&s3, s3.secret_key());
    assert_eq!(put(&honest, "mine", "a", false).await, "NoSuchBucket");
    s3.create_bucket("mine");
    assert_eq!(put(&honest, "mine", "a", true).await, "ok");
    assert_eq!(put(&honest, "mine", "a", true).await, "PreconditionFailed");
    assert_eq!(put(&client(&s3, "wrong"), "mine", "b", false).await, "SignatureDoesNotMatch");
    let buckets = honest.list_buckets().send().await.unwrap();
    assert_eq!(buckets.buckets().iter().filter_map(|bucket| bucket.name()).collect::<Vec<_>>(), ["mine"]);
}

#[tokio::test]
async fn while_paused_it_is_silent_and_then_it_goes_on() {
    let Some(s3) = S3::start() else { return };
    let client = client(&s3, s3.secret_key());
    s3.create_bucket("mine");
    s3.pause();
    assert!(put(&client, "mine", "a", false).await.starts_with("TimeoutError"));
    s3.resume();
    assert_eq!(put(&client, "mine", "b", false).await, "ok");
}
