//! `notify`, `expect` and `ping` of a job: who is told of what.

use std::ops::Range;
use std::time::Duration;

use toml::de::DeTable;

use super::channel::ChannelName;
use super::field::Field;
use super::policy::each;
use super::problem::{Problem, Report, nearest, shown};

/// The most failures in a row that `failing` waits for.
const MAX_FAILING: i64 = 10_000;

const HELP: &str = "write `notify = { failure = [\"ops\"] }`, or `notify = [\"ops\"]` for failure, recovery, missed and late";

/// Channels by what they are told of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Telling {
    /// A run has failed, timed out or been interrupted for good.
    pub failure: Vec<ChannelName>,
    /// A run has succeeded after one that did not, or after a success was overdue.
    pub recovery: Vec<ChannelName>,
    /// Nominal times were missed.
    pub missed: Vec<ChannelName>,
    /// `expect` is not met.
    pub late: Vec<ChannelName>,
    /// So many runs in a row have failed.
    pub failing: Option<(u32, Vec<ChannelName>)>,
}

impl Telling {
    pub(super) fn is_empty(&self) -> bool {
        let none = self.failure.is_empty() && self.recovery.is_empty() && self.missed.is_empty() && self.late.is_empty();
        none && self.failing.as_ref().is_none_or(|(_, to)| to.is_empty())
    }
}

/// What is expected of a job's runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expect {
    /// A run takes at most so long.
    pub within: Option<Duration>,
    /// A success comes at least so often.
    pub every: Option<Duration>,
}

/// A name of a channel, and its place.
pub(super) type Named = (ChannelName, Range<usize>);

/// `notify` as written; a job overrides the defaults part by part.
#[derive(Clone, Debug, Default)]
pub(super) struct TellingDraft {
    failure: Option<Vec<ChannelName>>,
    recovery: Option<Vec<ChannelName>>,
    missed: Option<Vec<ChannelName>>,
    late: Option<Vec<ChannelName>>,
    failing: Option<(u32, Vec<ChannelName>)>,
}

impl TellingDraft {
    /// `named`: where the names go, to be looked at when all channels are known.
    pub(super) fn read(&mut self, field: Field<'_>, named: &mut Vec<Named>, report: &mut Report) {
        const KEYS: &[&str] = &["failure", "recovery", "missed", "late", "failing"];
        let Some(table) = field.as_table() else {
            let all = names(field, named, report);
            self.failure.clone_from(&all);
            self.recovery.clone_from(&all);
            self.missed.clone_from(&all);
            self.late = all;
            return;
        };
        each(field, table, KEYS, report, |key, field, report| match key {
            "failure" => self.failure = names(field, named, report),
            "recovery" => self.recovery = names(field, named, report),
            "missed" => self.missed = names(field, named, report),
            "late" => self.late = names(field, named, report),
            _ => self.failing = failing(field, named, report),
        });
    }

    /// Nobody unless configured.
    pub(super) fn build(&self, defaults: &Self) -> Telling {
        let pick =
            |own: &Option<Vec<ChannelName>>, other: &Option<Vec<ChannelName>>| own.clone().or_else(|| other.clone()).unwrap_or_default();
        Telling {
            failure: pick(&self.failure, &defaults.failure),
            recovery: pick(&self.recovery, &defaults.recovery),
            missed: pick(&self.missed, &defaults.missed),
            late: pick(&self.late, &defaults.late),
            failing: self.failing.clone().or_else(|| defaults.failing.clone()),
        }
    }
}

/// One name, or a list of them.
fn names(field: Field<'_>, named: &mut Vec<Named>, report: &mut Report) -> Option<Vec<ChannelName>> {
    let list: Vec<Field<'_>> = match field.as_array() {
        Some(array) => array.iter().map(|value| field.with(value)).collect(),
        None if field.as_str().is_some() => vec![field],
        None => {
            field.wrong_type("a name of a channel, or an array of them", HELP, report);
            return None;
        }
    };
    let mut found: Vec<ChannelName> = Vec::with_capacity(list.len());
    for item in list {
        let Some(name) = item.filled(HELP, report) else { continue };
        named.push((name.into(), item.span()));
        if !found.iter().any(|known| **known == *name) {
            found.push(name.into());
        }
    }
    Some(found)
}

fn failing(field: Field<'_>, named: &mut Vec<Named>, report: &mut Report) -> Option<(u32, Vec<ChannelName>)> {
    let table = field.table("{ for = 3, to = [\"ops\"] }", report)?;
    let (mut count, mut to) = (None, None);
    let errors = report.errors();
    each(field, table, &["for", "to"], report, |key, field, report| match key {
        "for" => count = field.integer(1..=MAX_FAILING, report).and_then(|count| u32::try_from(count).ok()),
        _ => to = names(field, named, report),
    });
    if (count.is_none() || to.is_none()) && report.errors() == errors {
        let problem = Problem::error(field.span(), format!("`{}` needs both `for` and `to`", field.name));
        report.push(problem.help("write `failing = { for = 3, to = [\"ops\"] }`"));
    }
    count.zip(to)
}

pub(super) fn expect(field: Field<'_>, report: &mut Report) -> Option<Expect> {
    let table = field.table("{ within = \"10m\", every = \"25h\" }", report)?;
    let mut expect = Expect::default();
    each(field, table, &["within", "every"], report, |key, field, report| match key {
        "within" => expect.within = field.positive_duration(report),
        _ => expect.every = field.positive_duration(report),
    });
    Some(expect)
}

/// The names of the channels of a file, usable or not.
pub(super) fn channels<'a>(root: &'a DeTable<'_>) -> Vec<&'a str> {
    let table = root.get("notify").and_then(|channels| channels.get_ref().as_table());
    table.into_iter().flat_map(DeTable::keys).map(|name| name.get_ref().as_ref()).collect()
}

/// Reports names that are no channels. `known`: those of the file, usable or not.
pub(super) fn check(named: &[Named], known: &[&str], report: &mut Report) {
    for (name, span) in named.iter().filter(|(name, _)| !known.contains(&&**name)) {
        let help = match nearest(name, known.iter().copied()) {
            Some(near) => format!("did you mean \"{}\"?", shown(near)),
            None => format!("define it: [notify.{}] with webhook, slack, email or command", shown(name)),
        };
        report.push(Problem::error(span.clone(), format!("`notify` names no channel: \"{}\"", shown(name))).help(help));
    }
}
