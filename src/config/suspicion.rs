//! Suspicions about the schedules of a valid file: what depends on the present, and so is no part of reading it.

use std::ops::Range;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use toml::de::DeTable;

use super::field::{Field, fields};
use super::problem::{Problem, Problems, Report};
use super::{Config, Job, Overlap, syntax};
use crate::schedule;

impl Problems {
    /// These warnings of a valid file, and those about its schedules: traps of the dialect, and fixed times that a coming change of
    /// the clock leaves out. `now` bounds the search for such a change. `slow`: how long a slow run of a job takes, where that is known.
    #[must_use]
    pub fn with_schedules(mut self, config: &Config, now: Timestamp, slow: &dyn Fn(&Job) -> Option<Duration>) -> Self {
        let included = std::mem::take(&mut self.included);
        let included = included.into_iter().map(|file| file.with_schedules(config, now, slow)).collect();
        self.with_own_schedules(config, now, slow).with_included(included)
    }

    fn with_own_schedules(self, config: &Config, now: Timestamp, slow: &dyn Fn(&Job) -> Option<Duration>) -> Self {
        let Ok(source) = std::str::from_utf8(&self.source) else { return self };
        let (root, _) = syntax::parse(source);
        let mut report = Report::default();
        for problem in &self.list {
            report.push(problem.clone());
        }
        if let Some(jobs) = root.get_ref().get("jobs").and_then(|jobs| jobs.get_ref().as_table()) {
            for (name, _, table) in fields(jobs) {
                if let (Some(job), Some(table)) = (config.jobs.get(name), table.get_ref().as_table()) {
                    of_job(table, job, source, now, &mut report);
                    of_density(table, job, now, slow(job), &mut report);
                }
            }
        }
        let dropped = self.dropped;
        let mut all = report.into_problems(&self.path, &self.source);
        all.dropped += dropped;
        all
    }
}

fn of_job(table: &DeTable<'_>, job: &Job, source: &str, now: Timestamp, report: &mut Report) {
    if let Some(value) = table.get("except") {
        of_days(value.span(), job, now, report);
    }
    let Some(value) = table.get("schedule") else { return };
    let field = Field { name: "schedule", value, source };
    match field.as_array() {
        Some(list) => {
            for value in list {
                of_expression(field.with(value), job, now, report);
            }
        }
        None => of_expression(field, job, now, report),
    }
}

/// A job that comes again before a slow run of it has ended.
fn of_density(table: &DeTable<'_>, job: &Job, now: Timestamp, slow: Option<Duration>, report: &mut Report) {
    const LOOKED_AT: usize = 20;
    let (Some(value), Some(slow)) = (table.get("schedule"), slow.filter(|_| job.policies.overlap != Overlap::Allow)) else { return };
    let fires: Vec<Timestamp> = std::iter::successors(job.next_fire(now), |fire| job.next_fire(*fire)).take(LOOKED_AT).collect();
    let Some(gap) = fires.windows(2).map(|pair| pair[1].duration_since(pair[0]).unsigned_abs()).min().filter(|gap| *gap < slow) else {
        return;
    };
    let text = |duration: Duration| humantime::format_duration(Duration::from_secs(duration.as_secs())).to_string();
    let message = format!("`schedule`: it comes again after {}, and one run in twenty takes longer than {}", text(gap), text(slow));
    report.push(
        Problem::warning(value.span(), message).help("fires that find a run live go by `overlap`: write a wider schedule, or choose"),
    );
}

/// Excepted days that do nothing, and such that leave nothing.
fn of_days(span: Range<usize>, job: &Job, now: Timestamp, report: &mut Report) {
    let Some(except) = &job.timetable.except else { return };
    let today = job.timetable.zone.rules.to_datetime(now).date();
    if let Some((_, last)) = except.ranges().last().filter(|(_, last)| *last < today) {
        return report.push(Problem::warning(span, format!("`except`: all its days are past, the last is {last}")));
    }
    let year = now + SignedDuration::from_hours(366 * 24);
    let within = |fire: Option<Timestamp>| fire.is_some_and(|fire| fire <= year);
    if within(job.timetable.next(now)) && !within(job.timetable.next_fire(now)) {
        report.push(Problem::warning(span, "`except`: its days leave no fire in the next 366 days"));
    }
}

fn of_expression(field: Field<'_>, job: &Job, now: Timestamp, report: &mut Report) {
    for found in schedule::warnings(field.as_str().unwrap_or_default(), &job.timetable.zone, now) {
        let warning = Problem::warning(field.inside(found.range), format!("`schedule`: {}", found.message));
        report.push(Problem { help: found.help, ..warning });
    }
}
