//! Crontabs by the jobs.toml that they become, whole.

mod export;
mod packages;

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use proptest::prelude::*;

use super::*;
use crate::config::{Config, Context};
use crate::exchange::Finding;
use crate::schedule::{Schedule, Zone};

fn home(user: &str) -> Option<String> {
    match user {
        "root" => Some("/root".to_owned()),
        "shop" => Some("/home/shop".to_owned()),
        "logcheck" => Some("/var/lib/logcheck".to_owned()),
        _ => None,
    }
}

fn import_texts(tables: &[(&str, &[u8], bool)]) -> Imported {
    let tables: Vec<Table<'_>> = tables.iter().map(|(source, text, has_users)| Table { source, text, has_users: *has_users }).collect();
    import(&tables, Facts { owner: Some("shop"), home: &home })
}

fn import_text(text: &str) -> Imported {
    import_texts(&[("crontab -l", text.as_bytes(), false)])
}

/// A crontab of the test data, as a user's or as the system's.
fn import_file(name: &str, has_users: bool) -> Imported {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/crontabs").join(name);
    let text = std::fs::read(path).expect("a crontab of the test data");
    let source = if has_users { format!("/etc/cron.d/{name}") } else { name.to_owned() };
    import_texts(&[(&source, &text, has_users)])
}

pub(in crate::exchange) fn parse(toml: &str) -> Config {
    let context = Context {
        path: PathBuf::from("jobs.toml"),
        base: PathBuf::from("/etc/batchd"),
        system_zone: Zone::utc(),
        handlers: Vec::new(),
        files: |_: &Path| Err("no file".to_owned()),
        matches: |_: &Path, _: &str| Ok(Vec::new()),
        host: crate::config::Host::any(),
    };
    crate::config::parse(toml.as_bytes(), &context).unwrap_or_else(|problems| panic!("{problems}\n{toml}")).0
}

/// The file and the findings as a text, once it is known to be valid.
fn shown(imported: &Imported) -> String {
    assert_eq!(parse(&imported.toml).jobs.len(), imported.jobs.len());
    format!("{}---\n{}", imported.toml, listed(&imported.findings))
}

/// A line a finding, with the numbers of its lines.
pub(in crate::exchange) fn listed(findings: &[Finding]) -> String {
    let line = |finding: &Finding| {
        let lines: Vec<String> = finding.places.iter().map(|place| place.line.to_string()).collect();
        format!("{} ({}): {}", finding.topic.name(), lines.join(" "), finding.message)
    };
    findings.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_crontab_of_debian() {
    insta::assert_snapshot!(shown(&import_file("crontab", true)), @r#"
    # From /etc/cron.d/crontab, by `batchd import crontab`: what cron ran, when cron ran it.
    # The report that came with it says what is not quite the same.

    [defaults]
    overlap = "allow"    # as cron, which starts a job beside its last run; without this line: "skip"
    catch_up = "none"    # as cron, which forgets what fell due while it was down; without this line: "latest"
    user = "root"
    cwd = "/root"    # the home directory, where cron starts a job
    env = { PATH = "/usr/bin:/bin" }

    # /etc/crontab: system-wide crontab
    # Unlike any other crontab, lines here have a user field.

    # You can also override PATH, but by default, newer versions inherit it from the environment
    #PATH=/usr/local/sbin:/usr/local/bin:/sbin:/bin:/usr/sbin:/usr/bin

    # Example of job definition:
    # .---------------- minute (0 - 59)
    # |  .------------- hour (0 - 23)
    # |  |  .---------- day of month (1 - 31)
    # |  |  |  .------- month (1 - 12) OR jan,feb,mar,apr ...
    # |  |  |  |  .---- day of week (0 - 6) (Sunday=0 or 7) OR sun,mon,tue,wed,thu,fri,sat
    # |  |  |  |  |
    # *  *  *  *  * user-name command to be executed
    [jobs.cron-hourly]
    schedule = "17 * * * *"
    shell = "cd / && run-parts --report /etc/cron.hourly"

    [jobs.cron-daily]
    schedule = "25 6 * * *"
    shell = "test -x /usr/sbin/anacron || { cd / && run-parts --report /etc/cron.daily; }"

    [jobs.cron-weekly]
    schedule = "47 6 * * 7"
    shell = "test -x /usr/sbin/anacron || { cd / && run-parts --report /etc/cron.weekly; }"

    [jobs.cron-monthly]
    schedule = "52 6 1 * *"
    shell = "test -x /usr/sbin/anacron || { cd / && run-parts --report /etc/cron.monthly; }"

    #
    ---
    schedule (): a time that daylight saving skips or repeats is treated as Debian's cron does, in each job's own zone; other crons differ
    environment (): cron gives a job HOME, LOGNAME, SHELL and PATH, which are kept, and what the table sets; a job here also gets LANG=C.UTF-8, BATCHD_JOB and the like. What PAM adds, as from /etc/environment, does not come along: set it in `env` or `env_file`
    mail (): cron mails what a job prints to its owner, or to MAILTO; here it goes to the log, `batchd logs JOB`, and is kept for `batchd show`
    hint (16 17 18 19): run-parts runs the scripts of a directory one after the other as one job; with `targets` each has its own outcome
    "#);
}

#[test]
fn the_crontab_of_a_shop() {
    insta::assert_snapshot!(shown(&import_file("shop", false)), @r#"
    # From shop, by `batchd import crontab`: what cron ran, when cron ran it.
    # The report that came with it says what is not quite the same.

    [defaults]
    overlap = "allow"    # as cron, which starts a job beside its last run; without this line: "skip"
    catch_up = "none"    # as cron, which forgets what fell due while it was down; without this line: "latest"
    timezone = "Asia/Seoul"
    cwd = "/home/shop"    # the home directory, where cron starts a job
    env = { DJANGO_SETTINGS_MODULE = "shop.settings", PATH = "/usr/bin:/bin" }

    # The shop's own crontab. Ask ops before you change it!
    # MAILTO=ops@shop.example

    [jobs.daily-report]
    description = "Mail every shop its daily report"
    schedule = "30 2 * * *"
    command = ["/bin/bash", "-c", "cd /srv/shop && ./venv/bin/python manage.py daily_report --date=$(date +%F)"]
    env = { SHELL = "/bin/bash" }

    [jobs.sync-prices]
    schedule = "*/10 * * * *"
    command = ["/bin/bash", "-c", "cd /srv/shop && flock -n /tmp/prices.lock ./venv/bin/python manage.py sync_prices >/dev/null 2>&1"]
    env = { SHELL = "/bin/bash" }

    [jobs.send-mail]
    schedule = "* * * * *"
    command = ["/bin/bash", "-c", "cd /srv/shop && ./venv/bin/python manage.py send_mail"]
    env = { SHELL = "/bin/bash" }

    [jobs.inventory]
    description = "Inventory on the 13th and every Friday"
    schedule = "0 4 13 * FRI"
    command = ["/bin/bash", "-c", "{% raw %}/srv/shop/bin/inventory.sh ${#SHOPS[@]}{% endraw %}"]
    env = { SHELL = "/bin/bash" }

    [jobs.inventory-2]
    schedule = "0 5 * * MON#2"
    command = ["/bin/bash", "-c", "/srv/shop/bin/inventory.sh --full"]
    env = { SHELL = "/bin/bash" }

    [jobs.weekend]
    schedule = "0 6 * * FRI-SUN"
    command = ["/bin/bash", "-c", "/srv/shop/bin/weekend"]
    env = { SHELL = "/bin/bash" }

    # left out: `schedule`: hour range `22-2` runs backwards: start is after end; for a wrap-round write `22-23,0-2`; Debian's cron accepted `22-2` and never ran it
    # 0 22-2 * * *    /srv/shop/bin/night-watch

    # left out: `schedule`: minute `5$` is not a number 0-59; Debian's cron read `5$` as `5`
    # 5$ * * * *      /srv/shop/bin/typo

    #15 3 * * *     /srv/shop/bin/old-import
    [jobs.mysql-shop]
    schedule = "15 4 * * *"
    command = ["/bin/bash", "-c", '''
    { mysql shop
    } <<'EOF'
    DELETE FROM cart WHERE age > 30;
    SELECT '100%';
    EOF
    ''']
    env = { SHELL = "/bin/bash" }

    [jobs.warm-up]
    schedule = "@reboot"
    shell = "/srv/shop/bin/warm-up"

    [jobs.find]
    schedule = "@weekly"
    shell = "find /srv/shop/tmp -name '*.tmp' -delete"

    # left out: `schedule`: hour `5` has a step `15` without a range: write `5-23/15`
    # 0 5/15 * * *    /srv/shop/bin/quartz

    # left out: a command is expected behind the time; cron refuses the whole table
    # 0 3 * *         /srv/shop/bin/missing-field
    ---
    left-out (16): `schedule`: hour range `22-2` runs backwards: start is after end; for a wrap-round write `22-23,0-2`; Debian's cron accepted `22-2` and never ran it
    left-out (17): `schedule`: minute `5$` is not a number 0-59; Debian's cron read `5$` as `5`
    left-out (24): `schedule`: hour `5` has a step `15` without a range: write `5-23/15`
    left-out (25): a command is expected behind the time; cron refuses the whole table
    schedule (13): day of month and weekday are both restricted: it runs when either matches, as in cron, not only when both do
    schedule (14): Debian's cron ran `MON#2` on every `MON`, cronie refused it; here it means what it says
    schedule (15): Debian's cron accepted `FRI-SUN` and never ran it; here it is `FRI` to Sunday
    schedule (22): cron runs `@reboot` when it starts after a boot; here it runs when the daemon first starts after one, never at a restart
    schedule (): a time that daylight saving skips or repeats is treated as Debian's cron does, in each job's own zone; other crons differ
    zone (8 9 10 13 14 15 19 22 23): CRON_TZ is the zone of the schedule, as in cronie; Debian's cron has no such variable and takes the system's zone
    user (8 9 10 13 14 15 19 22 23): cron runs a user's table as that user; here its jobs run as the daemon's user
    environment (): cron gives a job HOME, LOGNAME, SHELL and PATH, which are kept, and what the table sets; a job here also gets LANG=C.UTF-8, BATCHD_JOB and the like. What PAM adds, as from /etc/environment, does not come along: set it in `env` or `env_file`
    input (8): `\%` is written as `%`, which means nothing special here
    input (19): what stands behind the first `%` is the command's standard input, here as a here-document
    mail (8 9 10 13 14 15 19 22 23): no mail goes to `ops@shop.example` (MAILTO): what the job prints is in the log, and its exit code decides whether it failed; to be mailed of that, give `[notify.mail]` an `email` and the job `notify = { failure = ["mail"] }`
    mail (): cron mails what a job prints to its owner, or to MAILTO; here it goes to the log, `batchd logs JOB`, and is kept for `batchd show`
    load (10): it runs 1,440 times a day; `[history] keep_runs` (1,000) then keeps the last 16 hours of its runs
    hint (9): a lock keeps two runs apart; `overlap = "skip"` in the job does that, and records what was skipped
    hint (9): it throws away or redirects what it prints; without that, `batchd show` tells what was said
    "#);
}

#[test]
fn nothing_makes_a_file_of_comments() {
    let imported = import_text("# nothing\n\nMAILTO=root\n");
    assert_eq!((imported.jobs.len(), imported.left_out), (0, 0));
    insta::assert_snapshot!(imported.toml, @"
    # From crontab -l, by `batchd import crontab`: what cron ran, when cron ran it.
    # The report that came with it says what is not quite the same.

    # nothing

    # MAILTO=root
    ");
}

#[test]
fn several_tables_share_what_they_have_alike() {
    let imported = import_texts(&[("a", b"A=1\nB=1\n0 1 * * * x\n", false), ("b", b"A=1\nB=2\n0 2 * * * x\n", false)]);
    insta::assert_snapshot!(imported.toml, @r#"
    # From a, b, by `batchd import crontab`: what cron ran, when cron ran it.
    # The report that came with it says what is not quite the same.

    [defaults]
    overlap = "allow"    # as cron, which starts a job beside its last run; without this line: "skip"
    catch_up = "none"    # as cron, which forgets what fell due while it was down; without this line: "latest"
    cwd = "/home/shop"    # the home directory, where cron starts a job
    env = { A = "1", PATH = "/usr/bin:/bin" }

    [jobs.x]
    schedule = "0 1 * * *"
    shell = "x"
    env = { B = "1" }

    [jobs.x-2]
    schedule = "0 2 * * *"
    shell = "x"
    env = { B = "2" }
    "#);
}

#[test]
fn a_line_that_is_not_utf_8_is_left_out() {
    let imported = import_texts(&[("a", b"0 1 * * * x \xff\n0 2 * * * y\r\n", false)]);
    insta::assert_snapshot!(shown(&imported), @r#"
    # From a, by `batchd import crontab`: what cron ran, when cron ran it.
    # The report that came with it says what is not quite the same.

    [defaults]
    overlap = "allow"    # as cron, which starts a job beside its last run; without this line: "skip"
    catch_up = "none"    # as cron, which forgets what fell due while it was down; without this line: "latest"

    # left out: the line is not UTF-8, which a jobs.toml is
    # 0 1 * * * x �

    [jobs.y]
    schedule = "0 2 * * *"
    shell = "y"
    cwd = "/home/shop"    # the home directory, where cron starts a job
    env = { PATH = "/usr/bin:/bin" }
    ---
    left-out (1): the line is not UTF-8, which a jobs.toml is
    schedule (): a time that daylight saving skips or repeats is treated as Debian's cron does, in each job's own zone; other crons differ
    user (2): cron runs a user's table as that user; here its jobs run as the daemon's user
    environment (): cron gives a job HOME, LOGNAME, SHELL and PATH, which are kept, and what the table sets; a job here also gets LANG=C.UTF-8, BATCHD_JOB and the like. What PAM adds, as from /etc/environment, does not come along: set it in `env` or `env_file`
    mail (): cron mails what a job prints to its owner, or to MAILTO; here it goes to the log, `batchd logs JOB`, and is kept for `batchd show`
    process (2): the line ends with a carriage return, which cron hands to the command; it is taken away
    "#);
}

/// The fields of cron, without what batchd reads otherwise.
fn fields() -> impl Strategy<Value = String> {
    let field = |least: u8, most: u8| {
        let value = least..=most;
        let range = (least..=most, least..=most).prop_map(|(a, b)| format!("{}-{}", a.min(b), a.max(b)));
        prop_oneof![
            3 => Just("*".to_owned()),
            2 => value.clone().prop_map(|value| value.to_string()),
            1 => range.clone(),
            1 => (2_u8..30).prop_map(|step| format!("*/{step}")),
            1 => (range, value).prop_map(|(range, value)| format!("{range},{value}")),
        ]
    };
    (field(0, 59), field(0, 23), field(1, 31), field(1, 12), field(0, 6)).prop_map(|(a, b, c, d, e)| format!("{a} {b} {c} {d} {e}"))
}

proptest! {
    /// An entry fires when the line does.
    #[test]
    fn an_imported_entry_fires_as_the_line_would(line in fields(), after in 1_700_000_000_i64..2_000_000_000) {
        let written = Schedule::parse(&line).expect("a schedule of cron");
        prop_assume!(!written.never_fires());
        let config = parse(&import_text(&format!("CRON_TZ=America/New_York\n{line} true\n")).toml);
        let job = config.jobs.values().next().expect("a job");
        let zone = Zone::lookup("America/New_York").expect("a zone");
        let mut at = Timestamp::from_second(after).expect("a time");
        for _ in 0..20 {
            let next = written.next(&zone, crate::schedule::Dst::default(), at);
            prop_assert_eq!(job.timetable.next(at), next);
            at = next.expect("it fires");
        }
    }

    /// Whatever comes in, a valid file goes out, and every entry is in it as a job or as a comment.
    #[test]
    fn any_bytes_make_a_valid_file(text in prop::collection::vec(any::<u8>(), 0..400), has_users: bool) {
        let imported = import_texts(&[("x", &text, has_users)]);
        prop_assert!(imported.jobs.is_empty() || parse(&imported.toml).jobs.len() == imported.jobs.len());
    }

    #[test]
    fn any_lines_make_a_valid_file(
        lines in prop::collection::vec("(#?[ -~]{0,30}|[A-Z_]{1,6} ?= ?[ -~]{0,12}|[*0-9/,-]{1,4} [*0-9] [*] [*] [*L#0-9] [ -~é\u{7}]{0,40})", 0..12),
        has_users: bool,
    ) {
        let imported = import_texts(&[("x", lines.join("\n").as_bytes(), has_users)]);
        prop_assert!(imported.jobs.is_empty() || parse(&imported.toml).jobs.len() == imported.jobs.len());
    }
}
