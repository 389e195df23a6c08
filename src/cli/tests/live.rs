//! The commands that reach the daemon's loop.

use insta::assert_snapshot;

use super::{answering, daemon, records, seen, triggering, with_report, with_status};
use crate::engine::{Answer, Cause, RunId, RunOutcome};
use crate::web::api::{LiveStatus, LogState, ReloadReport, RunView, StoreState};
use crate::web::fake::{at, run, status as live_status};

#[test]
fn status_of_a_healthy_daemon() {
    assert_snapshot!(seen(daemon(), "status"), @r"
    Done
    batchd 0.1.0 running, pid 4711, up 1d 3h
      config     /etc/batchd/jobs.toml (5f3a9c), read 1 h ago
      jobs       4, next fire in 30 s
      records    healthy

    live run               partials                          failed  phase        for
    sync@20261123T115900Z     10/40  [#####---------------]       1  4 in flight   1m
      sync@20261123T115900Z eu-7: page 3 of 10
    ---
    ");
}

#[test]
fn status_of_a_daemon_in_trouble() {
    let status = LiveStatus {
        draining: true,
        runs: Vec::new(),
        next_fire: None,
        reload_problems: vec!["jobs.toml:3:12: `61` is not a minute\u{1b}[2J".to_owned()],
        store: StoreState { healthy: false, reason: Some("the disk is full".to_owned()), since: Some(at("2026-11-23T11:58:00Z")) },
        log: Some(LogState {
            healthy: false,
            reason: Some("cannot write the log file `logs/batch.log`: no space".to_owned()),
            since: Some(at("2026-11-23T11:59:00Z")),
            lost: 12,
        }),
        ..live_status()
    };
    assert_snapshot!(seen(with_status(status), "status"), @r"
    Done
    batchd 0.1.0 draining, pid 4711, up 1d 3h
      config     /etc/batchd/jobs.toml (5f3a9c), read 1 h ago
      jobs       4, no next fire
      records    cannot write for 2m: the disk is full; nothing new is fired until it can
      log        in trouble for 1m: cannot write the log file `logs/batch.log`: no space; 12 lines lost since the start

    the last reload was refused; the configuration before it is in force
      jobs.toml:3:12: `61` is not a minute\x1b[2J

    no live runs
    ---
    ");
}

#[test]
fn status_tells_of_lines_that_the_log_has_lost() {
    let log = LogState { healthy: true, lost: 1, ..LogState::default() };
    let seen = seen(with_status(LiveStatus { log: Some(log), ..live_status() }), "status");
    assert!(seen.contains("\n  log        1 line lost since the start\n"), "{seen}");
}

#[test]
fn without_a_daemon_orders_say_what_to_do() {
    assert_snapshot!(seen(records(), "status"), @r"
    NoDaemon
    ---
    error: no daemon reachable at `/srv/state/batchd.sock`: nobody listens there
      help: start it with `batchd daemon` or `systemctl start batchd`; `--config` says which one is meant
    ");
    for order in
        ["trigger daily-report", "cancel sync", "pause sync", "resume sync", "backfill sync --from 2026-11-01 --to 2026-11-02", "reload"]
    {
        assert!(seen(records(), order).starts_with("NoDaemon\n---\nerror: no daemon reachable at `/srv/state/batchd.sock`"));
    }
}

#[test]
fn trigger_names_the_run() {
    assert_snapshot!(seen(triggering("daily-report@20261123T070000Z"), "trigger daily-report --target eu"), @r"
    Done
    daily-report@20261123T070000Z
    ---
    ");
    assert_snapshot!(seen(triggering("daily-report@20261123T070000Z"), "trigger daily-report --json"), @r#"
    Done
    {
      "id": "daily-report@20261123T070000Z"
    }
    ---
    "#);
}

#[test]
fn trigger_waits_for_the_end() {
    assert_snapshot!(seen(triggering("daily-report@20261123T070000Z"), "trigger daily-report --wait"), @r"
    WorkFailed
    daily-report@20261123T070000Z failed in 1m 23s, 3/4 partials: more partials failed than `max_failures` allows
    ---
    daily-report@20261123T070000Z has been fired; waiting for its end
    ");
    assert_snapshot!(seen(triggering("daily-report@20261122T070000Z"), "trigger daily-report --wait"), @r"
    Done
    daily-report@20261122T070000Z succeeded in 1m 23s, 4/4 partials
    ---
    daily-report@20261122T070000Z has been fired; waiting for its end
    ");
}

#[test]
fn trigger_of_what_is_not_there_is_explained() {
    assert_snapshot!(seen(daemon(), "trigger nothing"), @r"
    NotFound
    ---
    error: no job is called `nothing`
      help: `batchd jobs` lists the jobs; `batchd reload` takes over an edited file
    ");
    assert_snapshot!(seen(daemon(), "trigger dialy-report"), @r"
    NotFound
    ---
    error: no job is called `dialy-report`; did you mean `daily-report`?
      help: `batchd jobs` lists the jobs; `batchd reload` takes over an edited file
    ");
    assert_snapshot!(seen(daemon(), "trigger daily-report --target mars"), @r"
    NotFound
    ---
    error: job `daily-report` has no target `mars`
      help: name a target by its key, as in the job's `targets`
    ");
}

#[test]
fn trigger_while_draining_is_refused() {
    let draining = answering(Answer::Draining);
    assert_snapshot!(seen(draining, "trigger daily-report"), @r"
    WorkFailed
    ---
    error: the daemon is draining: it starts no new runs
      help: try again when it has been started anew
    ");
}

#[test]
fn cancel_asks_to_stop() {
    assert_snapshot!(seen(daemon(), "cancel sync"), @r"
    Done
    sync@20261123T060000Z is asked to stop
    ---
    ");
    assert_snapshot!(seen(daemon(), "cancel sync --json"), @r#"
    Done
    {
      "id": "sync@20261123T060000Z"
    }
    ---
    "#);
    let ended = answering(Answer::NotLive);
    assert_snapshot!(seen(ended, "cancel sync"), @r"
    WorkFailed
    ---
    error: run `sync@20261123T060000Z` is not live
      help: `batchd status` lists the live runs
    ");
}

#[test]
fn reload_shows_what_moves() {
    assert_snapshot!(seen(daemon(), "reload"), @r"
    Done
             job   keys      next fire before         after
    added    new   -         -                        2026-11-23 08:00:00 EST
    removed  old   -         2026-11-23 07:30:00 EST  -
    changed  sync  schedule  2026-11-23 07:00:30 EST  2026-11-23 07:05:00 EST
    reloaded
    ---
    ");
    assert_snapshot!(seen(with_report(ReloadReport::default()), "reload --plan"), @r"
    Done
    no job differs
    nothing was changed: this is the plan
    ---
    ");
}

#[test]
fn a_refused_reload_changes_nothing() {
    let problems = vec!["jobs.toml:3:12: `61` is not a minute".to_owned()];
    let report = ReloadReport { problems, warnings: vec!["`*/23` is uneven".to_owned()], ..ReloadReport::default() };
    assert_snapshot!(seen(with_report(report.clone()), "reload"), @r"
    InvalidConfig
    ---
    warning: `*/23` is uneven
    error: jobs.toml:3:12: `61` is not a minute
    not reloaded, 1 problem: the old configuration stays in force
    ");
    assert_snapshot!(seen(with_report(report), "reload --json"), @r#"
    InvalidConfig
    {
      "applied": false,
      "problems": [
        "jobs.toml:3:12: `61` is not a minute"
      ],
      "warnings": [
        "`*/23` is uneven"
      ],
      "added": [],
      "removed": [],
      "changed": [],
      "settings": []
    }
    ---
    "#);
}

#[test]
fn pause_and_resume_say_what_it_means() {
    assert_snapshot!(seen(daemon(), "pause daily-report sync"), @r"
    Done
    daily-report is paused: its nominal times are suppressed until `batchd resume`
    sync is paused: its nominal times are suppressed until `batchd resume`
    ---
    ");
    assert_snapshot!(seen(daemon(), "resume sync"), @r"
    Done
    sync was not paused
    ---
    ");
    assert_snapshot!(seen(daemon(), "pause sync --json"), @r#"
    Done
    {
      "job": "sync",
      "paused": true,
      "changed": true
    }
    ---
    "#);
    assert_snapshot!(seen(daemon(), "pause nothing"), @r"
    NotFound
    ---
    error: no job is called `nothing`
      help: `batchd jobs` lists the jobs; `batchd reload` takes over an edited file
    ");
}

#[test]
fn backfill_lists_its_runs() {
    assert_snapshot!(seen(daemon(), "backfill daily-report --from 2026-11-01 --to 2026-11-04"), @r"
    Done
    2026-11-01 02:00:00 EST  daily-report@20261101T070000Z+backfill
    2026-11-02 02:00:00 EST  daily-report@20261102T070000Z+backfill
    2026-11-03 02:00:00 EST  daily-report@20261103T070000Z+backfill
    ---
    3 runs made, to go one after the other while the job has nothing else to do
    ");
    assert_snapshot!(seen(daemon(), "backfill daily-report --from 2026-11-02 --to 2026-11-03 --dry-run"), @r"
    Done
    2026-11-02 02:00:00 EST  daily-report@20261102T070000Z+backfill
    ---
    1 run would be made, to go one after the other while the job has nothing else to do
    ");
    assert_snapshot!(seen(daemon(), "backfill daily-report --from 2026-11-03 --to 2026-11-03"), @r"
    Done
    ---
    no nominal time is left in that stretch
    ");
    assert_snapshot!(seen(daemon(), "backfill daily-report --from yesterday --to 2026-11-03"), @r"
    Usage
    ---
    error: `--from yesterday` is not a time; write `2026-03-08T02:30:00Z` or a local `2026-03-08T02:30`
    ");
    assert_snapshot!(seen(daemon(), "backfill nothing --from 2026-11-01 --to 2026-11-03"), @r"
    NotFound
    ---
    error: no job is called `nothing`
      help: `batchd jobs` lists the jobs; `batchd reload` takes over an edited file
    ");
}

#[test]
fn a_backfill_leaves_out_what_is_there() {
    let mut world = daemon();
    let id = RunId::new("daily-report", Cause::Backfill, at("2026-11-02T07:00:00Z"));
    world.history.runs.push(RunView {
        id,
        cause: Cause::Backfill,
        ..run(9, "daily-report", "2026-11-02T07:00:00Z", RunOutcome::Succeeded)
    });
    assert_snapshot!(seen(world, "backfill daily-report --from 2026-11-01 --to 2026-11-03"), @r"
    Done
    2026-11-01 02:00:00 EST  daily-report@20261101T070000Z+backfill
    ---
    left out: daily-report@20261102T070000Z+backfill is there already; `batchd show` tells of it
    1 run made, to go one after the other while the job has nothing else to do
    ");
}

#[test]
fn retry_names_the_new_run() {
    let new = "daily-report@20261123T120000.000002Z+retry";
    assert_snapshot!(seen(triggering(new), "retry daily-report"), @r"
    Done
    daily-report@20261123T120000.000002Z+retry
    ---
    ");
    assert_snapshot!(seen(triggering(new), "retry daily-report@20261122 --failed"), @r"
    Usage
    ---
    error: every partial of `daily-report@20261122T070000Z` succeeded: `--all` works on all of them again
    ");
    assert_snapshot!(seen(triggering(new), "retry daily-report@20261122 --all --json"), @r#"
    Done
    {
      "id": "daily-report@20261123T120000.000002Z+retry"
    }
    ---
    "#);
    assert_snapshot!(seen(triggering(new), "retry nothing"), @r"
    NotFound
    ---
    error: no run is called `nothing`, and no job of that name has run
      help: `batchd history` lists the runs
    ");
}
