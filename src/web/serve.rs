//! Speaks HTTP on the Unix socket.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::UnixStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::{debug, warn};

use super::control::Control;
use super::history::History;
use super::router;
use super::socket::Listener;

/// So many connections are open at once; further ones wait for their turn.
const MAX_CONNECTIONS: usize = 64;

/// A connection that sends no whole request head for so long is closed.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// How long to wait when the process is out of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves the API until the task is dropped. No error of a connection ends it.
pub async fn serve(listener: Listener, control: Control, history: Arc<dyn History>) {
    let router = router::live(control, history);
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut is_failing = false;
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        match listener.accept().await {
            Ok(stream) => {
                is_failing = false;
                tokio::spawn(speak(stream, router.clone(), place));
            }
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => warn!("the API hung up: {error}"),
            Err(error) => {
                // Said once: out of descriptors, it stays so for as long as they are held.
                if !std::mem::replace(&mut is_failing, true) {
                    warn!("the API cannot take a connection, and tries again: {error}");
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn speak(stream: UnixStream, router: Router, _place: OwnedSemaphorePermit) {
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    if let Err(error) = served.await {
        debug!("a connection to the API ended: {error}");
    }
}
