//! The one place where the configuration meets the schedule room: expressions and zones, with the zones cached.

use std::collections::HashMap;

use super::problem::{Problem, Report};
use super::{Field, Zone};
use crate::schedule::Schedule;

/// Zones by the name as written: thousands of jobs name few zones, and a look-up reads the database.
#[derive(Default)]
pub(super) struct Zones(HashMap<String, Result<Zone, String>>);

impl Zones {
    /// The zone that a `timezone` names.
    pub(super) fn read(&mut self, field: Field<'_>, report: &mut Report) -> Option<Zone> {
        let name = field.filled("write an IANA name such as \"Asia/Seoul\", or omit `timezone` to inherit it", report)?;
        if !self.0.contains_key(name) {
            self.0.insert(name.to_owned(), lookup(name));
        }
        match &self.0[name] {
            Ok(zone) => Some(zone.clone()),
            Err(message) => {
                let problem = Problem::error(field.span(), format!("`{}`: {message}", field.name));
                report.push(problem.help("write an IANA name such as \"Asia/Seoul\", \"Europe/Berlin\" or \"UTC\""));
                None
            }
        }
    }
}

/// The schedule that an expression names. An expression that can never fire is a problem.
pub(super) fn schedule(field: Field<'_>, report: &mut Report) -> Option<Schedule> {
    let text = field.filled("write a cron expression such as \"0 2 * * *\", or \"manual\"", report)?;
    match parse(text) {
        Ok(schedule) => Some(schedule),
        Err((range, message, help)) => {
            let problem = Problem::error(field.inside(range), format!("`{}`: {message}", field.name));
            report.push(Problem { help, ..problem });
            None
        }
    }
}

type Refusal = (std::ops::Range<usize>, String, Option<String>);

/// Knows the outline of an expression only; the schedule room replaces it.
fn parse(text: &str) -> Result<Schedule, Refusal> {
    let fields = text.split_whitespace().count();
    match text {
        "@reboot" => Ok(Schedule::Reboot),
        _ if text.starts_with('@') || matches!(fields, 5 | 6) => Ok(Schedule::Cron(crate::schedule::Cron {})),
        _ => Err((0..text.len(), format!("expected 5 or 6 fields, found {fields}"), None)),
    }
}

/// Knows the names of the system's database only; the schedule room replaces it.
fn lookup(name: &str) -> Result<Zone, String> {
    let rules = jiff::tz::TimeZone::get(name).map_err(|_| format!("unknown time zone `{}`", super::problem::shown(name)))?;
    Ok(Zone { name: name.into(), rules })
}
