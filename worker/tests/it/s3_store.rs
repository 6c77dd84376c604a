//! The S3 store on a real server: what is put once stays, what fails leaves nothing, and what is wrong has a name.

use crate::s3_proxy::{Act, Asked, Proxy, client};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tempfile::TempDir;
use turbo_testkit::S3;
use turbo_worker::sinks::archive::s3::{self, Credentials, Encryption, Options, Renew};
use turbo_worker::sinks::archive::store::{Error, Put};
use turbo_worker::sinks::archive::{Folder, Stamp, Store};

pub const BUCKET: &str = "mine";
pub const AT: &str = "spec.sinks.archive.s3";

/// What a store of this server is told; small parts, short limits.
pub fn options(s3: &S3, url: &str) -> Options {
    Options {
        prefix: "raw/bluesky/".into(),
        endpoint: Some(url.to_owned()),
        credentials: Some(Credentials::new(AT, s3.access_key().as_bytes(), s3.secret_key().as_bytes(), None).unwrap()),
        attempt_timeout: Duration::from_secs(20),
        multipart_above: 5 << 20,
        part_size: 5 << 20,
        retries: 0,
        ..Options::new(AT, BUCKET)
    }
}

pub fn store(options: Options) -> Store {
    Store::S3(s3::S3::new(options).unwrap())
}

/// A file of bytes that differ.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn of(&self, name: &str, bytes: usize) -> (PathBuf, Stamp) {
        let path = self.0.path().join(name);
        let mut random = bytes as u64 + 1;
        let mut content = Vec::with_capacity(bytes);
        while content.len() < bytes {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            content.extend_from_slice(&random.to_be_bytes()[..4]);
        }
        content.truncate(bytes);
        std::fs::write(&path, content).unwrap();
        let stamp = Stamp::of(&path).unwrap();
        (path, stamp)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

async fn open_uploads(s3: &S3) -> usize {
    client(s3).list_multipart_uploads().bucket(BUCKET).send().await.unwrap().uploads().len()
}

async fn keys(s3: &S3) -> Vec<String> {
    let listed = client(s3).list_objects_v2().bucket(BUCKET).send().await.unwrap();
    listed.contents().iter().filter_map(|object| object.key().map(str::to_owned)).collect()
}

/// What every store has to do.
async fn puts_once(store: &Store, sizes: &[usize]) {
    let files = Files::new();
    for size in sizes {
        let path = format!("slice=a/date=2026-07-04/hour=15/{size}.parquet");
        let ((mine, stamp), (other, of_other)) = (files.of("mine", *size), files.of("other", size + 1));
        assert_eq!(store.head(&path).await.unwrap(), None);
        assert_eq!(store.get(&path, &files.path().join("back"), 9).await.unwrap(), None);
        assert_eq!(store.put_new(&path, &mine, &stamp).await.unwrap(), Put::New);
        assert_eq!(store.put_new(&path, &mine, &stamp).await.unwrap(), Put::Same, "it is known again");
        assert_eq!(store.put_new(&path, &other, &of_other).await.unwrap(), Put::Taken);
        assert_eq!(store.head(&path).await.unwrap(), Some(stamp.clone()));
        let back = files.path().join("back");
        assert_eq!(store.get(&path, &back, stamp.bytes).await.unwrap(), Some(stamp.clone()));
        assert_eq!(std::fs::read(&back).unwrap(), std::fs::read(&mine).unwrap());
        if *size > 1 << 20 {
            let cut = store.get(&path, &back, 1000).await.unwrap().unwrap();
            assert!(cut.bytes > 1000 && cut.bytes < stamp.bytes, "it ends behind the limit: {}", cut.bytes);
        }
        store.put_over(&path, &other, &of_other).await.unwrap();
        assert_eq!(store.head(&path).await.unwrap(), Some(of_other));
        assert_eq!(store.abort_uploads(&path).await.unwrap(), 0);
        store.remove(&path).await.unwrap();
        store.remove(&path).await.unwrap();
        assert_eq!(store.head(&path).await.unwrap(), None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_is_put_once_whole_and_in_parts() {
    let Some(s3) = S3::start() else { return };
    s3.create_bucket(BUCKET);
    let store = store(options(&s3, &s3.url()));
    store.probe().await.unwrap();
    assert_eq!(keys(&s3).await, Vec::<String>::new(), "the probe leaves nothing");
    puts_once(&store, &[10, 100_000, 12 << 20]).await;
    assert_eq!(open_uploads(&s3).await, 0);
}

#[tokio::test]
async fn a_folder_does_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::Folder(Folder::open(folder.path()).unwrap());
    store.probe().await.unwrap();
    puts_once(&store, &[10, 3 << 20]).await;
    // What a process that was killed left beside the place is cleared away, and nothing else.
    let hour = folder.path().join("slice=a/date=2026-07-04/hour=15");
    for name in [".a.parquet.0123.partial", ".b.parquet.0123.partial", "c.parquet"] {
        std::fs::write(hour.join(name), "x").unwrap();
    }
    assert_eq!(store.abort_uploads("slice=a/date=2026-07-04/hour=15/a.parquet").await.unwrap(), 1);
    assert!(!hour.join(".a.parquet.0123.partial").exists() && hour.join(".b.parquet.0123.partial").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_that_put_at_once_one_wins() {
    let Some(s3) = S3::start() else { return };
    s3.create_bucket(BUCKET);
    let files = Files::new();
    for size in [1000usize, 6 << 20] {
        let mut tasks = Vec::new();
        for n in 0..6 {
            let (store, (file, stamp)) = (store(options(&s3, &s3.url())), files.of(&format!("{size}-{n}"), size + n));
            tasks.push(tokio::spawn(async move { store.put_new(&format!("{size}"), &file, &stamp).await.unwrap() }));
        }
        let mut won = 0;
        for task in tasks {
            won += usize::from(task.await.unwrap() == Put::New);
        }
        // This server looks, and then completes: of uploads that are completed at the same moment, two may win. That is
        // why burning looks again, and why the catalog, not the store, decides what is committed.
        assert!(won == 1 || (won > 1 && size > 5 << 20), "{won} of {size} bytes");
    }
    assert_eq!(open_uploads(&s3).await, 0, "those that lost have aborted theirs");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_that_is_lost_is_no_failure() {
    let Some(s3) = S3::start() else { return };
    s3.create_bucket(BUCKET);
    let (proxy, files) = (Proxy::start(&s3).await, Files::new());
    let store = store(options(&s3, &proxy.url()));
    for (n, size) in [1000, 6 << 20].into_iter().enumerate() {
        let (file, stamp) = files.of("mine", size);
        let lost = AtomicU32::new(0);
        proxy.rule(move |asked: &Asked<'_>| {
            // Of a whole object, the put; of one in parts, what joins them.
            let last = if size < 5 << 20 { asked.method == "PUT" } else { asked.target.contains("uploadId") };
            let joins = size < 5 << 20 || asked.method == "POST";
            if last && joins && lost.fetch_add(1, Ordering::Relaxed) == 0 { Act::LoseReply } else { Act::Pass }
        });
        let path = format!("{n}");
        let error = store.put_new(&path, &file, &stamp).await.unwrap_err();
        assert!(error.is_outage(), "whether it is there is not known: {error}");
        assert_eq!(store.put_new(&path, &file, &stamp).await.unwrap(), Put::Same, "it is there, and it is ours");
    }
    assert_eq!(open_uploads(&s3).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_fails_is_aborted() {
    let Some(s3) = S3::start() else { return };
    s3.create_bucket(BUCKET);
    let (proxy, files) = (Proxy::start(&s3).await, Files::new());
    let store = store(options(&s3, &proxy.url()));
    let (file, stamp) = files.of("mine", 12 << 20);
    let faults: [fn(&Asked<'_>) -> bool; 2] = [
        |asked| asked.method == "POST" && asked.target.contains("uploadId"),
        |asked| asked.method == "PUT" && asked.target.contains("partNumber=2"),
    ];
    for fault in faults {
        proxy.rule(move |asked| if fault(asked) { Act::Answer(503, SLOW_DOWN) } else { Act::Pass });
        let error = store.put_new("a", &file, &stamp).await.unwrap_err();
        assert!(error.is_outage() && error.to_string().contains("SlowDown"), "{error}");
        assert_eq!(open_uploads(&s3).await, 0);
        assert_eq!(store.head("a").await.unwrap(), None);
    }
    proxy.rule(|_| Act::Pass);
    assert_eq!(store.put_new("a", &file, &stamp).await.unwrap(), Put::New);
}

const SLOW_DOWN: &str = "<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>";

#[tokio::test(flavor = "multi_thread")]
async fn what_takes_too_long_or_has_too_much_to_do_is_tried_again() {
    let Some(s3) = S3::start() else { return };
    s3.create_bucket(BUCKET);
    let (proxy, files) = (Proxy::start(&s3).await, Files::new());
    let limit = Duration::from_millis(1500);
    let patient = store(Options { retries: 2, attempt_timeout: limit, ..options(&s3, &proxy.url()) });
    let (file, stamp) = files.of("mine", 1000);
    let asked = Arc::new(AtomicU32::new(0));
    let count = asked.clone();
    // The first is held for good, the second is turned away.
    proxy.rule(move |_| match count.fetch_add(1, Ordering::Relaxed) {
        0 => Act::Hold(tokio_util::sync::CancellationToken::new()),
        1 => Act::Answer(503, SLOW_DOWN),
        _ => Act::Pass,
    });
    assert_eq!(patient.put_new("a", &file, &stamp).await.unwrap(), Put::New);
    assert_eq!(asked.load(Ordering::Relaxed), 3);
    s3.kill();
    let error = patient.put_new("b", &file, &stamp).await.unwrap_err();
    assert!(error.is_outage(), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_ignores_the_condition_is_refused() {
    let Some(s3) = S3::start() else { return };
    s3.create_bucket(BUCKET);
    let proxy = Proxy::start(&s3).await;
    let store = store(options(&s3, &proxy.url()));
    store.probe().await.unwrap();
    proxy.rule(|asked| {
        let conditional = asked.head.to_lowercase().contains("if-none-match");
        if conditional && asked.method == "PUT" { Act::Unconditional } else { Act::Pass }
    });
    let refused = store.probe().await.unwrap_err();
    assert!(matches!(&refused, Error::S3(s3::Error::Unconditional { how: "of a whole object", .. })), "{refused}");
    assert!(!refused.is_outage());
    let text = format!("spec.sinks.archive.s3.endpoint: {} does not honour conditional puts", proxy.url());
    assert!(refused.to_string().starts_with(&text), "{refused}");
    // One that heeds it for a whole object only would say this.
    proxy.rule(|asked| match asked.method == "POST" && asked.target.contains("uploadId") {
        true => Act::Answer(200, "<CompleteMultipartUploadResult><ETag>\"x\"</ETag></CompleteMultipartUploadResult>"),
        false => Act::Pass,
    });
    let refused = store.probe().await.unwrap_err();
    assert!(matches!(&refused, Error::S3(s3::Error::Unconditional { how: "of an object in parts", .. })), "{refused}");
    assert_eq!((keys(&s3).await, open_uploads(&s3).await), (vec![], 0), "a probe that fails leaves nothing either");
    // A completion that is begun with 200 and ends in an error says nothing about the store.
    proxy.rule(|asked| match asked.method == "POST" && asked.target.contains("uploadId") {
        true => Act::Answer(200, "<Error><Code>InternalError</Code><Message>try again</Message></Error>"),
        false => Act::Pass,
    });
    let failed = store.probe().await.unwrap_err();
    assert!(failed.is_outage() && failed.to_string().contains("InternalError"), "{failed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_forgets_what_an_object_was_marked_with_is_refused() {
    let Some(s3) = S3::start() else { return };
    s3.create_bucket(BUCKET);
    let proxy = Proxy::start(&s3).await;
    let store = store(options(&s3, &proxy.url()));
    proxy.rule(|asked| if asked.method == "HEAD" { Act::Answer(200, "") } else { Act::Pass });
    let refused = store.probe().await.unwrap_err();
    assert!(matches!(&refused, Error::S3(s3::Error::Unmarked { .. })) && !refused.is_outage(), "{refused}");
    assert_eq!(keys(&s3).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_the_store_names_its_field() {
    let Some(s3) = S3::start() else { return };
    let probe = |options: Options| async { store(options).probe().await.unwrap_err().to_string() };
    let good = || options(&s3, &s3.url());
    let missing = probe(good()).await;
    assert_eq!(
        missing,
        format!("spec.sinks.archive.s3.bucket: there is no bucket mine at {}; make it, or give another", s3.url())
    );
    s3.create_bucket(BUCKET);
    let wrong = Credentials::new(AT, s3.access_key().as_bytes(), b"wrong\n", None).unwrap();
    let refused = probe(Options { credentials: Some(wrong), ..good() }).await;
    assert!(
        refused.starts_with("spec.sinks.archive.s3.secretAccessKeyFrom: ") && refused.contains("SignatureDoesNot"),
        "{refused}"
    );
    let nobody = Credentials::new(AT, b"nobody", b"wrong", None).unwrap();
    let refused = probe(Options { credentials: Some(nobody), ..good() }).await;
    assert!(
        refused.starts_with("spec.sinks.archive.s3.accessKeyIdFrom: ") && refused.contains("InvalidAccessKeyId"),
        "{refused}"
    );
    let proxy = Proxy::start(&s3).await;
    let moved = "<Error><Code>PermanentRedirect</Code><Message>elsewhere</Message></Error>";
    proxy.rule(move |_| Act::Answer(301, moved));
    let elsewhere = probe(Options { region: Some("eu-west-1".into()), ..options(&s3, &proxy.url()) }).await;
    assert!(elsewhere.starts_with("spec.sinks.archive.s3.region: the bucket mine is in "), "{elsewhere}");
    proxy.rule(|_| Act::Answer(403, "<Error><Code>AccessDenied</Code><Message>no</Message></Error>"));
    let denied = probe(options(&s3, &proxy.url())).await;
    assert!(denied.contains("is not allowed (AccessDenied); allow s3:PutObject"), "{denied}");

    let of = |options: Options| s3::S3::new(options).unwrap_err().to_string();
    assert!(of(Options { bucket: "a/b".into(), ..good() }).starts_with("spec.sinks.archive.s3.bucket: "));
    assert!(of(Options { endpoint: Some("minio:9000".into()), ..good() }).contains("give http://HOST:PORT"));
    assert!(of(Options { credentials: None, ..good() }).starts_with("spec.sinks.archive.s3.accessKeyIdFrom: no "));
    assert!(of(Options { endpoint: None, region: None, ..good() }).starts_with("spec.sinks.archive.s3.region: no "));
    assert!(Credentials::new(AT, b"", b"x", None).is_err());
    let secret = format!("{:?}", good());
    assert!(!secret.contains(s3.secret_key()), "{secret}");
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_that_the_store_takes_no_more_are_read_again() {
    let Some(s3) = S3::start() else { return };
    s3.create_bucket(BUCKET);
    let (good, files) = (options(&s3, &s3.url()), Files::new());
    let old = Credentials::new(AT, s3.access_key().as_bytes(), b"of yesterday", None).unwrap();
    let (of_today, reads) = (good.credentials.clone(), Arc::new(AtomicU32::new(0)));
    let count = reads.clone();
    let renew = Renew(Arc::new(move || {
        count.fetch_add(1, Ordering::Relaxed);
        of_today.clone()
    }));
    let store = store(Options { credentials: Some(old), renew: Some(renew), ..good });
    let (file, stamp) = files.of("mine", 1000);
    let error = store.put_new("a", &file, &stamp).await.unwrap_err();
    assert!(matches!(error, Error::S3(s3::Error::Credentials { .. })), "{error}");
    assert_eq!(store.clone().put_new("a", &file, &stamp).await.unwrap(), Put::New);
    assert_eq!(reads.load(Ordering::Relaxed), 1, "and not for every request");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_store_is_asked_to_encrypt_every_object() {
    let Some(s3) = S3::start() else { return };
    s3.create_bucket(BUCKET);
    let (proxy, files) = (Proxy::start(&s3).await, Files::new());
    for (encryption, header) in [
        (Encryption::Aes256, "x-amz-server-side-encryption: aes256"),
        (Encryption::AwsKms { key_id: Some("k1".into()) }, "x-amz-server-side-encryption-aws-kms-key-id: k1"),
    ] {
        let store = store(Options { encryption, ..options(&s3, &proxy.url()) });
        let begun = Arc::new(AtomicU32::new(0));
        let seen = begun.clone();
        // Whether this server could keep such keys is not the question: it does not get the request.
        proxy.rule(move |asked| {
            let begins = asked.target.contains("uploads") || asked.method == "PUT";
            if begins && asked.head.to_lowercase().contains(header) {
                seen.fetch_add(1, Ordering::Relaxed);
            }
            if begins { Act::Answer(503, SLOW_DOWN) } else { Act::Pass }
        });
        for size in [100, 6 << 20] {
            let (file, stamp) = files.of("mine", size);
            store.put_new("a", &file, &stamp).await.unwrap_err();
        }
        assert_eq!(begun.load(Ordering::Relaxed), 2);
    }
}
