//! Speaks HTTP on the Unix socket.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::UnixStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::{debug, warn};

use super::control::Control;
use super::history::History;
use super::refusal::Refusal;
use super::router;
use super::runs::MAX_WAIT;
use super::socket::{Door, Listener};

/// So many connections are open at once; further ones wait for their turn.
const MAX_CONNECTIONS: usize = 256;

/// A connection that sends no whole request head for so long is closed.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// An answer that has not begun by then is given up; longer than any answer waits for the end of a run.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(MAX_WAIT + 30);

/// How long to wait when the process is out of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves the API until the task is dropped. No error of a connection ends it.
pub async fn serve(listener: Listener, control: Control, history: Arc<dyn History>) {
    let router = router::live(control, history).layer(middleware::from_fn_with_state(ANSWER_TIMEOUT, in_time));
    let door = listener.door();
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut is_failing = false;
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        match listener.accept().await {
            Ok(stream) => {
                is_failing = false;
                tokio::spawn(receive(stream, door.clone(), router.clone(), place));
            }
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

/// Speaks with whoever may speak here, and tells everybody else why not.
async fn receive(stream: UnixStream, door: Door, router: Router, _place: OwnedSemaphorePermit) {
    match door.admit(&stream).await {
        Ok(Ok(())) => speak(stream, router).await,
        Ok(Err(uid)) => {
            warn!("the API refused user {uid}");
            speak(stream, Router::new().fallback(async move || Refusal::Forbidden { uid })).await;
        }
        Err(error) => debug!("nobody can tell who is on a connection to the API: {error}"),
    }
}

async fn speak(stream: UnixStream, router: Router) {
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    if let Err(error) = served.await {
        debug!("a connection to the API ended: {error}");
    }
}

/// A body that comes byte by byte must not hold a connection for ever.
async fn in_time(State(at_most): State<Duration>, request: Request, next: Next) -> Response {
    let answer = tokio::time::timeout(at_most, next.run(request)).await;
    answer.unwrap_or_else(|_| Refusal::TooSlow.into_response())
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    use super::*;

    #[tokio::test]
    async fn a_request_that_takes_too_long_is_given_up() {
        let never = Router::new()
            .fallback(async || std::future::pending::<String>().await)
            .layer(middleware::from_fn_with_state(Duration::from_millis(1), in_time));
        let response = never.oneshot(Request::new(Body::empty())).await.expect("the router always answers");
        assert_eq!(response.status().as_u16(), 408);
        let body = response.into_body().collect().await.expect("a body").to_bytes();
        assert!(String::from_utf8_lossy(&body).contains("too_slow"), "{body:?}");
    }
}
