//! Time zones by name: the system's rules first, the bundled copy for names it lacks, and help for what is not a name.

use std::sync::Arc;

use jiff::tz::{TimeZone, TimeZoneDatabase};

use super::shown;

/// The longest name that is looked up, in bytes; the longest in the database has 32.
const MAX_NAME_LENGTH: usize = 64;

/// Abbreviations that people take for zones, and a zone each that uses it. The database knows some of them, half as fixed
/// offsets that never change the clock: not what someone who writes `EST` has in mind.
const ABBREVIATIONS: [(&str, &str); 27] = [
    ("EST", "America/New_York"),
    ("MST", "America/Denver"),
    ("HST", "Pacific/Honolulu"),
    ("WET", "Europe/Lisbon"),
    ("CET", "Europe/Berlin"),
    ("MET", "Europe/Berlin"),
    ("EET", "Europe/Athens"),
    ("KST", "Asia/Seoul"),
    ("JST", "Asia/Tokyo"),
    ("HKT", "Asia/Hong_Kong"),
    ("SGT", "Asia/Singapore"),
    ("IST", "Asia/Kolkata"),
    ("PST", "America/Los_Angeles"),
    ("PDT", "America/Los_Angeles"),
    ("MDT", "America/Denver"),
    ("CST", "America/Chicago"),
    ("CDT", "America/Chicago"),
    ("EDT", "America/New_York"),
    ("AKST", "America/Anchorage"),
    ("BST", "Europe/London"),
    ("CEST", "Europe/Berlin"),
    ("EEST", "Europe/Athens"),
    ("MSK", "Europe/Moscow"),
    ("AEST", "Australia/Sydney"),
    ("AEDT", "Australia/Sydney"),
    ("NZST", "Pacific/Auckland"),
    ("BRT", "America/Sao_Paulo"),
];

/// An IANA time zone under its canonical name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone {
    /// The canonical IANA name, as stored and shown.
    pub name: Arc<str>,
    /// The rules. A snapshot: look the name up again after a zone data update.
    pub rules: TimeZone,
}

/// Why a name is not a usable zone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ZoneError {
    #[error("the time zone is empty")]
    Empty,
    /// `localtime` and `posixrules` are files of the database, not zones: what they mean differs per machine.
    #[error("`{name}` is not a time zone; name the zone itself, such as `Europe/Berlin`")]
    MachineDependent { name: String },
    #[error("`{found}` is a UTC offset, not a time zone; name a zone such as `Asia/Seoul`, or `UTC`{}", fixed.as_ref().map_or_else(String::new, |name| format!(", or `{name}` for the fixed offset")))]
    Offset { found: String, fixed: Option<String> },
    #[error("`{found}` is an abbreviation, not a time zone; write `{zone}`")]
    Abbreviation { found: String, zone: &'static str },
    #[error("unknown time zone `{found}`{}", suggestion.as_ref().map_or_else(String::new, |name| format!("; did you mean `{name}`?")))]
    Unknown { found: String, suggestion: Option<String> },
}

impl Zone {
    /// `UTC`, which needs no database.
    pub fn utc() -> Self {
        Self { name: "UTC".into(), rules: TimeZone::UTC }
    }

    /// The zone of an IANA name in any case: the system's data first, the bundled copy for names it lacks.
    ///
    /// # Errors
    /// [`ZoneError`] names what was found and what to write.
    pub fn lookup(name: &str) -> Result<Self, ZoneError> {
        if name.is_empty() {
            return Err(ZoneError::Empty);
        }
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'_' | b'+' | b'-');
        if name.len() > MAX_NAME_LENGTH || !name.bytes().all(plain) {
            return Err(offset(name).unwrap_or_else(|| ZoneError::Unknown { found: shown(name), suggestion: None }));
        }
        if ["localtime", "posixrules"].iter().any(|reserved| reserved.eq_ignore_ascii_case(name)) {
            return Err(ZoneError::MachineDependent { name: name.to_owned() });
        }
        // The same zones once more, in `right/` with leap seconds, which no clock here counts.
        if let Some((folder, rest)) = name.split_once('/')
            && ["posix", "right"].iter().any(|copy| copy.eq_ignore_ascii_case(folder))
        {
            return Err(ZoneError::Unknown {
                found: name.to_owned(),
                suggestion: Self::lookup(rest).ok().map(|zone| zone.name.to_string()),
            });
        }
        if let Some((_, zone)) = ABBREVIATIONS.iter().find(|(short, _)| short.eq_ignore_ascii_case(name)) {
            return Err(ZoneError::Abbreviation { found: name.to_owned(), zone });
        }
        let found = jiff::tz::db().get(name).or_else(|_| TimeZoneDatabase::bundled().get(name));
        match found.ok().filter(|rules| !rules.is_unknown()).and_then(|rules| Some(Self { name: rules.iana_name()?.into(), rules })) {
            Some(zone) => Ok(zone),
            None => Err(not_a_zone(name)),
        }
    }
}

fn not_a_zone(name: &str) -> ZoneError {
    offset(name).unwrap_or_else(|| ZoneError::Unknown { found: shown(name), suggestion: nearest(name) })
}

/// Recognises `+09:00`, `UTC+9`, `GMT-5` and the like.
fn offset(name: &str) -> Option<ZoneError> {
    let upper = name.to_ascii_uppercase();
    let rest = upper.strip_prefix("UTC").or_else(|| upper.strip_prefix("GMT")).unwrap_or(&upper);
    let east = rest.starts_with('+');
    let digits = rest.strip_prefix(['+', '-'])?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b':') {
        return None;
    }
    let hours = digits.strip_suffix(":00").or_else(|| digits.strip_suffix("00").filter(|hours| hours.len() == 2)).unwrap_or(digits);
    // The signs of the Etc zones are those of POSIX: west is positive.
    let fixed = hours.parse::<u8>().ok().filter(|hours| (1..=12).contains(hours));
    let fixed = fixed.map(|hours| format!("Etc/GMT{}{hours}", if east { '-' } else { '+' }));
    Some(ZoneError::Offset { found: shown(name), fixed })
}

/// The known name that the given one is most like, whole or by its city.
fn nearest(name: &str) -> Option<String> {
    const LEAST_LIKENESS: f64 = 0.8;
    let wanted = name.to_ascii_lowercase().replace(' ', "_");
    let likeness = |known: &str| {
        let known = known.to_ascii_lowercase();
        let city = known.rsplit('/').next().unwrap_or(&known);
        strsim::normalized_damerau_levenshtein(&known, &wanted).max(strsim::normalized_damerau_levenshtein(city, &wanted))
    };
    let bundled = TimeZoneDatabase::bundled();
    let names = bundled.available().map(|known| (likeness(known.as_str()), known.as_str().to_owned()));
    let best = names.filter(|(likeness, _)| *likeness >= LEAST_LIKENESS).max_by(|(a, left), (b, right)| {
        // Of equals the shorter name, then the first in the alphabet: `America/Indiana/Knox` loses to a plain city.
        a.total_cmp(b).then_with(|| right.len().cmp(&left.len())).then_with(|| right.cmp(left))
    });
    best.map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, expected: &str) {
        let found = Zone::lookup(name).map_or_else(|error| error.to_string(), |zone| zone.name.to_string());
        assert_eq!(found, expected, "{name}");
    }

    #[test]
    fn names_are_canonical() {
        check("Asia/Seoul", "Asia/Seoul");
        check("america/new_york", "America/New_York");
        check("UTC", "UTC");
        check("US/Eastern", "US/Eastern");
    }

    #[test]
    fn what_is_no_zone_is_refused_with_a_way_out() {
        check("", "the time zone is empty");
        check("localtime", "`localtime` is not a time zone; name the zone itself, such as `Europe/Berlin`");
        check("PosixRules", "`PosixRules` is not a time zone; name the zone itself, such as `Europe/Berlin`");
        check("KST", "`KST` is an abbreviation, not a time zone; write `Asia/Seoul`");
        check(
            "UTC+9",
            "`UTC+9` is a UTC offset, not a time zone; name a zone such as `Asia/Seoul`, or `UTC`, or `Etc/GMT-9` for the fixed offset",
        );
        check(
            "+09:00",
            "`+09:00` is a UTC offset, not a time zone; name a zone such as `Asia/Seoul`, or `UTC`, or `Etc/GMT-9` for the fixed offset",
        );
        check("EST", "`EST` is an abbreviation, not a time zone; write `America/New_York`");
        check("Seoul", "unknown time zone `Seoul`; did you mean `Asia/Seoul`?");
        check("Asia/Soeul", "unknown time zone `Asia/Soeul`; did you mean `Asia/Seoul`?");
        check("Nowhere/Land", "unknown time zone `Nowhere/Land`");
        check("right/Europe/Berlin", "unknown time zone `right/Europe/Berlin`; did you mean `Europe/Berlin`?");
        check("Etc/Unknown", "unknown time zone `Etc/Unknown`");
        check("../etc/passwd", "unknown time zone `../etc/passwd`");
        check("a\u{202e}b\n", "unknown time zone `a\\u{202e}b\\n`");
    }
}
