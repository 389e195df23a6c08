//! `--json` as a contract: what the commands print that reach the daemon's loop.

use insta::assert_snapshot;

use super::{daemon, seen, triggering};

#[test]
fn pause_and_resume() {
    assert_snapshot!(seen(daemon(), "pause sync cleanup --json"), @r#"
    Done
    {
      "job": "sync",
      "paused": true,
      "changed": true
    }
    {
      "job": "cleanup",
      "paused": true,
      "changed": true
    }
    ---
    "#);
    assert_snapshot!(seen(daemon(), "resume sync --json"), @r#"
    Done
    {
      "job": "sync",
      "paused": false,
      "changed": false
    }
    ---
    "#);
}

#[test]
fn backfill() {
    assert_snapshot!(seen(daemon(), "backfill daily-report --from 2026-11-01 --to 2026-11-02 --json"), @r#"
    Done
    {
      "dry_run": false,
      "runs": [
        {
          "id": "daily-report@20261101T070000Z+backfill",
          "nominal": "2026-11-01T07:00:00Z"
        }
      ],
      "left_out": []
    }
    ---
    "#);
}

#[test]
fn reload() {
    assert_snapshot!(seen(daemon(), "reload --plan --json"), @r#"
    Done
    {
      "applied": false,
      "problems": [],
      "warnings": [],
      "added": [
        {
          "job": "new",
          "zone": "America/New_York",
          "what": [],
          "next_before": null,
          "next_after": "2026-11-23T13:00:00Z"
        }
      ],
      "removed": [
        {
          "job": "old",
          "zone": "America/New_York",
          "what": [],
          "next_before": "2026-11-23T12:30:00Z",
          "next_after": null
        }
      ],
      "changed": [
        {
          "job": "sync",
          "zone": "America/New_York",
          "what": [
            "schedule"
          ],
          "next_before": "2026-11-23T12:00:30Z",
          "next_after": "2026-11-23T12:05:00Z"
        }
      ],
      "settings": []
    }
    ---
    "#);
}

#[test]
fn waiting_for_a_run() {
    assert_snapshot!(seen(triggering("daily-report@20261123T070000Z"), "trigger daily-report --wait --json"), @r#"
    WorkFailed
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
    ---
    "#);
}
