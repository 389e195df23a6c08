//! The table of endpoints: the router is built from it, and so is the document that describes them.

use axum::routing::{MethodRouter, get, post};
use schemars::{JsonSchema, Schema, SchemaGenerator};

use super::router::Site;
use super::{api, orders, runs};

/// One endpoint.
#[derive(Clone, Copy)]
pub(super) struct Endpoint {
    /// `get` or `post`.
    pub(super) method: &'static str,
    /// With `{…}` for what is named.
    pub(super) path: &'static str,
    pub(super) summary: &'static str,
    /// A structure with a field for each parameter.
    pub(super) query: Option<Shape>,
    pub(super) body: Option<Shape>,
    pub(super) status: u16,
    pub(super) answer: Answer,
    pub(super) route: fn() -> MethodRouter<Site>,
}

/// Describes a JSON shape.
pub(super) type Shape = fn(&mut SchemaGenerator) -> Schema;

/// What comes back.
#[derive(Clone, Copy)]
pub(super) enum Answer {
    Json(Shape),
    /// Any number of lines, each of this shape.
    Lines(Shape),
}

/// Every endpoint there is.
pub(super) const ENDPOINTS: [Endpoint; 13] = [
    Endpoint {
        answer: Answer::Json(shape::<api::LiveStatus>),
        route: || get(orders::status),
        ..reading("/v1/status", "How the daemon is, and how far its live runs are")
    },
    Endpoint {
        answer: Answer::Json(shape::<api::JobList>),
        route: || get(orders::jobs),
        ..reading("/v1/jobs", "The jobs, with their next fire and last run")
    },
    Endpoint {
        query: Some(shape::<runs::ListQuery>),
        answer: Answer::Json(shape::<api::RunPage>),
        route: || get(runs::list),
        ..reading("/v1/runs", "The runs, newest first")
    },
    Endpoint {
        query: Some(shape::<runs::ShowQuery>),
        answer: Answer::Json(shape::<api::RunDetail>),
        route: || get(runs::show),
        ..reading("/v1/runs/{run}", "One run in detail")
    },
    Endpoint {
        query: Some(shape::<runs::ResultsQuery>),
        answer: Answer::Lines(shape::<api::PartialView>),
        route: || get(runs::results),
        ..reading("/v1/runs/{run}/results", "The results of a run, a line a partial, in target order")
    },
    Endpoint {
        query: Some(shape::<runs::OutputQuery>),
        answer: Answer::Json(shape::<api::OutputList>),
        route: || get(runs::output),
        ..reading("/v1/runs/{run}/output", "What was kept of the output of a partial, or of the gather command")
    },
    Endpoint {
        body: Some(shape::<api::TriggerRequest>),
        status: 201,
        answer: Answer::Json(shape::<api::Triggered>),
        route: || post(orders::trigger),
        ..order("/v1/jobs/{job}/trigger", "Runs a job now")
    },
    Endpoint {
        answer: Answer::Json(shape::<api::Paused>),
        route: || post(orders::pause),
        ..order("/v1/jobs/{job}/pause", "Suppresses the nominal times of a job until it is resumed")
    },
    Endpoint {
        answer: Answer::Json(shape::<api::Paused>),
        route: || post(orders::resume),
        ..order("/v1/jobs/{job}/resume", "Lets a paused job go on")
    },
    Endpoint {
        body: Some(shape::<api::BackfillRequest>),
        answer: Answer::Json(shape::<api::Backfilled>),
        route: || post(orders::backfill),
        ..order("/v1/jobs/{job}/backfill", "Makes a run for each nominal time of a stretch of the past")
    },
    Endpoint {
        status: 202,
        answer: Answer::Json(shape::<api::Cancelled>),
        route: || post(orders::cancel),
        ..order("/v1/runs/{run}/cancel", "Asks a live run to stop")
    },
    Endpoint {
        body: Some(shape::<api::RetryRequest>),
        status: 201,
        answer: Answer::Json(shape::<api::Triggered>),
        route: || post(orders::retry),
        ..order("/v1/runs/{run}/retry", "Works on an ended run again, for the same nominal time")
    },
    Endpoint {
        body: Some(shape::<api::ReloadRequest>),
        answer: Answer::Json(shape::<api::ReloadReport>),
        route: || post(orders::reload),
        ..order("/v1/reload", "Reads the configuration again")
    },
];

/// A question; what it does not say stands in the table.
const fn reading(path: &'static str, summary: &'static str) -> Endpoint {
    let answer = Answer::Json(shape::<api::ErrorBody>);
    Endpoint { method: "get", path, summary, query: None, body: None, status: 200, answer, route: MethodRouter::new }
}

/// An order, which takes `{}` unless the table says more.
const fn order(path: &'static str, summary: &'static str) -> Endpoint {
    Endpoint { method: "post", body: Some(shape::<orders::Empty>), ..reading(path, summary) }
}

pub(super) fn shape<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}
