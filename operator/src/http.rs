//! HTTP of the operator: health, metrics, and the levels of its log.

use crate::logging::Levels;
use actix_web::dev::ServerHandle;
use actix_web::{App, HttpResponse, HttpServer, web};
use metrics_exporter_prometheus::PrometheusHandle;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::task::JoinHandle;

/// The longest text of levels.
const LEVELS: usize = 1024;

struct Context {
    ready: Arc<AtomicBool>,
    metrics: PrometheusHandle,
    levels: Levels,
}

/// A running server.
pub(crate) struct Server {
    handle: ServerHandle,
    task: JoinHandle<std::io::Result<()>>,
}

impl Server {
    /// Begins to answer. `ready` says whether the API server was reached.
    ///
    /// # Errors
    /// The address is taken, or not one of this machine.
    pub(crate) fn start(
        listen: SocketAddr,
        ready: Arc<AtomicBool>,
        metrics: PrometheusHandle,
        levels: Levels,
    ) -> std::io::Result<(Self, SocketAddr)> {
        let context = web::Data::new(Context { ready, metrics, levels });
        let server = HttpServer::new(move || App::new().app_data(context.clone()).configure(routes))
            .workers(1)
            .disable_signals()
            .shutdown_timeout(1)
            .bind(listen)?;
        let address = server.addrs().first().copied().unwrap_or(listen);
        let server = server.run();
        Ok((Self { handle: server.handle(), task: tokio::spawn(server) }, address))
    }

    /// Answers what is under way, and ends.
    pub(crate) async fn stop(self) {
        self.handle.stop(true).await;
        let _ = self.task.await;
    }
}

fn routes(config: &mut web::ServiceConfig) {
    config
        .app_data(web::PayloadConfig::new(LEVELS))
        .route("/metrics", web::get().to(metrics))
        .route("/health/live", web::get().to(live))
        .route("/health/startup", web::get().to(ready))
        .route("/health/ready", web::get().to(ready))
        .route("/log", web::put().to(levels));
}

async fn metrics(context: web::Data<Context>) -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain; version=0.0.4; charset=utf-8").body(context.metrics.render())
}

async fn live() -> HttpResponse {
    HttpResponse::Ok().body("ok\n")
}

/// The API server was reached. Who stands by is ready too.
async fn ready(context: web::Data<Context>) -> HttpResponse {
    if context.ready.load(Ordering::Relaxed) {
        HttpResponse::Ok().body("ok\n")
    } else {
        HttpResponse::ServiceUnavailable().body("the API server was not reached yet\n")
    }
}

async fn levels(context: web::Data<Context>, levels: String) -> HttpResponse {
    match (context.levels)(levels.trim()) {
        Ok(()) => HttpResponse::Ok().body("ok\n"),
        Err(error) => HttpResponse::BadRequest().body(format!("{error}; give levels like info or debug,kube=warn\n")),
    }
}
