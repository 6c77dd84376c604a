//! What landed in S3, beside the truth of the simulator: every commit once.

use super::landed::Truth;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::{BehaviorVersion, Config, Credentials, Region};
use std::path::Path;
use std::process::Command;

/// Prints the commits of the Parquet files below a folder.
const READ: &str = "
import duckdb, sys
query = '''SELECT did, collection, rkey, rev, operation FROM read_parquet(?) WHERE kind = 'commit' ORDER BY ALL'''
for row in duckdb.execute(query, [sys.argv[1] + '/**/*.parquet']).fetchall():
    print(*row, sep='\\t')
";

/// Every commit that has to be there, in order.
pub(super) fn wanted(truth: &Truth) -> Vec<String> {
    let fields = ["did", "collection", "rkey", "rev", "operation"];
    let mut all = truth.said("event", |event| event["kind"] == "commit", &fields);
    all.sort();
    all
}

/// Every commit of the objects of the bucket, in order.
pub(super) fn commits(address: &str) -> Result<Vec<String>, String> {
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(fetch(&client(address), folder.path()))?;
    let output = Command::new("python3").args(["-c", READ]).arg(folder.path()).output().unwrap();
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let mut all: Vec<String> = String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect();
    all.sort();
    Ok(all)
}

fn client(address: &str) -> Client {
    let config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .endpoint_url(format!("http://{address}"))
        .force_path_style(true)
        .credentials_provider(Credentials::new("turbo", "quickstart-secret", None, None, "test"))
        .build();
    Client::from_conf(config)
}

async fn fetch(client: &Client, into: &Path) -> Result<(), String> {
    let mut pages = client.list_objects_v2().bucket("turbo").into_paginator().send();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| format!("{error:?}"))?;
        for key in page.contents().iter().filter_map(|object| object.key()) {
            let object = client.get_object().bucket("turbo").key(key).send().await;
            let object = object.map_err(|error| format!("{key}: {error:?}"))?;
            let bytes = object.body.collect().await.map_err(|error| format!("{key}: {error}"))?;
            let file = into.join(key);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, bytes.into_bytes()).unwrap();
        }
    }
    Ok(())
}
