//! The proxies, before a server that answers each line with the same line, and before one that counts requests.

use crate::act::{Cut, S3Fault};
use crate::proxy::{Proxy, S3Proxy};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Handle, Runtime};

/// All that servers heard.
type Heard = Arc<Mutex<Vec<u8>>>;
const LIMIT: Duration = Duration::from_secs(30);

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

/// A server that says what it hears, or `answer` at each piece.
async fn server(heard: Heard, answer: Option<&'static str>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let heard = heard.clone();
            tokio::spawn(async move {
                let mut piece = [0; 4096];
                while let Ok(length @ 1..) = socket.read(&mut piece).await {
                    heard.lock().unwrap().extend(&piece[..length]);
                    let answer = answer.map_or(&piece[..length], str::as_bytes);
                    if socket.write_all(answer).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

/// Says something; returns what is heard until so much is, or the end.
async fn say(socket: &mut TcpStream, text: &str, until: usize) -> String {
    let _ = socket.write_all(text.as_bytes()).await;
    let mut heard = Vec::new();
    let reading = async { while heard.len() < until && matches!(socket.read_buf(&mut heard).await, Ok(1..)) {} };
    tokio::time::timeout(LIMIT, reading).await.unwrap();
    String::from_utf8(heard).unwrap()
}

pub fn a_cut_loses_what_it_is_told_to_lose() {
    let runtime = runtime();
    runtime.block_on(async {
        for (how, arrives, answered) in
            [(Cut::MidRead, "12345678", "1234"), (Cut::LostReply, "12345678", ""), (Cut::MidWrite, "1234", "")]
        {
            let heard = Heard::default();
            let proxy = Proxy::start(&Handle::current(), server(heard.clone(), None).await).unwrap();
            let mut socket = TcpStream::connect(proxy.address()).await.unwrap();
            assert_eq!(say(&mut socket, "before", 6).await, "before");
            proxy.cut(how);
            assert_eq!(say(&mut socket, "12345678", 8).await, answered, "{how}");
            eventually(|| heard.lock().unwrap().ends_with(arrives.as_bytes())).await;
            let mut next = TcpStream::connect(proxy.address()).await.unwrap();
            assert_eq!(say(&mut next, "after", 5).await, "after", "a cut is over for the next connection");
        }
    });
}

pub fn a_hang_holds_everything_and_loses_nothing() {
    let runtime = runtime();
    runtime.block_on(async {
        let heard = Heard::default();
        let proxy = Proxy::start(&Handle::current(), server(heard.clone(), None).await).unwrap();
        let mut socket = TcpStream::connect(proxy.address()).await.unwrap();
        proxy.hang(true);
        socket.write_all(b"held").await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(heard.lock().unwrap().is_empty());
        proxy.hang(false);
        assert_eq!(say(&mut socket, "", 4).await, "held");
    });
}

pub fn a_request_is_lost_before_or_behind_the_server() {
    const PUT: &str = "PUT /a HTTP/1.1\r\nHost: x:1\r\nContent-Length: 8\r\n\r\n12345678";
    const OK: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n";
    const EMPTY: &str = "HTTP/1.1 503 Service Unavailable";
    let runtime = runtime();
    runtime.block_on(async {
        for (fault, arrives, answered) in [
            (S3Fault::Unavailable, "", EMPTY),
            (S3Fault::LostReply, PUT, ""),
            (S3Fault::HalfBody, &PUT[..PUT.len() - 4], ""),
            (S3Fault::HalfReply, PUT, &OK[..OK.len() / 2]),
            (S3Fault::Late(Duration::from_millis(10)), PUT, OK),
        ] {
            let heard = Heard::default();
            let proxy = S3Proxy::start(&Handle::current(), server(heard.clone(), Some(OK)).await).unwrap();
            proxy.fail(fault, 1);
            let mut socket = TcpStream::connect(proxy.address()).await.unwrap();
            let answer = say(&mut socket, PUT, answered.len().max(1)).await;
            assert!(answer.starts_with(answered) && answer.is_empty() == answered.is_empty(), "{fault}: {answer}");
            eventually(|| *heard.lock().unwrap() == arrives.as_bytes()).await;
            assert_eq!(proxy.failed(), 1);
            let mut next = TcpStream::connect(proxy.address()).await.unwrap();
            assert_eq!(say(&mut next, PUT, OK.len()).await, OK, "{fault} is over, and nothing is changed on the way");
        }
    });
}

async fn eventually(mut holds: impl FnMut() -> bool) {
    let held = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(LIMIT, held).await.unwrap();
}
