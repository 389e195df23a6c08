//! What the commands that need no daemon print, by whole output and exit code: success, nothing, failure, JSON, and a narrow terminal.
//! Those of a daemon are in `src/cli/tests`, the rest in `docs/cli.md`, whose sessions are run as well.

use insta::assert_snapshot;
use regex::Regex;

use super::readme::normal;
use super::site::Site;

const JOBS: &str = r#"
[jobs.daily-report]
schedule = "30 2 * * *"
timezone = "Europe/Berlin"
command = ["/bin/echo", "{{ target }}"]
targets = ["seoul", "busan"]
env = { DJANGO_SETTINGS_MODULE = "shop.settings" }

[jobs.sync]
schedule = "*/20 * * * *"
command = ["/bin/true"]
jitter = "30s"

[jobs.by-hand]
schedule = "manual"
shell = "exit 3"
"#;

/// Each line as it is typed, with what it prints on both streams, and its exit code where that is not 0.
fn session(lines: &[&str]) -> String {
    let site = Site::new(JOBS);
    let typed = |line: &&str| format!("$ {line}\n{}", site.shell(&format!("{line} || echo \"exit code $?\"")));
    let directory = site.path("");
    lines.iter().map(typed).collect::<String>().replace(directory.to_str().expect("a path of text").trim_end_matches('/'), "/srv/shop")
}

/// The same of what tells times and durations.
fn session_of_today(lines: &[&str]) -> String {
    let measured = Regex::new(r#""(duration|cpu)_ms":[\d.]+"#).expect("a pattern");
    normal(&measured.replace_all(&session(lines), r#""${1}_ms":N"#))
}

#[test]
fn explain() {
    assert_snapshot!(session(&[
        "batchd explain daily-report --after 2026-03-27T12:00:00Z",
        "batchd explain '*/7 * * * *' --after 2026-03-27T12:00:00Z --json",
        "batchd explain '61 * * * *'",
        "batchd explain nightly",
        "COLUMNS=40 batchd explain '*/20 9-17 * * 1-5' --after 2026-03-27T12:00:00Z",
    ]), @r#"
    $ batchd explain daily-report --after 2026-03-27T12:00:00Z
    error: found 1 field, expected 5 or 6
      daily-report
      ^^^^^^^^^^^^
      help: write minute, hour, day of month, month, weekday, with seconds in front for six
    exit code 2
    $ batchd explain '*/7 * * * *' --after 2026-03-27T12:00:00Z --json
    {"schedule":"*/7 * * * *","timezone":"UTC","words":"at minutes 0, 7, 14, 21, 28, 35, 42, 49 and 56 of every hour","warnings":[{"columns":[1,3],"message":"minute `*/7` is uneven: the steps start over at the end of each round, so the last one is shorter","help":"for a steady interval use `@every`"}],"fires":["2026-03-27T12:07:00Z","2026-03-27T12:14:00Z","2026-03-27T12:21:00Z","2026-03-27T12:28:00Z","2026-03-27T12:35:00Z"],"local":["2026-03-27T12:07:00+00:00[UTC]","2026-03-27T12:14:00+00:00[UTC]","2026-03-27T12:21:00+00:00[UTC]","2026-03-27T12:28:00+00:00[UTC]","2026-03-27T12:35:00+00:00[UTC]"],"changes":[]}
    $ batchd explain '61 * * * *'
    error: minute `61` is out of range 0-59
      61 * * * *
      ^^
    exit code 2
    $ batchd explain nightly
    error: found 1 field, expected 5 or 6
      nightly
      ^^^^^^^
      help: write minute, hour, day of month, month, weekday, with seconds in front for six
    exit code 2
    $ COLUMNS=40 batchd explain '*/20 9-17 * * 1-5' --after 2026-03-27T12:00:00Z
    every 20 minutes in the hours 09 to 17, Monday to Friday, in UTC

    next fires
      Fri 2026-03-27 12:20:00 UTC (+00:00)
      Fri 2026-03-27 12:40:00 UTC (+00:00)
      Fri 2026-03-27 13:00:00 UTC (+00:00)
      Fri 2026-03-27 13:20:00 UTC (+00:00)
      Fri 2026-03-27 13:40:00 UTC (+00:00)

    the clocks of UTC do not change
    "#);
}

#[test]
fn next() {
    assert_snapshot!(session(&[
        "batchd next --after 2026-10-24T23:30:00Z -n 3",
        "batchd next daily-report --after 2026-10-24T00:00:00Z -n 2 --json",
        "batchd next by-hand",
        "batchd next nightly",
    ]), @r#"
    $ batchd next --after 2026-10-24T23:30:00Z -n 3
    fire                                  due       job
    Sat 2026-10-24 23:40:00 UTC (+00:00)  32 d ago  sync
    Sun 2026-10-25 00:00:00 UTC (+00:00)  32 d ago  sync
    Sun 2026-10-25 00:20:00 UTC (+00:00)  32 d ago  sync
    $ batchd next daily-report --after 2026-10-24T00:00:00Z -n 2 --json
    {"fires":[{"job":"daily-report","nominal":"2026-10-24T00:30:00Z","local":"2026-10-24T02:30:00+02:00[Europe/Berlin]","zone":"Europe/Berlin"},{"job":"daily-report","nominal":"2026-10-25T00:30:00Z","local":"2026-10-25T02:30:00+02:00[Europe/Berlin]","zone":"Europe/Berlin"}]}
    $ batchd next by-hand
    no coming fires
    $ batchd next nightly
    error: no job is called `nightly`
      help: `batchd jobs` lists the jobs
    exit code 5
    "#);
}

#[test]
fn simulate() {
    assert_snapshot!(session(&[
        "batchd simulate --from 2026-10-24T22:00:00Z --to 2026-10-25T03:00:00Z --speed 1m -n 2",
        "batchd simulate --from 2026-10-25T00:00:00Z --to 2026-10-25T01:00:00Z --speed 1m -n 1 --json",
        "batchd simulate --from 2026-10-25 --to 2026-10-24",
    ]), @r#"
    $ batchd simulate --from 2026-10-24T22:00:00Z --to 2026-10-25T03:00:00Z --speed 1m -n 2
    2026-10-24 22:00:26 UTC  sync (schedule, for 2026-10-24 22:00:00 UTC)
    2026-10-24 22:20:08 UTC  sync (schedule, for 2026-10-24 22:20:00 UTC)
    … and 14 more

    job           ran  skipped  suppressed  missed  coalesced  followed
    by-hand         0        0           0       0          0         0
    daily-report    1        0           0       0          0         0
    sync           15        0           0       0          0         0

    at most 1 run at once, first at 2026-10-24 22:00:26 UTC
    at most 2 partials at once, first at 2026-10-25 00:30:00 UTC
    daily-report: Europe/Berlin 2026-10-25 03:00 → 02:00: 02:30 comes twice; runs at the first
    $ batchd simulate --from 2026-10-25T00:00:00Z --to 2026-10-25T01:00:00Z --speed 1m -n 1 --json
    {
      "jobs": {
        "by-hand": {
          "decided": {},
          "followed": 0,
          "first_skipped": null
        },
        "daily-report": {
          "decided": {
            "ran": 1
          },
          "followed": 0,
          "first_skipped": null
        },
        "sync": {
          "decided": {
            "ran": 3
          },
          "followed": 0,
          "first_skipped": null
        }
      },
      "fires": [
        {
          "job": "sync",
          "cause": "schedule",
          "nominal": "2026-10-25T00:00:00Z",
          "fired": "2026-10-25T00:00:06.769Z"
        }
      ],
      "fired": 4,
      "partials": {
        "most": 2,
        "at": "2026-10-25T00:30:00Z"
      },
      "runs": {
        "most": 1,
        "at": "2026-10-25T00:00:06.789Z"
      }
    }
    $ batchd simulate --from 2026-10-25 --to 2026-10-24
    error: `--to` is not later than `--from`
    exit code 2
    "#);
}

#[test]
fn check() {
    assert_snapshot!(session_of_today(&[
        "sed -i s/Europe.Berlin/UTC/ jobs.toml; batchd check",
        "batchd check --json",
        "echo '[jobs.sync' > wrong.toml; batchd check --config wrong.toml",
        "batchd check --config wrong.toml --json",
        "batchd check --config nothing.toml",
    ]), @r#"
    $ sed -i s/Europe.Berlin/UTC/ jobs.toml; batchd check
    job schedule zone next fire due
    by-hand manual UTC by hand -
    daily-report 30 2 * * * UTC TIME UTC SPAN
    sync */20 * * * * UTC TIME UTC SPAN
    $ batchd check --json
    {"ok":true,"problems":[],"jobs":[{"name":"by-hand","schedule":["manual"],"after":[],"timezone":"UTC","enabled":true,"next":null},{"name":"daily-report","schedule":["30 2 * * *"],"after":[],"timezone":"UTC","enabled":true,"next":"TIME"},{"name":"sync","schedule":["*/20 * * * *"],"after":[],"timezone":"UTC","enabled":true,"next":"TIME"}]}
    $ echo '[jobs.sync' > wrong.toml; batchd check --config wrong.toml
    error: not TOML: unclosed table, expected `]`
     --> wrong.toml:1:11
      |
    1 | [jobs.sync
      | ^
      |
      = help: close the header with `]`: `[jobs.NAME]`

    1 problem
    exit code 78
    $ batchd check --config wrong.toml --json
    {"ok":false,"problems":[{"line":1,"column":11,"severity":"error","message":"not TOML: unclosed table, expected `]`","help":"close the header with `]`: `[jobs.NAME]`"}],"jobs":[]}
    exit code 78
    $ batchd check --config nothing.toml
    error: cannot read `nothing.toml`: No such file or directory (os error 2)
    exit code 78
    "#);
}

#[test]
fn env() {
    assert_snapshot!(session_of_today(&[
        "batchd env daily-report --target seoul | grep -v -e ^HOME= -e ^USER= -e ^LOGNAME= -e ^PATH= -e ^SHELL= -e ^TZ= -e ^LANG=",
        "batchd env daily-report --target paris",
        "batchd env nightly",
    ]), @"
    $ batchd env daily-report --target seoul | grep -v -e ^HOME= -e ^USER= -e ^LOGNAME= -e ^PATH= -e ^SHELL= -e ^TZ= -e ^LANG=
    no daemon runs: inherited variables are those of this shell
    BATCHD_ATTEMPT=1
    BATCHD_CAUSE=manual
    BATCHD_JOB=daily-report
    BATCHD_NOMINAL=TIME+01:00
    BATCHD_PARTIAL_COUNT=2
    BATCHD_PARTIAL_INDEX=0
    BATCHD_RESULT=/srv/shop/state/results/0-0
    BATCHD_RUN=daily-report@TIME+manual
    BATCHD_TARGET=seoul
    DJANGO_SETTINGS_MODULE=shop.settings
    $ batchd env daily-report --target paris
    error: job `daily-report` has no target `paris`
      help: name a target by its key, as in the job's `targets`
    exit code 5
    $ batchd env nightly
    error: no job is called `nightly`
      help: `batchd jobs` lists the jobs
    exit code 5
    ");
}

#[test]
fn export() {
    assert_snapshot!(session(&[
        "batchd export crontab 2> /dev/null",
        "batchd export crontab > /dev/null",
        "batchd export launchd",
    ]), @"
    $ batchd export crontab 2> /dev/null
    # Made by `batchd export crontab`.
    PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

    # sync
    */20 * * * * cd /srv/shop && /bin/true

    # left out: by-hand: a crontab cannot say `manual`

    # left out: daily-report: a crontab has no targets and no gather
    exit code 1
    $ batchd export crontab > /dev/null
    left-out     a crontab cannot say `manual`
                 → jobs.toml (by-hand)
    left-out     a crontab has no targets and no gather
                 → jobs.toml (daily-report)
    schedule     `jitter` does not come along
                 → jobs.toml (sync)
    mail         cron mails what a job prints, or throws it away; there is no history, no log and no
                 `batchd show`
    overlap      cron starts a job beside its live run, whatever `overlap` says; `flock -n FILE` keeps
                 them apart
                 → jobs.toml (sync)
    missed       cron forgets what fell due while it was down; there is no `catch_up`
                 → jobs.toml (sync)
    exit code 1
    $ batchd export launchd
    error: unrecognized subcommand 'launchd'

    Usage: batchd export [OPTIONS] <COMMAND>

    For more information, try '--help'.
    exit code 2
    ");
}

#[test]
fn records_that_are_not_there_yet() {
    assert_snapshot!(session_of_today(&[
        "batchd history",
        "batchd history --json",
        "batchd show daily-report",
        "batchd results daily-report",
        "batchd audit",
        "batchd audit --json",
        "batchd logs",
        "batchd state check",
        "batchd state backup copy.db",
        "batchd status",
        "batchd jobs --json",
    ]), @r#"
    $ batchd history
    no runs
    $ batchd history --json
    {
      "runs": [],
      "next": null
    }
    $ batchd show daily-report
    error: no run is called `daily-report`, and no job of that name has run
      help: `batchd history` lists the runs
    exit code 5
    $ batchd results daily-report
    error: no run is called `daily-report`, and no job of that name has run
      help: `batchd history` lists the runs
    exit code 5
    $ batchd audit
    error: cannot read the records: no database at `/srv/shop/state/batchd.db`: no daemon has run with this state directory yet
    exit code 1
    $ batchd audit --json
    error: cannot read the records: no database at `/srv/shop/state/batchd.db`: no daemon has run with this state directory yet
    exit code 1
    $ batchd logs
    error: there is no log at `/srv/shop/logs/batch.log`
      help: the daemon writes it; `[log]` in the configuration says where
    exit code 5
    $ batchd state check
    error: no database at `/srv/shop/state/batchd.db`: no daemon has run with this state directory yet
    exit code 1
    $ batchd state backup copy.db
    error: cannot read the records: no database at `/srv/shop/state/batchd.db`: no daemon has run with this state directory yet
    exit code 1
    $ batchd status
    error: no daemon reachable at `/srv/shop/state/batchd.sock`: nobody listens there
      help: start it with `batchd daemon` or `systemctl start batchd`; `--config` says which one is meant
    exit code 4
    $ batchd jobs --json
    {
      "jobs": [
        {
          "name": "by-hand",
          "description": null,
          "schedule": [
            "manual"
          ],
          "after": [],
          "zone": "UTC",
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
            "30 2 * * *"
          ],
          "after": [],
          "zone": "Europe/Berlin",
          "enabled": true,
          "paused": false,
          "next_fire": "TIME",
          "running": 0,
          "waiting": 0,
          "last_run": null
        },
        {
          "name": "sync",
          "description": null,
          "schedule": [
            "*/20 * * * *"
          ],
          "after": [],
          "zone": "UTC",
          "enabled": true,
          "paused": false,
          "next_fire": "TIME",
          "running": 0,
          "waiting": 0,
          "last_run": null
        }
      ],
      "daemon": false
    }
    "#);
}

#[test]
fn records_of_a_run_by_hand() {
    assert_snapshot!(session_of_today(&[
        "batchd run daily-report > /dev/null 2>&1",
        "batchd results daily-report",
        "batchd logs daily-report",
        "batchd logs nightly",
        "batchd audit",
        "batchd audit --json",
        "batchd state check",
        "batchd state backup copy.db",
        "batchd state backup copy.db",
        "batchd state repair",
        "batchd run by-hand",
        "batchd run nightly",
        "batchd run daily-report --target paris",
    ]), @r#"
    $ batchd run daily-report > /dev/null 2>&1
    $ batchd results daily-report
    {"index":0,"target":"seoul","outcome":"succeeded","attempts":1,"started":"TIME","ended":"TIME","duration_ms":N,"cpu_ms":N,"max_rss":null,"exit_code":0,"signal":null,"result":null,"error":null}
    {"index":1,"target":"busan","outcome":"succeeded","attempts":1,"started":"TIME","ended":"TIME","duration_ms":N,"cpu_ms":N,"max_rss":null,"exit_code":0,"signal":null,"result":null,"error":null}
    $ batchd logs daily-report
    the log has nothing of it; this was kept of what daily-report@TIME+manual said
    seoul| seoul
    busan| busan
    $ batchd logs nightly
    error: no run is called `nightly`, and no job of that name has run
      help: `batchd history` lists the runs
    exit code 5
    $ batchd audit
    no job has been accounted for yet: `batchd daemon` begins with it
    $ batchd audit --json
    {
      "since": "TIME",
      "jobs": [],
      "adds_up": true
    }
    $ batchd state check
    sound: schema version 9, rows: decision 0, output 2, partial 2, run 1
    $ batchd state backup copy.db
    copy.db has all records, 132.0 KiB
    $ batchd state backup copy.db
    error: there is no backup: `copy.db` exists already; name a file that does not
    exit code 1
    $ batchd state repair
    nothing is wrong with the records: nothing was changed
    $ batchd run by-hand
    by-hand@TIME+manual: 1 partial
    [1/1] #0 failed: exit code 3
    error: run failed SPAN
    by-hand@TIME+manual failed
      why it was asked for by hand
      nominal TIME UTC (UTC)
      fired TIME UTC, SPAN after its nominal time
      started TIME UTC
      ended TIME UTC, took SPAN
      partials 1: 1 failed
      used SPAN of CPU

    failed
      #0 failed after 1 attempt: exit code 3
    exit code 1
    $ batchd run nightly
    error: no job is called `nightly`
      help: `batchd jobs` lists the jobs
    exit code 5
    $ batchd run daily-report --target paris
    error: job `daily-report` has no target `paris`
      help: name a target by its key, as in the job's `targets`
    exit code 5
    "#);
}

#[test]
fn what_helps_to_begin() {
    assert_snapshot!(session(&[
        "batchd init",
        "batchd man nothing",
        "batchd schema | head -n 3",
        "batchd schema --api | head -n 3",
        "batchd completions nothing",
        "batchd notify test ops",
        "batchd import crontab nothing",
        "batchd top",
        "batchd checks",
    ]), @r#"
    $ batchd init
    error: `jobs.toml` is there already; nothing was changed
    exit code 1
    $ batchd man nothing
    error: there is no page `nothing`
      help: pages are those of the commands, and `jobs.toml`
    exit code 5
    $ batchd schema | head -n 3
    {
      "$schema": "http://json-schema.org/draft-07/schema#",
      "title": "jobs.toml of batchd",
    $ batchd schema --api | head -n 3
    {
      "openapi": "3.1.0",
      "info": {
    $ batchd completions nothing
    error: invalid value 'nothing' for '<SHELL>'
      [possible values: bash, zsh, fish, elvish, powershell]

    For more information, try '--help'.
    exit code 2
    $ batchd notify test ops
    error: no channel is called `ops`; there is none
    exit code 5
    $ batchd import crontab nothing
    error: cannot read `nothing`: No such file or directory (os error 2)
    exit code 5
    $ batchd top
    error: `batchd top` draws on a terminal, and there is none
      help: `batchd status` and `batchd jobs` tell the same once, for programs with `--json`; `batchd logs -f` follows the log
    exit code 2
    $ batchd checks
    error: unrecognized subcommand 'checks'

      tip: a similar subcommand exists: 'check'

    Usage: batchd [OPTIONS] <COMMAND>

    For more information, try '--help'.
    exit code 2
    "#);
}
