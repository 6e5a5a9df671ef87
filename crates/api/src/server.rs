//! The HTTP server for metrics and health: which path leads where, and the life of its thread.
//!
//! | path | answer |
//! | --- | --- |
//! | `/` | links to the others |
//! | `/metrics` | every figure, in OpenMetrics text |
//! | `/sessions` | who is connected and what for, see `sessions.rs` |
//! | `/healthz` | 200 while the process runs |
//! | `/readyz` | 200 when clients can be served, else 503 with the reason |

use crate::bounded::BoundedListener;
use crate::metrics::{CONTENT_TYPE, Metrics};
use crate::sessions::{self, Peer, Sessions};
use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use forebay_core::event::EventSink;
use forebay_core::metrics::Registry;
use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::sync::watch;

/// How long answers under way may take once the server is told to stop.
const STOP_GRACE: Duration = Duration::from_millis(500);

/// The running server; dropping it stops it.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    /// The thread stops when this is dropped.
    running: Option<watch::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Why the server could not start.
#[derive(Debug)]
pub enum StartError {
    /// The address is taken, or not ours.
    Listen(SocketAddr, io::Error),
    /// No thread or runtime could be made.
    Thread(io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Listen(address, error) => {
                write!(f, "cannot listen on {address} for metrics: {error}")
            }
            StartError::Thread(error) => write!(f, "cannot start the metrics thread: {error}"),
        }
    }
}

impl std::error::Error for StartError {}

impl Server {
    /// Listens on `address` and serves `registry` from a thread of its own. `events` tells how many events were dropped; `ready` must
    /// answer quickly, and its error is shown to whoever asks; `sessions` knows who is connected.
    ///
    /// # Errors
    /// When the address cannot be listened on, or the thread cannot be started.
    pub fn start(
        address: SocketAddr,
        registry: Arc<Registry>,
        events: EventSink,
        sessions: Sessions,
        ready: impl Fn() -> Result<(), String> + Send + Sync + 'static,
    ) -> Result<Server, StartError> {
        let listener =
            TcpListener::bind(address).map_err(|error| StartError::Listen(address, error))?;
        let address = listener.local_addr().map_err(StartError::Thread)?;
        listener.set_nonblocking(true).map_err(StartError::Thread)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(StartError::Thread)?;
        let router = router(Metrics::new(registry, events), sessions, ready);
        let (running, stopped) = watch::channel(());
        let thread = std::thread::Builder::new()
            .name("metrics".to_owned())
            .spawn(move || serve(&runtime, listener, router, stopped))
            .map_err(StartError::Thread)?;
        Ok(Server {
            address,
            running: Some(running),
            thread: Some(thread),
        })
    }

    /// Where it listens; with the real port where port 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops; answers under way get a short time to end.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.running.take());
        if let Some(thread) = self.thread.take() {
            // It ends soon after the channel is closed; a panic in it has been reported by the panic hook.
            let _ = thread.join();
        }
    }
}

fn serve(runtime: &Runtime, listener: TcpListener, router: Router, stopped: watch::Receiver<()>) {
    runtime.block_on(async move {
        let listener = tokio::net::TcpListener::from_std(listener);
        let Ok(listener) = listener else { return };
        let router = router.into_make_service_with_connect_info::<Peer>();
        let serving = axum::serve(BoundedListener::new(listener), router)
            .with_graceful_shutdown(closed(stopped.clone()));
        let too_late = async {
            closed(stopped).await;
            tokio::time::sleep(STOP_GRACE).await;
        };
        tokio::select! {
            _ = serving => {}
            () = too_late => {}
        }
    });
}

/// Waits until the server's owner lets go of it.
async fn closed(mut stopped: watch::Receiver<()>) {
    while stopped.changed().await.is_ok() {}
}

fn router(
    metrics: Metrics,
    sessions: Sessions,
    ready: impl Fn() -> Result<(), String> + Send + Sync + 'static,
) -> Router {
    let metrics = Arc::new(metrics);
    let ready = Arc::new(ready);
    Router::new()
        .route("/", get(async || Html(INDEX)))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(async move || readiness(ready())))
        .route("/metrics", get(async move || exposition(&metrics)))
        .route(
            "/sessions",
            get(move |peer, headers, uri| sessions::answer(sessions.clone(), peer, headers, uri)),
        )
}

fn exposition(metrics: &Metrics) -> Response {
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], metrics.text()).into_response()
}

fn readiness(ready: Result<(), String>) -> Response {
    match ready {
        Ok(()) => "ready\n".into_response(),
        Err(reason) => (
            StatusCode::SERVICE_UNAVAILABLE,
            format!("not ready: {reason}\n"),
        )
            .into_response(),
    }
}

const INDEX: &str = "<!doctype html>
<html lang=\"en\"><meta charset=\"utf-8\"><title>Forebay</title>
<h1>Forebay</h1>
<ul>
<li><a href=\"/metrics\">/metrics</a>: figures for Prometheus</li>
<li><a href=\"/sessions?format=text\">/sessions</a>: who is connected, and what is pinned</li>
<li><a href=\"/healthz\">/healthz</a>: whether the process runs</li>
<li><a href=\"/readyz\">/readyz</a>: whether clients can be served</li>
</ul>
</html>
";
