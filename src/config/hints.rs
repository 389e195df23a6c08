//! What a file that is not TOML was meant to be: crontabs, other formats, other languages' habits.

use std::ops::Range;

use super::problem::{Problem, is_unprintable, shown};
use super::syntax::{line_at, line_start};

/// How many broken lines are looked at for a crontab: its first lines set variables.
const MAX_LINES_TRIED: usize = 20;

/// A whole file in another format: one problem instead of one per line. `errors` is where TOML ends, in order.
pub(super) fn other_format(source: &str, errors: &[usize]) -> Option<Problem> {
    let crontab = || errors.iter().take(MAX_LINES_TRIED).find_map(|at| crontab(source, *at));
    merge_conflict(source).or_else(crontab).or_else(|| json_or_markup(source)).or_else(|| yaml(source, *errors.first()?))
}

fn merge_conflict(source: &str) -> Option<Problem> {
    let (start, line) =
        lines(source).find(|(_, line)| line.starts_with("<<<<<<< ") || line.starts_with(">>>>>>> ") || *line == "=======")?;
    let problem = Problem::error(start..start + line.len(), "merge conflict marker: the file has unresolved conflicts");
    Some(problem.help("keep one side and delete the lines that start with `<<<<<<<`, `=======` and `>>>>>>>`"))
}

/// A crontab line: five fields and a command, or a nickname and a command. Shows the table that says the same.
fn crontab(source: &str, at: usize) -> Option<Problem> {
    let start = line_start(source, at);
    let line = line_at(source, at).trim();
    let is_time = |word: &str| word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"*/,-".contains(&byte));
    let looks_numeric = |word: &str| word.starts_with(|first: char| first == '*' || first.is_ascii_digit());
    let words: Vec<&str> = line.split_whitespace().collect();
    let fields = match words.as_slice() {
        [nickname, _, ..] if nickname.starts_with('@') && nickname[1..].bytes().all(|byte| byte.is_ascii_alphabetic()) => 1,
        [minute, hour, day, month, weekday, _, ..]
            if [minute, hour, day, month, weekday].iter().all(|word| is_time(word))
                && [minute, hour, day].iter().all(|word| looks_numeric(word)) =>
        {
            5
        }
        _ => return None,
    };
    let schedule = words[..fields].join(" ");
    let system = words.get(fields).is_some_and(|word| matches!(*word, "root" | "www-data" | "nobody")) && words.len() > fields + 1;
    let command = words[fields + usize::from(system)..].join(" ");
    let name = command.split([' ', ';', '|']).next().and_then(|program| program.rsplit('/').next()).unwrap_or_default();
    let name: String =
        name.chars().filter(|character| character.is_ascii_alphanumeric() || matches!(character, '-' | '_')).take(40).collect();
    let name = if name.starts_with(|first: char| first.is_ascii_alphanumeric()) { name } else { "NAME".to_owned() };
    let script = shown(&command.replace('\\', "\\\\").replace('"', "\\\""));
    let problem = Problem::error(start..start + line_at(source, at).len(), "not TOML: this looks like a crontab line");
    Some(problem.help(format!("write it as a table:\n[jobs.{name}]\nschedule = \"{}\"\nshell = \"{script}\"", shown(&schedule))))
}

fn json_or_markup(source: &str) -> Option<Problem> {
    let start = source.len() - source.trim_start().len();
    let rest = &source[start..];
    let name = match rest.as_bytes().first()? {
        b'{' => "JSON",
        b'[' if rest[1..].trim_start().starts_with(['{', '"']) && !rest.starts_with("[\"") && !rest.starts_with("[[") => "JSON",
        b'<' => "XML",
        _ => return None,
    };
    Some(Problem::error(start..start + 1, format!("not TOML: this looks like {name}")).help(TABLE_HELP))
}

/// A line that ends with a colon, a list item, or a document marker.
fn yaml(source: &str, at: usize) -> Option<Problem> {
    let line = line_at(source, at);
    let text = line.trim();
    let key = text
        .strip_suffix(':')
        .is_some_and(|key| !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte)));
    if !(key || text.starts_with("- ") || text == "---" || text.starts_with("%YAML")) {
        return None;
    }
    let start = line_start(source, at);
    Some(Problem::error(start..start + line.len(), "not TOML: this looks like YAML").help(TABLE_HELP))
}

const TABLE_HELP: &str = "batchd reads TOML:\n[jobs.backup]\nschedule = \"0 2 * * *\"\ncommand = [\"/usr/bin/backup\"]";

/// A habit of another language in the broken line.
pub(super) fn for_line(source: &str, span: &Range<usize>) -> Option<Problem> {
    let start = line_start(source, span.start);
    let line = line_at(source, span.start);
    let at = |offset: usize, length: usize| start + offset..start + offset + length;
    if let Some((offset, quote)) = line.char_indices().find(|(_, character)| "“”„«»‘’‚″′".contains(*character)) {
        let problem = Problem::error(at(offset, quote.len_utf8()), format!("typographic quote `{quote}`: TOML strings use plain quotes"));
        return Some(problem.help("replace it with `\"`"));
    }
    if let Some(problem) = odd_blank(line, &at) {
        return Some(problem);
    }
    let code = line.trim_start();
    if code.starts_with("//") || code.starts_with("/*") || code.starts_with("--") || code.starts_with(';') {
        let offset = line.len() - code.len();
        let mark = if code.starts_with(';') { ";" } else { &code[..2] };
        return Some(Problem::error(at(offset, mark.len()), format!("`{mark}` does not start a comment")).help("comments start with `#`"));
    }
    header(line, at).or_else(|| key(line, at)).or_else(|| assignment(line, at)).or_else(|| value(line, at))
}

/// A blank outside of strings that looks like a space and is none, as pasted from a web page.
fn odd_blank(line: &str, at: &impl Fn(usize, usize) -> Range<usize>) -> Option<Problem> {
    let code = line.split(['"', '\'', '#']).next()?;
    let is_odd = |character: char| !character.is_ascii() && (character.is_whitespace() || is_unprintable(character));
    let (offset, blank) = code.char_indices().find(|(_, character)| is_odd(*character))?;
    let message = format!("the character U+{:04X} is no blank in TOML, though it looks like one or like nothing", u32::from(blank));
    Some(Problem::error(at(offset, blank.len_utf8()), message).help("delete it, or replace it with a space"))
}

/// A header with a space in it.
fn header(line: &str, at: impl Fn(usize, usize) -> Range<usize>) -> Option<Problem> {
    let offset = line.len() - line.trim_start().len();
    let name = line[offset..].strip_prefix('[')?.split(']').next()?.trim();
    if !name.contains(' ') || name.contains(['"', '\'', '=', '#']) {
        return None;
    }
    let problem = Problem::error(at(offset, line.trim().len()), format!("the table name `{}` contains a space", shown(name)));
    Some(problem.help(format!("names have no spaces: `[{}]`", shown(&name.replace(' ', "-")))))
}

/// A key with a space in it, and a key without a sign.
fn key(line: &str, at: impl Fn(usize, usize) -> Range<usize>) -> Option<Problem> {
    let is_name =
        |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'));
    let offset = line.len() - line.trim_start().len();
    let mut words = line[offset..].splitn(2, [' ', '\t']);
    let (first, rest) = (words.next().filter(|word| is_name(word))?, words.next()?.trim_start());
    if rest.starts_with(['"', '\'', '[', '{']) {
        let problem = Problem::error(at(line.len() - rest.len(), 1), format!("a `=` is missing after `{}`", shown(first)));
        return Some(problem.help(format!("write `{} = {}`", shown(first), shown(rest.trim_end()))));
    }
    let (name, _) = line[offset..].split_once('=')?;
    if !name.trim().split([' ', '\t']).all(is_name) || !name.trim().contains(' ') {
        return None;
    }
    let problem = Problem::error(at(offset, name.trim().len()), format!("the key `{}` contains a space", shown(name.trim())));
    Some(problem.help("a key is one word of letters, digits, `_` and `-`"))
}

/// `key: value`, `key == value`, `key => value`, and a line without any sign.
fn assignment(line: &str, at: impl Fn(usize, usize) -> Range<usize>) -> Option<Problem> {
    let key_length =
        line.trim_start().bytes().take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.')).count();
    let begin = line.len() - line.trim_start().len();
    let key = &line[begin..begin + key_length];
    if key.is_empty() {
        return None;
    }
    let rest = line[begin + key_length..].trim_start();
    let offset = line.len() - rest.len();
    let sign = ["==", "=>", ":=", "+=", ":"].into_iter().find(|sign| rest.starts_with(sign))?;
    let yaml = if sign == ":" { " (this looks like YAML)" } else { "" };
    let problem = Problem::error(at(offset, sign.len()), format!("`{sign}` after `{}`: TOML uses `=`{yaml}", shown(key)));
    Some(problem.help(format!("write `{} = {}`", shown(key), shown(rest[sign.len()..].trim()))))
}

/// What stands behind the sign: `None`, `yes`, a trailing `;` or `,`, a bare word.
fn value(line: &str, at: impl Fn(usize, usize) -> Range<usize>) -> Option<Problem> {
    let (key, _) = line.split_once('=')?;
    let rest = line[key.len() + 1..].trim_start();
    let offset = line.len() - rest.len();
    let name = shown(key.trim());
    let value = rest.split('#').next().unwrap_or_default().trim_end();
    let literal = match value {
        "True" | "TRUE" | "yes" | "Yes" | "on" | "On" => Some("true"),
        "False" | "FALSE" | "no" | "No" | "off" | "Off" => Some("false"),
        _ => None,
    };
    if let Some(literal) = literal {
        let problem = Problem::error(at(offset, value.len()), format!("`{name}` has the value `{value}`, which is not TOML"));
        return Some(problem.help(format!("booleans are lower case: `{name} = {literal}`")));
    }
    if matches!(value, "None" | "null" | "nil" | "NULL" | "undefined" | "~") {
        let problem = Problem::error(at(offset, value.len()), format!("`{name}` has the value `{value}`: TOML has no null"));
        return Some(problem.help(format!("omit `{name}` for its default")));
    }
    if let Some(mark) = [';', ','].into_iter().find(|mark| value.ends_with(*mark))
        && closed(&value[..value.len() - 1])
    {
        let problem = Problem::error(at(offset + value.len() - 1, 1), format!("unexpected `{mark}` after the value of `{name}`"));
        return Some(problem.help(format!("remove the `{mark}`: one key per line")));
    }
    if let Some(comment) = value.find(" //").or_else(|| value.find(" --"))
        && closed(&value[..comment])
    {
        let mark = &value[comment + 1..comment + 3];
        return Some(
            Problem::error(at(offset + comment + 1, 2), format!("`{mark}` does not start a comment")).help("comments start with `#`"),
        );
    }
    if ["f\"", "r\"", "b\"", "f'", "r'", "b'", "u\"", "u'"].iter().any(|prefix| value.starts_with(prefix)) {
        let problem = Problem::error(at(offset, 1), format!("`{name}` has a string with the prefix `{}`, which is not TOML", &value[..1]));
        return Some(problem.help("write \"…\", or '…' for a string without escapes"));
    }
    if value.starts_with('(') {
        let problem = Problem::error(at(offset, 1), format!("`{name}` starts with `(`, which is not TOML"));
        return Some(problem.help("arrays are written in brackets: `[\"a\", \"b\"]`"));
    }
    None
}

/// Whether a value is complete, so that what follows it is too much.
fn closed(value: &str) -> bool {
    let value = value.trim_end();
    let quoted = |quote: char| value.len() > 1 && value.starts_with(quote) && value.ends_with(quote);
    let enclosed = |open: char, close: char| value.starts_with(open) && value.ends_with(close);
    let word = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.');
    quoted('"') || quoted('\'') || enclosed('[', ']') || enclosed('{', '}') || word
}

fn lines(source: &str) -> impl Iterator<Item = (usize, &str)> {
    source.split_inclusive('\n').scan(0, |start, line| {
        let at = *start;
        *start += line.len();
        Some((at, line.trim_end()))
    })
}
