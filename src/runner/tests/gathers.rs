//! Gather commands, with results on their stdin.

use super::*;
use crate::engine::Outcome::{Failed, Signalled, Succeeded};

const LINE: &[u8] = br#"{"index":0,"outcome":"succeeded","result":"0123456789"}"#;

fn lines(count: usize) -> ResultLines {
    let mut lines = std::iter::repeat_n(LINE, count);
    Box::new(move || lines.next().map(<[u8]>::to_vec))
}

fn start(bench: &mut Bench, script: &str, lines: ResultLines) {
    let mut job = bench.job(command(&["true"]));
    job.gather = Some(Gather::Command(["sh", "-c", script, "{{ job }}"].map(str::to_owned).to_vec()));
    let _context = bench.runtime.enter();
    bench.runner.gather(info(job), ResultSource::Lines(lines), None);
}

fn end(bench: &mut Bench) -> AttemptEnd {
    match bench.event() {
        Event::GatherEnded { run: RUN, end } => end.end,
        other => panic!("{other:?}"),
    }
}

fn gather(script: &str, lines: ResultLines) -> AttemptEnd {
    let mut bench = Bench::new();
    start(&mut bench, script, lines);
    end(&mut bench)
}

fn check(script: &str, count: usize, result: Option<&str>) {
    let end = gather(script, lines(count));
    assert_eq!((end.outcome, end.error.as_deref()), (Succeeded, None), "{script}");
    assert_eq!(end.result.as_ref().map(|result| result.get()), result, "{script}");
}

#[test]
fn all_lines_arrive_whole() {
    check("wc -l", 10_000, Some("10000"));
    check("wc -c", 10_000, Some("560000"));
    check("sort -u", 10_000, Some(r#"{"index":0,"outcome":"succeeded","result":"0123456789"}"#));
    check("wc -l", 0, Some("0"));
}

#[test]
fn output_is_read_while_lines_are_written() {
    check("cat", 100_000, Some(r#"{"index":0,"outcome":"succeeded","result":"0123456789"}"#));
}

#[test]
fn a_command_need_not_read_its_lines() {
    check("exit 0", 100_000, None);
    check("head -n 1 > /dev/null; echo 1", 100_000, Some("1"));
}

#[test]
fn a_gather_knows_its_run() {
    let script = r#"cat > /dev/null; echo "\"$0 $BATCHD_RUN ${BATCHD_PARTIAL_INDEX-none}\"" > "$BATCHD_RESULT""#;
    check(script, 1, Some(r#""daily daily@20260311T020000Z none""#));
}

#[test]
fn lines_that_cannot_be_read_fail_the_gather() {
    let mut left = 3;
    let broken: ResultLines = Box::new(move || {
        left -= 1;
        if left > 0 { Some(LINE.to_vec()) } else { panic!("the database is gone") }
    });
    let end = gather("cat; echo 1", broken);
    let error = end.error.expect("a reason");
    assert_eq!((end.outcome, end.result.is_none()), (Failed, true), "{error}");
    assert!(
        error.starts_with("killed by SIGKILL; the results could not be handed over: ") && error.contains("the database is gone"),
        "{error}"
    );
}

#[test]
fn a_gather_is_stopped() {
    let mut bench = Bench::new();
    let ready = bench.fifo("ready");
    start(&mut bench, "echo > ready; exec sleep 1000", lines(100_000));
    std::fs::read(ready).expect("the command is ready");
    bench.runner.stop_gather(RUN, Stop::Polite);
    assert_eq!(end(&mut bench).outcome, Signalled);
}
