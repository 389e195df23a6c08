//! A week as an operator lives it, from the crontab of before to the audit, typed into a real terminal (tmux), by whole screens.
//! Nobody looks into a manual: each further command is one that the screen before has named.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use insta::assert_snapshot;

use super::readme::normal;
use super::site::{Site, search_path, text};

/// A screen that does not come among so many looks never will.
const MAX_LOOKS: usize = 5_000;

/// What cron ran until now. On the first days of months, so that nothing of it falls into the minutes of a test.
const CRONTAB: &str = r"# Shop machine, kept by hand since 2014
MAILTO=ops@example.org
PATH=/usr/local/bin:/usr/bin:/bin

# Copies
30 2 1 * * pg_dump shop | gzip > /backup/shop-$(date +\%F).gz
45 2 1 * * rsync -a /srv/shop/ backup:/srv/shop/
0 3 1 */3 * tar -C /etc -czf /backup/etc.tgz .

# Files
@monthly find /tmp -xdev -mtime +30 -delete
15 4 1 * * journalctl --vacuum-time=90d >/dev/null 2>&1
20 4 1 * * /usr/local/bin/rotate-uploads
40 4 1 1,7 * certbot renew -q

# Reports
0 6 1 * * /usr/local/bin/invoices --month last
10 6 1 * * cd /srv/shop && ./stock.sh > stock.csv
@yearly /usr/local/bin/inventory
#0 7 1 * * /usr/local/bin/old-report
";

const REPORT: &str = r#"
[daemon]
timezone = "UTC"

[jobs.daily-report]
description = "Count the orders of each shop"
schedule = "30 2 1 * *"
shell = "wc -l < orders/{{ target }}.csv"
targets = ["seoul", "busan", "jeju"]
concurrency = 1
gather = ["/bin/sh", "-c", "grep -c succeeded"]
"#;

/// A terminal with a shell in the site's directory.
struct Terminal {
    socket: PathBuf,
}

impl Terminal {
    fn open(site: &Site, name: &str, columns: u16, rows: u16) -> Self {
        let terminal = Self { socket: site.path(&format!("tmux-{name}")) };
        let (columns, rows) = (columns.to_string(), rows.to_string());
        let directory = site.path("");
        let directory = directory.to_str().expect("a path of text");
        let path = format!("PATH={}", search_path());
        terminal.tmux(&[
            "new-session",
            "-d",
            "-x",
            &columns,
            "-y",
            &rows,
            "-c",
            directory,
            "env",
            &path,
            "TZ=UTC",
            "PS1=$ ",
            "LANG=C.UTF-8",
            "/bin/sh",
        ]);
        terminal.tmux(&["set-option", "-g", "status", "off"]);
        terminal
    }

    fn tmux(&self, arguments: &[&str]) -> String {
        let mut tmux = Command::new("tmux");
        tmux.arg("-S").arg(&self.socket).args(["-f", "/dev/null", "-u"]).args(arguments).env_remove("TMUX").env("LANG", "C.UTF-8");
        let output = tmux.output().expect("tmux runs");
        assert!(output.status.success(), "tmux {arguments:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    fn type_line(&self, line: &str) {
        self.tmux(&["send-keys", "-l", line]);
        self.tmux(&["send-keys", "Enter"]);
    }

    /// What stands on a screen that was empty before, once the line has been carried out.
    fn screen_of(&self, line: &str) -> String {
        let done = format!("tmux -S {} wait-for -S done", self.socket.display());
        self.type_line(&format!("clear; {line}; {done}"));
        self.tmux(&["wait-for", "done"]);
        let screen = self.tmux(&["capture-pane", "-p", "-J"]);
        screen.trim_end_matches([' ', '\n', '$']).to_owned()
    }

    /// The same with what differs from week to week replaced.
    fn stable(&self, line: &str) -> String {
        normal(&self.screen_of(line))
    }

    /// Waits until the screen shows `part`.
    fn shows(&self, part: &str) -> String {
        let mut screen = String::new();
        for _ in 0..MAX_LOOKS {
            screen = self.tmux(&["capture-pane", "-p", "-J"]);
            if screen.contains(part) {
                return screen;
            }
        }
        panic!("{part:?} does not come; the screen is\n{screen}");
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // The session may have ended already.
        let _ = Command::new("tmux").arg("-S").arg(&self.socket).arg("kill-server").output();
    }
}

/// The command that the screen names after `hint`, up to what is said of it.
fn named<'a>(screen: &'a str, hint: &str) -> &'a str {
    let line = screen.lines().find_map(|line| line.strip_prefix(hint));
    let line = line.unwrap_or_else(|| panic!("no line begins with {hint:?}:\n{screen}"));
    line.trim().split("  ").next().unwrap_or_default()
}

#[test]
fn a_week_without_the_manual() {
    let site = Site::bare("");
    fs::remove_file(site.path("jobs.toml")).expect("removed");
    fs::write(site.path("old.crontab"), CRONTAB).expect("write");
    // The imported default is the home directory, as with cron.
    let report = format!("{REPORT}cwd = \"{}\"\n", site.path("").display());
    fs::write(site.path("report.toml"), report).expect("write");
    fs::create_dir(site.path("orders")).expect("create");
    for shop in ["seoul", "busan"] {
        fs::write(site.path(&format!("orders/{shop}.csv")), "1\n2\n").expect("write");
    }
    let terminal = Terminal::open(&site, "week", 100, 70);
    monday(&terminal);
    let _daemon = site.start();
    terminal.screen_of("until batchd status > status; do :; done");
    let shown = tuesday(&terminal);
    wednesday(&site, &terminal, &shown);
    thursday(&terminal);
    friday(&terminal);
}

/// A first look beside the work, then what cron ran moves in.
fn monday(terminal: &Terminal) {
    let begun = terminal.screen_of("mkdir trial; cd trial; batchd init");
    let first = named(&begun, "  batchd run").to_owned();
    let run = terminal.screen_of(&format!("batchd run {first}; echo exit $?; cd .."));
    assert!(run.contains("succeeded") && run.ends_with("exit 0"), "{run}");
    assert_snapshot!(terminal.stable("batchd import crontab old.crontab > jobs.toml; echo exit $?"), @r#"
    10 jobs
    schedule a time that daylight saving skips or repeats is treated as Debian's cron does, in each
                 job's own zone; other crons differ
    user cron runs a user's table as that user; here its jobs run as the daemon's user
                 → old.crontab:6 (pg-dump-shop), :7 (rsync), :8 (tar), :11 (find), :12 (journalctl), :13
                 (rotate-uploads), and 4 more
    environment cron gives a job HOME, LOGNAME, SHELL and PATH, which are kept, and what the table
                 sets; a job here also gets LANG=C.UTF-8, BATCHD_JOB and the like. What PAM adds, as
                 from /etc/environment, does not come along: set it in `env` or `env_file`
    input `\%` is written as `%`, which means nothing special here
                 → old.crontab:6 (pg-dump-shop)
    mail no mail goes to `ops@example.org` (MAILTO): what the job prints is in the log, and its
                 exit code decides whether it failed; to be mailed of that, give `[notify.mail]` an
                 `email` and the job `notify = { failure = ["mail"] }`
                 → old.crontab:6 (pg-dump-shop), :7 (rsync), :8 (tar), :11 (find), :12 (journalctl), :13
                 (rotate-uploads), and 4 more
    mail cron mails what a job prints to its owner, or to MAILTO; here it goes to the log,
                 `batchd logs JOB`, and is kept for `batchd show`
    hint it throws away or redirects what it prints; without that, `batchd show` tells what was
                 said
                 → old.crontab:12 (journalctl)
    exit 0
    "#);
    assert_snapshot!(terminal.stable("cat report.toml >> jobs.toml; batchd check; echo exit $?"), @"
    job schedule zone next fire due
    certbot-renew 40 4 1 1,7 * UTC TIME UTC SPAN
    daily-report 30 2 1 * * UTC TIME UTC SPAN
    find @monthly UTC TIME UTC SPAN
    inventory @yearly UTC TIME UTC SPAN
    invoices-last 0 6 1 * * UTC TIME UTC SPAN
    journalctl 15 4 1 * * UTC TIME UTC SPAN
    pg-dump-shop 30 2 1 * * UTC TIME UTC SPAN
    rotate-uploads 20 4 1 * * UTC TIME UTC SPAN
    rsync 45 2 1 * * UTC TIME UTC SPAN
    stock 10 6 1 * * UTC TIME UTC SPAN
    tar 0 3 1 */3 * UTC TIME UTC SPAN
    exit 0
    ");
    let run = terminal.screen_of("batchd run daily-report --target seoul; echo exit $?");
    assert!(run.contains("1 succeeded") && run.ends_with("exit 0"), "{run}");
    let refused = terminal.screen_of("batchd trigger daily-report; echo exit $?");
    assert!(refused.contains("start it with `batchd daemon`") && refused.ends_with("exit 4"), "{refused}");
}

/// The daemon has it; jeju's file is missing. What `show` tells of it.
fn tuesday(terminal: &Terminal) -> String {
    assert_snapshot!(terminal.stable("batchd jobs"), @"
    job schedule next fire due last run live
    certbot-renew 40 4 1 1,7 * TIME UTC SPAN - -
    daily-report 30 2 1 * * TIME UTC SPAN succeeded SPAN -
    find @monthly TIME UTC SPAN - -
    inventory @yearly TIME UTC SPAN - -
    invoices-last 0 6 1 * * TIME UTC SPAN - -
    journalctl 15 4 1 * * TIME UTC SPAN - -
    pg-dump-shop 30 2 1 * * TIME UTC SPAN - -
    rotate-uploads 20 4 1 * * TIME UTC SPAN - -
    rsync 45 2 1 * * TIME UTC SPAN - -
    stock 10 6 1 * * TIME UTC SPAN - -
    tar 0 3 1 */3 * TIME UTC SPAN - -
    ");
    assert_snapshot!(terminal.stable("batchd trigger daily-report --wait; echo exit $?"), @"
    daily-report@TIME+manual has been fired; waiting for its end
    daily-report@TIME+manual failed SPAN, 2/3 partials
    exit 1
    ");
    assert_snapshot!(terminal.stable("batchd history --failed"), @"
    run nominal took outcome partials
    daily-report@TIME+manual TIME UTC SPAN failed 2/3
    ");
    let shown = terminal.screen_of("batchd show daily-report");
    assert!(shown.contains("jeju failed after 1 attempt: exit code 2"), "{shown}");
    shown
}

/// Mend it, and run again what failed, as the screen says.
fn wednesday(site: &Site, terminal: &Terminal, shown: &str) {
    fs::write(site.path("orders/jeju.csv"), "1\n").expect("write");
    let retry = named(shown, "work on what failed again: ");
    assert_snapshot!(terminal.stable(&format!("{retry} --wait; echo exit $?")), @"
    daily-report@TIME+retry has been fired; waiting for its end
    daily-report@TIME+retry succeeded SPAN, 1/1 partials
    exit 0
    ");
    assert_snapshot!(terminal.stable("batchd results daily-report | cut -d, -f1-3"), @r#"
    {"index":0,"target":"jeju","outcome":"succeeded"
    "#);
}

/// A maintenance, and another hour.
fn thursday(terminal: &Terminal) {
    assert_snapshot!(terminal.stable("batchd pause rotate-uploads; batchd jobs | grep paused"), @"
    rotate-uploads is paused: its nominal times are suppressed until `batchd resume`
    rotate-uploads 20 4 1 * * TIME UTC paused - -
    ");
    assert_snapshot!(terminal.stable("batchd resume rotate-uploads"), @"
    rotate-uploads goes on with its next nominal time
    ");
    let edit = "sed -i '/daily-report/,$ s/30 2/45 2/' jobs.toml";
    assert_snapshot!(terminal.stable(&format!("{edit}; batchd reload --plan; batchd reload")), @"
             job keys next fire before after
    changed daily-report schedule TIME UTC TIME UTC
    nothing was changed: this is the plan
             job keys next fire before after
    changed daily-report schedule TIME UTC TIME UTC
    reloaded
    ");
    assert_snapshot!(terminal.stable("sed -i '/daily-report/,$ s/45 2/45 26/' jobs.toml; batchd reload; echo exit $?"), @"
    error: jobs.toml:63:16: `schedule`: hour `26` is out of range 0-23
    not reloaded, 1 problem: the old configuration stays in force
    exit 78
    ");
}

/// The months before are wanted as well.
fn friday(terminal: &Terminal) {
    let stretch = "--from 2024-10-01 --to 2024-11-30";
    assert_snapshot!(terminal.stable(&format!("batchd backfill daily-report {stretch} --dry-run")), @"
    TIME UTC daily-report@TIME+backfill
    TIME UTC daily-report@TIME+backfill
    2 runs would be made, to go one after the other while the job has nothing else to do
    ");
    terminal.screen_of(&format!("batchd backfill daily-report {stretch}"));
    let last = "batchd show daily-report@20241101T024500Z+backfill | grep ' succeeded$'";
    terminal.screen_of(&format!("until {last}; do :; done"));
    assert_snapshot!(terminal.stable("batchd audit; echo exit $?"), @"
    job nominal times ran skipped suppressed missed coalesced pending
    certbot-renew 0 0 0 0 0 0 0 adds up
    daily-report 0 0 0 0 0 0 0 adds up
    find 0 0 0 0 0 0 0 adds up
    inventory 0 0 0 0 0 0 0 adds up
    invoices-last 0 0 0 0 0 0 0 adds up
    journalctl 0 0 0 0 0 0 0 adds up
    pg-dump-shop 0 0 0 0 0 0 0 adds up
    rotate-uploads 0 0 0 0 0 0 0 adds up
    rsync 0 0 0 0 0 0 0 adds up
    stock 0 0 0 0 0 0 0 adds up
    tar 0 0 0 0 0 0 0 adds up
    since TIME UTC: every nominal time has exactly one decision
    exit 0
    ");
}

#[test]
fn top_draws_and_gives_the_terminal_back() {
    let site = Site::bare(REPORT);
    let _daemon = site.start();
    let terminal = Terminal::open(&site, "top", 80, 24);
    terminal.screen_of("until batchd status > status; do :; done");
    for (end, exit) in [("q", "exit 0"), ("C-c", "exit 130"), ("SIGTERM", "exit 143")] {
        terminal.type_line("clear; sh -c 'echo $$ > pid; exec batchd top'; echo exit $?; stty -a | grep -o ' icanon'");
        terminal.shows("daily-report");
        terminal.tmux(&["resize-window", "-x", "60", "-y", "20"]);
        terminal.shows("q leave");
        if end == "SIGTERM" {
            site.shell("kill -TERM $(cat pid)");
        } else {
            terminal.tmux(&["send-keys", end]);
        }
        assert!(terminal.shows("icanon").contains(exit), "{end}");
        terminal.tmux(&["resize-window", "-x", "80", "-y", "24"]);
    }
    let piped = terminal.screen_of("batchd top | cat");
    assert!(piped.contains("draws on a terminal") && piped.contains("batchd status"), "{piped}");
}
