//! Timers of systemd with their services.
//!
//! `unit` reads the text of a unit, `calendar` a calendar event, `exec` a command line, `service` a service.

mod calendar;
mod exec;
mod service;
mod unit;

#[cfg(test)]
mod tests;

pub use calendar::{Calendar, calendar};
pub use unit::{Unit, is_true};

use self::exec::Specifiers;
use self::unit::{duration, milliseconds, written};
use super::finding::Topic;
use super::sheet::{Entry, Imported, Setting, Sheet, Value};

/// A timer and what it starts.
#[derive(Clone, Debug)]
pub struct Timer {
    /// `backup.timer`, or `backup@shop.timer` for an instance.
    pub name: String,
    /// The unit, its drop-ins behind it.
    pub text: String,
    /// The service, its drop-ins behind it; `None` when there is none.
    pub service: Option<String>,
}

/// What a unit takes from the machine.
#[derive(Clone, Copy)]
pub struct Machine<'a> {
    /// The home directory of a user.
    pub home: &'a dyn Fn(&str) -> Option<String>,
}

/// The unit that a timer starts.
pub fn started_by(timer: &str, text: &str) -> String {
    let named = Unit::read(text).value("Timer", "Unit").map(str::to_owned);
    named.unwrap_or_else(|| format!("{}.service", stem(timer)))
}

/// Makes a `jobs.toml` of timers.
pub fn import(timers: &[Timer], machine: Machine<'_>) -> Imported {
    let names = timers.iter().map(|timer| timer.name.as_str()).collect::<Vec<_>>().join(", ");
    let mut sheet = Sheet::new(vec![
        format!("# From {names}, by `batchd import systemd`: what systemd ran, when systemd ran it."),
        "# The report that came with it says what is not quite the same.".to_owned(),
    ]);
    let skipped = Setting::new("dst", Value::Raw("{ gap = \"skip\" }".to_owned()));
    sheet.default_setting(skipped.remark("as systemd, which skips a time that daylight saving skips; without this line: \"run_after\""));
    let lost = Setting::text("catch_up", "none");
    sheet.default_setting(lost.remark("as a timer without Persistent=; without this line: \"latest\""));
    for timer in timers {
        one(timer, machine, &mut sheet);
    }
    sheet.finish()
}

fn one(timer: &Timer, machine: Machine<'_>, sheet: &mut Sheet) {
    let unit = Unit::read(&timer.text);
    let started = started_by(&timer.name, &timer.text);
    let original = original(&unit, &started);
    let Some(service) = timer.service.as_deref().map(Unit::read) else {
        return sheet.left_out(&timer.name, 0, &original, Vec::new(), &format!("`{started}` is not there"));
    };
    let mut entry = Entry {
        source: timer.name.clone(),
        line: 0,
        original,
        comments: Vec::new(),
        name: stem(&timer.name).to_owned(),
        settings: Vec::new(),
        findings: Vec::new(),
    };
    let description = service.value("Unit", "Description").or_else(|| unit.value("Unit", "Description"));
    let user = service.value("Service", "User").unwrap_or("root").to_owned();
    let home = (machine.home)(&user);
    let specifiers = Specifiers { name: stem(&started), unit_type: "service", user: &user, home: home.as_deref() };
    if let Some(description) = description.and_then(|text| specifiers.replace(text).ok()) {
        entry.settings.push(Setting::text("description", description));
    }
    let refused = when(&unit, &mut entry).and_then(|()| service::service(&service, &specifiers, &mut entry)).err();
    if let Some(reason) = refused {
        sheet.left_out(&entry.source, 0, &entry.original, Vec::new(), &reason);
    } else {
        rest(&unit, &mut entry);
        sheet.entry(entry);
    }
}

/// What an unsaid timer is remembered by.
fn original(unit: &Unit, started: &str) -> String {
    let times = ["OnCalendar", "OnBootSec", "OnStartupSec", "OnActiveSec", "OnUnitActiveSec", "OnUnitInactiveSec"];
    let lines = times.iter().flat_map(|key| unit.list("Timer", key).into_iter().map(move |value| format!("{key}={value}")));
    lines.chain([format!("Unit={started}")]).collect::<Vec<_>>().join("\n")
}

fn stem(name: &str) -> &str {
    name.rsplit_once('.').map_or(name, |(stem, _)| stem)
}

fn when(unit: &Unit, entry: &mut Entry) -> Result<(), String> {
    let mut schedules = Vec::new();
    let mut zone: Option<Option<String>> = None;
    for event in unit.list("Timer", "OnCalendar") {
        let read = calendar(event)?;
        if zone.get_or_insert_with(|| read.timezone.clone()) != &read.timezone {
            return Err("its calendar events are in several zones: a job has one".to_owned());
        }
        let minute = read.schedule.split(' ').rev().nth(4).unwrap_or_default();
        let hour = read.schedule.split(' ').rev().nth(3).unwrap_or_default();
        if minute.starts_with('*') || hour.starts_with('*') {
            let message = "in the hour that daylight saving repeats, systemd runs it in the first pass only; here it runs in both";
            entry.findings.push((Topic::Schedule, message.to_owned()));
        }
        schedules.push(read.schedule);
    }
    if let Some((key, delay)) = ["OnBootSec", "OnStartupSec"].iter().find_map(|key| Some((key, unit.value("Timer", key)?))) {
        schedules.push("@reboot".to_owned());
        let message = format!("{key}={delay}: `@reboot` runs when the daemon first starts after a boot, without the delay");
        entry.findings.push((Topic::Schedule, message));
    }
    for key in ["OnUnitActiveSec", "OnUnitInactiveSec"] {
        for span in unit.list("Timer", key) {
            let seconds = milliseconds(span).map(|span| span.div_ceil(1_000)).filter(|seconds| *seconds > 0);
            let seconds = seconds.ok_or_else(|| format!("{key}={span} is no time span"))?;
            schedules.push(format!("@every {}", written(seconds * 1_000)));
            let since = if key == "OnUnitActiveSec" { "start" } else { "end" };
            let message = format!(
                "{key} counts from the last {since}; `@every` fires at whole multiples of the interval, which a restart does not move"
            );
            entry.findings.push((Topic::Schedule, message));
        }
    }
    if let Some(delay) = unit.value("Timer", "OnActiveSec") {
        let message = format!("OnActiveSec={delay} counts from the start of the timer, which no job here has; it is left out");
        entry.findings.push((Topic::Schedule, message));
    }
    let schedules = match schedules.as_slice() {
        [] => return Err("the timer names no time that a schedule can".to_owned()),
        [one] => Value::Text(one.clone()),
        _ => Value::List(schedules),
    };
    entry.settings.push(Setting::new("schedule", schedules));
    if let Some(zone) = zone.flatten() {
        entry.settings.push(Setting::text("timezone", zone));
    }
    Ok(())
}

/// What else a timer says.
fn rest(unit: &Unit, entry: &mut Entry) {
    const READ: [&str; 10] = [
        "OnCalendar",
        "OnBootSec",
        "OnStartupSec",
        "OnActiveSec",
        "OnUnitActiveSec",
        "OnUnitInactiveSec",
        "Unit",
        "RandomizedDelaySec",
        "Persistent",
        "AccuracySec",
    ];
    if let Some(delay) = unit.value("Timer", "RandomizedDelaySec").and_then(duration).filter(|delay| delay != "0ms") {
        entry.settings.push(Setting::text("jitter", delay));
        if !unit.value("Timer", "FixedRandomDelay").is_some_and(is_true) {
            let message = "systemd draws RandomizedDelaySec anew each time; here the delay hangs on job and nominal time, and is the same after a restart";
            entry.findings.push((Topic::Schedule, message.to_owned()));
        }
    }
    if unit.value("Timer", "Persistent").is_some_and(is_true) {
        entry.settings.push(Setting::text("catch_up", "latest"));
    }
    let unread: Vec<&str> = unit.keys("Timer").into_iter().filter(|key| !READ.contains(key) && *key != "FixedRandomDelay").collect();
    if !unread.is_empty() {
        entry.findings.push((Topic::Schedule, format!("not taken over, of the timer: {}", unread.join(", "))));
    }
}

impl std::fmt::Debug for Machine<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Machine").finish_non_exhaustive()
    }
}
