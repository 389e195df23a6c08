//! `batchd import` and `export` by their whole output.

use super::*;
use crate::cli::Look;

/// What a user sees of a crontab, on a terminal of a width.
fn seen(text: &str, json: bool, width: Option<u16>) -> String {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut screen = Screen::new(&mut out, &mut err, Look { width, ..Look::default() });
    let home = |_: &str| Some("/root".to_owned());
    let table = Table { source: "/etc/crontab", text: text.as_bytes(), has_users: true };
    let imported = crontab::import(&[table], Facts { owner: None, home: &home });
    let exit = say(&imported, json, &mut screen).expect("an answer");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    format!("{exit:?}\n{}---\n{}", text(out), text(err))
}

const TABLE: &str = "MAILTO=ops\n0 5 * * * root backup >/dev/null\n0 22-2 * * * root \u{1b}[2Jodd\n";

#[test]
fn the_file_is_the_answer_and_the_report_is_not() {
    insta::assert_snapshot!(seen(TABLE, false, None), @r#"
    WorkFailed
    # From /etc/crontab, by `batchd import crontab`: what cron ran, when cron ran it.
    # The report that came with it says what is not quite the same.

    [defaults]
    overlap = "allow"    # as cron, which starts a job beside its last run; without this line: "skip"
    catch_up = "none"    # as cron, which forgets what fell due while it was down; without this line: "latest"

    # MAILTO=ops

    [jobs.backup]
    schedule = "0 5 * * *"
    shell = "backup >/dev/null"
    user = "root"
    cwd = "/root"    # the home directory, where cron starts a job
    env = { PATH = "/usr/bin:/bin" }

    # left out: `schedule`: hour range `22-2` runs backwards: start is after end; for a wrap-round write `22-23,0-2`; Debian's cron accepted `22-2` and never ran it
    # 0 22-2 * * * root �[2Jodd
    ---
    1 job; 1 entry could not be said, and is a comment
    left-out     `schedule`: hour range `22-2` runs backwards: start is after end; for a wrap-round
                 write `22-23,0-2`; Debian's cron accepted `22-2` and never ran it
                 → /etc/crontab:3
    schedule     a time that daylight saving skips or repeats is treated as Debian's cron does, in each
                 job's own zone; other crons differ
    environment  cron gives a job HOME, LOGNAME, SHELL and PATH, which are kept, and what the table
                 sets; a job here also gets LANG=C.UTF-8, BATCHD_JOB and the like. What PAM adds, as
                 from /etc/environment, does not come along: set it in `env` or `env_file`
    mail         no mail goes to `ops` (MAILTO): what the job prints is in the log, and its exit code
                 decides whether it failed; to be mailed of that, give `[notify.mail]` an `email` and
                 the job `notify = { failure = ["mail"] }`
                 → /etc/crontab:2 (backup)
    mail         cron mails what a job prints to its owner, or to MAILTO; here it goes to the log,
                 `batchd logs JOB`, and is kept for `batchd show`
    hint         it throws away or redirects what it prints; without that, `batchd show` tells what was
                 said
                 → /etc/crontab:2 (backup)
    "#);
}

#[test]
fn a_narrow_terminal_wraps_the_report() {
    insta::assert_snapshot!(seen("0 5 * * * root backup\n", false, Some(50)), @r#"
    Done
    # From /etc/crontab, by `batchd import crontab`: what cron ran, when cron ran it.
    # The report that came with it says what is not quite the same.

    [defaults]
    overlap = "allow"    # as cron, which starts a job beside its last run; without this line: "skip"
    catch_up = "none"    # as cron, which forgets what fell due while it was down; without this line: "latest"

    [jobs.backup]
    schedule = "0 5 * * *"
    shell = "backup"
    user = "root"
    cwd = "/root"    # the home directory, where cron starts a job
    env = { PATH = "/usr/bin:/bin" }
    ---
    1 job
    schedule     a time that daylight saving skips or
                 repeats is treated as Debian's cron
                 does, in each job's own zone; other
                 crons differ
    environment  cron gives a job HOME, LOGNAME, SHELL
                 and PATH, which are kept, and what
                 the table sets; a job here also gets
                 LANG=C.UTF-8, BATCHD_JOB and the
                 like. What PAM adds, as from
                 /etc/environment, does not come
                 along: set it in `env` or `env_file`
    mail         cron mails what a job prints to its
                 owner, or to MAILTO; here it goes to
                 the log, `batchd logs JOB`, and is
                 kept for `batchd show`
    "#);
}

#[test]
fn json_has_it_all() {
    insta::assert_snapshot!(seen("0 5 * * * root backup\n", true, None), @r##"
    Done
    {
      "toml": "# From /etc/crontab, by `batchd import crontab`: what cron ran, when cron ran it.\n# The report that came with it says what is not quite the same.\n\n[defaults]\noverlap = \"allow\"    # as cron, which starts a job beside its last run; without this line: \"skip\"\ncatch_up = \"none\"    # as cron, which forgets what fell due while it was down; without this line: \"latest\"\n\n[jobs.backup]\nschedule = \"0 5 * * *\"\nshell = \"backup\"\nuser = \"root\"\ncwd = \"/root\"    # the home directory, where cron starts a job\nenv = { PATH = \"/usr/bin:/bin\" }\n",
      "jobs": [
        "backup"
      ],
      "left_out": 0,
      "findings": [
        {
          "topic": "schedule",
          "message": "a time that daylight saving skips or repeats is treated as Debian's cron does, in each job's own zone; other crons differ",
          "places": []
        },
        {
          "topic": "environment",
          "message": "cron gives a job HOME, LOGNAME, SHELL and PATH, which are kept, and what the table sets; a job here also gets LANG=C.UTF-8, BATCHD_JOB and the like. What PAM adds, as from /etc/environment, does not come along: set it in `env` or `env_file`",
          "places": []
        },
        {
          "topic": "mail",
          "message": "cron mails what a job prints to its owner, or to MAILTO; here it goes to the log, `batchd logs JOB`, and is kept for `batchd show`",
          "places": []
        }
      ]
    }
    ---
    "##);
}

#[test]
fn an_empty_table_is_no_success() {
    insta::assert_snapshot!(seen("# nothing\n", false, None), @"
    WorkFailed
    # From /etc/crontab, by `batchd import crontab`: what cron ran, when cron ran it.
    # The report that came with it says what is not quite the same.

    # nothing
    ---
    0 jobs
    ");
}
