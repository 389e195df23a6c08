//! What readers are told.

use super::*;

/// Two jobs: `sync` ran three times (the second failed, the third is live), `sweep` once.
fn history() -> Opened {
    let mut told = partial(3, 1, Outcome::Failed);
    told.result = Some(json("[1,2]"));
    told.error = Some("exit code 1".into());
    told.output = Some(CapturedOutput { head: b"caf\xe9".to_vec(), tail: b"end".to_vec(), cut: 9 });
    Opened::with(&[
        watermark("sync"),
        fired_as(1, "sync", 60, range(3), Decides::Nominal),
        claimed(1, 3),
        finished(1, RunOutcome::Succeeded),
        missed("sync", 120),
        fired(2, "sync", 180, range(3)),
        finished(2, RunOutcome::Failed),
        fired(3, "sync", 240, range(6)),
        claimed(3, 5),
        ended(3, 0, Outcome::Succeeded),
        Record::Partials(vec![told]),
        retrying(3, 2, 1),
        ended(3, 3, Outcome::Cancelled),
        ended(3, 4, Outcome::Lost),
        fired(4, "sweep", 300, Targets::None),
    ])
}

fn check_runs(filter: RunFilter, expected: &[i64]) {
    let runs = history().reader().runs(&RunFilter { limit: if filter.limit == 0 { 9 } else { filter.limit }, ..filter }).expect("reads");
    assert_eq!(runs.iter().map(|run| run.key.0).collect::<Vec<_>>(), expected);
}

#[test]
fn runs_are_filtered_and_paged_latest_first() {
    let all = RunFilter::default();
    check_runs(all.clone(), &[4, 3, 2, 1]);
    check_runs(RunFilter { job: Some("sync".into()), ..all.clone() }, &[3, 2, 1]);
    check_runs(RunFilter { failed: true, ..all.clone() }, &[2]);
    check_runs(RunFilter { since: Some(at(180)), until: Some(at(300)), ..all.clone() }, &[3, 2]);
    check_runs(RunFilter { limit: 2, ..all.clone() }, &[4, 3]);
    check_runs(RunFilter { limit: 2, before: Some(RunKey(3)), ..all }, &[2, 1]);
}

#[test]
fn a_run_is_shown_whole() {
    let run = history().reader().run("sync@20260311T020100Z").expect("is there");
    insta::assert_snapshot!(serde_json::to_string_pretty(&run).expect("is JSON"), @r#"
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
    let Err(LookupError::Ambiguous { candidates, more, .. }) = Opened::with(&fires).reader().run("sync@") else { panic!("is ambiguous") };
    assert_eq!((candidates.len(), more), (sqlite::MAX_CANDIDATES, true));
}

#[test]
fn a_partial_is_the_gathered_line() {
    let partials = history().reader().partials(RunKey(3), false, None, 9).expect("reads");
    let line = serde_json::to_string(&partials[1]).expect("is JSON");
    assert_eq!(
        line,
        r#"{"index":1,"target":"11","outcome":"failed","attempts":1,"started":"2026-03-11T02:01:01Z","ended":"2026-03-11T02:01:02Z","duration_ms":5.0,"cpu_ms":null,"max_rss":null,"exit_code":1,"signal":null,"result":[1,2],"error":"exit code 1"}"#
    );
    let used = (partials[0].cpu_ms, partials[0].max_rss);
    assert_eq!(used, (Some(1.5), Some(50 << 20)));
    let again: PartialView = serde_json::from_str(&line).expect("reads back");
    assert_eq!(serde_json::to_string(&again).expect("is JSON"), line);
}

fn check_partials(failed: bool, after: Option<u32>, limit: u32, expected: &[u32]) {
    let partials = history().reader().partials(RunKey(3), failed, after, limit).expect("reads");
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
    let slowest = history().reader().slowest(RunKey(3), 2).expect("reads");
    assert_eq!(slowest.iter().map(|partial| (partial.index, partial.duration_ms)).collect::<Vec<_>>(), [(4, 20.0), (3, 15.0)]);
}

#[test]
fn counts_follow_the_partials() {
    let opened = history();
    let counts = opened.reader().partial_counts(RunKey(3)).expect("reads");
    assert_eq!(counts, ["succeeded", "failed", "cancelled", "lost", "retrying"].map(|name| (name.to_owned(), 1)).into());
    let run = opened.reader().run("sync").expect("is there");
    assert_eq!((run.succeeded, run.failed, run.cancelled), (1, 2, 1));
}

/// The counts (succeeded, failed, cancelled) of the live run after these records, in one batch and in one each.
fn check_tally(records: fn() -> Vec<Record>, expected: (u32, u32, u32)) {
    let mut at_once = history();
    at_once.append(&records()).expect("is recorded");
    let mut one_by_one = history();
    for record in records() {
        one_by_one.append(&[record]).expect("is recorded");
    }
    for opened in [at_once, one_by_one] {
        let run = opened.reader().run("sync").expect("is there");
        assert_eq!((run.succeeded, run.failed, run.cancelled), expected);
    }
}

#[test]
fn a_partial_counts_as_its_last_attempt_ended() {
    check_tally(Vec::new, (1, 2, 1));
    check_tally(|| vec![retried(3, 1, 2)], (1, 2, 1));
    check_tally(|| vec![retried(3, 1, 2), retrying(3, 1, 2)], (1, 1, 1));
    check_tally(|| vec![retried(3, 1, 2), retrying(3, 1, 2), retried(3, 1, 3), attempt(3, 1, 3, Outcome::Succeeded)], (2, 1, 1));
    check_tally(|| vec![retried(3, 1, 2), attempt(3, 1, 2, Outcome::TimedOut)], (1, 2, 1));
    check_tally(|| vec![retried(3, 3, 2), attempt(3, 3, 2, Outcome::Succeeded)], (2, 2, 0));
    check_tally(|| vec![retried(3, 0, 2), attempt(3, 0, 2, Outcome::Cancelled)], (0, 2, 2));
    check_tally(|| vec![attempt(3, 2, 2, Outcome::Failed)], (1, 3, 1));
    check_tally(|| vec![ended(3, 5, Outcome::Succeeded), attempt(3, 5, 2, Outcome::Succeeded)], (2, 2, 1));
    check_tally(|| vec![ended(3, 5, Outcome::Succeeded), finished(3, RunOutcome::Failed)], (2, 0, 1));
}

#[test]
fn the_end_of_a_run_ends_what_waited_for_another_attempt() {
    let mut opened = history();
    let timed_out = PartialRecord { retry: Some(at(90)), ..partial(3, 5, Outcome::TimedOut) };
    let records = [Record::Partials(vec![timed_out]), retried(3, 5, 2), finished(3, RunOutcome::Cancelled)];
    opened.append(&records).expect("is recorded");
    let partials = opened.reader().partials(RunKey(3), false, Some(1), 9).expect("reads");
    let told: Vec<_> = partials.iter().map(|partial| (partial.index, partial.outcome, partial.attempts)).collect();
    let [failed, cancelled, lost] = [Outcome::Failed, Outcome::Cancelled, Outcome::Lost];
    assert_eq!(told, [(2, failed, 1), (3, cancelled, 1), (4, lost, 1), (5, Outcome::TimedOut, 1)]);
}

#[test]
fn a_partial_that_waits_for_another_attempt_shows_how_the_last_one_ended() {
    let partial = history().reader().partials(RunKey(3), false, Some(1), 1).expect("reads").remove(0);
    assert_eq!((partial.index, partial.outcome, partial.attempts), (2, Outcome::Failed, 1));
}

#[test]
fn a_target_is_shown_as_it_was_written() {
    let targets = [None].into_iter().chain(hosts().map(Some));
    let partials = (0..).zip(targets).map(|(index, target)| PartialRecord { target, ..partial(1, index, Outcome::Succeeded) });
    let records = partials.map(|partial| Record::Partials(vec![partial]));
    let opened = Opened::with(&[fired(1, "sync", 60, range(3))].into_iter().chain(records).collect::<Vec<_>>());
    let partials = opened.reader().partials(RunKey(1), false, None, 9).expect("reads");
    let shown: Vec<_> = partials.iter().map(|partial| partial.target.as_ref().map(|target| target.get())).collect();
    assert_eq!(shown, [None, Some(r#""a""#), Some(r#"{"key":"b","port":5432}"#)]);
}

#[test]
fn outputs_are_kept_for_partials_and_the_gather_command() {
    let reader = history().reader();
    let partial = reader.outputs(RunKey(3), Some(1)).expect("reads");
    assert_eq!(partial, [OutputView { attempt: 1, head: "caf\u{fffd}".into(), tail: "end".into(), cut: 9 }]);
    let gather = reader.outputs(RunKey(1), None).expect("reads");
    assert_eq!(gather, [OutputView { attempt: 0, head: "sum\n".into(), tail: String::new(), cut: 0 }]);
    assert_eq!(reader.outputs(RunKey(3), Some(0)).expect("reads"), []);
}

#[test]
fn decisions_name_their_runs() {
    let decisions = history().reader().decisions("sync", at(60), at(180)).expect("reads");
    let told: Vec<_> = decisions.iter().map(|made| (made.decision, made.run.as_ref().map(ToString::to_string))).collect();
    assert_eq!(told, [(Decision::Ran, Some("sync@20260311T020100Z".into())), (Decision::Missed, None)]);
    assert_eq!(history().reader().decisions("sync", at(61), at(120)).expect("reads"), []);
}

#[test]
fn only_a_run_for_its_nominal_time_is_a_decision() {
    let by_hand = |key, decides| fired_as(key, "sync", key, range(1), decides);
    let opened = Opened::with(&[watermark("sync"), by_hand(1, Decides::Nothing), by_hand(2, Decides::Boot("boot".into()))]);
    assert_eq!(opened.reader().decisions("sync", at(0), at(9)).expect("reads"), []);
}

#[test]
fn the_last_run_of_each_job() {
    let last = history().reader().last_runs().expect("reads");
    assert_eq!(last.iter().map(|run| run.key.0).collect::<Vec<_>>(), [4, 3]);
    assert!(Opened::new().reader().last_runs().expect("reads").is_empty());
}

#[test]
fn a_reader_works_without_a_daemon() {
    let Opened { dir, store, .. } = history();
    drop(store);
    assert_eq!(Reader::open(dir.path()).expect("opens").run("sweep").expect("is there").partials, 1);
}
