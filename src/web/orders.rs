//! The endpoints that reach the daemon's loop: state, trigger, pause, backfill, cancel, reload.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use serde::de::DeserializeOwned;

use super::api::{
    BackfillRequest, BackfillRun, Backfilled, Cancelled, JobList, LiveStatus, Paused, ReloadReport, ReloadRequest, RetryRequest,
    TriggerRequest, Triggered,
};
use super::control::{Control, Request};
use super::refusal::Refusal;
use super::router::{MAX_BODY, Site, Source};
use crate::config::{JobName, nearest};
use crate::engine::{Answer, Cause, MAX_RUNS_PER_JOB, RunId};

/// The most targets one trigger may name.
const MAX_TARGETS: usize = 10_000;

pub(super) async fn status(State(site): State<Site>) -> Result<Json<LiveStatus>, Refusal> {
    let mut status = site.control()?.ask(|reply| Request::Status { reply }).await?;
    let channels = site.read(|history| history.channels()).await;
    // Records that cannot be read must not hide what the loop has to say of them.
    status.channels = if status.store.healthy { channels? } else { channels.unwrap_or_default() };
    Ok(Json(status))
}

pub(super) async fn jobs(State(site): State<Site>) -> Result<Json<JobList>, Refusal> {
    let (mut jobs, daemon) = match &site.source {
        Source::Live(control) => (control.ask(|reply| Request::Jobs { reply }).await?, true),
        Source::Offline(jobs) => (jobs.to_vec(), false),
    };
    let last_runs = site.read(|history| history.last_runs()).await?;
    let mut last_runs: HashMap<String, _> = last_runs.into_iter().map(|run| (run.job.clone(), run)).collect();
    for job in &mut jobs {
        job.last_run = last_runs.remove(&job.name);
    }
    Ok(Json(JobList { jobs, daemon }))
}

pub(super) async fn trigger(
    State(site): State<Site>,
    Path(job): Path<String>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<(StatusCode, Json<Triggered>), Refusal> {
    let TriggerRequest { targets, args, nominal } = parse(&headers, body)?;
    if targets.len() > MAX_TARGETS {
        return Err(Refusal::BadRequest(format!("{} targets were named; at most {MAX_TARGETS} can be", targets.len())));
    }
    let targets = targets.into_iter().map(Into::into).collect();
    let name = job.as_str().into();
    let control = site.control()?;
    let answer = control.ask(|reply| Request::Trigger { job: name, targets, args, nominal, reply }).await?;
    match answer {
        Answer::Run(id) => Ok((StatusCode::CREATED, Json(Triggered { id }))),
        answer => Err(refuse(control, answer, &job, "").await),
    }
}

pub(super) async fn pause(
    State(site): State<Site>,
    Path(job): Path<String>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Paused>, Refusal> {
    set_paused(&site, job, true, &headers, body).await
}

pub(super) async fn resume(
    State(site): State<Site>,
    Path(job): Path<String>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Paused>, Refusal> {
    set_paused(&site, job, false, &headers, body).await
}

async fn set_paused(
    site: &Site,
    job: String,
    paused: bool,
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Paused>, Refusal> {
    let Empty {} = parse(headers, body)?;
    let name = job.as_str().into();
    let control = site.control()?;
    match control.ask(|reply| Request::Pause { job: name, paused, reply }).await? {
        Answer::Paused { changed } => Ok(Json(Paused { job, paused, changed })),
        answer => Err(refuse(control, answer, &job, "").await),
    }
}

pub(super) async fn backfill(
    State(site): State<Site>,
    Path(job): Path<String>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Backfilled>, Refusal> {
    let BackfillRequest { from, to, dry_run } = parse(&headers, body)?;
    let control = site.control()?;
    let name: JobName = job.as_str().into();
    let (asked, most) = (Arc::clone(&name), MAX_RUNS_PER_JOB + 1);
    let nominals = control.ask(|reply| Request::Nominals { job: asked, from, to, most, reply }).await?;
    let Some(nominals) = nominals else { return Err(unknown_job(control, &job).await) };
    if nominals.len() > MAX_RUNS_PER_JOB {
        return Err(Refusal::BadRequest(format!("more than {MAX_RUNS_PER_JOB} nominal times lie between: take a shorter stretch")));
    }
    let _one = control.one_backfill().await;
    let runs = nominals.into_iter().map(|nominal| BackfillRun { id: RunId::new(&job, Cause::Backfill, nominal), nominal });
    let runs: Vec<BackfillRun> = runs.collect();
    let ids: Vec<RunId> = runs.iter().map(|run| run.id.clone()).collect();
    let left_out = site.read(move |history| history.existing(&ids)).await?;
    let runs: Vec<BackfillRun> = runs.into_iter().filter(|run| !left_out.contains(&run.id)).collect();
    if !dry_run && !runs.is_empty() {
        let nominals = runs.iter().map(|run| run.nominal).collect();
        match control.ask(|reply| Request::Backfill { job: name, nominals, reply }).await? {
            Answer::Runs(_) => {}
            answer => return Err(refuse(control, answer, &job, "").await),
        }
    }
    Ok(Json(Backfilled { dry_run, runs, left_out }))
}

pub(super) async fn cancel(
    State(site): State<Site>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<(StatusCode, Json<Cancelled>), Refusal> {
    let Empty {} = parse(&headers, body)?;
    let control = site.control()?;
    let run = site.read(move |history| history.run(&name)).await?;
    let id = run.id.clone();
    let answer = control.ask(|reply| Request::Cancel { run: id, reply }).await?;
    match answer {
        Answer::Stopping => Ok((StatusCode::ACCEPTED, Json(Cancelled { id: run.id }))),
        answer => Err(refuse(control, answer, &run.job, &run.id.0).await),
    }
}

pub(super) async fn retry(
    State(site): State<Site>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<(StatusCode, Json<Triggered>), Refusal> {
    let RetryRequest { all } = parse(&headers, body)?;
    let control = site.control()?;
    let run = site.read(move |history| history.run(&name)).await?;
    if run.ended.is_none() {
        return Err(Refusal::Occupied(run.id));
    }
    let nothing_failed = !all && run.succeeded == run.partials;
    if nothing_failed {
        return Err(Refusal::BadRequest(format!("every partial of `{}` succeeded: `--all` works on all of them again", run.id)));
    }
    let key = run.key;
    let targets = site.read(move |history| history.targets(key, !all)).await?;
    if targets.len() > MAX_TARGETS {
        return Err(Refusal::BadRequest(format!("{} targets would be worked on again; at most {MAX_TARGETS} can be", targets.len())));
    }
    let job: JobName = run.job.as_str().into();
    let targets = targets.into_iter().map(Into::into).collect();
    let args = run.args.clone();
    match control.ask(|reply| Request::Retry { job, targets, args, nominal: run.nominal, reply }).await? {
        Answer::Run(id) => Ok((StatusCode::CREATED, Json(Triggered { id }))),
        answer => Err(refuse(control, answer, &run.job, &run.id.0).await),
    }
}

pub(super) async fn reload(
    State(site): State<Site>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<ReloadReport>, Refusal> {
    let ReloadRequest { plan } = parse(&headers, body)?;
    let report = site.control()?.ask(|reply| Request::Reload { plan, reply }).await?;
    Ok(Json(report))
}

/// A body without content.
#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Empty {}

/// What the engine's answer means to whoever asked about `job` or `run`, when it is none they hoped for.
async fn refuse(control: &Control, answer: Answer, job: &str, run: &str) -> Refusal {
    match answer {
        Answer::UnknownJob => unknown_job(control, job).await,
        Answer::UnknownTarget(target) => Refusal::UnknownTarget { job: job.to_owned(), target: target.to_string() },
        Answer::WrongArgument(error) => Refusal::WrongArgument(error),
        Answer::Draining => Refusal::Draining,
        Answer::Overlapping(id) | Answer::Run(id) => Refusal::Occupied(id),
        Answer::TooMany { waiting } => Refusal::TooManyRuns { job: job.to_owned(), waiting },
        Answer::NotLive | Answer::Stopping | Answer::Runs(_) | Answer::Paused { .. } => Refusal::NotLive(run.to_owned()),
    }
}

/// Looks for a job that may be meant.
async fn unknown_job(control: &Control, job: &str) -> Refusal {
    let known = control.ask(|reply| Request::Jobs { reply }).await.unwrap_or_default();
    let similar = nearest(job, known.iter().map(|known| known.name.as_str())).map(str::to_owned);
    Refusal::UnknownJob { job: job.to_owned(), similar }
}

/// The body as `T`. A page in a browser cannot send this content type across origins unasked.
fn parse<T: DeserializeOwned>(headers: &HeaderMap, body: Result<Bytes, BytesRejection>) -> Result<T, Refusal> {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    if !media_type.eq_ignore_ascii_case("application/json") {
        return Err(Refusal::NotJson);
    }
    let body = body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Refusal::BodyTooLong { limit: MAX_BODY },
        _ => Refusal::BadRequest(rejection.body_text()),
    })?;
    serde_json::from_slice(&body).map_err(|error| Refusal::BadRequest(format!("the body does not fit: {error}")))
}
