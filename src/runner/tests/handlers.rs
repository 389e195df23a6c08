//! Handlers of the embedding program.

use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};

use super::*;
use crate::engine::Outcome::{self, Failed, Succeeded};
use crate::handler::{Context, HandlerError};

async fn work(context: Context) -> Result<Value, HandlerError> {
    match context.target.as_ref().map_or("", |target| &target.key) {
        "fail" => Err(Box::new(std::io::Error::other("disk on fire"))),
        "panic" => panic!("no {}", "luck"),
        "null" => Ok(Value::Null),
        "long" => Ok("x".repeat(2 << 20).into()),
        "polite" => {
            context.cancelled().await;
            Ok(json!("stopped"))
        }
        "deaf" => std::future::pending().await,
        "deadline" => Ok(json!(context.deadline)),
        "slow" => {
            context.progress("half\n of it");
            context.cancelled().await;
            context.check_cancelled()?;
            Ok(Value::Null)
        }
        _ => Ok(json!([&*context.job, context.run, context.index, context.count, context.attempt])),
    }
}

fn bench() -> Bench {
    let mut handlers = Registry::new();
    handlers.insert("work", work);
    Bench::with_handlers(handlers)
}

fn check(handler: &str, target: &str, stops: &[Stop], outcome: Outcome, result: Option<&str>, error: Option<&str>) {
    let mut bench = bench();
    let job = bench.job(Work::Handler(handler.to_owned()));
    bench.start(job, Some(text(target)));
    for stop in stops {
        bench.runner.stop(RUN, 0, *stop);
    }
    let end = bench.end();
    assert_eq!((end.outcome, end.result.as_ref().map(|result| result.get()), end.error.as_deref()), (outcome, result, error), "{target}");
}

#[test]
fn handlers_end_as_they_say() {
    check("work", "x", &[], Succeeded, Some(r#"["daily","daily@20260311T020000Z",0,1,1]"#), None);
    check("work", "null", &[], Succeeded, None, None);
    check("work", "long", &[], Succeeded, None, Some("result ignored: more than 1048576 bytes"));
    check("work", "fail", &[], Failed, None, Some("disk on fire"));
    check("work", "panic", &[], Failed, None, Some("handler panicked: no luck"));
    check("echo", "x", &[], Succeeded, Some(r#""x""#), None);
}

#[test]
fn handlers_are_asked_to_stop_and_then_dropped() {
    check("work", "polite", &[Stop::Polite], Succeeded, Some(r#""stopped""#), None);
    let aborted = Some("handler aborted: it did not end when asked to");
    check("work", "deaf", &[Stop::Polite, Stop::Kill], Failed, None, aborted);
}

#[test]
fn many_partials_end_once_each() {
    let mut bench = bench();
    let run = info(bench.job(Work::Handler("echo".to_owned())));
    {
        let _context = bench.runtime.enter();
        let part = |index: u32| Part { index, attempt: 1, target: Some(text(&index.to_string())) };
        (0..10_000).for_each(|index| bench.runner.start(run.clone(), vec![part(index)], None));
    }
    let mut seen = vec![false; 10_000];
    for _ in 0..10_000 {
        let (index, end) = bench.next_end();
        assert_eq!(end.result.expect("a result").get(), format!("\"{index}\""));
        assert!(!std::mem::replace(&mut seen[index as usize], true));
    }
    assert_eq!(bench.runner.live(), 0);
}

#[test]
fn a_partial_that_blocks_its_thread_does_not_hold_up_those_that_wait_behind_it() {
    let behind = Arc::new(AtomicU32::new(0));
    let mut registry = Registry::new();
    registry.insert("work", move |context: Context| {
        let behind = Arc::clone(&behind);
        async move {
            // Against the rules: a handler is to leave its thread to the others.
            while context.index == 0 && behind.load(Ordering::SeqCst) < 9 {
                std::thread::yield_now();
            }
            behind.fetch_add(1, Ordering::SeqCst);
            Ok(json!(null))
        }
    });
    let mut bench = Bench::with_handlers(registry);
    let run = info(bench.job(Work::Handler("work".to_owned())));
    let parts = (0..10).map(|index| Part { index, attempt: 1, target: Some(text("x")) }).collect();
    {
        let _context = bench.runtime.enter();
        bench.runner.start(run, parts, None);
    }
    let ended: Vec<u32> = (0..10).map(|_| bench.next_end().0).collect();
    assert_eq!(ended.iter().position(|index| *index == 0), Some(9), "{ended:?}");
}

#[test]
fn a_handler_knows_its_deadline() {
    let mut bench = bench();
    let (run, until) = (info(bench.job(Work::Handler("work".to_owned()))), "2026-03-11T03:00:00Z".parse().expect("a time"));
    {
        let _context = bench.runtime.enter();
        bench.runner.start(run, vec![Part { index: 0, attempt: 1, target: Some(text("deadline")) }], Some(until));
    }
    assert_eq!(bench.end().result.expect("a result").get(), "\"2026-03-11T03:00:00Z\"");
}

#[test]
fn what_a_handler_says_of_its_progress_is_there_until_it_ends() {
    let mut bench = bench();
    let job = bench.job(Work::Handler("work".to_owned()));
    bench.start(job, Some(text("slow")));
    let said = |bench: &Bench| bench.runner.spoken().progress(RUN, 0);
    while said(&bench).is_none() {
        std::thread::yield_now();
    }
    assert_eq!(said(&bench).as_deref(), Some("half\n of it"));
    bench.runner.stop(RUN, 0, Stop::Polite);
    assert_eq!(bench.end().error.as_deref(), Some("stopped before the work was done"));
    assert_eq!(said(&bench), None);
}

#[test]
fn what_a_handler_says_is_kept_with_its_attempt() {
    let left: Arc<Mutex<Option<Context>>> = Arc::default();
    let mut handlers = Registry::new();
    let leaves = Arc::clone(&left);
    handlers.insert("work", move |context: Context| {
        let leaves = Arc::clone(&leaves);
        async move {
            context.log("one\ntwo");
            context.debug("unheard");
            *leaves.lock().expect("not poisoned") = Some(context);
            Err("no luck".into())
        }
    });
    let mut bench = Bench::with_handlers(handlers);
    for _ in 0..2 {
        let job = bench.job(Work::Handler("work".to_owned()));
        bench.start(job, None);
        let end = bench.end();
        let output = end.output.expect("it has said something");
        assert_eq!((end.outcome, String::from_utf8_lossy(&output.head)), (Failed, "one\ntwo\n".into()));
        let context = left.lock().expect("not poisoned").take().expect("it was left");
        // Whoever still has it speaks for nobody.
        context.log("three");
        context.progress("half");
        assert_eq!(bench.runner.spoken().progress(RUN, 0), None);
    }
}
