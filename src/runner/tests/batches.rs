//! Handlers with a plan and a gather, and those that block.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, Sender, channel};

use serde_json::json;

use super::*;
use crate::config::Source;
use crate::engine::Outcome::{self, Failed, Succeeded};
use crate::engine::PlanEnd;
use crate::handler::{
    Arg, Batch, Blocking, Context, HandlerError, HandlerResult, IntoHandler, Lane, PartialResult, Results, TargetList, Trial,
};

/// Lists so many targets, says a word at the end, and counts.
struct Count {
    targets: u32,
    last: &'static str,
}

impl Batch for Count {
    fn args(&self) -> Vec<Arg> {
        vec![Arg::integer("factor").default(2)]
    }

    async fn plan(&self, _: Context, targets: TargetList) -> Result<(), HandlerError> {
        for number in 0..self.targets {
            targets.add(number.to_string()).await?;
        }
        match self.last {
            "" => Ok(()),
            "panic" => panic!("no list"),
            "fail" => Err("the directory is closed".into()),
            "deaf" => std::future::pending().await,
            "flood" => loop {
                targets.add("1").await?;
            },
            target => targets.add(target).await,
        }
    }

    async fn partial(&self, context: Context) -> HandlerResult {
        Ok(json!(context.target_as::<i64>()? * context.arg::<i64>("factor")?))
    }

    async fn finish(&self, context: Context, mut results: Results) -> HandlerResult {
        let mut outcomes = BTreeMap::new();
        while let Some(partial) = results.next().await? {
            *outcomes.entry(partial.outcome.name()).or_insert(0) += 1;
            if self.last == "fail" {
                return Err("the sums differ".into());
            }
        }
        Ok(json!({ "outcomes": outcomes, "count": context.count }))
    }
}

fn registry<Kind>(handler: impl IntoHandler<Kind>) -> Registry {
    let mut handlers = Registry::new();
    handlers.insert("work", handler);
    handlers
}

fn work() -> Work {
    Work::Handler("work".to_owned())
}

/// Keeps keys in memory.
#[derive(Debug, Default)]
struct Keys(Vec<Arc<str>>);

impl PlanKeeper for Keys {
    fn begin(&mut self) -> Result<(), String> {
        Ok(())
    }

    fn at_once(&self) -> usize {
        100
    }

    fn keep(&mut self, targets: Vec<Target>) -> Result<Kept, String> {
        for (position, target) in targets.iter().enumerate() {
            if let Some(first) = self.0.iter().position(|key| *key == target.key) {
                return Ok(Kept::Duplicate { position, key: Arc::clone(&target.key), first: u32::try_from(first).expect("few") });
            }
            self.0.push(Arc::clone(&target.key));
        }
        Ok(Kept::All)
    }

    fn end(&mut self) -> Result<PlanEnd, String> {
        Ok(PlanEnd::Read { count: u32::try_from(self.0.len()).expect("few"), unlisted: crate::engine::Indexes::default() })
    }
}

/// What comes of a plan, stopped as said.
fn plan(count: Count, stops: &[Stop]) -> String {
    let mut bench = Bench::with_handlers(registry(count));
    let mut job = bench.job(work());
    job.targets = Targets::Source(Arc::new(Source::of_handler()));
    let run = Arc::new(RunInfo { targets: job.targets.of_run(), ..(*info(job)).clone() });
    {
        let _context = bench.runtime.enter();
        bench.runner.plan(run, Box::new(Keys::default()), None);
    }
    for stop in stops {
        bench.runner.stop_plan(RUN, *stop);
    }
    match bench.event() {
        Event::PlanEnded { run: RUN, end: PlanEnd::Read { count, .. } } => format!("{count} targets"),
        Event::PlanEnded { run: RUN, end: PlanEnd::Failed(reason) } => reason.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_handler_lists_the_targets_of_a_run() {
    let planned = |targets, last| plan(Count { targets, last }, &[]);
    assert_eq!(planned(10_000, ""), "10000 targets");
    assert_eq!(planned(0, ""), "0 targets");
    assert_eq!(planned(3, "fail"), "`work`: the directory is closed");
    assert_eq!(planned(3, "panic"), "`work`: handler panicked: no list");
    assert_eq!(planned(3, "1"), "`work`: target 4: duplicate target `1`, which is the same as target 2");
    assert_eq!(planned(3, "flood"), "`work`: target 4: duplicate target `1`, which is the same as target 2", "`add` says no in the end");
    let long = "x".repeat(2_000).leak();
    assert_eq!(planned(3, long), "`work`: target 4: the target's key is too long: 2000 bytes, at most 1024 are allowed");
    let deaf = plan(Count { targets: 3, last: "deaf" }, &[Stop::Polite, Stop::Kill]);
    assert_eq!(deaf, "`work`: handler aborted: it did not end when asked to");
}

/// Lists its targets from several tasks at once, some of which never end.
struct Crowd;

impl Batch for Crowd {
    async fn plan(&self, _: Context, targets: TargetList) -> Result<(), HandlerError> {
        let targets = Arc::new(targets);
        let listing = ["a", "b", "c", "d"].map(|task| {
            let targets = Arc::clone(&targets);
            tokio::spawn(async move {
                for number in 0..2_000 {
                    targets.add(format!("{task}{number}")).await?;
                }
                Ok::<_, HandlerError>(())
            })
        });
        for listing in listing {
            listing.await??;
        }
        tokio::spawn(async move {
            std::future::pending::<()>().await;
            drop(targets);
        });
        Ok(())
    }

    async fn partial(&self, _: Context) -> HandlerResult {
        Ok(json!(null))
    }

    async fn finish(&self, _: Context, _: Results) -> HandlerResult {
        Ok(json!(null))
    }
}

#[test]
fn targets_that_several_tasks_list_keep_the_order_of_each() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(3).enable_all().build().expect("a runtime");
    let tried = runtime.block_on(Trial::of(Crowd).run()).expect("it runs");
    let of = |task| tried.partials.iter().filter_map(move |partial| partial.target.as_str()?.strip_prefix(task)).collect::<Vec<_>>();
    let expected: Vec<String> = (0..2_000).map(|number| number.to_string()).collect();
    for task in ["a", "b", "c", "d"] {
        assert_eq!(of(task), expected, "{task}");
    }
}

fn gather(last: &'static str, count: u32, pages: ResultPages) -> AttemptEnd {
    let mut bench = Bench::with_handlers(registry(Count { targets: 0, last }));
    let mut job = bench.job(work());
    job.gather = Some(Gather::Handler);
    let run = RunInfo { targets: Targets::Range { start: 0, end: count.into() }, ..(*info(job)).clone() };
    {
        let _context = bench.runtime.enter();
        bench.runner.gather(Arc::new(run), ResultSource::Pages(pages), None);
    }
    match bench.event() {
        Event::GatherEnded { run: RUN, end } => end.end,
        other => panic!("{other:?}"),
    }
}

/// Pages of at most seven.
fn pages(count: u32) -> ResultPages {
    let result = |index: u32| PartialResult {
        index,
        target: json!(index.to_string()),
        outcome: if index % 4 == 3 { Failed } else { Succeeded },
        attempts: 1,
        started: Timestamp::UNIX_EPOCH,
        ended: Timestamp::UNIX_EPOCH,
        duration_ms: 0.5,
        result: json!(index),
        error: None,
    };
    let mut indexes = 0..count;
    Box::new(move || indexes.by_ref().take(7).map(result).collect())
}

#[test]
fn a_handler_gathers_the_results_of_a_run() {
    let end = gather("", 10_000, pages(10_000));
    let result = end.result.expect("a result");
    assert_eq!((end.outcome, result.get()), (Succeeded, r#"{"outcomes":{"failed":2500,"succeeded":7500},"count":10000}"#));
    let failed = |end: AttemptEnd| (end.outcome, end.error.expect("a reason").to_string());
    assert_eq!(failed(gather("fail", 10, pages(10))), (Failed, "the sums differ".to_owned()));
    assert_eq!(failed(gather("", 10, pages(9))), (Failed, "only 9 of 10 results can be read".to_owned()));
    let mut left = 2;
    let broken: ResultPages = Box::new(move || {
        left -= 1;
        if left > 0 { pages(1)() } else { panic!("the database is gone") }
    });
    let (outcome, reason) = failed(gather("", 10, broken));
    assert!(outcome == Failed && reason.contains("the results cannot be read") && reason.contains("the database is gone"), "{reason}");
}

/// A blocking handler that says when it has begun, and goes on when it is told to.
fn stubborn(begun: Sender<String>, go_on: Receiver<()>) -> impl Fn(&Context) -> HandlerResult + Send + Sync + 'static {
    let go_on = Mutex::new(go_on);
    move |context: &Context| {
        let target = context.target_text()?;
        assert!(target != "panic", "no luck");
        let thread = std::thread::current().name().unwrap_or_default().to_owned();
        begun.send(target.to_owned()).expect("the test listens");
        if target == "stubborn" {
            go_on.lock().expect("not poisoned").recv().expect("the test lets it go on");
        }
        Ok(json!(thread))
    }
}

fn start(bench: &mut Bench, index: u32, target: &str) {
    let job = bench.job(work());
    let _context = bench.runtime.enter();
    bench.runner.start(info(job), vec![Part { index, attempt: 1, target: Some(text(target)) }], None);
}

fn ended(bench: &mut Bench) -> (u32, Outcome, String) {
    let (index, end) = bench.next_end();
    (index, end.outcome, end.result.map(|result| result.get().to_owned()).or(end.error.map(|error| error.to_string())).unwrap_or_default())
}

#[test]
fn a_blocking_handler_is_left_alone_when_its_time_is_over() {
    let ((begun, begins), (go_on, goes_on)) = (channel(), channel());
    let mut bench = Bench::with_handlers(registry(Blocking::new(stubborn(begun, goes_on))));
    start(&mut bench, 0, "stubborn");
    assert_eq!(begins.recv().expect("it begins"), "stubborn");
    start(&mut bench, 1, "panic");
    assert_eq!(ended(&mut bench), (1, Failed, "handler panicked: no luck".to_owned()), "beside the other");
    bench.runner.stop(RUN, 0, Stop::Polite);
    bench.runner.stop(RUN, 0, Stop::Kill);
    assert_eq!(ended(&mut bench), (0, Failed, "handler aborted: it did not end when asked to".to_owned()));
    start(&mut bench, 2, "quick");
    let (index, outcome, _) = ended(&mut bench);
    assert_eq!((index, outcome), (2, Succeeded), "while the first goes on");
    go_on.send(()).expect("it waits");
}

#[test]
fn a_lane_does_one_thing_at_a_time_and_leaves_out_what_was_stopped() {
    let ((begun, begins), (go_on, goes_on)) = (channel(), channel());
    let lane = Lane::new("ledger");
    let mut bench = Bench::with_handlers(registry(Blocking::on(&lane, stubborn(begun, goes_on))));
    start(&mut bench, 0, "stubborn");
    assert_eq!(begins.recv().expect("it begins"), "stubborn");
    for (index, target) in [(1, "never"), (2, "panic"), (3, "last")] {
        start(&mut bench, index, target);
    }
    // All of them wait behind the first, which nothing can stop.
    for index in [0, 1] {
        bench.runner.stop(RUN, index, Stop::Kill);
        assert_eq!(ended(&mut bench), (index, Failed, "handler aborted: it did not end when asked to".to_owned()));
    }
    assert!(begins.try_recv().is_err(), "nothing begins beside it");
    go_on.send(()).expect("it waits");
    // Each is waited for by a task of its own: which of them tells first is open.
    let mut ends = [ended(&mut bench), ended(&mut bench)];
    ends.sort_by_key(|(index, ..)| *index);
    let panicked = (2, Failed, "handler panicked: no luck".to_owned());
    assert_eq!(ends, [panicked, (3, Succeeded, "\"ledger\"".to_owned())], "the lane has survived");
    assert_eq!(begins.try_iter().collect::<Vec<_>>(), ["last"], "what was stopped while it waited was never begun");
}

#[test]
fn a_trial_is_a_run_without_a_daemon() {
    let run = |trial: Trial| Runtime::new().expect("a runtime").block_on(trial.run());
    let count = |targets, last| Trial::of(Count { targets, last });
    let tried = run(count(3, "").arg("factor", "10")).expect("it runs");
    assert_eq!((tried.results(), &tried.result["count"]), (vec![json!(0), json!(10), json!(20)], &json!(3)));
    let tried = run(count(3, "").target("7").target("x")).expect("it runs");
    assert_eq!((tried.results(), &tried.result["outcomes"]), (vec![json!(14), json!(null)], &json!({"failed": 1, "succeeded": 1})));
    let error = tried.partials[1].error.clone().expect("a reason");
    assert_eq!(error, "the target `x` is not what the handler reads: invalid type: string \"x\", expected i64");
    let refused = |trial| run(trial).expect_err("is refused").to_string();
    assert_eq!(refused(count(1, "").arg("factor", "x")), "argument `factor` cannot be \"x\": allowed is a whole number, of 64 bits");
    assert_eq!(refused(count(2, "1")), "the targets could not be listed: duplicate target `1`");
    assert_eq!(refused(count(2, "fail")), "the targets could not be listed: the directory is closed");
    assert_eq!(refused(count(2, "fail").target("1")), "the results could not be gathered: the sums differ");
}
