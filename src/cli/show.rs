//! `batchd show`: one run in detail.

use super::client::path;
use super::escape::escape;
use super::print::Tone;
use super::{Client, Exit, Failure, Screen, human};
use crate::config::args::text_of;
use crate::engine::Cause;
use crate::web::api::{FailedPartial, PartialView, RunDetail, RunView};

/// The longest result of a gather command that is shown, in characters.
const MAX_RESULT: usize = 2_000;

/// The arguments of `batchd show`.
#[derive(Clone, Debug, clap::Args)]
pub struct ShowArgs {
    /// The run's name, the beginning of it, or a job's name for its latest run
    #[arg(value_name = "RUN")]
    pub run: String,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

pub(super) async fn show(client: &Client, args: &ShowArgs, screen: &mut Screen<'_>) -> Result<Exit, Failure> {
    let detail: RunDetail = client.get(&path(&["runs", &args.run])).await?;
    if args.json {
        screen.json(&detail)?;
    } else {
        print(&detail, screen)?;
        look_further(&detail, screen)?;
    }
    Ok(Exit::Done)
}

/// Prints everything a person asks about a run.
pub(super) fn print(detail: &RunDetail, screen: &mut Screen<'_>) -> Result<(), Failure> {
    let run = &detail.run;
    let reason = run.reason.as_deref().map(|reason| format!(": {}", escape(reason))).unwrap_or_default();
    screen.line(format!("{} {}{reason}", screen.paint(Tone::Strong, &escape(&run.id.0)), screen.outcome(run.outcome)))?;
    facts(detail, screen)?;
    slowest(&detail.slowest, screen)?;
    failed(detail, screen)?;
    gathered(detail, screen)
}

/// A fire is decided and recorded a little ahead of its instant, so that it can start at it.
fn lateness(run: &RunView) -> String {
    if run.fired < run.nominal {
        return format!("decided {} ahead", human::between(run.fired, run.nominal));
    }
    format!("{} after its nominal time", human::between(run.nominal, run.fired))
}

fn facts(detail: &RunDetail, screen: &mut Screen<'_>) -> Result<(), Failure> {
    let run = &detail.run;
    screen.line(format!("  why        {}", why(run)))?;
    screen.line(format!("  nominal    {} ({})", human::local(run.nominal, &run.zone), escape(&run.zone)))?;
    screen.line(format!("  fired      {}, {}", human::local(run.fired, &run.zone), lateness(run)))?;
    if !run.args.is_empty() {
        let args = run.args.iter().map(|(name, value)| format!("{}={}", escape(name), escape(&text_of(value))));
        screen.line(format!("  args       {}", args.collect::<Vec<_>>().join(" ")))?;
    }
    let started = run.started.map_or_else(|| "not yet: it waits".to_owned(), |at| human::local(at, &run.zone));
    screen.line(format!("  started    {started}"))?;
    if let Some(ended) = run.ended {
        let took = run.duration_ms.map(|ms| format!(", took {}", human::milliseconds(ms))).unwrap_or_default();
        screen.line(format!("  ended      {}{took}", human::local(ended, &run.zone)))?;
    }
    let counts: Vec<String> = detail.counts.iter().map(|(outcome, count)| format!("{count} {}", escape(outcome))).collect();
    let recorded = if counts.is_empty() { "none on record".to_owned() } else { counts.join(", ") };
    screen.line(format!("  partials   {}: {recorded}", run.partials))?;
    if let [partial] = &*detail.slowest
        && let Some(used) = used(partial)
    {
        screen.line(format!("  used       {used}"))?;
    }
    Ok(())
}

fn why(run: &RunView) -> &'static str {
    match run.cause {
        Cause::Schedule => "its schedule names this time",
        Cause::Manual => "it was asked for by hand",
        Cause::CatchUp => "its time passed while the daemon was down, and `catch_up` made up for it",
        Cause::Retry => "an earlier run failed",
        Cause::Backfill => "it was asked for by a backfill",
        Cause::After => "the jobs it comes after succeeded",
    }
}

fn slowest(partials: &[PartialView], screen: &mut Screen<'_>) -> Result<(), Failure> {
    // One partial is what the times above tell already.
    if partials.len() < 2 {
        return Ok(());
    }
    screen.line("")?;
    screen.line(screen.paint(Tone::Strong, "slowest"))?;
    for partial in partials {
        let took = human::milliseconds(nearest(partial.duration_ms));
        let used = used(partial).map(|used| format!(", {used}")).unwrap_or_default();
        screen.line(format!("  {took:>8}  {} {}{used}", name(partial), partial.outcome))?;
    }
    Ok(())
}

/// What the processes of a partial took.
fn used(partial: &PartialView) -> Option<String> {
    let cpu = human::milliseconds(nearest(partial.cpu_ms?));
    let memory = partial.max_rss.map(|bytes| format!(", {} of memory", bytesize::ByteSize(bytes).display().iec())).unwrap_or_default();
    Some(format!("{cpu} of CPU{memory}"))
}

fn failed(detail: &RunDetail, screen: &mut Screen<'_>) -> Result<(), Failure> {
    if detail.failed.is_empty() {
        return Ok(());
    }
    screen.line("")?;
    screen.line(screen.paint(Tone::Strong, "failed"))?;
    for FailedPartial { partial, last_output } in &detail.failed {
        let error = partial.error.as_deref().map(|error| format!(": {}", escape(error))).unwrap_or_default();
        let attempts = human::count(partial.attempts, "attempt");
        screen.line(format!("  {} {} after {attempts}{error}", name(partial), screen.paint(Tone::Bad, partial.outcome.name())))?;
        for line in last_output {
            screen.line(format!("    | {}", escape(line)))?;
        }
    }
    let id = escape(&detail.run.id.0);
    let shown = detail.failed.len();
    let rest = u64::from(failures(detail)).saturating_sub(shown as u64);
    if rest > 0 {
        screen.line(format!("  and {rest} more: batchd results {id} --failed"))?;
    }
    Ok(())
}

/// Names the commands that tell all a failed partial said, and that work on it again. A run in the foreground has no log.
fn look_further(detail: &RunDetail, screen: &mut Screen<'_>) -> Result<(), Failure> {
    let Some(FailedPartial { partial, .. }) = detail.failed.first() else { return Ok(()) };
    let target = if partial.target.is_some() { format!(" --target '{}'", name(partial)) } else { String::new() };
    let id = escape(&detail.run.id.0);
    screen.note(format!("what the log has of it: batchd logs {id}{target}"))?;
    if detail.run.ended.is_some() {
        screen.note(format!("work on what failed again: batchd retry {id}"))?;
    }
    Ok(())
}

fn gathered(detail: &RunDetail, screen: &mut Screen<'_>) -> Result<(), Failure> {
    if let Some(result) = &detail.run.result {
        let text = result.get();
        let short: String = text.chars().take(MAX_RESULT).collect();
        let cut = if short.len() < text.len() { " …" } else { "" };
        screen.line("")?;
        screen.line(format!("{} {}{cut}", screen.paint(Tone::Strong, "result"), escape(&short)))?;
    }
    if !detail.gather_output.is_empty() {
        screen.line("")?;
        screen.line(screen.paint(Tone::Strong, "gather said"))?;
        for line in &detail.gather_output {
            screen.line(format!("    | {}", escape(line)))?;
        }
    }
    Ok(())
}

/// How many partials neither succeeded nor were cancelled.
fn failures(detail: &RunDetail) -> u32 {
    let failures = detail.counts.iter().filter(|(outcome, _)| !matches!(outcome.as_str(), "succeeded" | "cancelled" | "retrying"));
    failures.fold(0, |sum, (_, count)| sum.saturating_add(*count))
}

/// What a partial is called: its target, else its place.
fn name(partial: &PartialView) -> String {
    let Some(target) = &partial.target else { return format!("#{}", partial.index) };
    let key = serde_json::from_str::<String>(target.get());
    escape(key.as_deref().unwrap_or_else(|_| target.get())).into_owned()
}

#[expect(clippy::cast_possible_truncation, reason = "a float becomes the nearest integer there is")]
fn nearest(milliseconds: f64) -> i64 {
    milliseconds.round() as i64
}
