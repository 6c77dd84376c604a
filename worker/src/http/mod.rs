//! HTTP: health, metrics, statistics, and a page that shows them.

use crate::live::Live;
use actix_web::dev::ServerHandle;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY};
use actix_web::{App, HttpResponse, HttpServer, web};
use metrics_exporter_prometheus::PrometheusHandle;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Stands for an address that the system does not tell.
const UNKNOWN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// Whether everything that the process needs was opened. A copy tells the same.
#[derive(Clone, Debug, Default)]
pub struct Startup(Arc<AtomicBool>);

impl Startup {
    /// It is; `/health/startup` says yes from now on.
    pub fn done(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What the handlers need.
struct Context {
    live: Arc<Live>,
    startup: Startup,
    metrics: PrometheusHandle,
    stop: CancellationToken,
}

/// A running server.
pub struct Server {
    handle: ServerHandle,
    task: JoinHandle<std::io::Result<()>>,
    address: SocketAddr,
}

/// A server that can not listen.
#[derive(Debug, thiserror::Error)]
#[error("--listen (TURBO_LISTEN): {address}: {source}; give an address and a port that are free")]
pub struct ListenError {
    address: SocketAddr,
    source: std::io::Error,
}

/// A port that is bound, and not answered yet: what fails to bind fails before anything is claimed.
pub struct Port(TcpListener);

impl Port {
    /// Binds the address.
    ///
    /// # Errors
    /// It is taken, or not one of this machine.
    pub fn bind(address: SocketAddr) -> Result<Self, ListenError> {
        TcpListener::bind(address).map(Self).map_err(|source| ListenError { address, source })
    }
}

impl Server {
    /// Begins to answer on a bound port. `stop` is the process's token: once it fires, `/health/ready` says no.
    ///
    /// # Errors
    /// The system refuses.
    pub fn start(
        Port(listener): Port,
        live: Arc<Live>,
        startup: Startup,
        metrics: PrometheusHandle,
        stop: CancellationToken,
    ) -> Result<Self, ListenError> {
        let address = listener.local_addr().map_err(|source| ListenError { address: UNKNOWN, source })?;
        let context = web::Data::new(Context { live, startup, metrics, stop });
        let server = HttpServer::new(move || App::new().app_data(context.clone()).configure(routes))
            .workers(1)
            .disable_signals()
            .shutdown_timeout(1)
            .listen(listener)
            .map_err(|source| ListenError { address, source })?;
        let server = server.run();
        Ok(Self { handle: server.handle(), task: tokio::spawn(server), address })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers what is under way, and ends.
    pub async fn stop(self) {
        self.handle.stop(true).await;
        let _ = self.task.await;
    }
}

fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/", web::get().to(page))
        .route("/stats", web::get().to(stats))
        .route("/metrics", web::get().to(metrics))
        .route("/health", web::get().to(live))
        .route("/health/live", web::get().to(live))
        .route("/health/startup", web::get().to(startup))
        .route("/health/ready", web::get().to(ready))
        .route("/ready", web::get().to(ready));
}

async fn page() -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/html; charset=utf-8")
        .insert_header((CONTENT_SECURITY_POLICY, "default-src 'self' 'unsafe-inline'"))
        .body(include_str!("page.html"))
}

async fn stats(context: web::Data<Context>) -> HttpResponse {
    HttpResponse::Ok().insert_header((CACHE_CONTROL, "no-store")).json(context.live.stats())
}

async fn metrics(context: web::Data<Context>) -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain; version=0.0.4; charset=utf-8").body(context.metrics.render())
}

/// The process answers.
async fn live() -> HttpResponse {
    HttpResponse::Ok().body("ok\n")
}

/// The servers were reached, and what the pipeline file says can be had.
async fn startup(context: web::Data<Context>) -> HttpResponse {
    if !context.startup.0.load(Ordering::Relaxed) {
        return HttpResponse::ServiceUnavailable().body("starting\n");
    }
    HttpResponse::Ok().body("ok\n")
}

/// The source was reached since the start, and the process does not stop.
async fn ready(context: web::Data<Context>) -> HttpResponse {
    if context.stop.is_cancelled() {
        return HttpResponse::ServiceUnavailable().body("stopping\n");
    }
    if !context.live.ready() {
        return HttpResponse::ServiceUnavailable().body(format!("{}\n", context.live.stats().summary));
    }
    HttpResponse::Ok().body("ok\n")
}
