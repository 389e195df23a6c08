//! Small stories with a known outcome.

use super::*;
use crate::config::{Context, parse};
use crate::schedule::Zone;

fn config(jobs: &str) -> Arc<Config> {
    let files = |_: &std::path::Path| Err("there are none".to_owned());
    let context = Context {
        path: "jobs.toml".into(),
        base: "/".into(),
        system_zone: Zone::utc(),
        handlers: Vec::new(),
        files,
        matches: |_, _| Ok(Vec::new()),
        host: crate::config::Host::any(),
    };
    Arc::new(parse(jobs.as_bytes(), &context).expect("is valid").0)
}

fn at(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

/// Since the day began.
fn since(text: &str) -> Duration {
    at(text).duration_since(at("2026-06-01T00:00:00Z")).unsigned_abs()
}

/// A day of `jobs`, whose attempts take so many minutes; what became of each job, in words.
#[track_caller]
fn check(jobs: &str, minutes: u64, down: &[(&str, &str)], expected: &[&str]) {
    let plan = Plan {
        from: at("2026-06-01T00:00:00Z"),
        to: at("2026-06-02T00:00:00Z"),
        durations: HashMap::new(),
        otherwise: Duration::from_secs(minutes * 60),
        troubles: down.iter().map(|(from, to)| (since(from), Trouble::Down(at(to).duration_since(at(from)).unsigned_abs()))).collect(),
        listed: 0,
    };
    let report = simulate(&config(jobs), &plan, |_| ());
    let words = |(name, job): (&JobName, &JobReport)| {
        let decided: Vec<String> = job.decided.iter().map(|(decision, count)| format!("{count} {decision}")).collect();
        format!("{name}: {}", if job.followed > 0 { format!("{} followed", job.followed) } else { decided.join(", ") })
    };
    assert_eq!(report.jobs.iter().map(words).collect::<Vec<_>>(), expected);
}

#[test]
fn every_nominal_time_is_decided() {
    let hourly = "[jobs.a]\nschedule = \"0 * * * *\"\ncommand = [\"true\"]\n";
    check(hourly, 10, &[], &["a: 24 ran"]);
    check(hourly, 90, &[], &["a: 12 ran, 12 skipped"]);
    check(&format!("{hourly}overlap = \"allow\"\n"), 90, &[], &["a: 24 ran"]);
    check(hourly, 10, &[("2026-06-01T03:30:00Z", "2026-06-01T07:30:00Z")], &["a: 3 coalesced, 21 ran"]);
    check(&format!("{hourly}catch_up = \"none\"\n"), 10, &[("2026-06-01T03:30:00Z", "2026-06-01T07:30:00Z")], &["a: 4 missed, 20 ran"]);
    check(&format!("{hourly}except = \"2026-06-01\"\n"), 10, &[], &["a: 24 suppressed"]);
}

#[test]
fn a_job_follows_another() {
    let jobs = "[jobs.a]\nschedule = \"0 */6 * * *\"\ncommand = [\"true\"]\n[jobs.b]\nafter = [\"a\"]\ncommand = [\"true\"]\n";
    check(jobs, 10, &[], &["a: 4 ran", "b: 4 followed"]);
    check(jobs, 10, &[("2026-06-01T06:05:00Z", "2026-06-01T08:00:00Z")], &["a: 4 ran", "b: 4 followed"]);
}

#[test]
fn the_peak_and_the_first_fires_are_told() {
    let jobs = "[jobs.a]\nschedule = \"0 2 * * *\"\ncommand = [\"true\"]\ntargets = { range = \"0..20\" }\nconcurrency = 6\n\
                [jobs.b]\nschedule = \"1 2 * * *\"\ncommand = [\"true\"]\n";
    let plan = Plan {
        from: at("2026-06-01T00:00:00Z"),
        to: at("2026-06-03T00:00:00Z"),
        durations: HashMap::from([("a".into(), Duration::from_secs(600))]),
        otherwise: Duration::from_secs(1),
        troubles: Vec::new(),
        listed: 3,
    };
    let report = simulate(&config(jobs), &plan, |_| ());
    assert_eq!(report.partials, Peak { most: 7, at: Some(at("2026-06-01T02:01:00Z")) });
    assert_eq!((report.runs.most, report.fired), (2, 4));
    let fires: Vec<String> = report.fires.iter().map(|fire| format!("{} {}", fire.job, fire.nominal)).collect();
    assert_eq!(fires, ["a 2026-06-01T02:00:00Z", "b 2026-06-01T02:01:00Z", "a 2026-06-02T02:00:00Z"]);
}

/// How many processes of a run at midnight start at which second; each takes ten.
#[track_caller]
fn check_starts(keys: &str, expected: &[(f64, u32)]) {
    let jobs = format!("[jobs.a]\nschedule = \"0 0 * * *\"\nshell = \"true\"\n{keys}\n");
    let mut starts: Vec<(f64, u32)> = Vec::new();
    watch(&jobs, "2026-06-01T00:10:00Z", |seen| {
        if let Seen::Start(_, now) = seen {
            let second = now.wall.duration_since(at("2026-06-01T00:00:00Z")).as_secs_f64();
            match starts.last_mut().filter(|(last, _)| (*last - second).abs() < 0.001) {
                Some((_, count)) => *count += 1,
                None => starts.push((second, 1)),
            }
        }
    });
    let alike = |(found, expected): (&(f64, u32), &(f64, u32))| (found.0 - expected.0).abs() < 0.001 && found.1 == expected.1;
    assert!(starts.len() == expected.len() && starts.iter().zip(expected).all(alike), "{keys}: {starts:?}");
}

fn watch(jobs: &str, to: &str, watch: impl FnMut(Seen<'_>)) {
    let plan = Plan {
        from: at("2026-06-01T00:00:00Z"),
        to: at(to),
        durations: HashMap::new(),
        otherwise: Duration::from_secs(10),
        troubles: Vec::new(),
        listed: 0,
    };
    simulate(&config(jobs), &plan, watch);
}

#[test]
fn what_starts_first_together_and_how_fast() {
    let five = "targets = { range = \"0..5\" }\n";
    check_starts(five, &[(0.0, 5)]);
    check_starts(&format!("{five}canary = 2"), &[(0.0, 2), (10.0, 3)]);
    check_starts(&format!("{five}canary = 9"), &[(0.0, 5)]);
    check_starts(&format!("{five}chunk = 2"), &[(0.0, 3)]);
    check_starts(&format!("{five}chunk = 2\ncanary = 3"), &[(0.0, 2), (10.0, 1)]);
    check_starts(&format!("{five}rate = \"2/s\""), &[(0.0, 1), (0.5, 1), (1.0, 1), (1.5, 1), (2.0, 1)]);
    check_starts(&format!("{five}rate = \"30/m\"\nchunk = 2"), &[(0.0, 1), (2.0, 1), (4.0, 1)]);
}

#[test]
fn a_run_of_two_targets_is_not_starved_by_one_of_a_million() {
    let jobs = "[daemon]\nmax_partials = 64\n\
                [jobs.big]\nschedule = \"0 0 * * *\"\nshell = \"true\"\ntargets = { range = \"0..1000000\" }\nconcurrency = 1000\n\
                [jobs.small]\nschedule = \"0 1 * * *\"\nshell = \"true\"\ntargets = [\"a\", \"b\"]\n";
    let mut ended = Vec::new();
    watch(jobs, "2026-06-01T01:05:00Z", |seen| {
        if let Seen::Record(Record::Finished(summary)) = seen {
            ended.push(summary.ended.duration_since(at("2026-06-01T01:00:00Z")).as_secs_f64());
        }
    });
    // Alone it takes ten seconds.
    assert!(matches!(ended[..], [took] if took <= 20.0), "{ended:?}");
}
