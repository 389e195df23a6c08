//! The commands that reach the daemon's loop.

use insta::assert_snapshot;

use super::{answering, daemon, records, seen, triggering, with_report, with_status};
use crate::engine::Answer;
use crate::web::api::{LiveStatus, ReloadReport, StoreState};
use crate::web::fake::{at, status as live_status};

#[test]
fn status_of_a_healthy_daemon() {
    assert_snapshot!(seen(daemon(), "status"), @r"
    Done
    batchd 0.1.0 running, pid 4711, up 1d 3h
      config     /etc/batchd/jobs.toml (5f3a9c), read 1h ago
      jobs       4, next fire in 30s
      records    healthy

    live run               partials                      failed  phase        for
    sync@20261123T115900Z  [#####---------------] 10/40  1       4 in flight  1m
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
        ..live_status()
    };
    assert_snapshot!(seen(with_status(status), "status"), @r"
    Done
    batchd 0.1.0 draining, pid 4711, up 1d 3h
      config     /etc/batchd/jobs.toml (5f3a9c), read 1h ago
      jobs       4, no next fire
      records    cannot write for 2m: the disk is full; nothing new is fired until it can

    the last reload was refused; the configuration before it is in force
      jobs.toml:3:12: `61` is not a minute\x1b[2J

    no live runs
    ---
    ");
}

#[test]
fn without_a_daemon_orders_say_what_to_do() {
    assert_snapshot!(seen(records(), "status"), @r"
    NoDaemon
    ---
    error: no daemon reachable at `/srv/state/batchd.sock`: nobody listens there
      help: start it with `batchd daemon` or `systemctl start batchd`; `--config` says which one is meant
    ");
    for order in ["trigger daily-report", "cancel sync", "reload"] {
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
             job   keys      next fire before  after
    added    new   -         -                 in 1h
    removed  old   -         in 30m            -
    changed  sync  schedule  in 30s            in 5m
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
