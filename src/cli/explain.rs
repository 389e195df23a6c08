//! `batchd explain`: an expression in words, its traps, its next fires and what the coming clock changes do to it.

use std::io::Write;

use jiff::Timestamp;

use super::next::{changes, excerpt, instant, jump, local, local_for_people, read, refuse, write_json};
use super::{Exit, Global};
use crate::schedule::{Dst, Timetable, Warning, describe, warnings};

/// How many fires are shown.
const FIRES: usize = 5;

/// The arguments of `batchd explain`.
#[derive(Clone, Debug, clap::Args)]
pub struct ExplainArgs {
    /// The expression, such as "30 2 * * MON-FRI" or "@every 90m"
    #[arg(value_name = "EXPR")]
    pub expr: String,
    /// The zone to see it in [default: the system's]
    #[arg(long, value_name = "TZ")]
    pub timezone: Option<String>,
    /// Only what comes later than this: RFC 3339, or a local date or time [default: now]
    #[arg(long, value_name = "TIME")]
    pub after: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Explains one expression.
///
/// # Errors
/// A time that cannot be read, or a closed output. A refused expression is [`Exit::Usage`].
pub fn explain(_global: &Global, args: &ExplainArgs, now: Timestamp, out: &mut dyn Write) -> anyhow::Result<Exit> {
    let (schedule, zone) = match read(&args.expr, args.timezone.as_deref()) {
        Ok(read) => read,
        Err(refusal) => return refuse(&refusal),
    };
    let after = args.after.as_deref().map_or(Ok(now), |text| instant(text, &zone, "--after"))?;
    let warnings = warnings(&args.expr, &zone, after);
    let timetable = Timetable { schedules: vec![schedule], zone, dst: Dst::default() };
    if args.json { as_json(&args.expr, &timetable, &warnings, after, out) } else { as_text(&args.expr, &timetable, &warnings, after, out) }
}

fn fires(timetable: &Timetable, after: Timestamp) -> impl Iterator<Item = Timestamp> + '_ {
    std::iter::successors(timetable.next(after), |fire| timetable.next(*fire)).take(FIRES)
}

fn words(timetable: &Timetable) -> String {
    timetable.schedules.iter().map(describe).collect::<Vec<_>>().join("; ")
}

fn as_text(expression: &str, timetable: &Timetable, warnings: &[Warning], after: Timestamp, out: &mut dyn Write) -> anyhow::Result<Exit> {
    let zone = &timetable.zone;
    writeln!(out, "{}, in {}", words(timetable), zone.name)?;
    for warning in warnings {
        writeln!(out, "\nwarning: {}{}", warning.message, excerpt(expression, &warning.range))?;
        if let Some(help) = &warning.help {
            writeln!(out, "  help: {help}")?;
        }
    }
    let fires: Vec<Timestamp> = fires(timetable, after).collect();
    if fires.is_empty() {
        writeln!(out, "\n{}", if timetable.fires_at_boot() { "it names no times" } else { "it never fires: no date matches" })?;
        return Ok(Exit::Done);
    }
    writeln!(out, "\nnext fires")?;
    for fire in fires {
        writeln!(out, "  {}", local_for_people(fire, zone))?;
    }
    let changes = changes(timetable, after);
    if changes.is_empty() {
        writeln!(out, "\nthe clocks of {} do not change", zone.name)?;
        return Ok(Exit::Done);
    }
    writeln!(out, "\nclock changes")?;
    for (change, effects) in changes {
        writeln!(out, "  {}: {}", jump(&change), effects.join("; "))?;
    }
    Ok(Exit::Done)
}

fn as_json(expression: &str, timetable: &Timetable, warnings: &[Warning], after: Timestamp, out: &mut dyn Write) -> anyhow::Result<Exit> {
    let zone = &timetable.zone;
    let fires: Vec<Timestamp> = fires(timetable, after).collect();
    let local: Vec<String> = fires.iter().map(|fire| local(*fire, zone)).collect();
    let warning = |warning: &Warning| {
        let columns = [warning.range.start + 1, warning.range.end];
        serde_json::json!({ "columns": columns, "message": warning.message, "help": warning.help })
    };
    let change = |(change, effects): &(crate::schedule::Change, Vec<String>)| serde_json::json!({ "at": change.at, "before": change.wall_before(), "after": change.wall_after(), "effects": effects });
    let answer = serde_json::json!({
        "schedule": expression,
        "timezone": *zone.name,
        "words": words(timetable),
        "warnings": warnings.iter().map(warning).collect::<Vec<_>>(),
        "fires": fires,
        "local": local,
        "changes": changes(timetable, after).iter().map(change).collect::<Vec<_>>(),
    });
    write_json(out, &answer)
}
