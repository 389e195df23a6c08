//! The room against two judges: the corpus of cross-checked cases in `tests/data/cron`, and the definitional oracle.

use std::hash::{BuildHasher, RandomState};

use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{SignedDuration, ToSpan};
use serde::Deserialize;

use super::*;

#[derive(Deserialize)]
struct Case {
    id: String,
    expr: String,
    tz: String,
    after: Timestamp,
    #[serde(default)]
    next: Vec<Timestamp>,
    #[serde(default)]
    reject: bool,
    #[serde(default)]
    or_reject: bool,
}

fn fires(case: &Case) -> Result<Vec<Timestamp>, String> {
    let zone = Zone::lookup(&case.tz).map_err(|error| error.to_string())?;
    let schedule = Schedule::parse(&case.expr).map_err(|error| error.message)?;
    let next = |after: &Timestamp| schedule.next(&zone, Dst::default(), *after);
    Ok(std::iter::successors(next(&case.after), next).take(10).collect())
}

fn check_corpus(text: &str) {
    for line in text.lines() {
        let case: Case = serde_json::from_str(line).expect("the corpus is JSON lines");
        let found = fires(&case);
        let passes = match &found {
            Ok(fires) => !case.reject && *fires == case.next,
            Err(_) => case.reject || case.or_reject,
        };
        assert!(passes, "{} `{}` {} after {}: found {found:?}, expected {:?}", case.id, case.expr, case.tz, case.after, case.next);
    }
}

#[test]
fn the_corpus_of_five_fields_agrees() {
    check_corpus(include_str!("../../tests/data/cron/five_field.jsonl"));
}

#[test]
fn the_corpus_of_dst_changes_agrees() {
    check_corpus(include_str!("../../tests/data/cron/dst.jsonl"));
}

#[test]
fn the_corpus_of_extensions_agrees() {
    check_corpus(include_str!("../../tests/data/cron/extensions.jsonl"));
    check_corpus(include_str!("../../tests/data/cron/policy.jsonl"));
}

#[test]
fn the_corpus_of_six_fields_agrees() {
    check_corpus(include_str!("../../tests/data/cron/six_field.jsonl"));
}

#[test]
fn the_corpus_of_invalid_expressions_is_refused() {
    check_corpus(include_str!("../../tests/data/cron/invalid.jsonl"));
}

/// splitmix64: enough to choose cases, and the same in every release.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ mixed >> 31) >> 1).expect("64-bit") % limit
    }

    fn pick<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.below(choices.len())]
    }
}

/// An expression whose hours lie near `hour`, so that changes of the clock are met often.
fn expression(random: &mut Random, hour: i8) -> String {
    let near = |shift: i8| (hour + shift).rem_euclid(24);
    let hours = match random.below(6) {
        0 => "*".to_owned(),
        1 => "*/2".to_owned(),
        2 => near(0).to_string(),
        3 => format!("{},{}", near(0), near(1)),
        4 => format!("{}-{}", hour.max(1) - 1, (hour + 1).min(23)),
        _ => format!("{},{}", near(-1), near(2)),
    };
    let minutes = random.pick(&["0", "30", "*/20", "15,45", "*/30", "59", "0-30/10"]);
    let days = random.pick(&["*", "*", "*", "*", "?", "*/2", "1-20", "L", "L-3", "15W", "1W", "30W", "31W", "LW", "1,8,15"]);
    let weekdays = random.pick(&["*", "*", "*", "?", "0", "7", "1-5", "*/3", "0L", "0#1", "1#5", "3#4", "0#2,6L", "5-7"]);
    let months = random.pick(&["*", "*", "*", "*", "*", "3,10,11", "1-6"]);
    let seconds = random.pick(&["", "", "", "", "0 ", "*/30 ", "15 "]);
    format!("{seconds}{minutes} {hours} {days} {months} {weekdays}")
}

fn policy(random: &mut Random) -> Dst {
    let gap = [Gap::RunAfter, Gap::RunAfter, Gap::Skip][random.below(3)];
    let fold = [Fold::First, Fold::First, Fold::Second, Fold::Both][random.below(4)];
    Dst { gap, fold }
}

/// Compares the search with the oracle over some days around an instant, from many starting points; says how many.
fn check_around(zone: &TimeZone, middle: Timestamp, random: &mut Random) -> usize {
    let wall = zone.to_datetime(middle);
    let text = expression(random, wall.hour());
    let dst = policy(random);
    let (first, last) = (wall.date() - 2.days(), wall.date() + 2.days());
    let members = oracle::members(&text, zone, dst, first, last);
    let Ok(Schedule::Cron(cron)) = Schedule::parse(&text) else { panic!("`{text}` is refused") };
    // The oracle knows whole dates only: leave out the edges, which a date change could move by a day.
    let (start, end) = (middle - SignedDuration::from_hours(24), middle + SignedDuration::from_hours(24));
    let starts = (0..12).map(|_| start + SignedDuration::from_secs(i64::try_from(random.below(48 * 3600)).expect("small")));
    let edges = members.range(start..end).flat_map(|member| [*member, *member - SignedDuration::from_secs(1)]).take(24);
    let afters: Vec<Timestamp> = starts.chain(edges).collect();
    let zone_of = |rules: &TimeZone| Zone { name: "Test/Zone".into(), rules: rules.clone() };
    let timetable = Timetable { schedules: vec![Schedule::Cron(cron)], zone: zone_of(zone), dst, except: None };
    let scanned: Vec<Timestamp> = scan(&timetable, start, end).filter(|member| *member < end).collect();
    let expected: Vec<Timestamp> = members.range(start..end).filter(|member| **member > start).copied().collect();
    assert_eq!(scanned, expected, "scan of `{text}` {:?} {dst:?} from {start}", zone.iana_name());
    for &after in &afters {
        let expected = members.range(after..end).find(|member| **member > after).copied();
        let found = dst::next(&cron, zone, dst, after);
        assert_eq!(found.filter(|found| *found < end), expected, "`{text}` {:?} {dst:?} after {after}", zone.iana_name());
        assert!(found.is_none_or(|found| found > after), "`{text}` does not move on from {after}");
    }
    afters.len()
}

/// Visits every zone that ever changes, around changes from 1971 to 2150, until `wanted` cases are compared.
fn check_against_oracle(seed: u64, wanted: usize) {
    let mut random = Random(seed);
    let bundled = TimeZoneDatabase::bundled();
    let mut zones: Vec<TimeZone> = bundled.available().filter_map(|name| bundled.get(name.as_str()).ok()).collect();
    zones.retain(|zone| zone.following(Timestamp::UNIX_EPOCH).next().is_some());
    assert!(zones.len() > 400, "the bundle holds {} zones that change", zones.len());
    let mut compared = 0;
    while compared < wanted {
        for zone in &zones {
            let year = i64::try_from(random.below(180)).expect("small");
            let from = Timestamp::UNIX_EPOCH + SignedDuration::from_hours(year * 8766);
            let change = zone.following(from).next().or_else(|| zone.preceding(from).next());
            let Some(middle) = change.map(|change| change.timestamp()) else { continue };
            compared += check_around(zone, middle, &mut random);
        }
    }
}

/// The rare shapes: half hours, seconds of local mean time, days skipped whole; far from the random years above, too.
#[test]
fn the_search_agrees_at_every_change_that_is_not_of_one_hour() {
    let mut random = Random(1_582);
    let bundled = TimeZoneDatabase::bundled();
    let (start, end) = ("1900-01-01T00:00:00Z".parse().expect("an instant"), "2040-01-01T00:00:00Z".parse().expect("an instant"));
    let mut days_skipped = 0;
    for zone in bundled.available().filter_map(|name| bundled.get(name.as_str()).ok()) {
        let changes = Change::following(&zone, start).take_while(|change| change.at < end);
        for change in changes.filter(|change| change.jump_seconds().abs() != 3_600) {
            days_skipped += usize::from(change.jump_seconds() == 86_400);
            check_around(&zone, change.at, &mut random);
        }
    }
    assert!(days_skipped >= 3, "Apia, Fakaofo and Kwajalein skipped a day; found {days_skipped}");
}

#[test]
fn the_days_agree_over_years() {
    let mut random = Random(29);
    for _ in 0..300 {
        let text = expression(&mut random, 3);
        let from = jiff::civil::date(1970 + i16::try_from(random.below(400)).expect("small"), 1, 1);
        let members = oracle::members(&text, &TimeZone::UTC, Dst::default(), from, from + 2.years());
        let Ok(Schedule::Cron(cron)) = Schedule::parse(&text) else { panic!("`{text}` is refused") };
        let mut after = jiff::tz::Offset::UTC.to_timestamp(from.at(0, 0, 0, 0)).expect("in range") - SignedDuration::from_secs(1);
        for member in members {
            assert_eq!(dst::next(&cron, &TimeZone::UTC, Dst::default(), after), Some(member), "`{text}` after {after}");
            after = member;
        }
    }
}

#[test]
fn the_search_agrees_with_the_definition() {
    check_against_oracle(20_261_123, 60_000);
}

#[test]
fn the_search_agrees_with_the_definition_from_a_fresh_seed() {
    let seed = RandomState::new().hash_one(0);
    println_seed(seed);
    check_against_oracle(seed, 60_000);
}

#[expect(clippy::print_stderr, reason = "a failure must be repeatable; the harness shows this only then")]
fn println_seed(seed: u64) {
    eprintln!("seed {seed}");
}

fn check_next(expression: &str, zone: &str, dst: Dst, after: &str, expected: &[&str]) {
    let zone = Zone::lookup(zone).expect("a known zone");
    let schedule = Schedule::parse(expression).expect("a valid schedule");
    let next = |after: &Timestamp| schedule.next(&zone, dst, *after);
    let after: Timestamp = after.parse().expect("an instant");
    let found: Vec<String> = std::iter::successors(next(&after), next).take(expected.len()).map(|fire| fire.to_string()).collect();
    assert_eq!(found, expected, "{expression}");
}

#[test]
fn the_dst_policy_is_obeyed() {
    let new_york = |gap, fold, after, expected: &[&str]| check_next("30 1,2 * * *", "America/New_York", Dst { gap, fold }, after, expected);
    let (spring, autumn) = ("2026-03-08T06:30:00Z", "2026-11-01T04:00:00Z");
    new_york(Gap::RunAfter, Fold::First, spring, &["2026-03-08T07:00:00Z", "2026-03-09T05:30:00Z"]);
    new_york(Gap::Skip, Fold::First, spring, &["2026-03-09T05:30:00Z"]);
    new_york(Gap::RunAfter, Fold::First, autumn, &["2026-11-01T05:30:00Z", "2026-11-01T07:30:00Z"]);
    new_york(Gap::RunAfter, Fold::Second, autumn, &["2026-11-01T06:30:00Z", "2026-11-01T07:30:00Z"]);
    new_york(Gap::RunAfter, Fold::Both, autumn, &["2026-11-01T05:30:00Z", "2026-11-01T06:30:00Z", "2026-11-01T07:30:00Z"]);
}

#[test]
fn a_fraction_of_a_second_is_not_skipped_over() {
    check_next("* * * * * *", "UTC", Dst::default(), "2026-01-01T00:00:00.5Z", &["2026-01-01T00:00:01Z"]);
    check_next("* * * * * *", "UTC", Dst::default(), "1969-12-31T23:59:58.5Z", &["1969-12-31T23:59:59Z", "1970-01-01T00:00:00Z"]);
}

#[test]
fn the_ends_of_the_calendar_are_answered() {
    let schedule = Schedule::parse("30 2 * * *").expect("valid");
    let zone = Zone::lookup("America/New_York").expect("a known zone");
    assert!(schedule.next(&zone, Dst::default(), Timestamp::MIN).is_some());
    assert_eq!(schedule.next(&zone, Dst::default(), Timestamp::MAX), None);
}

#[test]
fn times_past_2038_and_2100_come() {
    check_next("14 3 19 1 *", "UTC", Dst::default(), "2037-06-01T00:00:00Z", &["2038-01-19T03:14:00Z", "2039-01-19T03:14:00Z"]);
    check_next("0 12 29 2 *", "UTC", Dst::default(), "2097-01-01T00:00:00Z", &["2104-02-29T12:00:00Z"]);
    check_next("0 12 1 7 *", "America/New_York", Dst::default(), "2149-08-01T00:00:00Z", &["2150-07-01T16:00:00Z"]);
}

#[test]
fn intervals_are_multiples_since_the_epoch() {
    check_next("@every 90m", "UTC", Dst::default(), "1970-01-01T00:00:00Z", &["1970-01-01T01:30:00Z", "1970-01-01T03:00:00Z"]);
    check_next("@every 1m", "UTC", Dst::default(), "1969-12-31T23:59:59.5Z", &["1970-01-01T00:00:00Z"]);
}

#[test]
fn a_schedule_that_never_comes_is_known() {
    let never = |text: &str| Schedule::parse(text).expect("valid").never_fires();
    assert!(never("0 0 30 2 *") && never("0 0 31 4,6,9,11 *") && never("0 0 30W 2 *"));
    assert!(!never("0 0 29 2 *") && !never("0 0 30 2 MON") && !never("@reboot") && !never("@every 1s"));
}

#[test]
fn the_parsed_form_is_small() {
    assert!(size_of::<Cron>() <= 56, "{}", size_of::<Cron>());
}

fn check_refused(expression: &str, expected: &str) {
    let error = Schedule::parse(expression).expect_err("refused");
    let place = expression.get(error.range.clone()).expect("a range inside the expression");
    let shown = format!("{}: {}; {}", if place == expression { "all" } else { place }, error.message, error.help.unwrap_or_default());
    assert_eq!(shown.trim_end_matches("; "), expected, "{expression}");
}

#[test]
fn refusals_name_the_place_the_range_and_the_fix() {
    check_refused("60 * * * *", "60: minute `60` is out of range 0-59; the full hour or minute is `0`");
    check_refused("0 0 * * 8", "8: weekday `8` is out of range 0-7");
    check_refused("5/15 * * * *", "5: minute `5` has a step `15` without a range; write `5-59/15`");
    check_refused("50-10 * * * *", "50-10: minute range `50-10` runs backwards; start is after end; for a wrap-round write `50-59,0-10`");
    check_refused("* * * * Monday", "Monday: weekday `Monday` is not a number 0-7 or a name SUN-SAT; write `Mon`");
    check_refused(
        "0 0 ? ? *",
        "?: month `?` is allowed only in day of month and weekday, and only alone; it looks like Quartz: write `*` instead of `?`",
    );
    check_refused(
        "0 0 2 * * ? 2026",
        "all: found 7 fields, expected 5 or 6; it looks like Quartz: drop the year, write `0 0 2 * * *`; Sunday is 0 here, not 1",
    );
    check_refused(
        "0 2 * * * 2026",
        "2026: weekday `2026` is out of range 0-7; there is no year field; it looks like Quartz: remove the year",
    );
    check_refused("@Daily", "all: unknown nickname `@Daily`; nicknames are lower case: write `@daily`");
    check_refused(
        "@every 1month",
        "1month: `@every 1month` has no fixed length: months and years vary; use days or weeks, or `@monthly` or `@yearly`",
    );
    check_refused(
        "* * * * 1#6",
        "1#6: weekday `1#6` is not one of 0L to 7L, 0#1 to 7#5; write `5L` for the last Friday, `1#2` for the second Monday",
    );
    check_refused(&"*".repeat(1_001), ": the expression is too long: 1001 bytes, at most 1000 allowed");
    check_refused("\u{202e}\n * * * *", "\u{202e}\n: minute `\\u{202e}\\n` is not a number 0-59");
}
