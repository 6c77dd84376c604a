//! A cluster of one node to play with, with the images that manifests/ names, until it is asked to stop. `make cluster`.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a program for developers")]

#[cfg(target_os = "linux")]
fn main() {
    use tokio::signal::unix::{SignalKind, signal};
    use turbo_testkit::{Node, standins};

    let programs = std::path::PathBuf::from(std::env::args().nth(1).unwrap_or_else(|| "target/debug".to_owned()));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _in = runtime.enter();
    let mut ends = [SignalKind::terminate(), SignalKind::interrupt()].map(|kind| signal(kind).unwrap());
    let (Some(images), Some(node)) = (standins::all(&programs), Node::start()) else { std::process::exit(1) };
    images.into_iter().for_each(|image| node.import(image));
    println!("{}", node.kubeconfig().display());
    let [terminate, interrupt] = &mut ends;
    runtime.block_on(async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    });
}

#[cfg(not(target_os = "linux"))]
fn main() {}
