//! The endpoints that read records.

use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures::stream;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;

use super::api::{FailedPartial, OutputList, OutputView, RunDetail, RunPage};
use super::history::{History, HistoryError, RunFilter};
use super::refusal::Refusal;
use super::router::{Asked, Site};
use crate::engine::RunKey;
use crate::store::Time;

/// Runs on a page unless told otherwise, and at most.
const DEFAULT_LIMIT: u32 = 50;
const MAX_LIMIT: u32 = 1_000;

/// How many of the slowest partials a run's detail names.
const SLOWEST: u32 = 5;

/// How many failed partials it shows, and how many last lines of each.
const FAILED: u32 = 10;
const LAST_LINES: usize = 5;

/// A line of output is shown up to so many characters.
const MAX_LINE: usize = 500;

/// The longest that an answer waits for the end of a run, in seconds.
pub(super) const MAX_WAIT: u64 = 60;

/// Results are read and sent in pages of so many, which bounds the memory of a million of them.
const PAGE: u32 = 256;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    /// Only runs of this job.
    job: Option<String>,
    /// Only runs that ended otherwise than succeeded.
    #[serde(default)]
    failed: bool,
    /// Only runs fired at this time or later.
    #[schemars(with = "Option<Time>")]
    since: Option<Timestamp>,
    /// The `next` of the page before.
    before: Option<i64>,
    /// At most so many, 1 to 1,000; 50 unless given.
    #[schemars(range(min = 1, max = 1_000))]
    limit: Option<u32>,
}

pub(super) async fn list(State(site): State<Site>, Asked(query): Asked<ListQuery>) -> Result<Json<RunPage>, Refusal> {
    let limit = query.limit.unwrap_or(DEFAULT_LIMIT);
    if !(1..=MAX_LIMIT).contains(&limit) {
        return Err(Refusal::BadRequest(format!("`limit` is {limit}; it may be 1 to {MAX_LIMIT}")));
    }
    let ListQuery { job, failed, since, before, .. } = query;
    // One more than asked for tells whether there is another page.
    let filter = RunFilter { job, failed, since, until: None, before: before.map(RunKey), limit: limit + 1 };
    let mut runs = site.read(move |history| history.runs(&filter)).await?;
    let limit = limit as usize;
    let next = if runs.len() > limit { runs.get(limit - 1).map(|run| run.key) } else { None };
    runs.truncate(limit);
    Ok(Json(RunPage { runs, next }))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ShowQuery {
    /// Of a live run, answer when it has ended, or after so many seconds, 1 to 60.
    #[schemars(range(min = 1, max = 60))]
    wait: Option<u64>,
}

/// With `wait`, a live run's answer comes when it has ended, or after so many seconds.
pub(super) async fn show(
    State(site): State<Site>,
    Path(name): Path<String>,
    Asked(query): Asked<ShowQuery>,
) -> Result<Json<RunDetail>, Refusal> {
    if let Some(seconds) = query.wait {
        if !(1..=MAX_WAIT).contains(&seconds) {
            return Err(Refusal::BadRequest(format!("`wait` is {seconds}; it may be 1 to {MAX_WAIT} seconds")));
        }
        let wanted = name.clone();
        let run = site.read(move |history| history.run(&wanted)).await?;
        if run.ended.is_none() {
            site.control()?.wait_for_end(run.id, Duration::from_secs(seconds)).await?;
        }
    }
    site.read(move |history| detail(history, &name)).await.map(Json)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct OutputQuery {
    /// The index of the partial.
    index: Option<u32>,
}

/// Without an index: the gather command's output.
pub(super) async fn output(
    State(site): State<Site>,
    Path(name): Path<String>,
    Asked(query): Asked<OutputQuery>,
) -> Result<Json<OutputList>, Refusal> {
    let outputs = site.read(move |history| history.outputs(history.run(&name)?.key, query.index)).await?;
    Ok(Json(OutputList { outputs }))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ResultsQuery {
    /// Only partials that neither succeeded nor were cancelled.
    #[serde(default)]
    failed: bool,
}

pub(super) async fn results(
    State(site): State<Site>,
    Path(name): Path<String>,
    Asked(query): Asked<ResultsQuery>,
) -> Result<Response, Refusal> {
    let run = site.read(move |history| history.run(&name)).await?.key;
    let pages = stream::try_unfold(Place::Start, move |place| {
        let site = site.clone();
        async move {
            let after = match place {
                Place::Start => None,
                Place::After(index) => Some(index),
                Place::End => return Ok::<_, Refusal>(None),
            };
            site.read(move |history| page(history, run, query.failed, after)).await.map(Some)
        }
    });
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(pages)).into_response())
}

/// How far the results have been read.
enum Place {
    Start,
    /// Up to this index.
    After(u32),
    End,
}

/// A page of lines, and where the next one goes on.
fn page(history: &dyn History, run: RunKey, failed: bool, after: Option<u32>) -> Result<(Vec<u8>, Place), HistoryError> {
    let partials = history.partials(run, failed, after, PAGE)?;
    let mut lines = Vec::new();
    for partial in &partials {
        serde_json::to_writer(&mut lines, partial).map_err(|error| HistoryError::Unreadable(error.to_string()))?;
        lines.push(b'\n');
    }
    let place = match partials.last() {
        Some(last) if partials.len() == PAGE as usize => Place::After(last.index),
        _ => Place::End,
    };
    Ok((lines, place))
}

fn detail(history: &dyn History, name: &str) -> Result<RunDetail, HistoryError> {
    let run = history.run(name)?;
    let failed = history.partials(run.key, true, None, FAILED)?.into_iter().map(|partial| {
        let outputs = history.outputs(run.key, Some(partial.index))?;
        Ok(FailedPartial { last_output: last_lines(&outputs), partial })
    });
    Ok(RunDetail {
        counts: history.partial_counts(run.key)?,
        slowest: history.slowest(run.key, SLOWEST)?,
        failed: failed.collect::<Result<_, HistoryError>>()?,
        gather_output: last_lines(&history.outputs(run.key, None)?),
        run,
    })
}

/// The last lines that the last attempt wrote.
fn last_lines(outputs: &[OutputView]) -> Vec<String> {
    let Some(last) = outputs.last() else { return Vec::new() };
    let text = if last.tail.is_empty() { &last.head } else { &last.tail };
    let mut lines: Vec<String> = text.lines().rev().take(LAST_LINES).map(|line| line.chars().take(MAX_LINE).collect()).collect();
    lines.reverse();
    lines
}
