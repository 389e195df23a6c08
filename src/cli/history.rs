//! `batchd history`: the runs, newest first.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::client::{path, query};
use super::escape::escape;
use super::print::{Tone, outcome_name};
use super::table::{Column, Table, Text};
use super::{Client, Exit, Failure, Screen, human};
use crate::web::api::{RunPage, RunView};

/// The arguments of `batchd history`.
#[derive(Clone, Debug, clap::Args)]
pub struct HistoryArgs {
    /// Only runs of this job
    #[arg(value_name = "JOB")]
    pub job: Option<String>,
    /// Only runs that ended otherwise than succeeded
    #[arg(long)]
    pub failed: bool,
    /// Only runs fired since: a span such as 7d or 90m, or a time such as 2026-03-11T02:00:00Z
    #[arg(long, value_name = "SINCE", value_parser = Since::parse)]
    pub since: Option<Since>,
    /// At most so many runs
    #[arg(short = 'n', long = "limit", value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub limit: u32,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// The beginning of what is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    Ago(Duration),
    At(Timestamp),
}

impl Since {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if let Ok(at) = text.parse() {
            return Ok(Self::At(at));
        }
        let span = humantime::parse_duration(text).map(Self::Ago);
        span.map_err(|error| format!("{error}; write a span such as `7d`, or a time with its offset such as `2026-03-11T02:00:00Z`"))
    }

    /// The instant, seen from `now`; the earliest there is for a span that reaches further.
    pub(super) fn from(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(at) => at,
            Self::Ago(span) => SignedDuration::try_from(span).ok().and_then(|span| now.checked_sub(span).ok()).unwrap_or(Timestamp::MIN),
        }
    }
}

pub(super) async fn history(client: &Client, args: &HistoryArgs, now: Timestamp, screen: &mut Screen<'_>) -> Result<Exit, Failure> {
    let query = query(&[
        ("job", args.job.clone()),
        ("failed", args.failed.then(|| "true".to_owned())),
        ("since", args.since.map(|since| since.from(now).to_string())),
        ("limit", Some(args.limit.to_string())),
    ]);
    let page: RunPage = client.get(&(path(&["runs"]) + &query)).await?;
    if args.json {
        screen.json(&page)?;
        return Ok(Exit::Done);
    }
    if page.runs.is_empty() {
        screen.note("no runs")?;
        return Ok(Exit::Done);
    }
    let columns = [
        Column::name("run"),
        Column::text("cause").spare(3),
        Column::text("nominal").spare(2),
        Column::text("started").spare(4),
        Column::number("took").spare(1),
        Column::text("outcome"),
        Column::number("partials"),
    ];
    screen.table(&Table::with_rows(columns, page.runs.iter().map(|run| row(run, now))))?;
    if page.next.is_some() {
        screen.note(format!("there are more; the last {} are shown, `-n` shows more", args.limit))?;
    }
    Ok(Exit::Done)
}

fn row(run: &RunView, now: Timestamp) -> Vec<Text> {
    let partials = format!("{}/{}", run.succeeded, run.partials);
    vec![
        escape(&run.id.0).into_owned().into(),
        run.cause.name().into(),
        human::local(run.nominal, &run.zone).into(),
        run.started.map_or_else(|| "waits".to_owned(), |started| human::distance(started, now)).into(),
        run.duration_ms.map_or_else(|| "-".to_owned(), human::milliseconds).into(),
        Tone::of(run.outcome).text(outcome_name(run.outcome)),
        partials.into(),
    ]
}
