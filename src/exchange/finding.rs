//! What there is to say about a translation: each thing that changes its meaning, once, with the places that it concerns.

use serde::Serialize;

/// Something that means another thing here than it did there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub topic: Topic,
    /// What was, what is, and what to do about it. May repeat texts from outside: escape it before printing.
    pub message: String,
    /// Where; empty when it concerns everything.
    pub places: Vec<Place>,
}

/// An entry that a finding is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Place {
    /// The file or unit it stands in.
    pub source: String,
    /// From 1.
    pub line: usize,
    /// The job that it became.
    pub job: Option<String>,
}

/// What a finding is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Topic {
    /// It could not be said.
    LeftOut,
    Schedule,
    Zone,
    User,
    Environment,
    Input,
    Mail,
    Overlap,
    Missed,
    Load,
    Process,
    /// Nothing changes, but there is a better way.
    Hint,
}

impl Topic {
    /// As `--json` and the report call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::LeftOut => "left-out",
            Self::Schedule => "schedule",
            Self::Zone => "zone",
            Self::User => "user",
            Self::Environment => "environment",
            Self::Input => "input",
            Self::Mail => "mail",
            Self::Overlap => "overlap",
            Self::Missed => "missed",
            Self::Load => "load",
            Self::Process => "process",
            Self::Hint => "hint",
        }
    }
}

/// Collects findings; the same one of several entries is one.
#[derive(Debug, Default)]
pub(super) struct Findings(Vec<Finding>);

impl Findings {
    /// Something about everything, or about one place.
    pub(super) fn add(&mut self, topic: Topic, message: impl Into<String>, place: Option<&Place>) {
        let message = message.into();
        if let Some(known) = self.0.iter_mut().find(|known| known.topic == topic && known.message == message) {
            known.places.extend(place.filter(|place| !known.places.contains(place)).cloned());
        } else {
            self.0.push(Finding { topic, message, places: place.into_iter().cloned().collect() });
        }
    }

    /// By topic, in the order in which they came.
    pub(super) fn sorted(mut self) -> Vec<Finding> {
        self.0.sort_by_key(|finding| finding.topic);
        self.0
    }
}
