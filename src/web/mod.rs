//! The API: HTTP and JSON over the Unix socket, in front of the daemon's loop (`Control`) and the records (`History`).
//!
//! `api` holds every JSON shape. `router` is the table of endpoints; `runs` answers those that read records, `orders` those
//! that reach the loop. `socket` says where the socket is and who may speak on it, `serve` speaks. The command line uses the
//! same router over the records alone when no daemon runs.
//!
//! | endpoint | answer |
//! | --- | --- |
//! | `GET /v1/status` | [`api::LiveStatus`] |
//! | `GET /v1/jobs` | [`api::JobList`] |
//! | `GET /v1/runs?job=&failed=&since=&limit=&before=` | [`api::RunPage`], newest first |
//! | `GET /v1/runs/{id}` | [`api::RunDetail`] |
//! | `GET /v1/runs/{id}/results?failed=` | a line of JSON a partial, [`api::PartialView`] |
//! | `GET /v1/runs/{id}/output?index=` | [`api::OutputList`] |
//! | `POST /v1/jobs/{job}/trigger` | [`api::TriggerRequest`] → [`api::Triggered`] |
//! | `POST /v1/runs/{id}/cancel` | [`api::Cancelled`] |
//! | `POST /v1/reload` | [`api::ReloadRequest`] → [`api::ReloadReport`] |
//!
//! `{id}` is a run's name, an unambiguous beginning of it, or a job's name for its latest run. An error is
//! [`api::ErrorBody`] under a fitting status. A job comes from the configuration, never over HTTP.

pub mod api;
mod control;
#[cfg(test)]
pub(crate) mod fake;
mod history;
mod orders;
mod records;
mod refusal;
mod router;
mod runs;
mod serve;
mod socket;
#[cfg(test)]
mod tests;

pub use api::{ChangedJob, JobView, LiveRun, LiveStatus, OutputView, PartialCounts, PartialView, ReloadReport, RunView, StoreState};
pub use control::{Control, Request};
pub use history::{History, HistoryError, RunFilter};
pub use records::Records;
pub use router::{live, offline};
pub use serve::serve;
pub use socket::{Listener, SOCKET_FILE, connect};
