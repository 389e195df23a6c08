//! The real daemon under a wall clock that is set, runs fast or shows 1970, by libfaketime; its other clocks go on as they are.
//!
//! libfaketime cannot tell a timer that the clock was set, which the kernel does at once: here a SIGHUP makes the daemon look.

use std::fs;
use std::path::PathBuf;

use jiff::{SignedDuration, Timestamp};
use nix::sys::signal::Signal;

use crate::site::{Daemon, Site};

/// A daemon and the clock that it sees.
struct Faked {
    site: Site,
    daemon: Option<Daemon>,
    /// Seconds by which the clock differs from the real one.
    offset: i64,
}

impl Faked {
    /// A daemon with these jobs, not started yet; its clock shows `time`.
    fn at(time: &str, jobs: &str) -> Self {
        let time: Timestamp = time.parse().expect("a time");
        let mut faked = Self { site: Site::new(jobs), daemon: None, offset: 0 };
        faked.set(time.duration_since(Timestamp::now()).as_secs());
        faked
    }

    fn set(&mut self, offset: i64) {
        self.offset = offset;
        self.write(&format!("{offset:+}"));
    }

    /// In the words of libfaketime.
    fn write(&self, clock: &str) {
        fs::write(self.site.path("clock.new"), clock).expect("write");
        fs::rename(self.site.path("clock.new"), self.site.path("clock")).expect("rename");
    }

    fn start(mut self) -> Self {
        let clock = self.site.path("clock");
        self.daemon = Some(self.site.start_with(&[
            ("LD_PRELOAD", library().to_str().expect("a name")),
            ("FAKETIME_TIMESTAMP_FILE", clock.to_str().expect("a name")),
            ("FAKETIME_NO_CACHE", "1"),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ]));
        self
    }

    fn ready(self) -> Self {
        let mut ready = self.start();
        ready.line("ready");
        ready
    }

    fn line(&mut self, part: &str) -> String {
        self.daemon.as_mut().expect("it was started").line(part)
    }

    /// Sets the clock and makes the daemon look at it.
    fn step(&mut self, by: SignedDuration) -> String {
        self.set(self.offset + by.as_secs());
        self.look();
        let line = self.line("the clock was set");
        line.split_once("the clock was set ").expect("just seen").1.split_once(':').expect("by how much").0.to_owned()
    }

    fn look(&self) {
        self.daemon.as_ref().expect("it was started").signal(Signal::SIGHUP);
    }

    /// The daemon leaves, and the records add up.
    fn leave(&mut self) {
        let daemon = self.daemon.as_mut().expect("it was started");
        daemon.signal(Signal::SIGTERM);
        assert!(daemon.left().success(), "{:?}", daemon.seen());
        if self.site.path("state/batchd.db").exists() {
            self.site.ask(&["audit", "--since", "2000-01-01T00:00:00Z"]);
        }
    }

    /// The names of the runs of a job in the order of history, without the job.
    fn runs(&self, job: &str) -> Vec<String> {
        let history = self.site.ask_json(&["history", job, "--limit", "1000"]);
        let runs = history["runs"].as_array().expect("runs").iter().rev();
        runs.map(|run| run["id"].as_str().expect("an id").split_once('@').expect("a time").1.to_owned()).collect()
    }
}

fn library() -> PathBuf {
    let found = glob::glob("/usr/lib/*/faketime/libfaketimeMT.so.1").expect("a pattern").find_map(Result::ok);
    found.expect("libfaketime is installed: apt-get install faketime")
}

fn hours(hours: i64) -> SignedDuration {
    SignedDuration::from_hours(hours)
}

const DAILY: &str = "[jobs.daily]\nschedule = \"30 2 * * *\"\nhandler = \"echo\"\n";

#[test]
fn an_hour_forward_runs_what_was_skipped_once() {
    let mut faked = Faked::at("2026-06-01T02:10:00Z", DAILY).ready();
    assert_eq!(faked.step(hours(1)), "forward by 1h");
    faked.line("run succeeded");
    assert_eq!(faked.runs("daily"), ["20260601T023000Z"]);
    faked.leave();
}

#[test]
fn an_hour_back_runs_nothing_twice() {
    let mut faked =
        Faked::at("2026-06-01T02:29:58Z", &format!("{DAILY}[jobs.all]\nschedule = \"* * * * *\"\nhandler = \"echo\"\n")).ready();
    faked.line("job=daily run=daily@20260601T023000Z] run succeeded");
    assert_eq!(faked.step(hours(-1)), "back by 1h");
    // The clock has caught up: 02:30 has come twice.
    assert_eq!(faked.step(hours(1) + SignedDuration::from_secs(62)), "forward by 1h 1m 2s");
    faked.line("run=all@20260601T023100Z] run succeeded");
    assert_eq!((faked.runs("daily").len(), faked.runs("all").len()), (1, 2));
    faked.leave();
}

#[test]
fn a_day_back_counts_at_once_and_what_comes_again_has_a_name_of_its_own() {
    let mut faked = Faked::at("2026-06-01T02:29:58Z", DAILY).ready();
    faked.line("run succeeded");
    assert_eq!(faked.step(hours(-24) - SignedDuration::from_secs(4)), "back by 1day 4s");
    faked.line("run=daily@20260531T023000Z~2] run succeeded");
    assert_eq!(faked.step(hours(24) + SignedDuration::from_secs(4)), "forward by 1day 4s");
    faked.line("run=daily@20260601T023000Z~2] run succeeded");
    // By the clock, as history shows them.
    assert_eq!(faked.runs("daily"), ["20260531T023000Z~2", "20260601T023000Z", "20260601T023000Z~2"]);
    faked.leave();
}

#[test]
fn a_day_forward_is_caught_up_once() {
    let mut faked = Faked::at("2026-06-01T01:00:00Z", DAILY).ready();
    assert_eq!(faked.step(hours(24)), "forward by 1day");
    faked.line("run succeeded");
    assert_eq!(faked.runs("daily"), ["20260601T023000Z"]);
    faked.leave();
}

#[test]
fn ten_years_forward_and_back_are_no_flood() {
    let mut faked = Faked::at("2026-06-01T01:00:00Z", "[jobs.all]\nschedule = \"*/5 * * * *\"\nhandler = \"echo\"\n").ready();
    faked.step(hours(24 * 3_652));
    let missed = faked.line("missed");
    // All but those of the last day, which the one run covers.
    let days = 3_651;
    assert!(missed.contains(&format!("missed {} nominal times", days * 24 * 12)), "{missed}");
    faked.line("run succeeded");
    faked.step(hours(-24 * 3_652) + SignedDuration::from_secs(4 * 60 + 57));
    faked.line("~2] run succeeded");
    assert!(faked.runs("all").len() <= 3, "{:?}", faked.runs("all"));
    faked.leave();
}

#[test]
fn in_1970_it_waits_and_nothing_is_missed_since() {
    let mut faked = Faked::at("1970-01-01T00:00:30Z", DAILY).start();
    faked.line("the clock says 1970-01-01T00:00:3");
    let time: Timestamp = "2026-06-01T02:29:57Z".parse().expect("a time");
    faked.set(time.duration_since(Timestamp::now()).as_secs());
    faked.look();
    faked.line("the clock is set");
    faked.line("run succeeded");
    assert_eq!(faked.runs("daily"), ["20260601T023000Z"]);
    assert!(!faked.site.read("logs/batch.log").contains("missed"), "{}", faked.site.read("logs/batch.log"));
    faked.leave();
}

#[test]
fn in_1970_it_can_be_asked_to_leave() {
    let mut faked = Faked::at("1970-01-01T00:00:30Z", DAILY).start();
    faked.line("the clock says 1970");
    faked.leave();
}

#[test]
fn daylight_saving_begins() {
    let jobs = "[defaults]\ntimezone = \"America/New_York\"\n[jobs.fixed]\nschedule = \"30 2 * * *\"\nhandler = \"echo\"\n\
                [jobs.all]\nschedule = \"*/30 * * * *\"\nhandler = \"echo\"\n";
    let mut faked = Faked::at("2026-03-08T06:59:57Z", jobs).ready();
    for _ in 0..2 {
        faked.line("run succeeded");
    }
    assert_eq!((faked.runs("fixed"), faked.runs("all")), (vec!["20260308T070000Z".to_owned()], vec!["20260308T070000Z".to_owned()]));
    faked.leave();
}

#[test]
fn daylight_saving_ends() {
    let jobs = "[defaults]\ntimezone = \"America/New_York\"\n[jobs.fixed]\nschedule = \"30 1 * * *\"\nhandler = \"echo\"\n\
                [jobs.all]\nschedule = \"*/30 * * * *\"\nhandler = \"echo\"\n";
    let mut faked = Faked::at("2026-11-01T05:29:57Z", jobs).ready();
    for _ in 0..2 {
        faked.line("run succeeded");
    }
    faked.step(SignedDuration::from_mins(59) + SignedDuration::from_secs(50));
    faked.line("run=all@20261101T063000Z] run succeeded");
    assert_eq!((faked.runs("fixed").len(), faked.runs("all").len()), (1, 3));
    faked.leave();
}

#[test]
fn a_day_in_half_a_minute_loses_and_doubles_nothing() {
    let faked = Faked::at("2026-06-01T00:00:00Z", "[jobs.all]\nschedule = \"*/2 * * * *\"\nhandler = \"echo\"\n");
    faked.write(&format!("{:+} x3600", faked.offset));
    let mut faked = faked.start();
    faked.line("ready");
    faked.line("run=all@20260602T000000Z] run succeeded");
    faked.leave();
    let runs = faked.runs("all");
    // A busy machine may find some too late; the audit tells that each is decided.
    assert!((300..=721).contains(&runs.len()), "{} runs", runs.len());
}

#[test]
fn an_update_of_the_zone_data_is_taken_over_by_a_reload() {
    let site = Site::new("[jobs.local]\nschedule = \"0 12 * * *\"\ntimezone = \"Test/Here\"\nhandler = \"echo\"\n");
    let zones = site.path("zoneinfo");
    let become_zone = |name: &str| {
        fs::create_dir_all(zones.join("Test")).expect("a folder");
        fs::copy(format!("/usr/share/zoneinfo/{name}"), zones.join("Test/Here.new")).expect("zone data");
        fs::rename(zones.join("Test/Here.new"), zones.join("Test/Here")).expect("rename");
    };
    become_zone("Asia/Seoul");
    let mut daemon = site.start_with(&[("TZDIR", zones.to_str().expect("a name")), ("TZ", "UTC")]);
    daemon.line("ready");
    let next = || site.ask_json(&["jobs"])["jobs"][0]["next_fire"].as_str().expect("a fire").to_owned();
    assert!(next().ends_with("T03:00:00Z"), "{}", next());
    become_zone("Africa/Lagos");
    daemon.signal(Signal::SIGHUP);
    daemon.line("reloaded");
    assert!(next().ends_with("T11:00:00Z"), "{}", next());
}
