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
