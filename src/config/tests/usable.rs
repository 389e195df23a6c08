//! What a valid file comes to: defaults, overrides, targets, fingerprints, changes, warnings.

use std::path::PathBuf;
use std::time::Duration;

use super::super::*;
use super::{context, job};
use crate::schedule::Gap;

fn load(text: &str) -> Config {
    match parse(text.as_bytes(), &context()) {
        Ok((config, _)) => config,
        Err(problems) => panic!("{}", problems.render(false)),
    }
}

#[test]
fn defaults_are_filled_in() {
    let config = load("[jobs.a]\nschedule = \"manual\"\nhandler = \"echo\"\n");
    let job = &config.jobs["a"];
    assert_eq!((job.policies.concurrency, job.enabled, job.policies.max_failures), (8, true, MaxFailures::Any));
    assert_eq!(job.policies.catch_up, CatchUp { policy: CatchUpPolicy::Latest, window: Duration::from_secs(86_400), max: 100 });
    assert_eq!(job.policies.stop, StopPolicy { signal: 15, grace: Duration::from_secs(10), leftovers: Leftovers::Kill });
    assert_eq!((job.policies.retry.attempts, job.policies.retry.delay, job.policies.overlap), (1, Duration::from_secs(5), Overlap::Skip));
    assert_eq!((job.schedule_text.join("|"), job.timetable.schedules.len()), ("manual".to_owned(), 0));
    assert_eq!(config.log.dir, PathBuf::from("/srv/batch/logs"));
    assert_eq!((config.log.max_size, config.log.backups), (5 << 20, 5));
    assert_eq!(config.daemon.state_dir, PathBuf::from("/srv/batch/state"));
}

#[test]
fn a_job_overrides_the_defaults_part_by_part() {
    let config = load(
        "[daemon]\nenv = { A = \"1\", B = \"1\" }\n\
         [defaults]\ntimeout = \"1h\"\nretry = { attempts = 5, delay = \"1s\" }\nenv = { B = \"2\", C = \"2\" }\ndst = { gap = \"skip\" }\n\
         [jobs.a]\nschedule = \"@daily\"\ncommand = [\"true\"]\nretries = 1\ncwd = \"x\"\nenv = { C = \"3\" }\ndst = { fold = \"both\" }\n\
         overlap = { policy = \"queue\", max = 5 }\n",
    );
    let job = &config.jobs["a"];
    assert_eq!(
        (job.policies.timeout, job.policies.retry.attempts, job.policies.retry.delay),
        (Some(Duration::from_secs(3_600)), 2, Duration::from_secs(1))
    );
    let env: Vec<_> = job.process.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(env, ["A=1", "B=2", "C=3"]);
    assert_eq!((job.timetable.dst.gap, job.process.directory()), (Gap::Skip, std::path::Path::new("/srv/batch/x")));
    assert_eq!(job.policies.overlap, Overlap::Queue { max: 5 });
}

#[test]
fn a_request_is_read() {
    let request = |line: &str| {
        let config = load(&format!("[defaults]\nretry = {{ attempts = 2, on_exit = [75] }}\n[jobs.a]\nschedule = \"manual\"\n{line}\n"));
        let Work::Http(request) = &config.jobs["a"].work else { panic!("{:?}", config.jobs["a"].work) };
        assert_eq!((config.jobs["a"].policies.retry.attempts, config.jobs["a"].policies.retry.on_exit.len()), (2, 0));
        HttpWork::clone(request)
    };
    let plain = request("http = { url = \"http://a.test/{{ job }}\" }");
    assert_eq!((&*plain.method, &*plain.url, plain.redirects, plain.allow_link_local), ("GET", "http://a.test/{{ job }}", 0, false));
    assert!([200, 299].iter().all(|status| plain.expect[0].has(*status)) && !plain.expect[0].has(300));
    let full = request("http = { url = \"http://a.test/\", body = \"{}\", headers = { A = \"1\" }, expect = [\"3xx\", 404] }");
    assert_eq!((&*full.method, full.headers, full.body.as_deref()), ("POST", vec![("A".to_owned(), "1".to_owned())], Some("{}")));
    assert_eq!(full.expect, [Expected::Class(3), Expected::Status(404)]);
}

#[test]
fn targets_are_identified_by_their_keys() {
    let keys = |line: &str| -> Vec<String> {
        let config = load(&job(line));
        let targets = &config.jobs["backup"].targets;
        (0..targets.partials()).filter_map(|index| targets.get(index)).map(|target| target.key.to_string()).collect()
    };
    assert_eq!(keys("targets = [\"b\", \"a\"]"), ["b", "a"]);
    assert_eq!(keys("targets = [{ id = 7, name = \"x\" }, { name = \"y\" }]"), ["7", "y"]);
    assert_eq!(keys("targets = [{ shop = \"s\" }]\ntarget_key = \"shop\""), ["s"]);
    assert_eq!(keys("targets = { range = \"-1..2\" }"), ["-1", "0", "1"]);
}

#[test]
fn a_fingerprint_depends_on_schedule_zone_and_dst_only() {
    let print = |extra: &str| load(&job(extra)).jobs["backup"].schedule_fingerprint();
    assert_eq!(print(""), print("timeout = \"1s\""));
    assert_ne!(print(""), print("timezone = \"Asia/Seoul\""));
    assert_ne!(print(""), print("dst = { gap = \"skip\" }"));
}

#[test]
fn a_change_names_jobs_keys_and_settings() {
    let old = load("[jobs.a]\nschedule = \"@daily\"\ncommand = [\"x\"]\n[jobs.b]\nschedule = \"@daily\"\ncommand = [\"x\"]\n");
    let new = load(
        "[daemon]\nstate_dir = \"other\"\n[log]\nlevel = \"debug\"\n\
         [jobs.b]\nschedule = \"@hourly\"\ncommand = [\"y\"]\n[jobs.c]\nschedule = \"@daily\"\ncommand = [\"x\"]\n",
    );
    let change = change::diff(&old, &new);
    assert_eq!((change.added, change.removed), (vec!["c".into()], vec!["a".into()]));
    assert_eq!(
        change.changed.iter().map(|job| (&*job.name, job.what.join(" "))).collect::<Vec<_>>(),
        [("b", "schedule command".to_owned())]
    );
    assert_eq!(
        (change.settings, change.restart),
        (vec!["daemon.state_dir".to_owned(), "log.level".to_owned()], vec!["daemon.state_dir".to_owned()])
    );
    assert!(change::diff(&old, &old).is_empty());
}

#[test]
fn suspicions_are_warnings() {
    let (_, warnings) = parse(job("concurrency = 3").as_bytes(), &context()).expect("a warning only");
    assert_eq!(warnings.list().iter().map(|warning| warning.severity).collect::<Vec<_>>(), [Severity::Warning]);
}

#[test]
fn days_that_do_nothing_or_leave_nothing_are_suspicious() {
    let check = |except: &str, expected: &[&str]| {
        let text = job(&format!("except = {except}"));
        let (config, warnings) = parse(text.as_bytes(), &context()).expect("warnings only");
        let now = "2026-11-24T12:00:00Z".parse().expect("is a time");
        let found = warnings.with_schedules(&config, now, &|_| None).one_line();
        assert_eq!(found, expected, "{except}");
    };
    check("[\"2026-11-24\"]", &[]);
    check("[\"2026-11-22\", \"2026-11-23\"]", &["jobs.toml:4:10: `except`: all its days are past, the last is 2026-11-23"]);
    check("\"2026-01-01..2099-12-31\"", &["jobs.toml:4:10: `except`: its days leave no fire in the next 366 days"]);
}

#[test]
fn a_job_that_comes_again_before_it_has_ended_is_suspicious() {
    let check = |schedule: &str, overlap: &str, slow: u64, expected: &[&str]| {
        let text = format!("[jobs.a]\nschedule = \"{schedule}\"\ncommand = [\"true\"]\noverlap = \"{overlap}\"\n");
        let (config, warnings) = parse(text.as_bytes(), &context()).expect("warnings only");
        let now = "2026-11-24T12:00:00Z".parse().expect("is a time");
        let problems = warnings;
        let found = problems.with_schedules(&config, now, &|_| Some(Duration::from_secs(slow))).one_line();
        assert_eq!(found, expected, "{schedule}");
    };
    check("0 * * * *", "skip", 3_500, &[]);
    let warning = "jobs.toml:2:12: `schedule`: it comes again after 1h, and one run in twenty takes longer than 1h 1m 40s";
    check("0 * * * *", "skip", 3_700, &[warning]);
    check("0 * * * *", "allow", 3_700, &[]);
}
