//! From jobs to a crontab, and back.

use super::{home, import_file, import_text, listed, parse};
use crate::exchange::Topic;
use crate::exchange::crontab::{Facts, export};

#[test]
fn what_is_exported_is_imported_again() {
    let imported = import_file("shop", false);
    let exported = export(&parse(&imported.toml), &[], Facts { owner: Some("shop"), home: &home });
    insta::assert_snapshot!(exported.crontab, @r#"
    # Made by `batchd export crontab`.
    DJANGO_SETTINGS_MODULE=shop.settings
    PATH=/usr/bin:/bin

    CRON_TZ=Asia/Seoul

    SHELL=/bin/bash

    # Mail every shop its daily report
    30 2 * * * cd /srv/shop && ./venv/bin/python manage.py daily_report --date=$(date +\%F)

    SHELL=/bin/sh

    # find
    @weekly find /srv/shop/tmp -name '*.tmp' -delete

    SHELL=/bin/bash

    # Inventory on the 13th and every Friday
    0 4 13 * FRI /srv/shop/bin/inventory.sh ${#SHOPS[@]}

    # mysql-shop
    15 4 * * * mysql shop%DELETE FROM cart WHERE age > 30;%SELECT '100\%';

    # send-mail
    * * * * * cd /srv/shop && ./venv/bin/python manage.py send_mail

    # sync-prices
    */10 * * * * cd /srv/shop && flock -n /tmp/prices.lock ./venv/bin/python manage.py sync_prices >/dev/null 2>&1

    SHELL=/bin/sh

    # warm-up
    @reboot /srv/shop/bin/warm-up

    SHELL=/bin/bash

    # weekend
    0 6 * * FRI-7 /srv/shop/bin/weekend

    # left out: inventory-2: a crontab cannot say `0 5 * * MON#2`
    "#);
    let again = parse(&import_text(&exported.crontab).toml);
    for job in parse(&imported.toml).jobs.values() {
        let description = job.description.as_deref().unwrap_or(&job.name);
        let Some(same) = again.jobs.values().find(|same| same.description.as_deref() == Some(description)) else {
            let is_said = exported.findings.iter().any(|finding| {
                finding.topic == Topic::LeftOut && finding.places.iter().any(|place| place.job.as_deref() == Some(&job.name))
            });
            assert!(is_said, "{} is lost", job.name);
            continue;
        };
        assert_eq!((&same.timetable, &same.work), (&job.timetable, &job.work), "{}", job.name);
        assert_eq!(same.process.directory(), job.process.directory());
    }
}

#[test]
fn what_a_crontab_cannot_say_is_named() {
    let config = parse(
        "[daemon]\ntimezone = \"Asia/Seoul\"\n\
         [jobs.a]\nschedule = \"0 2 * * FRI-SUN\"\ncommand = [\"/bin/a\", \"b c\", \"100%\"]\ntimeout = \"1h\"\nretries = 2\njitter = \"5m\"\n\
         [jobs.b]\nschedule = [\"@every 15m\", \"0 30 4 * * *\"]\nshell = \"b\"\ncwd = \"/srv/b c\"\nenv = { A = \"it's\" }\nenabled = false\n\
         [jobs.c]\nschedule = \"0 2 L * *\"\ncommand = [\"c\"]\n\
         [jobs.d]\nschedule = \"@daily\"\ncommand = [\"d\", \"{{ nominal.date }}\"]\n\
         [jobs.e]\nschedule = \"@daily\"\ncommand = [\"e\"]\ntargets = [\"x\"]\n\
         [jobs.f]\nafter = [\"a\"]\ncommand = [\"f\"]\n\
         [jobs.g]\nschedule = \"@daily\"\ntimezone = \"UTC\"\ncommand = [\"g\"]\n",
    );
    let exported = export(&config, &[], Facts { owner: None, home: &home });
    let findings = listed(&exported.findings);
    insta::assert_snapshot!(format!("{}---\n{findings}", exported.crontab), @r#"
    # Made by `batchd export crontab`.
    PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

    # a
    0 2 * * FRI-7 cd /etc/batchd && /bin/a 'b c' 100\%

    # b
    # */15 * * * * export A='it'\\''s'; cd '/srv/b c' && b
    # 30 4 * * * export A='it'\\''s'; cd '/srv/b c' && b

    CRON_TZ=UTC

    # g
    @daily cd /etc/batchd && g

    # left out: c: a crontab cannot say `0 2 L * *`

    # left out: d: a crontab has no templates

    # left out: e: a crontab has no targets and no gather

    # left out: f: a crontab has no job after another
    ---
    left-out (0): a crontab cannot say `0 2 L * *`
    left-out (0): a crontab has no templates
    left-out (0): a crontab has no targets and no gather
    left-out (0): a crontab has no job after another
    schedule (0): `jitter` does not come along
    schedule (0): `@every` counts elapsed time; the fields in its place follow the clock through its changes
    schedule (0): the job is not enabled: its line is a comment
    zone (): cronie takes CRON_TZ as the zone of the lines below it; Debian's cron does not
    mail (): cron mails what a job prints, or throws it away; there is no history, no log and no `batchd show`
    overlap (0 0 0): cron starts a job beside its live run, whatever `overlap` says; `flock -n FILE` keeps them apart
    missed (0 0 0): cron forgets what fell due while it was down; there is no `catch_up`
    process (0): cron waits for ever; `timeout DURATION` in front of the command ends it
    process (0): `retry` does not come along
    "#);
}
