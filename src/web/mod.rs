//! The API: HTTP and JSON over the Unix socket, in front of the daemon's loop (`Control`) and the records (`History`).
//!
//! `api` holds every JSON shape, `endpoints` the table that `router` and `openapi`, the description, are made of. `runs` answers
//! those that read records, `orders` those that reach the loop. `socket` says where the socket is and who may speak on it, `serve`
//! speaks. The command line uses the same router over the records alone when no daemon runs.
//!
//! A run is named by its name, an unambiguous beginning of it, or a job's name for its latest run. An error is
//! [`api::ErrorBody`] under a fitting status. A job comes from the configuration, never over HTTP.

pub mod api;
mod control;
mod endpoints;
#[cfg(test)]
pub(crate) mod fake;
mod history;
mod openapi;
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
pub use openapi::openapi;
pub use records::Records;
pub use refusal::did_you_mean;
pub use router::{live, offline};
pub use serve::serve;
pub use socket::{Listener, SOCKET_FILE, connect};
