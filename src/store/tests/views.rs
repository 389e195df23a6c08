//! What readers are told.

use super::*;

/// Two jobs: `sync` ran three times (the second failed, the third is live), `sweep` once.
fn history() -> Opened {
    let Record::Partial(mut told) = ended(3, 1, Outcome::Failed) else { unreachable!() };
    told.result = Some(json("[1,2]"));
    told.error = Some("exit code 1".into());
    told.output = Some(CapturedOutput { head: b"caf\xe9".to_vec(), tail: b"end".to_vec(), cut: 9 });
    Opened::with(&[
        watermark("sync"),
        decided("sync", Some(1), 60),
        fired(1, "sync", 60, range(3)),
        claimed(1, 3),
        finished(1, RunOutcome::Succeeded),
        decided("sync", None, 120),
        fired(2, "sync", 180, range(3)),
        finished(2, RunOutcome::Failed),
        fired(3, "sync", 240, range(6)),
        claimed(3, 5),
        ended(3, 0, Outcome::Succeeded),
        Record::Partial(told),
        retrying(3, 2, 1),
        ended(3, 3, Outcome::Cancelled),
        ended(3, 4, Outcome::Lost),
        fired(4, "sweep", 300, Targets::None),
    ])
}

fn check_runs(filter: RunFilter, expected: &[i64]) {
    let runs = history().reader().runs(&RunFilter { limit: if filter.limit == 0 { 9 } else { filter.limit }, ..filter }).unwrap();
    assert_eq!(runs.iter().map(|run| run.key.0).collect::<Vec<_>>(), expected);
}

#[test]
fn runs_are_filtered_and_paged_latest_first() {
    let all = RunFilter::default();
    check_runs(all.clone(), &[4, 3, 2, 1]);
    check_runs(RunFilter { job: Some("sync".into()), ..all.clone() }, &[3, 2, 1]);
    check_runs(RunFilter { failed: true, ..all.clone() }, &[2]);
    check_runs(RunFilter { outcome: Some(RunOutcome::Succeeded), ..all.clone() }, &[1]);
    check_runs(RunFilter { since: Some(at(180)), until: Some(at(300)), ..all.clone() }, &[3, 2]);
    check_runs(RunFilter { limit: 2, ..all.clone() }, &[4, 3]);
    check_runs(RunFilter { limit: 2, before: Some(RunKey(3)), ..all }, &[2, 1]);
}

#[test]
fn a_run_is_shown_whole() {
    let run = history().reader().run("sync@20260311T020100Z").unwrap();
    insta::assert_snapshot!(serde_json::to_string_pretty(&run).unwrap(), @r#"
    {
      "id": "sync@20260311T020100Z",
      "key": 1,
      "job": "sync",
      "cause": "schedule",
      "nominal": "2026-03-11T02:01:00Z",
      "zone": "Europe/Berlin",
      "fired": "2026-03-11T02:01:00Z",
      "started": "2026-03-11T02:01:01Z",
      "ended": "2026-03-11T02:01:10Z",
      "outcome": "succeeded",
      "partials": 3,
      "succeeded": 2,
      "failed": 0,
      "cancelled": 1,
      "reason": "all went well",
      "result": {"rows":3},
      "duration_ms": 9000
    }
    "#);
}

fn check_found(wanted: &str, expected: &str) {
    let found = history().reader().run(wanted).map_or_else(|error| error.to_string(), |run| run.id.to_string());
    assert_eq!(found, expected);
}

#[test]
fn a_run_is_found_by_name_job_or_beginning() {
    check_found("sync@20260311T020300Z", "sync@20260311T020300Z");
    check_found("sync", "sync@20260311T020400Z");
    check_found("sync@20260311T0203", "sync@20260311T020300Z");
    check_found("sy", "`sy` begins the names of several runs: `sync@20260311T020100Z`, `sync@20260311T020300Z`, `sync@20260311T020400Z`");
    check_found("nightly\n", "no run or job `nightly\\n`; `batchd history` lists the runs");
    check_found("", "no run or job ``; `batchd history` lists the runs");
}

#[test]
fn many_candidates_are_cut_short() {
    let fires: Vec<_> = (0..7).map(|n| fired(n + 1, "sync", n, range(1))).collect();
    let Err(LookupError::Ambiguous { candidates, more, .. }) = Opened::with(&fires).reader().run("sync@") else { panic!() };
    assert_eq!((candidates.len(), more), (sqlite::MAX_CANDIDATES, true));
}

#[test]
fn a_partial_is_the_gathered_line() {
    let partials = history().reader().partials(RunKey(3), false, None, 9).unwrap();
    let line = serde_json::to_string(&partials[1]).unwrap();
    assert_eq!(
        line,
        r#"{"index":1,"target":"11","outcome":"failed","attempts":1,"started":"2026-03-11T02:01:01Z","ended":"2026-03-11T02:01:02Z","duration_ms":5,"exit_code":1,"signal":null,"result":[1,2],"error":"exit code 1"}"#
    );
    let again: PartialView = serde_json::from_str(&line).unwrap();
    assert_eq!(serde_json::to_string(&again).unwrap(), line);
}

fn check_partials(failed: bool, after: Option<u32>, limit: u32, expected: &[u32]) {
    let partials = history().reader().partials(RunKey(3), failed, after, limit).unwrap();
    assert_eq!(partials.iter().map(|partial| partial.index).collect::<Vec<_>>(), expected);
}

#[test]
fn partials_come_in_pages_in_target_order() {
    check_partials(false, None, 9, &[0, 1, 2, 3, 4]);
    check_partials(false, Some(1), 2, &[2, 3]);
    check_partials(true, None, 9, &[1, 4]);
    check_partials(true, Some(1), 9, &[4]);
}

#[test]
fn the_slowest_come_first() {
    let slowest = history().reader().slowest(RunKey(3), 2).unwrap();
    assert_eq!(slowest.iter().map(|partial| (partial.index, partial.duration_ms)).collect::<Vec<_>>(), [(4, 20), (3, 15)]);
}

#[test]
fn counts_follow_the_partials() {
    let opened = history();
    let counts = opened.reader().partial_counts(RunKey(3)).unwrap();
    assert_eq!(counts, PartialCounts { succeeded: 1, failed: 1, cancelled: 1, lost: 1, retrying: 1, ..PartialCounts::default() });
    let run = opened.reader().run("sync").unwrap();
    assert_eq!((run.succeeded, run.failed, run.cancelled), (1, 2, 1));
}

#[test]
fn a_partial_that_ran_again_counts_once() {
    let mut opened = history();
    opened.append(&[ended(3, 1, Outcome::Succeeded), ended(3, 1, Outcome::Succeeded)]).unwrap();
    let run = opened.reader().run("sync").unwrap();
    assert_eq!((run.succeeded, run.failed, run.cancelled), (2, 1, 1));
}

#[test]
fn outputs_are_kept_for_partials_and_the_gather_command() {
    let reader = history().reader();
    let partial = reader.outputs(RunKey(3), Some(1)).unwrap();
    assert_eq!(partial, [OutputView { index: Some(1), attempt: 1, head: "caf\u{fffd}".into(), tail: "end".into(), cut: 9 }]);
    let gather = reader.outputs(RunKey(1), None).unwrap();
    assert_eq!(gather, [OutputView { index: None, attempt: 0, head: "sum\n".into(), tail: String::new(), cut: 0 }]);
    assert_eq!(reader.outputs(RunKey(3), Some(0)).unwrap(), []);
}

#[test]
fn decisions_name_their_runs() {
    let decisions = history().reader().decisions("sync", at(60), at(180)).unwrap();
    let told: Vec<_> = decisions.iter().map(|made| (made.decision, made.run.as_ref().map(ToString::to_string))).collect();
    assert_eq!(told, [(Decision::Ran, Some("sync@20260311T020100Z".into())), (Decision::Missed, None)]);
    assert_eq!(history().reader().decisions("sync", at(61), at(120)).unwrap(), []);
}

#[test]
fn the_last_run_of_each_job() {
    let last = history().reader().last_runs().unwrap();
    assert_eq!(last.iter().map(|run| run.key.0).collect::<Vec<_>>(), [4, 3]);
    assert!(Opened::new().reader().last_runs().unwrap().is_empty());
}

#[test]
fn a_reader_works_without_a_daemon() {
    let Opened { dir, store, .. } = history();
    drop(store);
    assert_eq!(Reader::open(dir.path()).unwrap().run("sweep").unwrap().partials, 1);
}
