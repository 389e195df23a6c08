//! Durations, sizes and signals: quantities written as text.

use std::str::FromStr;
use std::time::Duration;

use bytesize::ByteSize;
use nix::sys::signal::Signal;
use toml::de::DeValue;

use super::field::Field;
use super::problem::{Problem, Report, nearest, shown};

/// The longest duration: ten years.
const MAX_DURATION: Duration = Duration::from_secs(3_653 * 86_400);

/// The most bytes that a size can name: 1 PiB.
const MAX_SIZE: u64 = 1 << 50;

impl Field<'_> {
    /// A duration of zero or more, such as `"1h30m"`.
    pub(super) fn duration(&self, report: &mut Report) -> Option<Duration> {
        if let DeValue::Integer(_) | DeValue::Float(_) = self.value.get_ref() {
            let number = self.source.get(self.span()).unwrap_or_default();
            self.wrong_type("a string with a unit", &units_of(number), report);
            return None;
        }
        let text = self.as_str();
        if text.is_some_and(str::is_empty) {
            let problem = Problem::error(self.span(), format!("`{}` is empty", self.name));
            report.push(problem.help(format!("write a duration such as \"30s\", or omit `{}` for its default", self.name)));
            return None;
        }
        let text = self.text("write a duration with its unit: \"30s\", \"5m\" or \"1h30m\"", report)?;
        match parse_duration(text) {
            Ok(duration) => Some(duration),
            Err((reason, help)) => {
                let message = format!("`{}` is not a duration: \"{}\" {reason}", self.name, shown(text));
                report.push(Problem::error(self.span(), message).help(help));
                None
            }
        }
    }

    /// A duration above zero.
    pub(super) fn positive_duration(&self, report: &mut Report) -> Option<Duration> {
        let duration = self.duration(report)?;
        if duration.is_zero() {
            let problem = Problem::error(self.span(), format!("`{}` must be longer than zero", self.name));
            report.push(problem.help(format!("write a duration such as \"30s\", or omit `{}`", self.name)));
            return None;
        }
        Some(duration)
    }

    /// A number of bytes from `least` on, such as `"5MiB"`.
    pub(super) fn size(&self, least: u64, report: &mut Report) -> Option<u64> {
        const HELP: &str = "write a size with its unit: \"512KiB\", \"5MiB\" or \"1GiB\"";
        let text = self.filled(HELP, report)?;
        let unit = text.ends_with(|last: char| last.is_ascii_alphabetic());
        let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b' '));
        let size = if unit && plain { ByteSize::from_str(text).ok() } else { None };
        let Some(size) = size else {
            let reason = if text.starts_with('-') {
                "is negative"
            } else if unit {
                "has an unknown unit or number"
            } else {
                "has no unit"
            };
            let message = format!("`{}` is not a size: \"{}\" {reason}", self.name, shown(text));
            report.push(Problem::error(self.span(), message).help(HELP));
            return None;
        };
        let bytes = size.as_u64();
        if !(least..=MAX_SIZE).contains(&bytes) {
            let (found, least, most) = (shown(text), ByteSize(least), ByteSize(MAX_SIZE));
            report.error(self.span(), format!("`{}` is out of range: found \"{found}\", allowed are {least} to {most}", self.name));
            return None;
        }
        Some(bytes)
    }

    /// A signal by its name, with or without `SIG`.
    pub(super) fn signal(&self, report: &mut Report) -> Option<i32> {
        const HELP: &str = "write a signal name such as \"SIGTERM\", \"SIGINT\" or \"SIGQUIT\"";
        let text = self.filled(HELP, report)?;
        let upper = text.to_ascii_uppercase();
        let name = if upper.starts_with("SIG") { upper } else { format!("SIG{upper}") };
        match Signal::from_str(&name) {
            Ok(Signal::SIGSTOP | Signal::SIGTSTP | Signal::SIGCONT | Signal::SIGCHLD) => {
                report.push(Problem::error(self.span(), format!("`{}` cannot be `{name}`, which ends no process", self.name)).help(HELP));
                None
            }
            Ok(signal) => Some(signal as i32),
            Err(_) => {
                let known = nearest(&name, Signal::iterator().map(Signal::as_str));
                let help = known.map_or_else(|| HELP.to_owned(), |known| format!("did you mean \"{known}\"?"));
                report.push(Problem::error(self.span(), format!("unknown signal \"{}\" in `{}`", shown(text), self.name)).help(help));
                None
            }
        }
    }
}

/// The duration, or why it is none and what to write.
fn parse_duration(text: &str) -> Result<Duration, (&'static str, String)> {
    let example = || "write whole numbers with units: \"500ms\", \"30s\", \"5m\", \"1h30m\", \"2d\"".to_owned();
    let trimmed = text.trim();
    if trimmed.is_empty() {
        return Err(("is empty", example()));
    }
    if trimmed.starts_with('-') {
        return Err(("is negative", example()));
    }
    if trimmed.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(("has no unit", units_of(trimmed)));
    }
    let calendar = |word: &str| matches!(word, "M" | "month" | "months" | "y" | "yr" | "yrs" | "year" | "years");
    if trimmed.split(|character: char| !character.is_alphabetic()).any(calendar) {
        return Err(("counts in months or years, which have no fixed length", "count in days: \"30d\"; minutes are `m`".to_owned()));
    }
    if !trimmed.is_ascii() || trimmed.contains('.') {
        return Err(("is not made of whole numbers with units", example()));
    }
    match humantime::parse_duration(trimmed) {
        Ok(duration) if duration <= MAX_DURATION => Ok(duration),
        Ok(_) | Err(humantime::DurationError::NumberOverflow) => Err(("is too long", "at most ten years, \"3653d\"".to_owned())),
        Err(_) if trimmed.starts_with(['P', 'p']) => Err(("is in ISO 8601", example())),
        Err(humantime::DurationError::UnknownUnit { .. }) => Err(("has an unknown unit", "units are ms, s, m, h, d and w".to_owned())),
        Err(_) => Err(("has no number, unit or both", example())),
    }
}

/// What a bare number may have meant.
fn units_of(number: &str) -> String {
    let number = shown(number.trim_start_matches(['-', '+']));
    format!("the unit is missing: \"{number}s\", \"{number}m\" or \"{number}h\"")
}
