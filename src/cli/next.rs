//! `batchd next`: the coming fires, of the jobs of the configuration or of one expression.

mod around_dst;
mod batch;

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use around_dst::around_dst;
use batch::batch;
use jiff::Timestamp;
use serde::Serialize;

use super::escape::escape;
use super::expression::{Refusal, instant, local, local_for_people, read};
use super::table::{Column, Table};
use super::{Exit, Failure, Screen, human};
use crate::config::{Config, Job};
use crate::schedule::{Dst, Timetable, Zone};

/// How many fires are shown unless asked otherwise.
const DEFAULT_COUNT: usize = 5;

/// The most fires of one answer.
const MAX_COUNT: usize = 10_000;

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
pub(super) fn next(
    args: &NextArgs,
    load: impl FnOnce() -> Result<Config, Failure>,
    now: Timestamp,
    screen: &mut Screen<'_>,
) -> Result<Exit, Failure> {
    if args.batch {
        return batch(std::io::stdin().lock(), screen);
    }
    if let Some(expression) = &args.schedule {
        let (schedule, zone) = read(expression, args.timezone.as_deref())?;
        let window = window(args, &zone, now)?;
        let timetable = Timetable { schedules: vec![schedule], zone, dst: Dst::default(), except: None };
        let named = [Named { name: expression, timetable: &timetable }];
        return match (args.around_dst, args.json) {
            (true, _) => around_dst(&named, &window, args.json, screen),
            (false, true) => schedule_json(&named[0], &window, screen),
            (false, false) => table(&named, &window, now, screen),
        };
    }
    let config = load()?;
    let jobs = select(&config, &args.jobs)?;
    let window = window(args, &config.daemon.timezone, now)?;
    let named: Vec<Named<'_>> = jobs.iter().map(|job| Named { name: &job.name, timetable: &job.timetable }).collect();
    match (args.around_dst, args.json) {
        (true, _) => around_dst(&named, &window, args.json, screen),
        (false, true) => jobs_json(&named, &window, screen),
        (false, false) => table(&named, &window, now, screen),
    }
}

/// The jobs that are asked for.
fn select<'a>(config: &'a Config, names: &[String]) -> Result<Vec<&'a Job>, Failure> {
    if names.is_empty() {
        return Ok(config.jobs.values().map(AsRef::as_ref).filter(|job| job.enabled && job.after.is_empty()).collect());
    }
    let job = |name: &String| {
        let known = || Failure::unknown_job(name, config.jobs.keys().map(|name| &**name));
        config.jobs.get(name.as_str()).map(AsRef::as_ref).ok_or_else(known)
    };
    names.iter().map(job).collect()
}

fn window<'a>(args: &'a NextArgs, zone: &Zone, now: Timestamp) -> Result<Window, Refusal<'a>> {
    let after = args.after.as_deref().map_or(Ok(now), |text| instant(text, zone, "--after"))?;
    let until = args.until.as_deref().map_or(Ok(Timestamp::MAX), |text| instant(text, zone, "--until"))?;
    let count = args.count.unwrap_or(if args.until.is_some() { MAX_COUNT } else { DEFAULT_COUNT });
    Ok(Window { after, until, count })
}

fn parse_count(text: &str) -> Result<usize, String> {
    let count = text.parse().ok().filter(|count| (1..=MAX_COUNT).contains(count));
    count.ok_or_else(|| format!("not a number 1-{MAX_COUNT}"))
}

/// The fires of several timetables in order of time, then of their position.
fn fires<'a>(named: &'a [Named<'a>], window: &Window) -> impl Iterator<Item = (&'a Named<'a>, Timestamp)> {
    let until = window.until;
    let next =
        move |index: usize, after| named[index].timetable.next_fire(after).filter(|fire| *fire <= until).map(|fire| Reverse((fire, index)));
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

fn jobs_json(named: &[Named<'_>], window: &Window, screen: &mut Screen<'_>) -> Result<Exit, Failure> {
    let fire = |(named, nominal): (&Named<'_>, Timestamp)| -> serde_json::Value {
        let zone = &named.timetable.zone;
        serde_json::json!(Fire { job: named.name, nominal, local: local(nominal, zone), zone: &zone.name })
    };
    let fires: Vec<serde_json::Value> = fires(named, window).map(fire).collect();
    screen.json_compact(&serde_json::json!({ "fires": fires }))?;
    Ok(Exit::Done)
}

fn schedule_json(named: &Named<'_>, window: &Window, screen: &mut Screen<'_>) -> Result<Exit, Failure> {
    let zone = &named.timetable.zone;
    let fires: Vec<Timestamp> = fires(std::slice::from_ref(named), window).map(|(_, fire)| fire).collect();
    let local: Vec<String> = fires.iter().map(|fire| local(*fire, zone)).collect();
    screen.json_compact(&serde_json::json!({ "schedule": named.name, "timezone": *zone.name, "fires": fires, "local": local }))?;
    Ok(Exit::Done)
}

fn table(named: &[Named<'_>], window: &Window, now: Timestamp, screen: &mut Screen<'_>) -> Result<Exit, Failure> {
    let rows = fires(named, window).map(|(named, fire)| {
        let at = local_for_people(fire, &named.timetable.zone);
        vec![at.into(), human::distance(fire, now).into(), escape(named.name).into_owned().into()]
    });
    let table = Table::with_rows([Column::text("fire"), Column::text("due").spare(1), Column::name("job")], rows);
    if table.is_empty() {
        screen.note("no coming fires")?;
    } else {
        screen.table(&table)?;
    }
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Look;
    use crate::cli::tests::seen_of as seen;

    const NOW: &str = "2026-03-07T12:00:00Z";

    fn timetable(expression: &str, zone: &str) -> Timetable {
        let (schedule, zone) = read(expression, Some(zone)).expect("valid");
        Timetable { schedules: vec![schedule], zone, dst: Dst::default(), except: None }
    }

    fn window_of(count: usize) -> Window {
        Window { after: NOW.parse().expect("an instant"), until: Timestamp::MAX, count }
    }

    fn printed(args: &NextArgs) -> String {
        seen(Look::default(), |screen| next(args, || panic!("no configuration is needed"), NOW.parse().expect("an instant"), screen))
    }

    fn new_york(expression: &str) -> NextArgs {
        NextArgs { schedule: Some(expression.into()), timezone: Some("America/New_York".into()), ..NextArgs::default() }
    }

    #[test]
    fn an_expression_answers_in_utc_and_local_time() {
        insta::assert_snapshot!(printed(&NextArgs { count: Some(2), json: true, ..new_york("30 2 * * *") }), @r#"
        Done
        {"schedule":"30 2 * * *","timezone":"America/New_York","fires":["2026-03-08T07:00:00Z","2026-03-09T06:30:00Z"],"local":["2026-03-08T03:00:00-04:00[America/New_York]","2026-03-09T02:30:00-04:00[America/New_York]"]}
        ---
        "#);
    }

    #[test]
    fn until_ends_the_list() {
        let args = NextArgs { after: Some("2026-05-01".into()), until: Some("2026-05-02T09:00".into()), ..new_york("0 9 * * *") };
        insta::assert_snapshot!(printed(&args), @r"
        Done
        fire                                  due      job
        Fri 2026-05-01 09:00:00 EDT (-04:00)  in 55 d  0 9 * * *
        Sat 2026-05-02 09:00:00 EDT (-04:00)  in 56 d  0 9 * * *
        ---
        ");
    }

    #[test]
    fn around_dst_shows_what_the_change_does() {
        insta::assert_snapshot!(printed(&NextArgs { count: Some(1), around_dst: true, ..new_york("30 1,2 * * *") }), @r"
        Done
        30 1,2 * * *: 2026-03-08 02:00 → 03:00 in America/New_York: 02:30 does not exist; runs at 03:00
          Sun 2026-03-08 01:30:00 EST (-05:00)
          Sun 2026-03-08 03:00:00 EDT (-04:00)
        30 1,2 * * *: 2026-11-01 02:00 → 01:00 in America/New_York: 01:30 comes twice; runs at the first
          Sun 2026-11-01 01:30:00 EDT (-04:00)
          Sun 2026-11-01 02:30:00 EST (-05:00)
        ---
        ");
    }

    #[test]
    fn a_schedule_without_fires_says_so() {
        insta::assert_snapshot!(printed(&new_york("0 0 30 2 *")), @r"
        Done
        ---
        no coming fires
        ");
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
}
