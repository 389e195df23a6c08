//! The one place where the configuration meets the schedule room: expressions and zones, with the zones cached.

use std::collections::HashMap;

use super::Field;
use super::problem::{Problem, Report, shown};
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

/// The expressions as written and as parsed; no schedules for `"manual"`.
pub(super) fn schedules(field: Field<'_>, report: &mut Report) -> Option<(Vec<String>, Vec<Schedule>)> {
    const HELP: &str = "write a cron expression such as `schedule = \"0 2 * * *\"`, a list of them, or \"manual\"";
    let list: Vec<Field<'_>> = match field.as_array() {
        Some(array) => array.iter().map(|value| field.with(value)).collect(),
        None if field.as_str().is_some() => vec![field],
        None => {
            field.wrong_type("a string, or an array of strings", HELP, report);
            return None;
        }
    };
    if list.is_empty() {
        report.push(Problem::error(field.span(), "`schedule` is an empty list").help(HELP));
        return None;
    }
    let (mut texts, mut parsed) = (Vec::with_capacity(list.len()), Vec::with_capacity(list.len()));
    for item in &list {
        let text = item.as_str().unwrap_or_default().trim();
        if text == super::MANUAL && list.len() == 1 {
            return Some((vec![text.to_owned()], Vec::new()));
        }
        if text == super::MANUAL {
            report.error(item.span(), "`schedule`: \"manual\" stands alone, not in a list with other schedules");
        } else if texts.iter().any(|earlier| earlier == text) {
            report.error(item.span(), format!("`schedule` lists \"{}\" twice", shown(text)));
        } else if let Some(schedule) = schedule(*item, report) {
            texts.push(text.to_owned());
            parsed.push(schedule);
        }
    }
    Some((texts, parsed))
}

/// The schedule that an expression names. An expression that can never fire is a problem.
fn schedule(field: Field<'_>, report: &mut Report) -> Option<Schedule> {
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
