//! The router, and what all endpoints share.

use std::fmt;
use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, FromRequestParts, Query};
use axum::http::{Method, Uri};
use serde::de::DeserializeOwned;

use super::api::JobView;
use super::control::Control;
use super::endpoints::ENDPOINTS;
use super::history::{History, HistoryError};
use super::refusal::Refusal;

/// The longest request body, in bytes.
pub(super) const MAX_BODY: usize = 64 * 1024;

/// What the endpoints work on.
#[derive(Clone)]
pub(super) struct Site {
    pub(super) history: Arc<dyn History>,
    pub(super) source: Source,
}

/// Where the present comes from.
#[derive(Clone)]
pub(super) enum Source {
    /// A daemon's loop.
    Live(Control),
    /// No daemon: the jobs as the configuration has them.
    Offline(Arc<[JobView]>),
}

/// The endpoints in front of a daemon's loop.
pub fn live(control: Control, history: Arc<dyn History>) -> Router {
    router(Site { history, source: Source::Live(control) })
}

/// The endpoints over the records alone; what needs a daemon is refused as `no_daemon`.
pub fn offline(jobs: Vec<JobView>, history: Arc<dyn History>) -> Router {
    router(Site { history, source: Source::Offline(jobs.into()) })
}

fn router(site: Site) -> Router {
    let routes = ENDPOINTS.iter().fold(Router::new(), |router, endpoint| router.route(endpoint.path, (endpoint.route)()));
    routes
        .fallback(async |uri: Uri| Refusal::UnknownPath(uri.path().to_owned()))
        .method_not_allowed_fallback(async |method: Method, uri: Uri| Refusal::WrongMethod {
            method: method.to_string(),
            path: uri.path().to_owned(),
        })
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(site)
}

impl Site {
    /// The daemon's loop, where there is one.
    pub(super) fn control(&self) -> Result<&Control, Refusal> {
        match &self.source {
            Source::Live(control) => Ok(control),
            Source::Offline(_) => Err(Refusal::NoDaemon),
        }
    }

    /// Reads records on a thread that may wait for the disk.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&dyn History) -> Result<T, HistoryError> + Send + 'static,
    ) -> Result<T, Refusal> {
        let history = Arc::clone(&self.history);
        let read = tokio::task::spawn_blocking(move || read(&*history)).await;
        read.map_err(|error| Refusal::Unreadable(error.to_string()))?.map_err(Refusal::from)
    }
}

impl fmt::Debug for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Site").finish_non_exhaustive()
    }
}

/// The query string, refused in our own words.
pub(super) struct Asked<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Asked<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut axum::http::request::Parts, state: &S) -> Result<Self, Refusal> {
        let query = Query::<T>::from_request_parts(parts, state).await;
        query.map(|Query(query)| Self(query)).map_err(|rejection| Refusal::BadRequest(rejection.body_text()))
    }
}
