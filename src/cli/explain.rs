//! `batchd explain`: an expression in words, its traps, its next fires and what the coming clock changes do to it.

use std::io;

use jiff::Timestamp;

use super::expression::{changes, excerpt, instant, jump, local, local_for_people, read};
use super::print::Tone;
use super::{Exit, Failure, Screen};
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
pub(super) fn explain(args: &ExplainArgs, now: Timestamp, screen: &mut Screen<'_>) -> Result<Exit, Failure> {
    let (schedule, zone) = read(&args.expr, args.timezone.as_deref())?;
    let after = args.after.as_deref().map_or(Ok(now), |text| instant(text, &zone, "--after"))?;
    let warnings = warnings(&args.expr, &zone, after);
    let timetable = Timetable { schedules: vec![schedule], zone, dst: Dst::default(), except: None };
    if args.json {
        as_json(&args.expr, &timetable, &warnings, after, screen)?;
    } else {
        as_text(&args.expr, &timetable, &warnings, after, screen)?;
    }
    Ok(Exit::Done)
}

fn fires(timetable: &Timetable, after: Timestamp) -> impl Iterator<Item = Timestamp> + '_ {
    std::iter::successors(timetable.next(after), |fire| timetable.next(*fire)).take(FIRES)
}

fn words(timetable: &Timetable) -> String {
    timetable.schedules.iter().map(describe).collect::<Vec<_>>().join("; ")
}

fn as_text(expression: &str, timetable: &Timetable, warnings: &[Warning], after: Timestamp, screen: &mut Screen<'_>) -> io::Result<()> {
    let zone = &timetable.zone;
    screen.line(format!("{}, in {}", words(timetable), zone.name))?;
    for warning in warnings {
        let mark = screen.paint(Tone::Doubtful, "warning:");
        screen.line(format!("\n{mark} {}{}", warning.message, excerpt(expression, &warning.range)))?;
        if let Some(help) = &warning.help {
            screen.line(format!("  help: {help}"))?;
        }
    }
    let fires: Vec<Timestamp> = fires(timetable, after).collect();
    if fires.is_empty() {
        screen.line(format!("\n{}", if timetable.fires_at_boot() { "it names no times" } else { "it never fires: no date matches" }))?;
        return Ok(());
    }
    screen.line(format!("\n{}", screen.paint(Tone::Strong, "next fires")))?;
    for fire in fires {
        screen.line(format!("  {}", local_for_people(fire, zone)))?;
    }
    let changes = changes(timetable, after);
    if changes.is_empty() {
        screen.line(format!("\nthe clocks of {} do not change", zone.name))?;
        return Ok(());
    }
    screen.line(format!("\n{}", screen.paint(Tone::Strong, "clock changes")))?;
    for (change, effects) in changes {
        screen.line(format!("  {}: {}", jump(&change), effects.join("; ")))?;
    }
    Ok(())
}

fn as_json(expression: &str, timetable: &Timetable, warnings: &[Warning], after: Timestamp, screen: &mut Screen<'_>) -> io::Result<()> {
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
    screen.json_compact(&answer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Look;
    use crate::cli::tests::seen_of;

    fn explained(expr: &str, json: bool) -> String {
        let args = ExplainArgs { expr: expr.into(), timezone: Some("America/New_York".into()), after: None, json };
        seen_of(Look::default(), |screen| explain(&args, "2026-03-07T12:00:00Z".parse().expect("an instant"), screen))
    }

    #[test]
    fn an_expression_is_told_in_words_with_its_traps() {
        insta::assert_snapshot!(explained("30 2 * * *", false), @r"
        Done
        at 02:30, in America/New_York

        warning: 02:30 does not exist in America/New_York on 2026-03-08, when the clock goes from 02:00 to 03:00
          30 2 * * *
          ^^^^^^^^^^
          help: it then runs once right after the jump (`dst.gap`); choose another time, or the zone `UTC`

        next fires
          Sun 2026-03-08 03:00:00 EDT (-04:00)
          Mon 2026-03-09 02:30:00 EDT (-04:00)
          Tue 2026-03-10 02:30:00 EDT (-04:00)
          Wed 2026-03-11 02:30:00 EDT (-04:00)
          Thu 2026-03-12 02:30:00 EDT (-04:00)

        clock changes
          2026-03-08 02:00 → 03:00: 02:30 does not exist; runs at 03:00
          2026-11-01 02:00 → 01:00: no time of it is repeated
        ---
        ");
    }

    #[test]
    fn programs_get_the_same_as_json() {
        insta::assert_snapshot!(explained("0 0 */10 * *", true), @r#"
        Done
        {"schedule":"0 0 */10 * *","timezone":"America/New_York","words":"at 00:00, on days 1, 11, 21 and 31 of the month","warnings":[{"columns":[5,8],"message":"day of month `*/10` is uneven: the steps start over at the end of each round, so the last one is shorter","help":"for a steady interval use `@every`"}],"fires":["2026-03-11T04:00:00Z","2026-03-21T04:00:00Z","2026-03-31T04:00:00Z","2026-04-01T04:00:00Z","2026-04-11T04:00:00Z"],"local":["2026-03-11T00:00:00-04:00[America/New_York]","2026-03-21T00:00:00-04:00[America/New_York]","2026-03-31T00:00:00-04:00[America/New_York]","2026-04-01T00:00:00-04:00[America/New_York]","2026-04-11T00:00:00-04:00[America/New_York]"],"changes":[{"at":"2026-03-08T07:00:00Z","before":"2026-03-08T02:00:00","after":"2026-03-08T03:00:00","effects":["no time of it is skipped"]},{"at":"2026-11-01T06:00:00Z","before":"2026-11-01T02:00:00","after":"2026-11-01T01:00:00","effects":["no time of it is repeated"]}]}
        ---
        "#);
    }

    #[test]
    fn what_names_no_time_says_why() {
        insta::assert_snapshot!(explained("0 0 30 2 *", false), @r"
        Done
        at 00:00, on day 30 of the month, in February, in America/New_York

        it never fires: no date matches
        ---
        ");
        insta::assert_snapshot!(explained("@reboot", false), @r"
        Done
        once after each boot of the machine, in America/New_York

        it names no times
        ---
        ");
    }
}
