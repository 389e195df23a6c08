//! What decides a job's nominal times, as text that can be kept and read back: an audit recomputes the past under the
//! definition of the past.

use std::sync::Arc;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::Job;
use crate::schedule::{self, Dst, Except, Fold, Gap, Schedule, Timetable, Zone};

/// The schedule of a job as it was written. The names of the fields are those of `jobs.toml`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Definition {
    /// Empty or `manual` for a job that only runs by hand.
    pub schedule: Vec<String>,
    pub timezone: String,
    pub gap: Gap,
    pub fold: Fold,
    pub enabled: bool,
    /// With these, the job has no nominal times of its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<String>,
    /// Dates and ranges of them; what a file named is written out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub except: Vec<String>,
}

/// Why a kept definition cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DefinitionError {
    #[error("its schedule `{expression}` cannot be read: {reason}")]
    Schedule { expression: String, reason: String },
    #[error("its days cannot be read: {0}")]
    Except(String),
    #[error(transparent)]
    Zone(#[from] crate::schedule::ZoneError),
}

impl Job {
    /// What decides its nominal times.
    pub fn definition(&self) -> Definition {
        let Timetable { zone, dst, except, .. } = &self.timetable;
        let range = |(first, last): &(Date, Date)| if first == last { first.to_string() } else { format!("{first}..{last}") };
        Definition {
            schedule: self.schedule_text.clone(),
            timezone: zone.name.to_string(),
            gap: dst.gap,
            fold: dst.fold,
            enabled: self.enabled,
            after: self.after.iter().map(ToString::to_string).collect(),
            except: except.iter().flat_map(|except| except.ranges()).map(range).collect(),
        }
    }
}

impl Definition {
    /// The timetable; a disabled job, one for runs by hand and one that runs after others have an empty one.
    ///
    /// # Errors
    /// [`DefinitionError`], where a later release refuses what an earlier one took, or the zone is gone from the database.
    pub fn timetable(&self) -> Result<Timetable, DefinitionError> {
        let wanted = |expression: &&String| self.enabled && self.after.is_empty() && *expression != super::MANUAL;
        let parse = |expression: &String| {
            Schedule::parse(expression).map_err(|error| DefinitionError::Schedule { expression: expression.clone(), reason: error.message })
        };
        let except =
            self.except.iter().map(|text| schedule::parse_dates(text).map_err(DefinitionError::Except)).collect::<Result<_, _>>()?;
        Ok(Timetable {
            schedules: self.schedule.iter().filter(wanted).map(parse).collect::<Result<_, _>>()?,
            zone: Zone::lookup(&self.timezone)?,
            dst: Dst { gap: self.gap, fold: self.fold },
            except: (!self.except.is_empty()).then(|| Arc::new(Except::new(except))),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_back_as_the_same_timetable() {
        let definition = Definition {
            schedule: vec!["30 2 * * *".to_owned(), "@every 90s".to_owned()],
            timezone: "America/New_York".to_owned(),
            gap: Gap::Skip,
            fold: Fold::Both,
            enabled: true,
            after: Vec::new(),
            except: vec!["2026-12-25..2026-12-26".to_owned()],
        };
        let text = serde_json::to_string(&definition).expect("is written");
        assert_eq!(
            text,
            r#"{"schedule":["30 2 * * *","@every 90s"],"timezone":"America/New_York","gap":"skip","fold":"both","enabled":true,"except":["2026-12-25..2026-12-26"]}"#
        );
        let read: Definition = serde_json::from_str(&text).expect("is read");
        let timetable = read.timetable().expect("is usable");
        assert_eq!(timetable.schedules.len(), 2);
        assert_eq!(timetable.except.expect("is kept").to_string(), "2026-12-25..2026-12-26");
        assert_eq!((timetable.dst, &*timetable.zone.name), (Dst { gap: Gap::Skip, fold: Fold::Both }, "America/New_York"));
        let disabled = Definition { enabled: false, ..read };
        assert_eq!(disabled.timetable().expect("is usable").schedules, []);
    }
}
