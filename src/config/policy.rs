//! The policies of a job as written: every part optional, so that a job overrides `[defaults]` part by part.

use std::time::Duration;

use toml::de::{DeTable, DeValue};

use super::draft::Draft;
use super::field::{Field, fields};
use super::keys::unknown_in;
use super::problem::{Problem, Report, shown};
use super::{CatchUp, CatchUpPolicy, Leftovers, MaxFailures, Overlap, Policies, Rate, Retry, StopPolicy};
use crate::schedule::{Dst, Fold, Gap};

/// The most attempts of one partial.
const MAX_ATTEMPTS: i64 = 1_000;

/// The most runs that wait, or are caught up.
const MAX_RUNS: i64 = 100_000;

/// The default of `overlap.max`.
const QUEUE_MAX: usize = 10;

impl Draft<'_> {
    /// How the job goes about its runs.
    pub(super) fn policies(&self, defaults: &Draft<'_>) -> Policies {
        let plain = Policies::default();
        Policies {
            concurrency: self.concurrency.or(defaults.concurrency).unwrap_or(plain.concurrency),
            chunk: self.chunk.or(defaults.chunk).unwrap_or(plain.chunk),
            canary: self.canary.or(defaults.canary).unwrap_or(plain.canary),
            rate: self.rate.or(defaults.rate),
            partial_timeout: self.partial_timeout.or(defaults.partial_timeout),
            timeout: self.timeout.or(defaults.timeout),
            retry: self.retry.build(&defaults.retry),
            max_failures: self.max_failures.or(defaults.max_failures).unwrap_or(plain.max_failures),
            overlap: self.overlap.or(defaults.overlap).unwrap_or(plain.overlap),
            catch_up: self.catch_up.build(defaults.catch_up),
            on_interrupted: self.on_interrupted.or(defaults.on_interrupted).unwrap_or(plain.on_interrupted),
            stop: self.stop.build(defaults.stop),
            expect: self.expect.or(defaults.expect).unwrap_or(plain.expect),
            output_max_size: self.output_max_size.or(defaults.output_max_size).unwrap_or(plain.output_max_size),
        }
    }
}

#[derive(Clone, Debug, Default)]
pub(super) struct RetryDraft {
    attempts: Option<u32>,
    delay: Option<Duration>,
    factor: Option<f64>,
    max_delay: Option<Duration>,
    jitter: Option<f64>,
    on_exit: Option<Vec<i32>>,
}

impl RetryDraft {
    pub(super) fn read(&mut self, field: Field<'_>, report: &mut Report) {
        const KEYS: &[&str] = &["attempts", "delay", "factor", "max_delay", "jitter", "on_exit"];
        let Some(table) = field.table("{ attempts = 3, delay = \"5s\" }", report) else { return };
        each(field, table, KEYS, report, |key, field, report| match key {
            "attempts" => self.attempts = field.integer(1..=MAX_ATTEMPTS, report).and_then(|count| u32::try_from(count).ok()),
            "delay" => self.delay = field.duration(report),
            "factor" => self.factor = field.number(1.0..=100.0, report),
            "max_delay" => self.max_delay = field.duration(report),
            "jitter" => self.jitter = field.number(0.0..=1.0, report),
            _ => self.on_exit = exit_codes(field, report),
        });
        if let (Some(delay), Some(most)) = (self.delay, self.max_delay)
            && most < delay
        {
            report.error(field.span(), "`retry.max_delay` is shorter than `retry.delay`");
        }
    }

    /// The shorthand: attempts after the first.
    pub(super) fn read_retries(&mut self, field: Field<'_>, report: &mut Report) {
        let retries = field.integer(0..=MAX_ATTEMPTS - 1, report);
        self.attempts = retries.and_then(|count| u32::try_from(count + 1).ok());
    }

    pub(super) fn build(&self, defaults: &Self) -> Retry {
        let plain = Retry::default();
        let delay = self.delay.or(defaults.delay).unwrap_or(plain.delay);
        Retry {
            attempts: self.attempts.or(defaults.attempts).unwrap_or(plain.attempts),
            delay,
            factor: self.factor.or(defaults.factor).unwrap_or(plain.factor),
            max_delay: self.max_delay.or(defaults.max_delay).unwrap_or(plain.max_delay).max(delay),
            jitter: self.jitter.or(defaults.jitter).unwrap_or(plain.jitter),
            on_exit: self.on_exit.clone().or_else(|| defaults.on_exit.clone()).unwrap_or(plain.on_exit),
        }
    }
}

fn exit_codes(field: Field<'_>, report: &mut Report) -> Option<Vec<i32>> {
    let Some(array) = field.as_array() else {
        field.wrong_type("an array of exit codes", "write `on_exit = [1, 75]`", report);
        return None;
    };
    let codes = array.iter().filter_map(|value| field.with(value).integer(1..=255, report));
    Some(codes.filter_map(|code| i32::try_from(code).ok()).collect())
}

/// `overlap`: a word, or a table with the length of the queue.
pub(super) fn overlap(field: Field<'_>, report: &mut Report) -> Option<Overlap> {
    const POLICIES: &[(&str, Overlap)] =
        &[("skip", Overlap::Skip), ("queue", Overlap::Queue { max: QUEUE_MAX }), ("replace", Overlap::Replace), ("allow", Overlap::Allow)];
    let Some(table) = field.as_table() else { return field.choice(POLICIES, report) };
    let (mut policy, mut max, mut refused) = (None, None, false);
    each(field, table, &["policy", "max"], report, |key, field, report| match key {
        "policy" => {
            policy = field.choice(POLICIES, report);
            refused = policy.is_none();
        }
        _ => max = field.integer(1..=MAX_RUNS, report).and_then(|max| usize::try_from(max).ok()),
    });
    match (policy, max) {
        (Some(Overlap::Queue { .. }), Some(max)) => return Some(Overlap::Queue { max }),
        (Some(_), Some(_)) => report.error(field.span(), "`overlap.max` is the length of the queue: it needs `policy = \"queue\"`"),
        (None, _) if !refused => report.push(missing_policy(field)),
        _ => {}
    }
    policy
}

fn missing_policy(field: Field<'_>) -> Problem {
    Problem::error(field.span(), format!("`{}` has no `policy`", field.name)).help(format!("write `{} = {{ policy = \"…\" }}`", field.name))
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct CatchUpDraft {
    policy: Option<CatchUpPolicy>,
    window: Option<Duration>,
    max: Option<usize>,
}

impl CatchUpDraft {
    pub(super) fn read(&mut self, field: Field<'_>, report: &mut Report) {
        const POLICIES: &[(&str, CatchUpPolicy)] =
            &[("none", CatchUpPolicy::None), ("latest", CatchUpPolicy::Latest), ("all", CatchUpPolicy::All)];
        let Some(table) = field.as_table() else {
            self.policy = field.choice(POLICIES, report);
            return;
        };
        each(field, table, &["policy", "window", "max"], report, |key, field, report| match key {
            "policy" => self.policy = field.choice(POLICIES, report),
            "window" => self.window = field.positive_duration(report),
            _ => self.max = field.integer(1..=MAX_RUNS, report).and_then(|max| usize::try_from(max).ok()),
        });
    }

    pub(super) fn build(self, defaults: Self) -> CatchUp {
        let plain = CatchUp::default();
        CatchUp {
            policy: self.policy.or(defaults.policy).unwrap_or(plain.policy),
            window: self.window.or(defaults.window).unwrap_or(plain.window),
            max: self.max.or(defaults.max).unwrap_or(plain.max),
        }
    }
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct StopDraft {
    signal: Option<i32>,
    grace: Option<Duration>,
    leftovers: Option<Leftovers>,
}

impl StopDraft {
    pub(super) fn read(&mut self, field: Field<'_>, report: &mut Report) {
        const LEFTOVERS: &[(&str, Leftovers)] = &[("kill", Leftovers::Kill), ("leave", Leftovers::Leave)];
        let Some(table) = field.table("{ signal = \"SIGTERM\", grace = \"10s\" }", report) else { return };
        each(field, table, &["signal", "grace", "leftovers"], report, |key, field, report| match key {
            "signal" => self.signal = field.signal(report),
            "grace" => self.grace = field.duration(report),
            _ => self.leftovers = field.choice(LEFTOVERS, report),
        });
    }

    pub(super) fn build(self, defaults: Self) -> StopPolicy {
        let plain = StopPolicy::default();
        StopPolicy {
            signal: self.signal.or(defaults.signal).unwrap_or(plain.signal),
            grace: self.grace.or(defaults.grace).unwrap_or(plain.grace),
            leftovers: self.leftovers.or(defaults.leftovers).unwrap_or(plain.leftovers),
        }
    }
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct DstDraft {
    gap: Option<Gap>,
    fold: Option<Fold>,
}

impl DstDraft {
    pub(super) fn read(&mut self, field: Field<'_>, report: &mut Report) {
        let Some(table) = field.table("{ gap = \"run_after\", fold = \"first\" }", report) else { return };
        each(field, table, &["gap", "fold"], report, |key, field, report| match key {
            "gap" => self.gap = field.choice(&[("run_after", Gap::RunAfter), ("skip", Gap::Skip)], report),
            _ => self.fold = field.choice(&[("first", Fold::First), ("second", Fold::Second), ("both", Fold::Both)], report),
        });
    }

    pub(super) fn build(self, defaults: Self) -> Dst {
        Dst { gap: self.gap.or(defaults.gap).unwrap_or_default(), fold: self.fold.or(defaults.fold).unwrap_or_default() }
    }
}

/// `max_failures`: a count, a share of the partials, or `"any"`.
pub(super) fn max_failures(field: Field<'_>, report: &mut Report) -> Option<MaxFailures> {
    const HELP: &str = "write a number such as `max_failures = 0`, a share such as \"10%\", or \"any\"";
    match field.value.get_ref() {
        DeValue::Integer(_) => {
            let count = field.integer(0..=i64::from(u32::MAX), report)?;
            u32::try_from(count).ok().map(MaxFailures::Count)
        }
        DeValue::String(text) if text == "any" => Some(MaxFailures::Any),
        DeValue::String(text) => {
            let percent = text.strip_suffix('%').and_then(|number| number.trim().parse::<u8>().ok()).filter(|percent| *percent <= 100);
            if percent.is_none() {
                let message = format!("`max_failures` is neither a share from \"0%\" to \"100%\" nor \"any\": \"{}\"", shown(text));
                report.push(Problem::error(field.span(), message).help(HELP));
            }
            percent.map(MaxFailures::Percent)
        }
        _ => {
            field.wrong_type("an integer or a string", HELP, report);
            None
        }
    }
}

/// `rate`: so many starts a second, minute or hour.
pub(super) fn rate(field: Field<'_>, report: &mut Report) -> Option<Rate> {
    const HELP: &str = "write a whole number and a unit of time: \"50/s\", \"100/m\" or \"1000/h\"";
    const MOST: u32 = 1_000_000;
    let text = field.filled(HELP, report)?;
    let parts = text.split_once('/').and_then(|(starts, per)| {
        let per = match per.trim() {
            "s" => 1,
            "m" => 60,
            "h" => 3_600,
            _ => return None,
        };
        Some((starts.trim().parse::<u32>().ok()?, Duration::from_secs(per)))
    });
    let rate = parts.filter(|(starts, _)| (1..=MOST).contains(starts)).map(|(starts, per)| Rate { starts, per });
    if rate.is_none() {
        report.push(
            Problem::error(field.span(), format!("`rate` is not a rate from \"1/h\" to \"{MOST}/s\": \"{}\"", shown(text))).help(HELP),
        );
    }
    rate
}

/// Reads the known keys of a small table under their full names and reports the others.
pub(super) fn each(
    field: Field<'_>,
    table: &DeTable<'_>,
    keys: &[&str],
    report: &mut Report,
    mut read: impl FnMut(&str, Field<'_>, &mut Report),
) {
    for (key, span, value) in fields(table) {
        if keys.contains(&key) {
            let name = format!("{}.{key}", field.name);
            read(key, Field { name: &name, value, source: field.source }, report);
        } else {
            unknown_in(field.name, keys, key, span, report);
        }
    }
}
