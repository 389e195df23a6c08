//! The files that packages bring for `/etc/cron.d`.

use super::{import_file, parse};

/// The jobs that a package's file becomes, without the head of the file.
fn package(name: &str) -> String {
    let imported = import_file(name, true);
    assert_eq!(imported.left_out, 0);
    assert_eq!(parse(&imported.toml).jobs.len(), imported.jobs.len());
    imported.toml.lines().skip(5).collect::<Vec<_>>().join("\n")
}

#[test]
fn packages_with_one_entry() {
    let tomls = ["anacron", "certbot", "mdadm", "munin-node", "php"].map(package);
    insta::assert_snapshot!(tomls.join("\n--------"), @r#"
    catch_up = "none"    # as cron, which forgets what fell due while it was down; without this line: "latest"

    # /etc/cron.d/anacron: crontab entries for the anacron package

    [jobs.invoke-rc-d-anacron]
    schedule = "30 7-23 * * *"
    shell = "[ -x /etc/init.d/anacron ] && if [ ! -d /run/systemd/system ]; then /usr/sbin/invoke-rc.d anacron start >/dev/null; fi"
    user = "root"
    cwd = "/root"    # the home directory, where cron starts a job
    env = { PATH = "/usr/local/sbin:/usr/local/bin:/sbin:/bin:/usr/sbin:/usr/bin" }
    --------catch_up = "none"    # as cron, which forgets what fell due while it was down; without this line: "latest"

    # /etc/cron.d/certbot: crontab entries for the certbot package
    #
    # Renewal is attempted twice a day.

    [jobs.certbot-renew]
    schedule = "0 */12 * * *"
    shell = "test -x /usr/bin/certbot -a \\! -d /run/systemd/system && perl -e 'sleep int(rand(43200))' && certbot -q renew --no-random-sleep-on-renew"
    user = "root"
    cwd = "/root"    # the home directory, where cron starts a job
    env = { PATH = "/usr/local/sbin:/usr/local/bin:/sbin:/bin:/usr/sbin:/usr/bin" }
    --------catch_up = "none"    # as cron, which forgets what fell due while it was down; without this line: "latest"

    #
    # cron.d/mdadm -- periodic redundancy checks of MD devices
    #

    [jobs.checkarray]
    description = "Every Sunday, but only on the first of the month does it do anything."
    schedule = "57 0 * * 0"
    shell = "if [ -x /usr/share/mdadm/checkarray ] && [ $(date +%d) -le 7 ]; then /usr/share/mdadm/checkarray --cron --all --idle --quiet; fi"
    user = "root"
    cwd = "/root"    # the home directory, where cron starts a job
    env = { PATH = "/usr/bin:/bin" }
    --------catch_up = "none"    # as cron, which forgets what fell due while it was down; without this line: "latest"

    #
    # cron-jobs for munin-node
    #

    # MAILTO=root

    # If the APT plugin is enabled, update packages databases about once
    # an hour.
    [jobs.apt-all-update]
    schedule = "*/5 * * * *"
    shell = "if [ -x /etc/munin/plugins/apt_all ]; then /etc/munin/plugins/apt_all update 7200 12 >/dev/null; elif [ -x /etc/munin/plugins/apt ]; then /etc/munin/plugins/apt update 7200 12 >/dev/null; fi"
    user = "root"
    cwd = "/root"    # the home directory, where cron starts a job
    env = { PATH = "/usr/bin:/bin" }
    --------catch_up = "none"    # as cron, which forgets what fell due while it was down; without this line: "latest"

    # /etc/cron.d/php: crontab fragment for PHP

    [jobs.sessionclean]
    description = "Look for and purge old sessions every 30 minutes"
    schedule = "09,39 * * * *"
    shell = "[ -x /usr/lib/php/sessionclean ] && if [ ! -d /run/systemd/system ]; then /usr/lib/php/sessionclean; fi"
    user = "root"
    cwd = "/root"    # the home directory, where cron starts a job
    env = { PATH = "/usr/bin:/bin" }
    "#);
}

#[test]
fn packages_with_several_entries() {
    let tomls = ["e2scrub_all", "logcheck", "sysstat"].map(package);
    insta::assert_snapshot!(tomls.join("\n--------"), @r#"
    catch_up = "none"    # as cron, which forgets what fell due while it was down; without this line: "latest"
    user = "root"
    cwd = "/root"    # the home directory, where cron starts a job
    env = { PATH = "/usr/bin:/bin" }

    [jobs.e2scrub-all-cron]
    schedule = "30 3 * * 0"
    shell = "test -e /run/systemd/system || SERVICE_MODE=1 /usr/lib/x86_64-linux-gnu/e2fsprogs/e2scrub_all_cron"

    [jobs.e2scrub-all]
    schedule = "10 3 * * *"
    shell = "test -e /run/systemd/system || SERVICE_MODE=1 /sbin/e2scrub_all -A -r"
    --------catch_up = "none"    # as cron, which forgets what fell due while it was down; without this line: "latest"
    user = "logcheck"
    cwd = "/var/lib/logcheck"    # the home directory, where cron starts a job
    env = { PATH = "/usr/local/sbin:/usr/local/bin:/sbin:/bin:/usr/sbin:/usr/bin" }

    # /etc/cron.d/logcheck: crontab entries for the logcheck package

    # MAILTO=root

    [jobs.logcheck]
    schedule = "@reboot"
    shell = "if [ -x /usr/sbin/logcheck ]; then nice -n10 /usr/sbin/logcheck -R; fi"

    [jobs.logcheck-2]
    schedule = "2 * * * *"
    shell = "if [ -x /usr/sbin/logcheck ]; then nice -n10 /usr/sbin/logcheck; fi"

    # EOF
    --------catch_up = "none"    # as cron, which forgets what fell due while it was down; without this line: "latest"
    user = "root"
    cwd = "/root"    # the home directory, where cron starts a job
    env = { PATH = "/usr/lib/sysstat:/usr/sbin:/usr/sbin:/usr/bin:/sbin:/bin" }

    # Where the script debian-sa1 is

    [jobs.debian-sa1]
    description = "Activity reports every 10 minutes everyday"
    schedule = "5-55/10 * * * *"
    shell = "command -v debian-sa1 > /dev/null && debian-sa1 1 1"

    [jobs.debian-sa1-2]
    description = "Additional run at 23:59 to rotate the statistics file"
    schedule = "59 23 * * *"
    shell = "command -v debian-sa1 > /dev/null && debian-sa1 60 2"
    "#);
}
