//! Makes text from outside safe to show on a terminal.

use std::borrow::Cow;
use std::fmt::Write as _;

pub(super) use crate::log::escape;

/// As [`escape`] inside of JSON, where such characters stand in strings only and have a form of their own.
pub(super) fn escape_json(json: &str) -> Cow<'_, str> {
    let needs_escape = |char: char| is_unsafe(char) && char != '\n';
    if !json.contains(needs_escape) {
        return Cow::Borrowed(json);
    }
    let mut out = String::with_capacity(json.len() + 16);
    for char in json.chars() {
        // All of them lie below U+FFFF, so that four digits are enough.
        if needs_escape(char) { push(&mut out, format_args!("\\u{:04x}", u32::from(char))) } else { out.push(char) }
    }
    Cow::Owned(out)
}

fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = out.write_fmt(text);
}

fn is_unsafe(char: char) -> bool {
    let is_mark = matches!(char, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
    (char.is_control() && char != '\t') || is_mark
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_moves_the_cursor_or_the_eye_becomes_visible() {
        for (text, shown) in [
            ("plain é 서울\t.", "plain é 서울\t."),
            ("\u{1b}[2J\r\n\u{7f}\u{9b}", "\\x1b[2J\\r\\n\\x7f\\u{9b}"),
            ("a\u{202e}b\u{2066}c", "a\\u{202e}b\\u{2066}c"),
        ] {
            assert_eq!(escape(text), shown);
        }
    }

    #[test]
    fn json_keeps_its_meaning() {
        let text = serde_json::to_string("a\u{202e}\u{9b}\u{7f}b").expect("a string");
        let escaped = escape_json(&text);
        assert_eq!(escaped, r#""a\u202e\u009b\u007fb""#);
        assert_eq!(serde_json::from_str::<String>(&escaped).expect("still JSON"), "a\u{202e}\u{9b}\u{7f}b");
    }
}
