//! Moving in: what other programs say to what we make. systemd computes the same times, and bash completes jobs and runs.

use std::process::Command;

use batchd::exchange::systemd::calendar;
use batchd::schedule::{Dst, Schedule, Zone};
use jiff::Timestamp;
use regex::Regex;

use super::site::{Site, text};

/// Calendar events of all kinds that a cron expression can say.
const EVENTS: [&str; 23] = [
    "minutely",
    "hourly",
    "daily",
    "weekly",
    "monthly",
    "quarterly",
    "semiannually",
    "yearly",
    "Mon..Fri *-*-* 02:30:00",
    "Mon,Wed 2:30",
    "*-*-01",
    "*-*-01,15 04:00",
    "12-24 18:00",
    "*:0/15",
    "*:5/10",
    "8..18/2:00",
    "*:*:0/10",
    "Sat *-*-1..7 18:00",
    "Sun *-*-8..21",
    "Mon *-*-1/2",
    "*-*~01",
    "*-02~03",
    "Mon *-05~07/1",
];

const ITERATIONS: usize = 12;

/// What systemd says of an event in UTC, from the beginning of 2027.
fn elapses(event: &str) -> Vec<Timestamp> {
    let count = format!("--iterations={ITERATIONS}");
    let arguments = ["calendar", &count, "--base-time=2027-01-01 00:00:00 UTC", event];
    let output =
        Command::new("systemd-analyze").args(arguments).env("TZ", "UTC").env("LC_ALL", "C").output().expect("systemd-analyze runs");
    assert!(output.status.success(), "{event}: {}", text(&output.stderr));
    let line = Regex::new(r"(?:Next elapse|Iter(?:ation|\.) #\d+): \w+ (\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d) UTC").expect("a pattern");
    let said = text(&output.stdout);
    line.captures_iter(&said).map(|found| format!("{}T{}Z", &found[1], &found[2]).parse().expect("a time")).collect()
}

#[test]
fn systemd_computes_the_same_times() {
    for event in EVENTS {
        let read = calendar(event).unwrap_or_else(|reason| panic!("{event}: {reason}"));
        let schedule = Schedule::parse(&read.schedule).expect("a schedule");
        let start: Timestamp = "2027-01-01T00:00:00Z".parse().expect("a time");
        let next = |after: &Timestamp| schedule.next(&Zone::utc(), Dst::default(), *after);
        let ours: Vec<Timestamp> = std::iter::successors(next(&start), next).take(ITERATIONS).collect();
        assert_eq!(elapses(event), ours, "{event} as {}", read.schedule);
    }
}

/// What bash offers behind the words, the last of which is being typed.
fn completed(site: &Site, words: &str) -> String {
    let count = words.split(' ').count() - 1;
    let script = format!(
        "source <(batchd completions bash); COMP_WORDS=({words}); COMP_CWORD={count}; COMP_TYPE=9; \
         _clap_complete_batchd batchd \"${{COMP_WORDS[COMP_CWORD]}}\"; printf \"%s\\n\" \"${{COMPREPLY[@]}}\""
    );
    site.shell(&format!("bash -c '{script}'"))
}

#[test]
fn bash_completes_commands_jobs_and_runs() {
    let site =
        Site::new("[jobs.report]\nschedule = \"manual\"\ncommand = [\"true\"]\n[jobs.sync]\nschedule = \"manual\"\ncommand = [\"true\"]\n");
    assert!(completed(&site, "batchd hist").contains("history"));
    assert_eq!(completed(&site, "batchd run re").trim(), "report");
    site.ask(&["run", "report"]);
    let runs = completed(&site, "batchd show report@");
    assert!(runs.starts_with("report@") && runs.contains("+manual"), "{runs}");
    // A file that is half written still tells its jobs.
    site.write_jobs("[jobs.later]\nschedule = \"\n[jobs.broken\n");
    assert_eq!(completed(&site, "batchd trigger la").trim(), "later");
}

#[test]
fn a_unit_is_found_with_its_drop_ins() {
    let site = Site::bare("");
    let write = |path: &str, text: &str| {
        let path = site.path(path);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("made");
        std::fs::write(path, text).expect("written");
    };
    write("usr/lib/systemd/system/dump@.timer", "[Timer]\nOnCalendar=daily\n");
    write("usr/lib/systemd/system/dump@.service", "[Service]\nType=oneshot\nExecStart=/usr/bin/dump %i\n");
    write("etc/systemd/system/dump@orders.timer.d/time.conf", "[Timer]\nOnCalendar=\nOnCalendar=*-*-* 04:05\n");
    let toml = site.ask(&["import", "systemd", "dump@orders.timer", "--root", "."]);
    assert!(toml.contains("schedule = \"5 4 * * *\"") && toml.contains("command = [\"/usr/bin/dump\", \"orders\"]"), "{toml}");
    let missing = site.batchd(&["import", "systemd", "nothing", "--root", "."]);
    assert_eq!((missing.status.code(), text(&missing.stderr).contains("there is no unit `nothing.timer`")), (Some(5), true));
}
