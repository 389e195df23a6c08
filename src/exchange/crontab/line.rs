//! The lines of a crontab, read as Debian's cron 3.0pl1 and cronie read them.

/// A line by what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    Blank,
    /// With its `#`.
    Comment(&'a str),
    Variable {
        name: String,
        value: String,
    },
    Entry {
        /// Five fields with a blank between each, or a nickname.
        schedule: String,
        /// Of a system table.
        user: Option<&'a str>,
        command: &'a str,
    },
    /// Why it is nothing that cron reads.
    Bad(&'static str),
}

/// Reads a line without its end. Lines of a system table name a user before the command.
pub(super) fn read(line: &str, has_users: bool) -> Line<'_> {
    let text = line.trim_start_matches(is_blank);
    if text.is_empty() {
        Line::Blank
    } else if text.starts_with('#') {
        Line::Comment(text)
    } else if let Some((name, value)) = variable(text) {
        Line::Variable { name, value }
    } else {
        entry(text, has_users)
    }
}

fn entry(text: &str, has_users: bool) -> Line<'_> {
    let count = if text.starts_with('@') { 1 } else { 5 };
    let mut rest = text;
    let mut fields = Vec::with_capacity(count);
    for _ in 0..count {
        let (field, behind) = word(rest);
        if field.is_empty() {
            return Line::Bad("five fields and a command are expected");
        }
        fields.push(field);
        rest = behind;
    }
    let user = if has_users {
        let (user, behind) = word(rest);
        rest = behind;
        Some(user)
    } else {
        None
    };
    if rest.is_empty() || user == Some("") {
        return Line::Bad(if has_users {
            "a user and a command are expected behind the time"
        } else {
            "a command is expected behind the time"
        });
    }
    Line::Entry { schedule: fields.join(" "), user, command: rest }
}

/// The first word, and what stands behind the blanks after it.
fn word(text: &str) -> (&str, &str) {
    let end = text.find(is_blank).unwrap_or(text.len());
    (&text[..end], text[end..].trim_start_matches(is_blank))
}

/// `NAME = value`: both may be quoted, as a whole, with either kind of quotes; without quotes the value ends with its last
/// character that is no blank. Nothing is expanded.
fn variable(text: &str) -> Option<(String, String)> {
    let bare = || text.find(|char: char| is_blank(char) || char == '=').map(|end| text.split_at(end));
    let (name, rest) = quoted(text).or_else(bare)?;
    let value = rest.trim_start_matches(is_blank).strip_prefix('=')?.trim_start_matches(is_blank);
    if value.starts_with(['"', '\'']) {
        let (value, behind) = quoted(value)?;
        return behind.chars().all(is_blank).then(|| (name.to_owned(), value.to_owned()));
    }
    Some((name.to_owned(), value.trim_end_matches(is_blank).to_owned()))
}

/// What stands between the quotes that a text begins with, and the rest.
fn quoted(text: &str) -> Option<(&str, &str)> {
    let quote = text.chars().next().filter(|first| matches!(first, '"' | '\''))?;
    let end = text[1..].find(quote)? + 1;
    Some((&text[1..end], &text[end + 1..]))
}

fn is_blank(char: char) -> bool {
    matches!(char, ' ' | '\t')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variable_of(text: &str) -> Option<(String, String)> {
        match read(text, false) {
            Line::Variable { name, value } => Some((name, value)),
            _ => None,
        }
    }

    #[test]
    fn variables_are_quoted_as_cron_quotes() {
        for (line, expected) in [
            ("PATH=/usr/bin:/bin", Some(("PATH", "/usr/bin:/bin"))),
            ("  A\t= b c  ", Some(("A", "b c"))),
            ("MAILTO=\"\"", Some(("MAILTO", ""))),
            ("MAILTO=", Some(("MAILTO", ""))),
            ("\"A\" = ' b \"c\" '  ", Some(("A", " b \"c\" "))),
            ("A=$HOME/bin", Some(("A", "$HOME/bin"))),
            ("A=b # no comment", Some(("A", "b # no comment"))),
            ("A=\"b\" c", None),
            ("A=\"b", None),
            ("0 5 * * * A=b c", None),
            ("@daily A=b", None),
        ] {
            let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
            assert_eq!(variable_of(line), expected, "{line}");
        }
    }

    #[test]
    fn entries_have_fields_and_a_command() {
        let entry = |schedule: &str, user, command| Line::Entry { schedule: schedule.to_owned(), user, command };
        assert_eq!(read("\t0  5 *\t* *   a  b # c ", false), entry("0 5 * * *", None, "a  b # c "));
        assert_eq!(read("@daily\troot\ta", true), entry("@daily", Some("root"), "a"));
        assert_eq!(read("0 5 * * * root", true), Line::Bad("a user and a command are expected behind the time"));
        assert_eq!(read("0 5 * *", false), Line::Bad("five fields and a command are expected"));
        assert_eq!(read("  # a", false), Line::Comment("# a"));
        assert_eq!(read(" \t", false), Line::Blank);
    }
}
