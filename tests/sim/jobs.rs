//! scratch
use batchd::config::*;
use batchd::schedule::*;
use std::sync::Arc;
use std::time::Duration;
pub(crate) fn job(name: &str, every: u64) -> Job {
    Job {
        name: name.into(),
        description: None,
        schedule_text: vec![format!("@every {every}s")],
        timetable: Timetable {
            schedules: vec![Schedule::Every(Duration::from_secs(every))],
            zone: Zone::lookup("UTC").unwrap(),
            dst: Dst::default(),
        },
        jitter: Duration::ZERO,
        enabled: true,
        work: Work::Command(vec!["true".into()]),
        targets: Targets::None,
        concurrency: 8,
        partial_timeout: None,
        timeout: Some(Duration::from_secs(300)),
        retry: Retry {
            attempts: 1,
            delay: Duration::from_secs(5),
            factor: 2.0,
            max_delay: Duration::from_secs(300),
            jitter: 0.2,
            on_exit: vec![],
        },
        max_failures: MaxFailures::Any,
        gather: None,
        overlap: Overlap::Skip,
        catch_up: CatchUp { policy: CatchUpPolicy::Latest, window: Duration::from_secs(86400), max: 100 },
        on_interrupted: Interrupted::Resume,
        stop: StopPolicy { signal: 15, grace: Duration::from_secs(5) },
        process: Process::default(),
        output_max_size: 1 << 20,
    }
}
pub(crate) fn fixed() -> Vec<Job> {
    let s = |n: &[&str]| {
        Targets::List(n.iter().map(|k| Target { key: (*k).into(), value: TargetValue::Text((*k).into()) }).collect::<Vec<_>>().into())
    };
    let mut v = vec![job("plain", 60), job("fan", 120), job("queued", 30), job("replaced", 45), job("limited", 90)];
    for j in &mut v {
        j.partial_timeout = Some(Duration::from_secs(50));
    }
    v[1].targets = s(&["a", "b", "c", "d", "e", "f", "g"]);
    v[1].concurrency = 3;
    v[1].retry.attempts = 3;
    v[1].retry.delay = Duration::from_secs(3);
    v[1].gather = Some(vec!["true".into()]);
    v[2].overlap = Overlap::Queue { max: 2 };
    v[2].catch_up = CatchUp { policy: CatchUpPolicy::All, window: Duration::from_secs(600), max: 3 };
    v[3].overlap = Overlap::Replace;
    v[3].on_interrupted = Interrupted::Fail;
    v[4].targets = Targets::Range { start: 0, end: 6 };
    v[4].max_failures = MaxFailures::Count(1);
    v[4].on_interrupted = Interrupted::Rerun;
    v[4].catch_up.policy = CatchUpPolicy::None;
    v
}
pub(crate) fn config(jobs: Vec<Job>, max: usize) -> Arc<Config> {
    Arc::new(Config {
        daemon: DaemonConfig {
            timezone: Zone::lookup("UTC").unwrap(),
            state_dir: "/s".into(),
            max_partials: max,
            drain_timeout: Duration::from_secs(20),
            env: Default::default(),
        },
        log: LogConfig {
            dir: "/l".into(),
            file: "b".into(),
            max_size: 1,
            backups: 1,
            level: LogLevel::Info,
            format: LogFormat::Text,
            console: None,
        },
        jobs: jobs.into_iter().map(|j| (j.name.clone(), Arc::new(j))).collect(),
    })
}
