//! A proxy before the S3 server, for what no server does when it is asked to: lose a reply, hold a request, fail one.

use aws_sdk_s3::Client;
use aws_sdk_s3::config::{BehaviorVersion, Config, Credentials, Region};
use aws_sdk_s3::presigning::PresigningConfig;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use turbo_testkit::S3;

/// What happens to a request.
pub enum Act {
    Pass,
    /// The server gets it, and its reply is lost.
    LoseReply,
    /// It waits until the gate opens: whoever sent it is paused.
    Hold(CancellationToken),
    /// Its reply waits until the gate opens.
    HoldReply(CancellationToken),
    /// The server does not get it.
    Answer(u16, &'static str),
    /// The server gets it without `If-None-Match`.
    Unconditional,
}

/// A request, by its first line.
pub struct Asked<'a> {
    pub method: &'a str,
    /// Path and query; the path begins with the bucket.
    pub target: &'a str,
    pub head: &'a str,
}

type Rule = Box<dyn FnMut(&Asked<'_>) -> Act + Send>;

/// A running proxy.
pub struct Proxy {
    address: String,
    rule: Arc<Mutex<Rule>>,
    _task: AbortOnDropHandle<()>,
}

/// A client of the server itself.
pub fn client(s3: &S3) -> Client {
    let config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(s3.region()))
        .endpoint_url(s3.url())
        .force_path_style(true)
        .credentials_provider(Credentials::new(s3.access_key(), s3.secret_key(), None, None, "test"))
        .build();
    Client::from_conf(config)
}

impl Proxy {
    pub async fn start(s3: &S3) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let upstream = s3.url().trim_start_matches("http://").to_owned();
        let rule: Arc<Mutex<Rule>> = Arc::new(Mutex::new(Box::new(|_: &Asked<'_>| Act::Pass)));
        let (client, of) = (client(s3), rule.clone());
        let task = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (client, rule, upstream) = (client.clone(), of.clone(), upstream.clone());
                // A connection that breaks is the fault that was asked for.
                tokio::spawn(async move { serve(socket, &upstream, &client, &rule).await.ok() });
            }
        });
        Self { address, rule, _task: AbortOnDropHandle::new(task) }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn rule(&self, rule: impl FnMut(&Asked<'_>) -> Act + Send + 'static) {
        *self.rule.lock().unwrap() = Box::new(rule);
    }
}

async fn serve(mut client: TcpStream, upstream: &str, s3: &Client, rule: &Mutex<Rule>) -> std::io::Result<()> {
    let Some((head, body)) = request(&mut client).await? else { return Ok(()) };
    let mut words = head.split_whitespace();
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let act = rule.lock().unwrap()(&Asked { method, target, head: &head });
    let head = match &act {
        Act::Answer(status, text) => return client.write_all(answer(*status, text).as_bytes()).await,
        Act::Unconditional => presigned(s3, target, body.len()).await,
        _ => head.replacen("\r\n", "\r\nConnection: close\r\n", 1),
    };
    if let Act::Hold(gate) = &act {
        gate.cancelled().await;
    }
    let mut server = TcpStream::connect(upstream).await?;
    server.write_all(head.as_bytes()).await?;
    server.write_all(&body).await?;
    let mut reply = Vec::new();
    server.read_to_end(&mut reply).await?;
    match act {
        Act::LoseReply => return Ok(()),
        Act::HoldReply(gate) => gate.cancelled().await,
        _ => {}
    }
    client.write_all(&reply).await?;
    client.shutdown().await
}

/// The head, with its last empty line, and the body.
async fn request(client: &mut TcpStream) -> std::io::Result<Option<(String, Vec<u8>)>> {
    let (mut bytes, mut buffer) = (Vec::new(), vec![0; 1 << 16]);
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        let read = client.read(&mut buffer).await?;
        if read == 0 {
            return Ok(None);
        }
        bytes.extend_from_slice(&buffer[..read]);
    };
    let mut body = bytes.split_off(end);
    let head = String::from_utf8(bytes).unwrap();
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut parsed = httparse::Request::new(&mut headers);
    parsed.parse(head.as_bytes()).unwrap();
    let header = |name: &str| parsed.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
    let length = header("content-length").map_or(0, |h| std::str::from_utf8(h.value).unwrap().parse().unwrap());
    if header("expect").is_some() {
        client.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
    }
    while body.len() < length {
        let read = client.read(&mut buffer).await?;
        if read == 0 {
            return Ok(None);
        }
        body.extend_from_slice(&buffer[..read]);
    }
    Ok(Some((head, body)))
}

/// A put of the same key that is signed anew, since the condition was part of what was signed.
async fn presigned(s3: &Client, target: &str, length: usize) -> String {
    let path = target.split('?').next().unwrap().trim_start_matches('/');
    let (bucket, key) = path.split_once('/').unwrap();
    let soon = PresigningConfig::expires_in(Duration::from_secs(60)).unwrap();
    let put = s3.put_object().bucket(bucket).key(key).presigned(soon).await.unwrap();
    let (host, target) = put.uri().trim_start_matches("http://").split_once('/').unwrap();
    let mut head = format!("PUT /{target} HTTP/1.1\r\nConnection: close\r\nContent-Length: {length}\r\n");
    for (name, value) in put.headers() {
        head += &format!("{name}: {value}\r\n");
    }
    head + &format!("Host: {host}\r\n\r\n")
}

fn answer(status: u16, text: &str) -> String {
    let length = text.len();
    format!(
        "HTTP/1.1 {status} Said\r\nContent-Type: application/xml\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{text}"
    )
}
