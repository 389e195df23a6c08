//! `batchd next`: the coming fires, of the jobs of the configuration or of one expression.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{BufRead, Write};
use std::sync::Arc;

use anyhow::Context;
use comfy_table::Table;
use comfy_table::presets::NOTHING;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ZonedDateTime};
use serde::{Deserialize, Serialize};

use super::{Exit, Global};
use crate::config::{Config, Job};
use crate::schedule::{Change, Dst, ParseError, Schedule, Timetable, Zone, ZoneError, describe_change};

/// How many fires are shown unless asked otherwise.
const DEFAULT_COUNT: usize = 5;

/// The most fires of one answer.
const MAX_COUNT: usize = 10_000;

/// The most characters of an argument that a message repeats.
const MAX_ECHO: usize = 40;

/// How many changes of the clock `--around-dst` looks at, per zone.
const CHANGES: usize = 2;

/// How far around a change its fires are shown.
const AROUND_CHANGE: SignedDuration = SignedDuration::from_hours(36);

/// The arguments of `batchd next`.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct NextArgs {
    /// The jobs; all enabled ones when none is named
    #[arg(value_name = "JOB")]
    pub jobs: Vec<String>,
    /// How many fires [default: 5, or all up to --until]
    #[arg(short = 'n', long, value_name = "N", value_parser = parse_count)]
    pub count: Option<usize>,
    /// Only fires later than this: RFC 3339, or a local date or time [default: now]
    #[arg(long, value_name = "TIME")]
    pub after: Option<String>,
    /// Only fires up to this time
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// The fires around the next two changes of each zone's clocks
    #[arg(long)]
    pub around_dst: bool,
    /// A cron expression instead of jobs; needs no configuration
    #[arg(long, value_name = "EXPR", conflicts_with = "jobs")]
    pub schedule: Option<String>,
    /// The zone of --schedule [default: the system's]
    #[arg(long, value_name = "TZ", requires = "schedule")]
    pub timezone: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Answer JSON lines {"id","expr","tz","after","count"} from stdin, one line each
    #[arg(long, hide = true, conflicts_with_all = ["jobs", "schedule"])]
    pub batch: bool,
}

/// A timetable and how it is called: by its job, or by its expression.
struct Named<'a> {
    name: &'a str,
    timetable: &'a Timetable,
}

/// The part of time that is asked for.
struct Window {
    after: Timestamp,
    until: Timestamp,
    count: usize,
}

/// Prints the coming fires of `args`; `load` is called only when jobs are asked for.
///
/// # Errors
/// What `load` refuses, a time that cannot be read, or a closed output. A refused expression is [`Exit::Usage`].
pub fn next(
    _global: &Global,
    args: &NextArgs,
    load: impl FnOnce() -> anyhow::Result<Arc<Config>>,
    now: Timestamp,
    out: &mut dyn Write,
) -> anyhow::Result<Exit> {
    if args.batch {
        return batch(std::io::stdin().lock(), out);
    }
    if let Some(expression) = &args.schedule {
        let (schedule, zone) = match read(expression, args.timezone.as_deref()) {
            Ok(read) => read,
            Err(refusal) => return refuse(&refusal),
        };
        let window = match window(args, &zone, now) {
            Ok(window) => window,
            Err(refusal) => return refuse(&refusal),
        };
        let timetable = Timetable { schedules: vec![schedule], zone, dst: Dst::default() };
        let named = [Named { name: expression, timetable: &timetable }];
        return match (args.around_dst, args.json) {
            (true, _) => around_dst(&named, &window, args.json, out),
            (false, true) => schedule_json(&named[0], &window, out),
            (false, false) => table(&named, &window, now, out),
        };
    }
    let config = load()?;
    let jobs: Vec<&Job> = match select(&config, &args.jobs) {
        Ok(jobs) => jobs,
        Err(missing) => {
            writeln!(anstream::stderr(), "error: there is no job `{}`", missing.escape_debug())?;
            return Ok(Exit::NotFound);
        }
    };
    let window = match window(args, &config.daemon.timezone, now) {
        Ok(window) => window,
        Err(refusal) => return refuse(&refusal),
    };
    let named: Vec<Named<'_>> = jobs.iter().map(|job| Named { name: &job.name, timetable: &job.timetable }).collect();
    match (args.around_dst, args.json) {
        (true, _) => around_dst(&named, &window, args.json, out),
        (false, true) => jobs_json(&named, &window, out),
        (false, false) => table(&named, &window, now, out),
    }
}

/// The jobs that are asked for, or the first name that is none.
fn select<'a>(config: &'a Config, names: &'a [String]) -> Result<Vec<&'a Job>, &'a str> {
    if names.is_empty() {
        return Ok(config.jobs.values().map(AsRef::as_ref).filter(|job| job.enabled).collect());
    }
    names.iter().map(|name| config.jobs.get(name.as_str()).map(AsRef::as_ref).ok_or(name.as_str())).collect()
}

fn window<'a>(args: &'a NextArgs, zone: &Zone, now: Timestamp) -> Result<Window, Refusal<'a>> {
    let after = args.after.as_deref().map_or(Ok(now), |text| instant(text, zone, "--after"))?;
    let until = args.until.as_deref().map_or(Ok(Timestamp::MAX), |text| instant(text, zone, "--until"))?;
    let count = args.count.unwrap_or(if args.until.is_some() { MAX_COUNT } else { DEFAULT_COUNT });
    Ok(Window { after, until, count })
}

/// Reads an instant, or a local date or time in the zone.
pub(super) fn instant<'a>(text: &'a str, zone: &Zone, option: &'static str) -> Result<Timestamp, Refusal<'a>> {
    if let Ok(instant) = text.parse::<Timestamp>() {
        return Ok(instant);
    }
    if let Ok(zoned) = text.parse::<ZonedDateTime>() {
        return Ok(zoned.timestamp());
    }
    let local = text.parse::<jiff::civil::DateTime>().ok().and_then(|local| zone.rules.to_timestamp(local).ok());
    local.ok_or(Refusal::Time { option, text })
}

fn parse_count(text: &str) -> Result<usize, String> {
    let count = text.parse().ok().filter(|count| (1..=MAX_COUNT).contains(count));
    count.ok_or_else(|| format!("not a number 1-{MAX_COUNT}"))
}

/// Why an argument cannot be used.
#[derive(Debug)]
pub(super) enum Refusal<'a> {
    Expression { text: &'a str, error: ParseError },
    Zone(ZoneError),
    Time { option: &'static str, text: &'a str },
}

/// Reads an expression and the zone to see it in: the system's when none is given.
pub(super) fn read<'a>(expression: &'a str, timezone: Option<&str>) -> Result<(Schedule, Zone), Refusal<'a>> {
    let schedule = Schedule::parse(expression).map_err(|error| Refusal::Expression { text: expression, error })?;
    let zone = match timezone {
        Some(name) => Zone::lookup(name).map_err(Refusal::Zone)?,
        None => TimeZone::system().iana_name().and_then(|name| Zone::lookup(name).ok()).unwrap_or_else(Zone::utc),
    };
    Ok((schedule, zone))
}

/// Says on stderr why, with a caret under the column.
pub(super) fn refuse(refusal: &Refusal<'_>) -> anyhow::Result<Exit> {
    writeln!(anstream::stderr(), "error: {}", explain_refusal(refusal))?;
    Ok(Exit::Usage)
}

fn explain_refusal(refusal: &Refusal<'_>) -> String {
    match refusal {
        Refusal::Zone(error) => error.to_string(),
        Refusal::Time { option, text } => {
            let shown: String = text.chars().take(MAX_ECHO).flat_map(char::escape_debug).collect();
            format!("`{option} {shown}` is not a time; write `2026-03-08T02:30:00Z` or a local `2026-03-08T02:30`")
        }
        Refusal::Expression { text, error } => {
            let help = error.help.as_ref().map_or_else(String::new, |help| format!("\n  help: {help}"));
            format!("{}{}{help}", error.message, excerpt(text, &error.range))
        }
    }
}

/// The expression with carets under a range of it; nothing for one too long or too odd to repeat.
pub(super) fn excerpt(text: &str, range: &std::ops::Range<usize>) -> String {
    /// One line of a terminal.
    const MAX_EXCERPT: usize = 120;
    if text.is_empty() || text.len() > MAX_EXCERPT || !text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) {
        return String::new();
    }
    format!("\n  {text}\n  {}{}", " ".repeat(range.start), "^".repeat(range.len().max(1)))
}

/// The fires of several timetables in order of time, then of their position.
fn fires<'a>(named: &'a [Named<'a>], window: &Window) -> impl Iterator<Item = (&'a Named<'a>, Timestamp)> {
    let until = window.until;
    let next =
        move |index: usize, after| named[index].timetable.next(after).filter(|fire| *fire <= until).map(|fire| Reverse((fire, index)));
    let mut coming: BinaryHeap<_> = (0..named.len()).filter_map(|index| next(index, window.after)).collect();
    let merged = std::iter::from_fn(move || {
        let Reverse((fire, index)) = coming.pop()?;
        coming.extend(next(index, fire));
        Some((&named[index], fire))
    });
    merged.take(window.count)
}

#[derive(Serialize)]
struct Fire<'a> {
    job: &'a str,
    nominal: Timestamp,
    local: String,
    zone: &'a str,
}

fn jobs_json(named: &[Named<'_>], window: &Window, out: &mut dyn Write) -> anyhow::Result<Exit> {
    let fire = |(named, nominal): (&Named<'_>, Timestamp)| -> serde_json::Value {
        let zone = &named.timetable.zone;
        serde_json::json!(Fire { job: named.name, nominal, local: local(nominal, zone), zone: &zone.name })
    };
    let fires: Vec<serde_json::Value> = fires(named, window).map(fire).collect();
    write_json(out, &serde_json::json!({ "fires": fires }))
}

fn schedule_json(named: &Named<'_>, window: &Window, out: &mut dyn Write) -> anyhow::Result<Exit> {
    let zone = &named.timetable.zone;
    let fires: Vec<Timestamp> = fires(std::slice::from_ref(named), window).map(|(_, fire)| fire).collect();
    let local: Vec<String> = fires.iter().map(|fire| local(*fire, zone)).collect();
    write_json(out, &serde_json::json!({ "schedule": named.name, "timezone": *zone.name, "fires": fires, "local": local }))
}

pub(super) fn write_json(out: &mut dyn Write, value: &serde_json::Value) -> anyhow::Result<Exit> {
    writeln!(out, "{value}")?;
    Ok(Exit::Done)
}

/// A time with offset and zone, as programs read it.
pub(super) fn local(instant: Timestamp, zone: &Zone) -> String {
    instant.to_zoned_datetime(zone.rules.clone()).to_string()
}

/// A time with the abbreviation of its zone, as people read it.
pub(super) fn local_for_people(instant: Timestamp, zone: &Zone) -> String {
    instant.to_zoned_datetime(zone.rules.clone()).strftime("%a %Y-%m-%d %H:%M:%S %Z (%:z)").to_string()
}

fn table(named: &[Named<'_>], window: &Window, now: Timestamp, out: &mut dyn Write) -> anyhow::Result<Exit> {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(["FIRE", "", "JOB"]);
    for (named, fire) in fires(named, window) {
        let zone = &named.timetable.zone;
        let name: String = named.name.chars().flat_map(char::escape_debug).collect();
        table.add_row([local_for_people(fire, zone), distance(now, fire), name]);
    }
    if table.is_empty() {
        writeln!(out, "no coming fires")?;
    } else {
        writeln!(out, "{}", table.trim_fmt())?;
    }
    Ok(Exit::Done)
}

/// "in 3 min", in the largest unit that is not zero.
pub(super) fn distance(now: Timestamp, then: Timestamp) -> String {
    let seconds = then.as_second() - now.as_second();
    let (amount, unit) = match seconds.unsigned_abs() {
        amount @ 0..60 => (amount, "s"),
        amount @ 60..3_600 => (amount / 60, "min"),
        amount @ 3_600..86_400 => (amount / 3_600, "h"),
        amount => (amount / 86_400, "d"),
    };
    if seconds < 0 { format!("{amount} {unit} ago") } else { format!("in {amount} {unit}") }
}

/// The coming changes of the clocks of a timetable's zone, each with what it does to every schedule.
pub(super) fn changes(timetable: &Timetable, after: Timestamp) -> Vec<(Change, Vec<String>)> {
    let effects = |change: &Change| timetable.schedules.iter().map(|schedule| describe_change(schedule, timetable.dst, change)).collect();
    Change::following(&timetable.zone.rules, after).take(CHANGES).map(|change| (change, effects(&change))).collect()
}

/// "2026-03-08 02:00 → 03:00".
pub(super) fn jump(change: &Change) -> String {
    let (before, after) = (change.wall_before(), change.wall_after());
    format!(
        "{} → {}",
        before.strftime("%Y-%m-%d %H:%M"),
        after.strftime(if before.date() == after.date() { "%H:%M" } else { "%Y-%m-%d %H:%M" })
    )
}

fn around_dst(named: &[Named<'_>], window: &Window, json: bool, out: &mut dyn Write) -> anyhow::Result<Exit> {
    let mut answers = Vec::new();
    for job in named {
        let zone = &job.timetable.zone;
        let changes = changes(job.timetable, window.after);
        if changes.is_empty() && !json {
            writeln!(out, "{}: the clocks of {} do not change", job.name.escape_debug(), zone.name)?;
        }
        for (change, effects) in changes.iter().filter(|(change, _)| change.at <= window.until) {
            let fires = fires_around(job.timetable, change.at, window.count);
            if json {
                let fires: Vec<_> = fires.iter().map(|fire| serde_json::json!({ "nominal": fire, "local": local(*fire, zone) })).collect();
                let change = serde_json::json!({ "at": change.at, "before": change.wall_before(), "after": change.wall_after() });
                answers
                    .push(serde_json::json!({ "job": job.name, "zone": *zone.name, "change": change, "effects": effects, "fires": fires }));
                continue;
            }
            writeln!(out, "{}: {} in {}: {}", job.name.escape_debug(), jump(change), zone.name, effects.join("; "))?;
            for fire in fires {
                writeln!(out, "  {}", local_for_people(fire, zone))?;
            }
        }
    }
    if json { write_json(out, &serde_json::json!({ "changes": answers })) } else { Ok(Exit::Done) }
}

/// The last fires before a change and the first ones from it on, `count` of each.
fn fires_around(timetable: &Timetable, change: Timestamp, count: usize) -> Vec<Timestamp> {
    let next = |after: &Timestamp| timetable.next(*after);
    let (start, end) = (change.saturating_sub(AROUND_CHANGE).unwrap_or(change), change.saturating_add(AROUND_CHANGE).unwrap_or(change));
    let mut before = std::collections::VecDeque::new();
    let mut from = Vec::new();
    for fire in std::iter::successors(next(&start), next).take_while(|fire| *fire <= end) {
        if fire < change {
            before.push_back(fire);
            if before.len() > count {
                before.pop_front();
            }
        } else if from.len() < count {
            from.push(fire);
        } else {
            break;
        }
    }
    before.into_iter().chain(from).collect()
}

#[derive(Deserialize)]
struct Question {
    id: serde_json::Value,
    expr: String,
    tz: String,
    after: Timestamp,
    count: usize,
}

fn batch(input: impl BufRead, out: &mut dyn Write) -> anyhow::Result<Exit> {
    for line in input.lines() {
        let question: Question = serde_json::from_str(&line?).context("a question is one JSON object a line")?;
        let answer = match read(&question.expr, Some(&question.tz)) {
            Ok((schedule, zone)) => {
                let next = |after: &Timestamp| schedule.next(&zone, Dst::default(), *after);
                let fires: Vec<Timestamp> =
                    std::iter::successors(next(&question.after), next).take(question.count.min(MAX_COUNT)).collect();
                serde_json::json!({ "id": question.id, "next": fires })
            }
            Err(Refusal::Expression { error, .. }) => {
                let message = format!("column {}: {}", error.range.start + 1, error.message);
                serde_json::json!({ "id": question.id, "error": message })
            }
            Err(refusal) => serde_json::json!({ "id": question.id, "error": explain_refusal(&refusal) }),
        };
        write_json(out, &answer)?;
        // Whoever asks in lockstep waits for this line.
        out.flush()?;
    }
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2026-03-07T12:00:00Z";

    fn timetable(expression: &str, zone: &str) -> Timetable {
        let (schedule, zone) = read(expression, Some(zone)).expect("valid");
        Timetable { schedules: vec![schedule], zone, dst: Dst::default() }
    }

    fn window_of(count: usize) -> Window {
        Window { after: NOW.parse().expect("an instant"), until: Timestamp::MAX, count }
    }

    fn printed(print: impl FnOnce(&mut dyn Write) -> anyhow::Result<Exit>) -> String {
        let mut out = Vec::new();
        assert_eq!(print(&mut out).expect("a Vec takes everything"), Exit::Done);
        String::from_utf8(out).expect("text").lines().map(|line| format!("{}\n", line.trim_end())).collect()
    }

    fn check(args: &NextArgs, expected: &str) {
        let global = Global { config: None, color: clap::ColorChoice::Never, verbose: false };
        let now = NOW.parse().expect("an instant");
        let no_config = || anyhow::bail!("no configuration is needed");
        assert_eq!(printed(|out| next(&global, args, no_config, now, out)), expected);
    }

    fn new_york(expression: &str) -> NextArgs {
        NextArgs { schedule: Some(expression.into()), timezone: Some("America/New_York".into()), ..NextArgs::default() }
    }

    #[test]
    fn an_expression_answers_in_utc_and_local_time() {
        check(
            &NextArgs { count: Some(2), json: true, ..new_york("30 2 * * *") },
            concat!(
                r#"{"schedule":"30 2 * * *","timezone":"America/New_York","fires":["2026-03-08T07:00:00Z","2026-03-09T06:30:00Z"],"#,
                r#""local":["2026-03-08T03:00:00-04:00[America/New_York]","2026-03-09T02:30:00-04:00[America/New_York]"]}"#,
                "\n"
            ),
        );
    }

    #[test]
    fn until_ends_the_list() {
        let args = NextArgs { after: Some("2026-05-01".into()), until: Some("2026-05-02T09:00".into()), ..new_york("0 9 * * *") };
        insta::assert_snapshot!(table_of(&args), @r#"
        FIRE                                           JOB
        Fri 2026-05-01 09:00:00 EDT (-04:00)  in 55 d  0 9 * * *
        Sat 2026-05-02 09:00:00 EDT (-04:00)  in 56 d  0 9 * * *
        "#);
    }

    #[test]
    fn around_dst_shows_what_the_change_does() {
        insta::assert_snapshot!(table_of(&NextArgs { count: Some(1), around_dst: true, ..new_york("30 1,2 * * *") }), @r#"
        30 1,2 * * *: 2026-03-08 02:00 → 03:00 in America/New_York: 02:30 does not exist; runs at 03:00
          Sun 2026-03-08 01:30:00 EST (-05:00)
          Sun 2026-03-08 03:00:00 EDT (-04:00)
        30 1,2 * * *: 2026-11-01 02:00 → 01:00 in America/New_York: 01:30 comes twice; runs at the first
          Sun 2026-11-01 01:30:00 EDT (-04:00)
          Sun 2026-11-01 02:30:00 EST (-05:00)
        "#);
    }

    #[test]
    fn a_schedule_without_fires_says_so() {
        check(&new_york("0 0 30 2 *"), "no coming fires\n");
    }

    fn table_of(args: &NextArgs) -> String {
        let global = Global { config: None, color: clap::ColorChoice::Never, verbose: false };
        printed(|out| next(&global, args, || anyhow::bail!("no configuration is needed"), NOW.parse().expect("an instant"), out))
    }

    #[test]
    fn jobs_are_merged_in_order_of_time() {
        let (seoul, berlin) = (timetable("0 9 * * *", "Asia/Seoul"), timetable("0 */8 * * *", "Europe/Berlin"));
        let named = [Named { name: "seoul", timetable: &seoul }, Named { name: "berlin", timetable: &berlin }];
        let order: Vec<String> = fires(&named, &window_of(4)).map(|(named, fire)| format!("{} {fire}", named.name)).collect();
        let expected =
            ["berlin 2026-03-07T15:00:00Z", "berlin 2026-03-07T23:00:00Z", "seoul 2026-03-08T00:00:00Z", "berlin 2026-03-08T07:00:00Z"];
        assert_eq!(order, expected);
    }

    #[test]
    fn a_batch_answers_line_by_line() {
        let questions = concat!(
            r#"{"id":"a","expr":"0 0 L * *","tz":"UTC","after":"2026-02-01T00:00:00Z","count":1}"#,
            "\n",
            r#"{"id":"b","expr":"0 24 * * *","tz":"UTC","after":"2026-02-01T00:00:00Z","count":1}"#,
        );
        let answers = printed(|out| batch(questions.as_bytes(), out));
        insta::assert_snapshot!(answers, @r#"
        {"id":"a","next":["2026-02-28T00:00:00Z"]}
        {"id":"b","error":"column 3: hour `24` is out of range 0-23"}
        "#);
    }

    #[test]
    fn a_refusal_points_at_the_column() {
        let refusal = read("0 5/15 * * *", Some("UTC")).expect_err("refused");
        insta::assert_snapshot!(explain_refusal(&refusal), @r#"
        hour `5` has a step `15` without a range
          0 5/15 * * *
            ^
          help: write `5-23/15`
        "#);
    }

    #[test]
    fn what_is_no_time_is_refused() {
        let refusal = instant("to\u{202e}morrow", &Zone::utc(), "--after").expect_err("refused");
        insta::assert_snapshot!(explain_refusal(&refusal), @r#"`--after to\u{202e}morrow` is not a time; write `2026-03-08T02:30:00Z` or a local `2026-03-08T02:30`"#);
    }

    #[test]
    fn distances_use_the_largest_unit() {
        let at = |second| Timestamp::from_second(second).expect("in range");
        let shown = [5, 180, 7_300, 200_000, -90].map(|second| distance(at(0), at(second)));
        assert_eq!(shown, ["in 5 s", "in 3 min", "in 2 h", "in 2 d", "1 min ago"]);
    }
}
