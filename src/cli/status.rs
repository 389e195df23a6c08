//! `batchd status`: how the daemon is, and how far its live runs are.

use jiff::Timestamp;

use super::client::path;
use super::escape::escape;
use super::print::Tone;
use super::table::{Column, Table};
use super::{Client, Exit, Failure, Screen, human};
use crate::web::api::{ChannelView, LiveRun, LiveStatus, LogState};

/// The arguments of `batchd status`.
#[derive(Clone, Debug, clap::Args)]
pub struct StatusArgs {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

pub(super) async fn status(client: &Client, args: &StatusArgs, now: Timestamp, screen: &mut Screen<'_>) -> Result<Exit, Failure> {
    let status: LiveStatus = client.get(&path(&["status"])).await?;
    if args.json {
        screen.json(&status)?;
        return Ok(Exit::Done);
    }
    daemon(&status, now, screen)?;
    log(status.log.as_ref(), now, screen)?;
    channels(&status.channels, now, screen)?;
    reload_problems(&status, screen)?;
    runs(&status.runs, now, screen)?;
    Ok(Exit::Done)
}

fn daemon(status: &LiveStatus, now: Timestamp, screen: &mut Screen<'_>) -> Result<(), Failure> {
    let state = if status.draining { screen.paint(Tone::Doubtful, "draining") } else { screen.paint(Tone::Good, "running") };
    screen.line(format!("batchd {} {state}, pid {}, up {}", escape(&status.version), status.pid, human::between(status.since, now)))?;
    let next = status.next_fire.map_or_else(|| "no next fire".to_owned(), |at| format!("next fire {}", human::distance(at, now)));
    let store = match (&status.store.reason, status.store.healthy) {
        (_, true) => screen.paint(Tone::Good, "healthy"),
        (reason, false) => {
            let since = status.store.since.map(|since| format!(" for {}", human::between(since, now))).unwrap_or_default();
            let reason = reason.as_deref().unwrap_or("it does not say why");
            format!("{}{since}: {}; nothing new is fired until it can", screen.paint(Tone::Bad, "cannot write"), escape(reason))
        }
    };
    let loaded = human::distance(status.config_loaded, now);
    screen.line(format!("  config     {} ({}), read {loaded}", escape(&status.config_path), escape(&status.config_hash)))?;
    screen.line(format!("  jobs       {}, {next}", status.jobs))?;
    screen.line(format!("  records    {store}"))?;
    Ok(())
}

/// What is wrong with the log, or was: one that works and has lost nothing has no line.
fn log(log: Option<&LogState>, now: Timestamp, screen: &mut Screen<'_>) -> Result<(), Failure> {
    let Some(log) = log else { return Ok(()) };
    let lost = (log.lost > 0).then(|| format!("{} lost since the start", human::count(log.lost, "line")));
    let line = match (&log.reason, lost) {
        (None, None) => return Ok(()),
        (None, Some(lost)) => screen.paint(Tone::Doubtful, &lost),
        (Some(reason), lost) => {
            let since = log.since.map(|since| format!(" for {}", human::between(since, now))).unwrap_or_default();
            let lost = lost.map(|lost| format!("; {lost}")).unwrap_or_default();
            format!("{}{since}: {}{lost}", screen.paint(Tone::Bad, "in trouble"), escape(reason))
        }
    };
    screen.line(format!("  log        {line}"))?;
    Ok(())
}

/// Messages that wait, or were given up: a channel that works has no line.
fn channels(channels: &[ChannelView], now: Timestamp, screen: &mut Screen<'_>) -> Result<(), Failure> {
    for channel in channels {
        let because = |error: &Option<String>| error.as_deref().map(|error| format!(": {}", escape(error))).unwrap_or_default();
        let oldest = channel.oldest.map(|oldest| format!(" for {}", human::between(oldest, now))).unwrap_or_default();
        let name = escape(&channel.channel);
        if channel.waiting > 0 {
            let waiting = screen.paint(Tone::Doubtful, &format!("{} waiting", human::count(channel.waiting, "message")));
            screen.line(format!("  notify     {name}: {waiting}{oldest}{}", because(&channel.error)))?;
        }
        if channel.given_up > 0 {
            let given_up = screen.paint(Tone::Bad, &format!("{} given up", channel.given_up));
            screen.line(format!("  notify     {name}: {given_up}, the last{}", because(&channel.given_up_error)))?;
        }
    }
    Ok(())
}

fn reload_problems(status: &LiveStatus, screen: &mut Screen<'_>) -> Result<(), Failure> {
    if status.reload_problems.is_empty() {
        return Ok(());
    }
    screen.line("")?;
    screen.line(screen.paint(Tone::Bad, "the last reload was refused; the configuration before it is in force"))?;
    for problem in &status.reload_problems {
        screen.line(format!("  {}", escape(problem)))?;
    }
    Ok(())
}

fn runs(runs: &[LiveRun], now: Timestamp, screen: &mut Screen<'_>) -> Result<(), Failure> {
    screen.line("")?;
    if runs.is_empty() {
        screen.line("no live runs")?;
        return Ok(());
    }
    let rows = runs.iter().map(|run| {
        let failed = if run.failed > 0 { Tone::Bad.text(run.failed.to_string()) } else { "-".into() };
        let phase = if run.phase == "running" { format!("{} in flight", run.in_flight) } else { escape(&run.phase).into_owned() };
        let done = run.succeeded.saturating_add(run.failed).saturating_add(run.cancelled);
        let (id, bar, done) = (escape(&run.id.0).into_owned(), human::bar(done, run.partials), format!("{done}/{}", run.partials));
        vec![id.into(), done.into(), bar.into(), failed, phase.into(), human::between(run.fired, now).into()]
    });
    let columns = [
        Column::name("live run"),
        Column::number("partials"),
        Column::text("").spare(3),
        Column::number("failed"),
        Column::text("phase").spare(1),
        Column::number("for").spare(2),
    ];
    screen.table(&Table::with_rows(columns, rows))?;
    for run in runs {
        for attempt in &run.oldest {
            let Some(progress) = &attempt.progress else { continue };
            let target = attempt.target.as_ref().map(|target| format!(" {}", escape(target))).unwrap_or_default();
            screen.line(format!("  {}{target}: {}", escape(&run.id.0), escape(progress)))?;
        }
    }
    Ok(())
}
