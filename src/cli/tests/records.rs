//! The commands that read records.

use insta::assert_snapshot;

use super::{daemon, nothing, only, records, seen, seen_with};
use crate::cli::Look;
use crate::engine::{Cause, RunOutcome};
use crate::web::OutputView;
use crate::web::fake::{FakeHistory, json, run};

#[test]
fn history_lists_runs() {
    assert_snapshot!(seen(records(), "history"), @r"
    Done
    run                            cause     nominal                  started    took  outcome    partials
    daily-report@20261123T070000Z  schedule  2026-11-23 02:00:00 EST  4 h ago  1m 23s  failed          3/4
    sync@20261123T060000Z          schedule  2026-11-23 01:00:00 EST  5 h ago  1m 23s  succeeded       4/4
    daily-report@20261122T070000Z  schedule  2026-11-22 02:00:00 EST  1 d ago  1m 23s  succeeded       4/4
    ---
    ");
}

#[test]
fn history_is_filtered_and_says_when_there_is_more() {
    assert_snapshot!(seen(records(), "history daily-report -n 1"), @r"
    Done
    run                            cause     nominal                  started    took  outcome  partials
    daily-report@20261123T070000Z  schedule  2026-11-23 02:00:00 EST  4 h ago  1m 23s  failed        3/4
    ---
    there are more; the last 1 are shown, `-n` shows more
    ");
    assert_snapshot!(seen(records(), "history --failed --since 1d"), @r"
    Done
    run                            cause     nominal                  started    took  outcome  partials
    daily-report@20261123T070000Z  schedule  2026-11-23 02:00:00 EST  4 h ago  1m 23s  failed        3/4
    ---
    ");
}

#[test]
fn history_fits_a_narrow_terminal() {
    assert_snapshot!(seen_with(records(), "history", Look { width: Some(60), ..Look::default() }), @r"
    Done
    run                              took  outcome    partials
    daily-report@20261123T070000Z  1m 23s  failed          3/4
    sync@20261123T060000Z          1m 23s  succeeded       4/4
    daily-report@20261122T070000Z  1m 23s  succeeded       4/4
    ---
    ");
}

#[test]
fn history_of_nothing_is_empty() {
    assert_snapshot!(seen(nothing(), "history"), @r"
    Done
    ---
    no runs
    ");
    assert_snapshot!(seen(nothing(), "history --json"), @r#"
    Done
    {
      "runs": [],
      "next": null
    }
    ---
    "#);
}

#[test]
fn colours_tell_outcomes() {
    let coloured = seen_with(records(), "history daily-report", Look { colour: true, ..Look::default() });
    assert_snapshot!(coloured.replace('\u{1b}', "ESC"), @r"
    Done
    ESC[2mrunESC[0m                            ESC[2mcauseESC[0m     ESC[2mnominalESC[0m                  ESC[2mstartedESC[0m    ESC[2mtookESC[0m  ESC[2moutcomeESC[0m    ESC[2mpartialsESC[0m
    daily-report@20261123T070000Z  schedule  2026-11-23 02:00:00 EST  4 h ago  1m 23s  ESC[1mESC[31mfailedESC[0m          3/4
    daily-report@20261122T070000Z  schedule  2026-11-22 02:00:00 EST  1 d ago  1m 23s  ESC[32msucceededESC[0m       4/4
    ---
    ");
}

#[test]
fn a_waiting_run_has_no_start() {
    let mut waiting = run(4, "sync", "2026-11-23T11:59:00Z", RunOutcome::Succeeded);
    (waiting.started, waiting.ended, waiting.outcome, waiting.duration_ms, waiting.cause) = (None, None, None, None, Cause::CatchUp);
    let history = || FakeHistory { runs: vec![waiting.clone()], ..FakeHistory::default() };
    assert_snapshot!(seen(only(history()), "history"), @r"
    Done
    run                    cause     nominal                  started  took  outcome  partials
    sync@20261123T115900Z  catch-up  2026-11-23 06:59:00 EST  waits       -  live          4/4
    ---
    ");
    assert_snapshot!(seen(only(history()), "show sync"), @r"
    Done
    sync@20261123T115900Z live
      why        its time passed while the daemon was down, and `catch_up` made up for it
      nominal    2026-11-23 06:59:00 EST (America/New_York)
      fired      2026-11-23 06:59:00 EST, 2ms after its nominal time
      started    not yet: it waits
      partials   4: none on record
    ---
    ");
}

#[test]
fn show_tells_everything_of_a_run() {
    assert_snapshot!(seen(records(), "show daily-report"), @r"
    Done
    daily-report@20261123T070000Z failed: more partials failed than `max_failures` allows
      why        its schedule names this time
      nominal    2026-11-23 02:00:00 EST (America/New_York)
      fired      2026-11-23 02:00:00 EST, 2ms after its nominal time
      started    2026-11-23 02:00:00 EST
      ended      2026-11-23 02:01:23 EST, took 1m 23s
      partials   4: 1 failed, 3 succeeded

    slowest
          1.0s  kr succeeded, 251ms of CPU
          1.0s  jp failed, 251ms of CPU, 48.0 MiB of memory
          1.0s  us succeeded, 251ms of CPU
          1.0s  eu succeeded, 251ms of CPU

    failed
      jp failed after 2 attempts: exit code 1
        | connecting
        | \x1b[31mrefused\u{202e}
    ---
    what the log has of it: batchd logs daily-report@20261123T070000Z --target 'jp'
    work on what failed again: batchd retry daily-report@20261123T070000Z
    ");
}

#[test]
fn show_of_a_gathered_run_has_its_result() {
    let mut gathered = run(5, "sync", "2026-11-23T11:00:00Z", RunOutcome::Succeeded);
    gathered.result = Some(json(r#"{"rows":12,"note":"a\u202eb"}"#));
    let history = FakeHistory { runs: vec![gathered], ..FakeHistory::default() };
    assert_snapshot!(seen(only(history), "show sync"), @r#"
    Done
    sync@20261123T110000Z succeeded
      why        its schedule names this time
      nominal    2026-11-23 06:00:00 EST (America/New_York)
      fired      2026-11-23 06:00:00 EST, 2ms after its nominal time
      started    2026-11-23 06:00:00 EST
      ended      2026-11-23 06:01:23 EST, took 1m 23s
      partials   4: none on record

    result {"rows":12,"note":"a\u202eb"}
    ---
    "#);
}

#[test]
fn show_in_json_has_the_shape_of_the_api() {
    assert_snapshot!(seen(records(), "show sync --json"), @r#"
    Done
    {
      "run": {
        "id": "sync@20261123T060000Z",
        "key": 2,
        "job": "sync",
        "cause": "schedule",
        "nominal": "2026-11-23T06:00:00Z",
        "zone": "America/New_York",
        "fired": "2026-11-23T06:00:00.002Z",
        "started": "2026-11-23T06:00:00.003Z",
        "ended": "2026-11-23T06:01:23.003Z",
        "outcome": "succeeded",
        "partials": 4,
        "succeeded": 4,
        "failed": 0,
        "cancelled": 0,
        "reason": null,
        "result": null,
        "duration_ms": 83000
      },
      "counts": {},
      "slowest": [],
      "failed": [],
      "gather_output": []
    }
    ---
    "#);
}

#[test]
fn a_run_that_is_not_there_is_explained() {
    assert_snapshot!(seen(records(), "show nothing"), @r"
    NotFound
    ---
    error: no run is called `nothing`, and no job of that name has run
      help: `batchd history` lists the runs
    ");
    assert_snapshot!(seen(records(), "show daily-report@"), @r"
    Usage
    ---
    error: `daily-report@` could be any of `daily-report@20261122T070000Z`, `daily-report@20261123T070000Z`
      help: write more of the name
    ");
}

#[test]
fn results_are_lines() {
    assert_snapshot!(seen(records(), "results daily-report --failed"), @r#"
    Done
    {"index":2,"target":"jp","outcome":"failed","attempts":2,"started":"2026-11-23T07:00:00Z","ended":"2026-11-23T07:00:01Z","duration_ms":1002.0,"cpu_ms":250.5,"max_rss":50331648,"exit_code":1,"signal":null,"result":null,"error":"exit code 1"}
    ---
    "#);
    assert_snapshot!(seen(records(), "results sync"), @r"
    Done
    ---
    ");
}

#[test]
fn jobs_with_and_without_a_daemon() {
    assert_snapshot!(seen(daemon(), "jobs"), @r"
    Done
    job           schedule    next fire                due       last run           live
    cleanup       manual      -                        -         -                  -
    daily-report  0 2 * * *   2026-11-24 02:00:00 EST  in 19 h   failed 4 h ago     -
    sync          @every 90s  2026-11-23 07:00:30 EST  in 30 s   succeeded 5 h ago  1 running, 2 waiting
    yearly        @yearly     -                        disabled  -                  -
    ---
    ");
    assert_snapshot!(seen_with(records(), "jobs", Look { width: Some(70), ..Look::default() }), @r"
    Done
    job           due       last run           live
    cleanup       -         -                  -
    daily-report  in 19 h   failed 4 h ago     -
    sync          in 30 s   succeeded 5 h ago  1 running, 2 waiting
    yearly        disabled  -                  -
    ---
    no daemon runs: nothing fires until `batchd daemon` is started
    ");
}

#[test]
fn jobs_in_json() {
    let text = seen(nothing(), "jobs --json");
    assert!(text.starts_with("Done\n{\n  \"jobs\": [\n    {\n      \"name\": \"cleanup\",\n"), "{text}");
}

#[test]
fn what_a_run_said_is_kept_when_the_log_has_it_no_more() {
    assert_snapshot!(seen(records(), "logs daily-report"), @r"
    Done
    jp| connecting
    jp| \x1b[31mrefused\u{202e}
    ---
    the log has nothing of it; this was kept of what daily-report@20261123T070000Z said
    ");
    assert_snapshot!(seen(records(), "logs daily-report -n 1 --target jp --json"), @r#"
    Done
    {"time":null,"level":null,"job":"daily-report","run":"daily-report@20261123T070000Z","partial":"jp","message":"\u001b[31mrefused\u202e"}
    ---
    the log has nothing of it; this was kept of what daily-report@20261123T070000Z said
    "#);
    assert_snapshot!(seen(records(), "logs daily-report --target eu"), @r"
    Done
    ---
    the log has nothing of it; this was kept of what daily-report@20261123T070000Z said
    ");
    assert_snapshot!(seen(records(), "logs nothing"), @r"
    NotFound
    ---
    error: no run is called `nothing`, and no job of that name has run
      help: `batchd history` lists the runs
    ");
    let mut history = FakeHistory::example();
    let said = OutputView { attempt: 1, head: "a\nb".to_owned(), tail: "y\nz\n".to_owned(), cut: 1_500_000 };
    history.outputs.insert((3, None), vec![said]);
    assert_snapshot!(seen(only(history), "logs daily-report -n 5"), @r"
    Done
    gather| a
    gather| b
    gather| … 1.4 MiB were not kept …
    gather| y
    gather| z
    ---
    the log has nothing of it; this was kept of what daily-report@20261123T070000Z said
    ");
}
