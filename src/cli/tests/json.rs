//! `--json` as a contract: the whole of what each command prints that talks to the daemon or reads the records. A field may be added
//! here; one that goes, or changes, breaks somebody's script.

use insta::assert_snapshot;

use super::{daemon, records, seen};

#[test]
fn status() {
    assert_snapshot!(seen(daemon(), "status --json"), @r#"
    Done
    {
      "version": "0.1.0",
      "pid": 4711,
      "since": "2026-11-22T09:00:00Z",
      "config_path": "/etc/batchd/jobs.toml",
      "config_hash": "5f3a9c",
      "config_loaded": "2026-11-23T11:00:00Z",
      "jobs": 4,
      "next_fire": "2026-11-23T12:00:30Z",
      "draining": false,
      "reload_problems": [],
      "store": {
        "healthy": true,
        "reason": null,
        "since": null
      },
      "log": null,
      "channels": [],
      "partials_ended": 5010,
      "partials_failed": 10,
      "runs": [
        {
          "id": "sync@20261123T115900Z",
          "job": "sync",
          "cause": "schedule",
          "nominal": "2026-11-23T11:59:00Z",
          "zone": "America/New_York",
          "fired": "2026-11-23T11:59:00Z",
          "phase": "running",
          "partials": 40,
          "in_flight": 4,
          "succeeded": 9,
          "failed": 1,
          "cancelled": 0,
          "oldest": [
            {
              "index": 3,
              "target": "jp-3",
              "attempt": 1,
              "since": "2026-11-23T11:59:01Z"
            },
            {
              "index": 7,
              "target": "eu-7",
              "attempt": 2,
              "since": "2026-11-23T11:59:48Z",
              "progress": "page 3 of 10"
            }
          ]
        }
      ]
    }
    ---
    "#);
}

#[test]
#[expect(clippy::too_many_lines, reason = "it is one whole answer")]
fn jobs() {
    assert_snapshot!(seen(records(), "jobs --json"), @r#"
    Done
    {
      "jobs": [
        {
          "name": "cleanup",
          "description": null,
          "schedule": [
            "manual"
          ],
          "after": [],
          "zone": "America/New_York",
          "enabled": true,
          "paused": false,
          "next_fire": null,
          "running": 0,
          "waiting": 0,
          "last_run": null
        },
        {
          "name": "daily-report",
          "description": null,
          "schedule": [
            "0 2 * * *"
          ],
          "after": [],
          "zone": "America/New_York",
          "enabled": true,
          "paused": false,
          "next_fire": "2026-11-24T07:00:00Z",
          "running": 0,
          "waiting": 0,
          "last_run": {
            "id": "daily-report@20261123T070000Z",
            "key": 3,
            "job": "daily-report",
            "cause": "schedule",
            "nominal": "2026-11-23T07:00:00Z",
            "zone": "America/New_York",
            "fired": "2026-11-23T07:00:00.002Z",
            "started": "2026-11-23T07:00:00.003Z",
            "ended": "2026-11-23T07:01:23.003Z",
            "outcome": "failed",
            "partials": 4,
            "succeeded": 3,
            "failed": 1,
            "cancelled": 0,
            "reason": "more partials failed than `max_failures` allows",
            "result": null,
            "duration_ms": 83000
          }
        },
        {
          "name": "sync",
          "description": null,
          "schedule": [
            "@every 90s"
          ],
          "after": [],
          "zone": "America/New_York",
          "enabled": true,
          "paused": false,
          "next_fire": "2026-11-23T12:00:30Z",
          "running": 1,
          "waiting": 2,
          "last_run": {
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
          }
        },
        {
          "name": "yearly",
          "description": null,
          "schedule": [
            "@yearly"
          ],
          "after": [],
          "zone": "America/New_York",
          "enabled": false,
          "paused": false,
          "next_fire": null,
          "running": 0,
          "waiting": 0,
          "last_run": null
        }
      ],
      "daemon": false
    }
    ---
    "#);
}

#[test]
fn history() {
    assert_snapshot!(seen(records(), "history daily-report -n 1 --json"), @r#"
    Done
    {
      "runs": [
        {
          "id": "daily-report@20261123T070000Z",
          "key": 3,
          "job": "daily-report",
          "cause": "schedule",
          "nominal": "2026-11-23T07:00:00Z",
          "zone": "America/New_York",
          "fired": "2026-11-23T07:00:00.002Z",
          "started": "2026-11-23T07:00:00.003Z",
          "ended": "2026-11-23T07:01:23.003Z",
          "outcome": "failed",
          "partials": 4,
          "succeeded": 3,
          "failed": 1,
          "cancelled": 0,
          "reason": "more partials failed than `max_failures` allows",
          "result": null,
          "duration_ms": 83000
        }
      ],
      "next": 3
    }
    ---
    "#);
}

#[test]
#[expect(clippy::too_many_lines, reason = "it is one whole answer")]
fn show() {
    assert_snapshot!(seen(records(), "show daily-report --json"), @r#"
    Done
    {
      "run": {
        "id": "daily-report@20261123T070000Z",
        "key": 3,
        "job": "daily-report",
        "cause": "schedule",
        "nominal": "2026-11-23T07:00:00Z",
        "zone": "America/New_York",
        "fired": "2026-11-23T07:00:00.002Z",
        "started": "2026-11-23T07:00:00.003Z",
        "ended": "2026-11-23T07:01:23.003Z",
        "outcome": "failed",
        "partials": 4,
        "succeeded": 3,
        "failed": 1,
        "cancelled": 0,
        "reason": "more partials failed than `max_failures` allows",
        "result": null,
        "duration_ms": 83000
      },
      "counts": {
        "failed": 1,
        "succeeded": 3
      },
      "slowest": [
        {
          "index": 3,
          "target": "kr",
          "outcome": "succeeded",
          "attempts": 1,
          "started": "2026-11-23T07:00:00Z",
          "ended": "2026-11-23T07:00:01Z",
          "duration_ms": 1003.0,
          "cpu_ms": 250.5,
          "max_rss": null,
          "exit_code": 0,
          "signal": null,
          "result": {"rows":3},
          "error": null
        },
        {
          "index": 2,
          "target": "jp",
          "outcome": "failed",
          "attempts": 2,
          "started": "2026-11-23T07:00:00Z",
          "ended": "2026-11-23T07:00:01Z",
          "duration_ms": 1002.0,
          "cpu_ms": 250.5,
          "max_rss": 50331648,
          "exit_code": 1,
          "signal": null,
          "result": null,
          "error": "exit code 1"
        },
        {
          "index": 1,
          "target": "us",
          "outcome": "succeeded",
          "attempts": 1,
          "started": "2026-11-23T07:00:00Z",
          "ended": "2026-11-23T07:00:01Z",
          "duration_ms": 1001.0,
          "cpu_ms": 250.5,
          "max_rss": null,
          "exit_code": 0,
          "signal": null,
          "result": {"rows":3},
          "error": null
        },
        {
          "index": 0,
          "target": "eu",
          "outcome": "succeeded",
          "attempts": 1,
          "started": "2026-11-23T07:00:00Z",
          "ended": "2026-11-23T07:00:01Z",
          "duration_ms": 1000.0,
          "cpu_ms": 250.5,
          "max_rss": null,
          "exit_code": 0,
          "signal": null,
          "result": {"rows":3},
          "error": null
        }
      ],
      "failed": [
        {
          "partial": {
            "index": 2,
            "target": "jp",
            "outcome": "failed",
            "attempts": 2,
            "started": "2026-11-23T07:00:00Z",
            "ended": "2026-11-23T07:00:01Z",
            "duration_ms": 1002.0,
            "cpu_ms": 250.5,
            "max_rss": 50331648,
            "exit_code": 1,
            "signal": null,
            "result": null,
            "error": "exit code 1"
          },
          "last_output": [
            "connecting",
            "\u001b[31mrefused\u202e"
          ]
        }
      ],
      "gather_output": []
    }
    ---
    "#);
}
