//! What fits terminals of 120, 80 and 50 columns, where names are long.

use insta::assert_snapshot;

use super::{World, daemon, only, records, seen_with, with_report, with_status};
use crate::cli::Look;
use crate::engine::{Cause, RunId, RunOutcome};
use crate::web::api::{ChangedJob, LiveRun, LiveStatus, ReloadReport, RunView};
use crate::web::fake::{FakeHistory, at, report, run, status};

const LONG: &str = "nightly-export-of-every-branch-to-the-warehouse";

/// The same on each of the three.
fn on(world: impl Fn() -> World, line: &str) -> String {
    let screen = |width| seen_with(world(), line, Look { width: Some(width), ..Look::default() });
    let screens: Vec<String> = [120, 80, 50].into_iter().map(screen).collect();
    screens.join("\n")
}

fn long_history() -> World {
    let nominal = at("2026-11-23T07:00:00.345678Z");
    let id = RunId::new(LONG, Cause::Manual, nominal);
    let long = RunView { id, cause: Cause::Manual, ..run(4, LONG, "2026-11-23T07:00:00Z", RunOutcome::TimedOut) };
    let mut history = FakeHistory::example();
    history.runs.push(long);
    only(history)
}

#[test]
fn history() {
    assert_snapshot!(on(long_history, "history"), @r"
    Done
    run                                                                             cause       took  outcome    partials
    nightly-export-of-every-branch-to-the-warehouse@20261123T070000.345678Z+manual  manual    1m 23s  timed_out       3/4
    daily-report@20261123T070000Z                                                   schedule  1m 23s  failed          3/4
    sync@20261123T060000Z                                                           schedule  1m 23s  succeeded       4/4
    daily-report@20261122T070000Z                                                   schedule  1m 23s  succeeded       4/4
    ---

    Done
    run                                                          outcome    partials
    nightly-export-of-every-branc…0261123T070000.345678Z+manual  timed_out       3/4
    daily-report@20261123T070000Z                                failed          3/4
    sync@20261123T060000Z                                        succeeded       4/4
    daily-report@20261122T070000Z                                succeeded       4/4
    ---

    Done
    run                            outcome    partials
    nightly-export…345678Z+manual  timed_out       3/4
    daily-report@20261123T070000Z  failed          3/4
    sync@20261123T060000Z          succeeded       4/4
    daily-report@20261122T070000Z  succeeded       4/4
    ---
    ");
}

#[test]
fn jobs() {
    assert_snapshot!(on(records, "jobs"), @r"
    Done
    job           schedule    next fire                due       last run           live
    cleanup       manual      -                        -         -                  -
    daily-report  0 2 * * *   2026-11-24 02:00:00 EST  in 19 h   failed 4 h ago     -
    sync          @every 90s  2026-11-23 07:00:30 EST  in 30 s   succeeded 5 h ago  1 running, 2 waiting
    yearly        @yearly     -                        disabled  -                  -
    ---
    no daemon runs: nothing fires until `batchd daemon` is started

    Done
    job           schedule    due       last run           live
    cleanup       manual      -         -                  -
    daily-report  0 2 * * *   in 19 h   failed 4 h ago     -
    sync          @every 90s  in 30 s   succeeded 5 h ago  1 running, 2 waiting
    yearly        @yearly     disabled  -                  -
    ---
    no daemon runs: nothing fires until `batchd daemon` is started

    Done
    job           due       last run
    cleanup       -         -
    daily-report  in 19 h   failed 4 h ago
    sync          in 30 s   succeeded 5 h ago
    yearly        disabled  -
    ---
    no daemon runs: nothing fires until `batchd daemon` is started
    ");
}

#[test]
fn status_of_a_run_with_a_long_name() {
    let live = || {
        let id = RunId::new(LONG, Cause::Schedule, at("2026-11-23T11:00:00Z"));
        let long = LiveRun { id, job: LONG.to_owned(), ..status().runs.remove(0) };
        with_status(LiveStatus { runs: vec![long], ..status() })
    };
    assert_snapshot!(on(live, "status"), @r"
    Done
    batchd 0.1.0 running, pid 4711, up 1d 3h
      config     /etc/batchd/jobs.toml (5f3a9c), read 1 h ago
      jobs       4, next fire in 30 s
      records    healthy

    live run                                                          partials  failed  phase        for
    nightly-export-of-every-branch-to-the-warehouse@20261123T110000Z     10/40       1  4 in flight   1m
      nightly-export-of-every-branch-to-the-warehouse@20261123T110000Z eu-7: page 3 of 10
    ---

    Done
    batchd 0.1.0 running, pid 4711, up 1d 3h
      config     /etc/batchd/jobs.toml (5f3a9c), read 1 h ago
      jobs       4, next fire in 30 s
      records    healthy

    live run                                                        partials  failed
    nightly-export-of-every-branch-…the-warehouse@20261123T110000Z     10/40       1
      nightly-export-of-every-branch-to-the-warehouse@20261123T110000Z eu-7: page 3 of 10
    ---

    Done
    batchd 0.1.0 running, pid 4711, up 1d 3h
      config     /etc/batchd/jobs.toml (5f3a9c), read 1 h ago
      jobs       4, next fire in 30 s
      records    healthy

    live run                          partials  failed
    nightly-export-o…0261123T110000Z     10/40       1
      nightly-export-of-every-branch-to-the-warehouse@20261123T110000Z eu-7: page 3 of 10
    ---
    ");
}

#[test]
fn reload_of_a_job_with_a_long_name() {
    let long = || {
        let changed = ChangedJob { job: LONG.to_owned(), ..report().changed.remove(0) };
        with_report(ReloadReport { changed: vec![changed], ..report() })
    };
    assert_snapshot!(on(long, "reload --plan"), @r"
    Done
             job                                              keys      next fire before         after
    added    new                                              -         -                        2026-11-23 08:00:00 EST
    removed  old                                              -         2026-11-23 07:30:00 EST  -
    changed  nightly-export-of-every-branch-to-the-warehouse  schedule  2026-11-23 07:00:30 EST  2026-11-23 07:05:00 EST
    nothing was changed: this is the plan
    ---

    Done
             job                      next fire before        after
    added    new                      -                       2026-11-23 08:00:00 E…
    removed  old                      2026-11-23 07:30:00 E…  -
    changed  nightly-exp…e-warehouse  2026-11-23 07:00:30 E…  2026-11-23 07:05:00 E…
    nothing was changed: this is the plan
    ---

    Done
             job            next fire b…  after
    added    new            -             2026-11-23 …
    removed  old            2026-11-23 …  -
    changed  nightl…ehouse  2026-11-23 …  2026-11-23 …
    nothing was changed: this is the plan
    ---
    ");
}

#[test]
fn colours_of_errors_are_those_of_stderr() {
    let look = Look { colour: true, colour_errors: false, width: None };
    let seen = seen_with(daemon(), "show nothing", look);
    assert!(!seen.contains('\u{1b}'), "stdout is a terminal, stderr a file: {seen:?}");
    let look = Look { colour: false, colour_errors: true, width: None };
    assert!(seen_with(daemon(), "show nothing", look).contains('\u{1b}'));
}
