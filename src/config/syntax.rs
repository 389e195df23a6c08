//! Bytes to a TOML document: size, encoding, and the parser's errors in our words.

use std::ops::Range;

use toml::Spanned;
use toml::de::DeTable;

use super::hints;
use super::problem::{Problem, escaped, shown};

/// The largest file that is read, in bytes: about 500,000 jobs.
pub const MAX_FILE_SIZE: usize = 64 << 20;

/// What some editors put before the text; positions do not count it.
pub const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// How deep the parser reads brackets, braces and dotted keys.
const MAX_DEPTH: usize = 80;

/// The text without its byte order mark, or what keeps it from being text, with the source that the problem's span refers to.
pub(super) fn text(bytes: &[u8]) -> Result<&str, Box<(&[u8], Problem)>> {
    const NOTHING: &[u8] = &[];
    if bytes.len() > MAX_FILE_SIZE {
        let message = format!("the file is too large: {} bytes, at most {MAX_FILE_SIZE} are allowed", bytes.len());
        return Err(Box::new((NOTHING, Problem::error(0..0, message))));
    }
    if let Some(order) = utf16(bytes) {
        let problem = Problem::error(0..0, format!("the file is not UTF-8: it looks like UTF-16 ({order})"));
        return Err(Box::new((NOTHING, problem.help("save it as UTF-8"))));
    }
    let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let at = error.valid_up_to();
        let problem = Problem::error(at..at + 1, format!("the file is not UTF-8: invalid byte 0x{:02X}", bytes[at]));
        Box::new((bytes, problem.help("save it as UTF-8; it may be in Latin-1 or another old encoding")))
    })?;
    match text.char_indices().find(|(_, character)| character.is_control() && !matches!(character, '\t' | '\n' | '\r')) {
        Some((at, character)) => {
            let name =
                if character == '\0' { "a NUL byte".to_owned() } else { format!("the control character U+{:04X}", u32::from(character)) };
            let problem = Problem::error(at..at + character.len_utf8(), format!("the file contains {name}, which TOML does not allow"));
            Err(Box::new((bytes, problem.help("delete it; inside a string write an escape such as `\\u001b`"))))
        }
        None => Ok(text),
    }
}

/// Which UTF-16 the bytes are in: by their mark, or by a NUL in every other place of the beginning.
fn utf16(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0xff, 0xfe, ..] => Some("byte order mark FF FE"),
        [0xfe, 0xff, ..] => Some("byte order mark FE FF"),
        [first, 0, second, 0, ..] if *first != 0 && *second != 0 => Some("little-endian, without a byte order mark"),
        [0, first, 0, second, ..] if *first != 0 && *second != 0 => Some("big-endian, without a byte order mark"),
        _ => None,
    }
}

/// The document, and a problem for every line that is not TOML.
pub(super) fn parse(source: &str) -> (Spanned<DeTable<'_>>, Vec<Problem>) {
    let (root, errors) = DeTable::parse_recoverable(source);
    if errors.is_empty() {
        return (root, Vec::new());
    }
    let mut errors: Vec<(Range<usize>, &str)> = errors.iter().map(|error| (place(source, error), error.message())).collect();
    errors.sort_by_key(|(span, _)| span.start);
    let starts: Vec<usize> = errors.iter().map(|(span, _)| span.start).collect();
    if let Some(problem) = hints::other_format(source, &starts) {
        return (root, vec![problem]);
    }
    let mut problems: Vec<Problem> = Vec::new();
    let mut last_line = None;
    let mut repeated_table = None;
    for (span, message) in errors {
        // A broken line makes the parser report its rest as well, and a repeated table its keys: the first error is the one to mend.
        let start = line_start(source, span.start);
        let duplicate = message.starts_with("duplicate key");
        let in_repeated = |table: usize| !source[line_end(source, table)..span.start].contains("\n[");
        if last_line == Some(start) || (duplicate && repeated_table.is_some_and(in_repeated)) {
            continue;
        }
        last_line = Some(start);
        if duplicate && source[start..].trim_start().starts_with('[') {
            repeated_table = Some(start);
        }
        problems.push(explain(source, span, message));
    }
    (root, problems)
}

fn line_end(source: &str, start: usize) -> usize {
    source[start..].find('\n').map_or(source.len(), |length| start + length)
}

fn place(source: &str, error: &toml::de::Error) -> Range<usize> {
    // The limit of dotted keys is the one error that the parser gives without a place.
    let span = error.span().unwrap_or_else(|| deepest_key(source));
    let start = floor(source, span.start);
    start..floor(source, span.end).max(start)
}

fn floor(source: &str, offset: usize) -> usize {
    (0..=offset.min(source.len())).rev().find(|offset| source.is_char_boundary(*offset)).unwrap_or_default()
}

fn deepest_key(source: &str) -> Range<usize> {
    let mut start = 0;
    for line in source.split_inclusive('\n') {
        if line.matches('.').count() >= MAX_DEPTH {
            return start..start + line.trim_end().len();
        }
        start += line.len();
    }
    0..0
}

pub(super) fn line_start(source: &str, offset: usize) -> usize {
    source[..offset].rfind('\n').map_or(0, |newline| newline + 1)
}

pub(super) fn line_at(source: &str, offset: usize) -> &str {
    let start = line_start(source, offset);
    source[start..].split('\n').next().unwrap_or_default().trim_end_matches('\r')
}

/// The parser's error in words that say what to do.
fn explain(source: &str, span: Range<usize>, message: &str) -> Problem {
    if let Some(problem) = hints::for_line(source, &span) {
        return problem;
    }
    if message.starts_with("duplicate key") {
        return duplicate(source, span);
    }
    if message.contains("invalid multi-line") {
        return unclosed_block(source, span);
    }
    if matches!(message.split(',').next(), Some("unclosed array" | "missing comma between array elements")) {
        return unclosed_array(source, span);
    }
    let line = line_at(source, span.start);
    let key = line.split_once('=').map(|(key, _)| key.trim()).filter(|key| !key.is_empty());
    let problem = |message: &str| Problem::error(span.clone(), message.to_owned());
    let found = message.split(',').next().unwrap_or(message);
    if found.contains("recurs") {
        return problem("nested too deeply").help(format!("at most {MAX_DEPTH} levels of brackets, braces or dots are read"));
    }
    if message.contains("escape") || message.contains("unicode") {
        return problem("invalid escape in a string").help("use '…' (a literal string), or double the backslashes: `\\\\`");
    }
    if is_unclosed_string(source, span.start) || found.contains("missing opening quote") {
        return explain_string(source, &span, line);
    }
    if matches!(found, "missing value" | "missing value for key" | "string values must be quoted" | "invalid value" | "key with no value") {
        // Where a key stands, a value is wanted only inside of an array that was never closed.
        let at_key = key.is_some() && source[line_start(source, span.start)..span.start].trim().is_empty();
        return if at_key { unclosed_array(source, span) } else { explain_value(span, key, line, found) };
    }
    let help = match found {
        "unclosed inline table" => Some("the table ends with `}`"),
        "unclosed table" | "unclosed array table" => Some("close the header with `]`: `[jobs.NAME]`"),
        "missing comma between key-value pairs" => Some("pairs in braces are separated by `,`"),
        "unexpected leading zero" => Some("numbers have no leading zeros; an octal mode is a string: \"0027\""),
        "extra assignment between key-value pairs" | "extra `=`" => Some("one `=` between a key and its value"),
        "missing assignment between key-value pairs" => Some("write `key = value`"),
        "unquoted keys cannot be empty" => {
            Some("a name is missing; names with other characters than letters, digits, `_` and `-` are quoted")
        }
        "invalid unquoted key" => Some("quote a key with other characters than letters, digits, `_` and `-`: [jobs.\"my job\"]"),
        _ => None,
    };
    let key = key.map(|key| format!(" at `{}`", shown(key))).unwrap_or_default();
    let problem = Problem::error(span, format!("not TOML: {}{key}", escaped(message)));
    Problem { help: help.map(str::to_owned), ..problem }
}

/// Whether the error is a string that its line, or the file, ends before.
fn is_unclosed_string(source: &str, at: usize) -> bool {
    let line = line_at(source, at);
    let value = line.split_once('=').map_or(line, |(_, value)| value);
    let odd = |quote: char| value.replace(&format!("\\{quote}"), "").matches(quote).count() % 2 == 1;
    let plain = !value.contains("\"\"\"") && !value.contains("'''");
    plain && (odd('"') || (odd('\'') && !value.contains('"')))
}

fn explain_string(source: &str, span: &Range<usize>, line: &str) -> Problem {
    let start = line_start(source, span.start);
    let quote = line.char_indices().skip_while(|(_, character)| *character != '=').find(|(_, character)| matches!(character, '"' | '\''));
    let (at, quote) = quote.unwrap_or((span.start - start, '"'));
    let quote = if line[at..].starts_with("\"\"\"") {
        "\"\"\"".to_owned()
    } else if line[at..].starts_with("'''") {
        "'''".to_owned()
    } else {
        quote.to_string()
    };
    let problem = Problem::error(start + at..start + line.len(), "unterminated string");
    problem.label("starts here").help(format!("close it with {quote}"))
}

fn explain_value(span: Range<usize>, key: Option<&str>, line: &str, found: &str) -> Problem {
    let value = line.split_once('=').map(|(_, value)| value.trim()).unwrap_or_default();
    let value = value.split(" #").next().unwrap_or_default().trim();
    match key.map(shown) {
        Some(key) if value.is_empty() || value.starts_with('#') => {
            Problem::error(span, format!("the value is missing after `{key} =`")).help(format!("write `{key} = …`, or delete the line"))
        }
        Some(key) => {
            let problem = Problem::error(span, format!("`{key}` has a value that is not TOML: {}", shown(value)));
            problem.help(format!("a string is quoted: `{key} = \"{}\"`", shown(value.trim_matches(['"', '\'']))))
        }
        None => {
            let problem = Problem::error(span, format!("not TOML: {found} in `{}`", shown(line.trim())));
            problem.help("every line is `key = value`, a `[table]` header, or a `# comment`")
        }
    }
}

/// A string in three quotes that the file ends before.
fn unclosed_block(source: &str, span: Range<usize>) -> Problem {
    let before = &source[..span.start];
    let quote = if before.rfind("\"\"\"") > before.rfind("'''") { "\"\"\"" } else { "'''" };
    let at = before.rfind(quote).unwrap_or(span.start);
    Problem::error(at..at + quote.len(), "unterminated string").label("starts here").help(format!("close it with {quote}"))
}

/// An array whose end, or a comma in it, is missing; shows where it begins.
fn unclosed_array(source: &str, span: Range<usize>) -> Problem {
    let open = source[..span.start].rfind('[').unwrap_or(span.start);
    let problem = Problem::error(span, "unclosed array: a `,` or `]` is missing");
    problem.also(open..open + 1, "the array begins here").help("elements are separated by `,` and the array ends with `]`")
}

/// Names the first of two equal keys or headers.
fn duplicate(source: &str, span: Range<usize>) -> Problem {
    let line = line_at(source, span.start);
    let name = shown(source.get(span.clone()).unwrap_or_default());
    let start = line_start(source, span.start);
    let is_header = line.trim_start().starts_with('[');
    let head = |line: &str| line.split('=').next().unwrap_or_default().trim().to_owned();
    let wanted = if is_header { line.trim().to_owned() } else { head(line) };
    let mut end = start;
    let mut first = None;
    for earlier in source[..start].split_inclusive('\n').rev() {
        end -= earlier.len();
        let text = earlier.trim();
        if (is_header && text == wanted) || (!is_header && !text.starts_with('#') && head(text) == wanted) {
            first = Some(end..end + earlier.trim_end().len());
            break;
        }
        if !is_header && text.starts_with('[') {
            break;
        }
    }
    let what = if is_header { "table" } else { "key" };
    let problem = Problem::error(span, format!("duplicate {what} `{name}`"));
    match first {
        Some(first) => {
            let number = source[..first.start].matches('\n').count() + 1;
            problem.also(first, "first set here").help(format!("`{name}` is already set on line {number}; keep one"))
        }
        None => problem.help(format!("`{name}` is already set above; keep one")),
    }
}
