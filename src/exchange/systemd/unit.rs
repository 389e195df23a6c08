//! The text of a unit: sections of settings, after systemd.syntax(7).

/// A unit with its drop-ins, in the order in which they count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unit {
    settings: Vec<Assignment>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Assignment {
    section: String,
    key: String,
    value: String,
}

impl Unit {
    pub fn read(text: &str) -> Self {
        let mut unit = Self::default();
        let mut section = String::new();
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            let line = line.trim();
            if line.is_empty() || line.starts_with(['#', ';']) {
                continue;
            }
            if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                section = String::from(name);
                continue;
            }
            let Some((key, value)) =
                continued(line, &mut lines).split_once('=').map(|(key, value)| (key.trim().to_owned(), value.trim().to_owned()))
            else {
                continue;
            };
            unit.settings.push(Assignment { section: section.clone(), key, value });
        }
        unit
    }

    /// The values of a list; an empty assignment forgets those before it.
    pub fn list(&self, section: &str, key: &str) -> Vec<&str> {
        let mut values = Vec::new();
        for setting in self.settings.iter().filter(|setting| setting.section == section && setting.key == key) {
            if setting.value.is_empty() {
                values.clear();
            } else {
                values.push(setting.value.as_str());
            }
        }
        values
    }

    /// The value that counts, which is the last.
    pub fn value(&self, section: &str, key: &str) -> Option<&str> {
        self.list(section, key).pop()
    }

    /// The keys of a section, each once, in the order of the file.
    pub(super) fn keys(&self, section: &str) -> Vec<&str> {
        let mut keys: Vec<&str> = Vec::new();
        for setting in self.settings.iter().filter(|setting| setting.section == section) {
            if !keys.contains(&setting.key.as_str()) {
                keys.push(&setting.key);
            }
        }
        keys
    }
}

/// A line with those that a backslash at its end joins to it; comments between them are no part of it.
fn continued<'a>(line: &str, lines: &mut impl Iterator<Item = &'a str>) -> String {
    let mut whole = line.to_owned();
    while whole.ends_with('\\') {
        whole.pop();
        whole.push(' ');
        match lines.find(|line| !line.trim_start().starts_with(['#', ';'])) {
            Some(next) => whole.push_str(next.trim()),
            None => break,
        }
    }
    whole
}

/// systemd's yes and no.
pub fn is_true(value: &str) -> bool {
    ["1", "yes", "y", "true", "t", "on"].iter().any(|yes| value.eq_ignore_ascii_case(yes))
}

/// A time span after systemd.time(7) in milliseconds: `90`, `5min 20s`, `1h30m`. `None` for what is none, and for `infinity`.
pub(super) fn milliseconds(text: &str) -> Option<u64> {
    let mut total = 0_u64;
    let mut rest = text.trim();
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|char: char| !char.is_ascii_digit()).unwrap_or(rest.len());
        let number: u64 = rest[..digits].parse().ok()?;
        rest = rest[digits..].trim_start();
        let letters = rest.find(|char: char| !char.is_ascii_alphabetic()).unwrap_or(rest.len());
        let unit = match &rest[..letters] {
            "ms" | "msec" => 1,
            "" | "s" | "sec" | "second" | "seconds" => 1_000,
            "m" | "min" | "minute" | "minutes" => 60_000,
            "h" | "hr" | "hour" | "hours" => 3_600_000,
            "d" | "day" | "days" => 86_400_000,
            "w" | "week" | "weeks" => 604_800_000,
            // 30.44 and 365.25 days, as systemd has it.
            "M" | "month" | "months" => 2_629_800_000,
            "y" | "year" | "years" => 31_557_600_000,
            _ => return None,
        };
        total = total.checked_add(number.checked_mul(unit)?)?;
        rest = rest[letters..].trim_start();
    }
    Some(total)
}

/// The same as a duration of a jobs.toml.
pub(super) fn duration(text: &str) -> Option<String> {
    milliseconds(text).map(written)
}

/// Milliseconds in the greatest unit that holds them exactly.
pub(super) fn written(milliseconds: u64) -> String {
    const UNITS: [(u64, &str); 4] = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")];
    match UNITS.iter().find(|(size, _)| milliseconds >= *size && milliseconds.is_multiple_of(*size)) {
        Some((size, unit)) => format!("{}{unit}", milliseconds / size),
        None => format!("{milliseconds}ms"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_as_systemd_reads_them() {
        let unit = Unit::read(
            "# a\n[Service]\nExecStart=/bin/a \\\n  # between\n  b\nNice = 5\n;c\nNice=6\nExecStart=\n[X]\nExecStart=/bin/c\nodd\n",
        );
        assert_eq!(unit.list("Service", "ExecStart"), Vec::<&str>::new());
        assert_eq!(unit.value("Service", "Nice"), Some("6"));
        assert_eq!(unit.keys("Service"), ["ExecStart", "Nice"]);
        assert_eq!(Unit::read("[S]\nA=x \\\n y\n").value("S", "A"), Some("x  y"));
    }

    #[test]
    fn time_spans_have_units() {
        for (text, expected) in [
            ("90", Some("90s")),
            ("5min 20s", Some("320s")),
            ("1h30m", Some("90m")),
            ("2 days", Some("2d")),
            ("100ms", Some("100ms")),
            ("1w", Some("7d")),
            ("infinity", None),
            ("", None),
            ("99999999999999999999 y", None),
        ] {
            assert_eq!(duration(text).as_deref(), expected, "{text}");
        }
    }
}
