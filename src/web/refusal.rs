//! Every way in which the API says no.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::api::{ErrorBody, ErrorDetail};
use super::history::HistoryError;
use crate::config::ArgError;
use crate::engine::RunId;

/// `; did you mean `sync`?`, where something is similar to what was written.
pub fn did_you_mean(similar: Option<&str>) -> String {
    similar.map(|similar| format!("; did you mean `{similar}`?")).unwrap_or_default()
}

/// See the module's documentation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("there is no `{0}` here")]
    UnknownPath(String),
    #[error("`{path}` does not take {method}")]
    WrongMethod { method: String, path: String },
    #[error("{0}")]
    BadRequest(String),
    #[error("the body has to be JSON, with `content-type: application/json`")]
    NotJson,
    #[error("the body is longer than {limit} bytes")]
    BodyTooLong { limit: usize },
    #[error("user {uid} may not use this socket")]
    Forbidden { uid: u32 },
    #[error("the request was not carried out in time")]
    TooSlow,
    #[error("no job is called `{job}`{}", did_you_mean(similar.as_deref()))]
    UnknownJob { job: String, similar: Option<String> },
    #[error("job `{job}` has no target `{target}`")]
    UnknownTarget { job: String, target: String },
    #[error(transparent)]
    WrongArgument(ArgError),
    #[error("no run is called `{0}`, and no job of that name has run")]
    UnknownRun(String),
    #[error("`{name}` could be any of {}", candidates.join(", "))]
    AmbiguousRun { name: String, candidates: Vec<String> },
    #[error("run `{0}` is not live")]
    NotLive(String),
    #[error("run `{0}` is in the way")]
    Occupied(RunId),
    #[error("{waiting} runs of a backfill of `{job}` wait already")]
    TooManyRuns { job: String, waiting: usize },
    #[error("the daemon is draining: it starts no new runs")]
    Draining,
    #[error("the daemon is leaving")]
    Leaving,
    #[error("no daemon is running")]
    NoDaemon,
    #[error("the records cannot be read: {0}")]
    Unreadable(String),
}

impl Refusal {
    fn status(&self) -> StatusCode {
        match self {
            Self::BadRequest(_) | Self::WrongArgument(_) | Self::AmbiguousRun { .. } => StatusCode::BAD_REQUEST,
            Self::UnknownPath(_) | Self::UnknownJob { .. } | Self::UnknownTarget { .. } | Self::UnknownRun(_) => StatusCode::NOT_FOUND,
            Self::WrongMethod { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::NotJson => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::BodyTooLong { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Forbidden { .. } => StatusCode::FORBIDDEN,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::NotLive(_) | Self::Occupied(_) | Self::TooManyRuns { .. } => StatusCode::CONFLICT,
            Self::Draining | Self::Leaving | Self::NoDaemon => StatusCode::SERVICE_UNAVAILABLE,
            Self::Unreadable(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::UnknownPath(_) => "unknown_path",
            Self::WrongMethod { .. } => "wrong_method",
            Self::BadRequest(_) => "bad_request",
            Self::WrongArgument(_) => "wrong_argument",
            Self::NotJson => "not_json",
            Self::BodyTooLong { .. } => "body_too_long",
            Self::Forbidden { .. } => "forbidden",
            Self::TooSlow => "too_slow",
            Self::UnknownJob { .. } => "unknown_job",
            Self::UnknownTarget { .. } => "unknown_target",
            Self::UnknownRun(_) => "unknown_run",
            Self::AmbiguousRun { .. } => "ambiguous_run",
            Self::NotLive(_) => "not_live",
            Self::Occupied(_) => "occupied",
            Self::TooManyRuns { .. } => "too_many_runs",
            Self::Draining => "draining",
            Self::Leaving => "leaving",
            Self::NoDaemon => "no_daemon",
            Self::Unreadable(_) => "unreadable",
        }
    }

    fn help(&self) -> Option<&'static str> {
        match self {
            Self::Forbidden { .. } => {
                Some("root, the daemon's user and members of the socket's group may: add the user to the group, or use sudo")
            }
            Self::UnknownJob { .. } => Some("`batchd jobs` lists the jobs; `batchd reload` takes over an edited file"),
            Self::UnknownTarget { .. } => Some("name a target by its key, as in the job's `targets`"),
            Self::WrongArgument(_) => Some("`batchd run JOB --help` lists the arguments of the job"),
            Self::UnknownRun(_) => Some("`batchd history` lists the runs"),
            Self::AmbiguousRun { .. } => Some("write more of the name"),
            Self::NotLive(_) => Some("`batchd status` lists the live runs"),
            Self::Occupied(_) => Some("wait for it or `batchd cancel` it; the job's `overlap` decides whether runs may share their time"),
            Self::TooManyRuns { .. } => Some("wait until some have ended, or `batchd cancel` them"),
            Self::Draining | Self::Leaving => Some("try again when it has been started anew"),
            Self::NoDaemon => Some("start it with `batchd daemon`, or run the job in the foreground with `batchd run JOB`"),
            _ => None,
        }
    }
}

impl From<HistoryError> for Refusal {
    fn from(error: HistoryError) -> Self {
        match error {
            HistoryError::NoSuchRun(name) => Self::UnknownRun(name),
            HistoryError::Ambiguous { name, candidates } => Self::AmbiguousRun { name, candidates },
            HistoryError::Unreadable(reason) => Self::Unreadable(reason),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let error = ErrorDetail { code: self.code().to_owned(), message: self.to_string(), help: self.help().map(str::to_owned) };
        (self.status(), Json(ErrorBody { error })).into_response()
    }
}
