//! The one place where the configuration meets the schedule room: expressions and zones, with the zones cached.

use std::collections::HashMap;

use super::Field;
use super::problem::{Problem, Report};
use crate::schedule::{Schedule, Zone, ZoneError};

/// Zones by the name as written: thousands of jobs name few zones, and a look-up reads the database.
#[derive(Default)]
pub(super) struct Zones(HashMap<String, Result<Zone, ZoneError>>);

impl Zones {
    /// The zone that a `timezone` names.
    pub(super) fn read(&mut self, field: Field<'_>, report: &mut Report) -> Option<Zone> {
        let name = field.filled("write an IANA name such as \"Asia/Seoul\", or omit `timezone` to inherit it", report)?;
        if !self.0.contains_key(name) {
            self.0.insert(name.to_owned(), Zone::lookup(name));
        }
        match &self.0[name] {
            Ok(zone) => Some(zone.clone()),
            Err(error) => {
                let problem = Problem::error(field.span(), format!("`{}`: {error}", field.name));
                report.push(problem.help("write an IANA name such as \"Asia/Seoul\", \"Europe/Berlin\" or \"UTC\""));
                None
            }
        }
    }
}

/// The schedule that an expression names. An expression that can never fire is a problem.
pub(super) fn schedule(field: Field<'_>, report: &mut Report) -> Option<Schedule> {
    let text = field.filled("write a cron expression such as \"0 2 * * *\", or \"manual\"", report)?;
    match Schedule::parse(text) {
        Ok(schedule) if schedule.never_fires() => {
            let problem = Problem::error(field.span(), format!("`{}` never fires: no date of a 400-year cycle matches", field.name));
            report.push(problem.help("check the day of the month against the month"));
            None
        }
        Ok(schedule) => Some(schedule),
        Err(error) => {
            let problem = Problem::error(field.inside(error.range), format!("`{}`: {}", field.name, error.message));
            report.push(Problem { help: error.help, ..problem });
            None
        }
    }
}
