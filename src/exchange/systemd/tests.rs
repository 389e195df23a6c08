//! Timers by the jobs.toml that they become, whole.

use super::*;
use crate::exchange::crontab::tests::{listed, parse};

fn import_units(timers: &[(&str, &str, Option<&str>)]) -> Imported {
    let timers: Vec<Timer> = timers
        .iter()
        .map(|(name, text, service)| Timer { name: (*name).to_owned(), text: (*text).to_owned(), service: service.map(str::to_owned) })
        .collect();
    let home = |user: &str| (user == "shop").then(|| "/home/shop".to_owned());
    import(&timers, Machine { home: &home })
}

fn shown(imported: &Imported) -> String {
    if !imported.jobs.is_empty() {
        assert_eq!(parse(&imported.toml).jobs.len(), imported.jobs.len());
    }
    format!("{}---\n{}", imported.toml, listed(&imported.findings))
}

/// As in Debian's certbot 2.1.0-4, under the Apache License 2.0.
const CERTBOT_TIMER: &str = "[Unit]\nDescription=Run certbot twice daily\n\n[Timer]\nOnCalendar=*-*-* 00,12:00:00\nRandomizedDelaySec=43200\n\
                             Persistent=true\n\n[Install]\nWantedBy=timers.target\n";
const CERTBOT_SERVICE: &str = "[Unit]\nDescription=Certbot\nDocumentation=file:///usr/share/doc/python-certbot-doc/html/index.html\n\
                               [Service]\nType=oneshot\nExecStart=/usr/bin/certbot -q renew --no-random-sleep-on-renew\nPrivateTmp=true\n";

#[test]
fn certbot() {
    insta::assert_snapshot!(shown(&import_units(&[("certbot.timer", CERTBOT_TIMER, Some(CERTBOT_SERVICE))])), @r#"
    # From certbot.timer, by `batchd import systemd`: what systemd ran, when systemd ran it.
    # The report that came with it says what is not quite the same.

    [defaults]
    dst = { gap = "skip" }    # as systemd, which skips a time that daylight saving skips; without this line: "run_after"
    catch_up = "none"    # as a timer without Persistent=; without this line: "latest"

    [jobs.certbot]
    description = "Certbot"
    schedule = "0 0,12 * * *"
    command = ["/usr/bin/certbot", "-q", "renew", "--no-random-sleep-on-renew"]
    cwd = "/"
    jitter = "12h"
    catch_up = "latest"
    ---
    schedule (0): systemd draws RandomizedDelaySec anew each time; here the delay hangs on job and nominal time, and is the same after a restart
    process (0): not taken over: PrivateTmp; a job lives in the sandbox of the daemon's own unit
    "#);
}

#[test]
fn all_that_a_service_says() {
    let timer = "[Timer]\nOnCalendar=Sat *-*-1..7 04:00 Asia/Seoul\nWakeSystem=yes\n";
    let service = "[Unit]\nDescription=Dump of %i\nConditionACPower=true\nOnFailure=mail@%n.service\n[Service]\nUser=shop\nGroup=shop\n\
                   Type=oneshot\nWorkingDirectory=~\nEnvironment=A=1 \"B=two words\"\nEnvironmentFile=-/etc/default/dump\nEnvironmentFile=/etc/x\n\
                   ExecStartPre=-/bin/mkdir -p %h/dumps\nExecStart=/usr/bin/pg_dump -f ${A}.sql $OPTS %i\nNice=5\nUMask=0027\nLimitNOFILE=1024:4096\n\
                   MemoryMax=512M\nTimeoutStartSec=1h\nTimeoutStopSec=30\nKillSignal=SIGINT\nRestart=on-failure\nRestartSec=10\n\
                   ProtectSystem=strict\nStateDirectory=dump\n";
    insta::assert_snapshot!(shown(&import_units(&[("dump@orders.timer", timer, Some(service))])), @r#"
    # From dump@orders.timer, by `batchd import systemd`: what systemd ran, when systemd ran it.
    # The report that came with it says what is not quite the same.

    [defaults]
    dst = { gap = "skip" }    # as systemd, which skips a time that daylight saving skips; without this line: "run_after"
    catch_up = "none"    # as a timer without Persistent=; without this line: "latest"

    [jobs.dump-orders]
    description = "Dump of orders"
    schedule = "0 4 * * SAT#1"
    timezone = "Asia/Seoul"
    shell = '''
    set -e
    /bin/mkdir -p /home/shop/dumps || true
    /usr/bin/pg_dump -f "${A}.sql" $OPTS orders
    '''
    cwd = "/home/shop"
    env = { A = "1", B = "two words" }
    env_file = "/etc/default/dump"
    timeout = "1h"
    stop = { signal = "SIGINT", grace = "30s" }
    retry = { attempts = 5, delay = "10s", max_delay = "10s", factor = 1.0, jitter = 0.0 }
    user = "shop"
    group = "shop"
    umask = "0027"
    nice = 5
    limits = { memory = "512MiB", open_files = 4096 }
    ---
    schedule (0): not taken over, of the timer: WakeSystem
    environment (0): a missing EnvironmentFile=- is no failure for systemd; a missing `env_file` is one here
    environment (0): EnvironmentFile=/etc/x: a job has one `env_file`; it is left out
    mail (0): OnFailure=mail@%n.service is not started: `notify = { failure = ["NAME"] }` tells the channel `[notify.NAME]`, such as a command
    process (0): several commands of the unit became one script; the first that fails ends it
    process (0): Restart=on-failure became `retry`: at most 5 attempts, after a failure only
    process (0): not taken over: ProtectSystem; a job lives in the sandbox of the daemon's own unit
    process (0): not taken over, of the service: StateDirectory
    process (0): not checked before a run: ConditionACPower
    "#);
}

#[test]
fn monotonic_timers() {
    let timer = "[Timer]\nOnBootSec=15min\nOnUnitActiveSec=1d\nAccuracySec=1h\nOnActiveSec=5\n";
    insta::assert_snapshot!(shown(&import_units(&[("clean.timer", timer, Some("[Service]\nExecStart=/bin/clean\n"))])), @r#"
    # From clean.timer, by `batchd import systemd`: what systemd ran, when systemd ran it.
    # The report that came with it says what is not quite the same.

    [defaults]
    dst = { gap = "skip" }    # as systemd, which skips a time that daylight saving skips; without this line: "run_after"
    catch_up = "none"    # as a timer without Persistent=; without this line: "latest"

    [jobs.clean]
    schedule = ["@reboot", "@every 1d"]
    command = ["/bin/clean"]
    cwd = "/"
    ---
    schedule (0): OnBootSec=15min: `@reboot` runs when the daemon first starts after a boot, without the delay
    schedule (0): OnUnitActiveSec counts from the last start; `@every` fires at whole multiples of the interval, which a restart does not move
    schedule (0): OnActiveSec=5 counts from the start of the timer, which no job here has; it is left out
    "#);
}

#[test]
fn what_cannot_be_said_is_a_comment() {
    let work = Some("[Service]\nExecStart=/bin/x\n");
    let imported = import_units(&[
        ("year.timer", "[Timer]\nOnCalendar=2027-01-01\n", work),
        ("lone.timer", "[Timer]\nOnCalendar=daily\n", None),
        ("host.timer", "[Timer]\nOnCalendar=daily\n", Some("[Service]\nExecStart=/bin/x %H\n")),
        ("zones.timer", "[Timer]\nOnCalendar=daily UTC\nOnCalendar=daily Asia/Seoul\n", work),
        ("idle.timer", "[Timer]\n", work),
    ]);
    insta::assert_snapshot!(shown(&imported), @"
    # From year.timer, lone.timer, host.timer, zones.timer, idle.timer, by `batchd import systemd`: what systemd ran, when systemd ran it.
    # The report that came with it says what is not quite the same.

    # left out: the year `2027`: cron has no years
    # OnCalendar=2027-01-01
    # Unit=year.service

    # left out: `lone.service` is not there
    # OnCalendar=daily
    # Unit=lone.service

    # left out: the specifier `%H` is known to systemd only
    # OnCalendar=daily
    # Unit=host.service

    # left out: its calendar events are in several zones: a job has one
    # OnCalendar=daily UTC
    # OnCalendar=daily Asia/Seoul
    # Unit=zones.service

    # left out: the timer names no time that a schedule can
    # Unit=idle.service
    ---
    left-out (0): the year `2027`: cron has no years
    left-out (0): `lone.service` is not there
    left-out (0): the specifier `%H` is known to systemd only
    left-out (0): its calendar events are in several zones: a job has one
    left-out (0): the timer names no time that a schedule can
    ");
}

#[test]
fn a_timer_names_its_service() {
    assert_eq!(started_by("a.timer", "[Timer]\nUnit=b.service\n"), "b.service");
    assert_eq!(started_by("a@b.timer", "[Timer]\n"), "a@b.service");
}
