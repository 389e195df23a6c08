//! What decides a job's nominal times, as text that can be kept and read back: an audit recomputes the past under the
//! definition of the past.

use serde::{Deserialize, Serialize};

use super::Job;
use crate::schedule::{Dst, Fold, Gap, Schedule, Timetable, Zone};

/// The schedule of a job as it was written. The names of the fields are those of `jobs.toml`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Definition {
    /// Empty or `manual` for a job that only runs by hand.
    pub schedule: Vec<String>,
    pub timezone: String,
    pub gap: Gap,
    pub fold: Fold,
    pub enabled: bool,
}

/// Why a kept definition cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DefinitionError {
    #[error("its schedule `{expression}` cannot be read: {reason}")]
    Schedule { expression: String, reason: String },
    #[error(transparent)]
    Zone(#[from] crate::schedule::ZoneError),
}

impl Job {
    /// What decides its nominal times.
    pub fn definition(&self) -> Definition {
        let Timetable { zone, dst, .. } = &self.timetable;
        Definition {
            schedule: self.schedule_text.clone(),
            timezone: zone.name.to_string(),
            gap: dst.gap,
            fold: dst.fold,
            enabled: self.enabled,
        }
    }
}

impl Definition {
    /// The timetable; a disabled job and one for runs by hand have an empty one.
    ///
    /// # Errors
    /// [`DefinitionError`], where a later release refuses what an earlier one took, or the zone is gone from the database.
    pub fn timetable(&self) -> Result<Timetable, DefinitionError> {
        let wanted = |expression: &&String| self.enabled && *expression != super::MANUAL;
        let parse = |expression: &String| {
            Schedule::parse(expression).map_err(|error| DefinitionError::Schedule { expression: expression.clone(), reason: error.message })
        };
        Ok(Timetable {
            schedules: self.schedule.iter().filter(wanted).map(parse).collect::<Result<_, _>>()?,
            zone: Zone::lookup(&self.timezone)?,
            dst: Dst { gap: self.gap, fold: self.fold },
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
        };
        let text = serde_json::to_string(&definition).expect("is written");
        assert_eq!(
            text,
            r#"{"schedule":["30 2 * * *","@every 90s"],"timezone":"America/New_York","gap":"skip","fold":"both","enabled":true}"#
        );
        let read: Definition = serde_json::from_str(&text).expect("is read");
        let timetable = read.timetable().expect("is usable");
        assert_eq!(timetable.schedules.len(), 2);
        assert_eq!((timetable.dst, &*timetable.zone.name), (Dst { gap: Gap::Skip, fold: Fold::Both }, "America/New_York"));
        let disabled = Definition { enabled: false, ..read };
        assert_eq!(disabled.timetable().expect("is usable").schedules, []);
    }
}
