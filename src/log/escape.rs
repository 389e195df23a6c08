//! The one escaper: text from outside is made safe to show on one line of a log, a terminal or a page.
//!
//! Control characters (all below 0x20 but the tab, 0x7f, C1), the line and paragraph separators, the bidirectional marks and
//! bytes that are not UTF-8 become visible: `\n`, `\x1b`, `\u{202e}`, `\xff`. A backslash stays as it is, so that paths and
//! expressions read naturally. A literal `\n` in the input therefore looks like an escaped line feed; that is harmless,
//! because the rule that counts, one event is one line and holds no live control character, does not depend on it.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Makes `text` safe to show; borrows when there is nothing to do.
pub fn escape(text: &str) -> Cow<'_, str> {
    if is_clean(text) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    push(&mut out, text);
    Cow::Owned(out)
}

/// Makes `bytes` safe to show; a byte that is not part of UTF-8 becomes `\xNN`, which is always 80 or above and so never
/// mistaken for a control character's form.
pub fn escape_bytes(bytes: &[u8]) -> String {
    match decode(bytes) {
        Cow::Borrowed(text) => escape(text).into_owned(),
        Cow::Owned(text) => escape(&text).into_owned(),
    }
}

/// As [`escape`] inside of JSON, where such characters stand in strings only and have a form of their own. Line feeds stay: they
/// stand between the parts of an indented document.
pub fn escape_json(json: &str) -> Cow<'_, str> {
    let needs_escape = |char: char| is_unsafe(char) && char != '\n';
    if !json.contains(needs_escape) {
        return Cow::Borrowed(json);
    }
    let mut out = String::with_capacity(json.len() + 16);
    for char in json.chars() {
        if needs_escape(char) { push_json_escaped(&mut out, char) } else { out.push(char) }
    }
    Cow::Owned(out)
}

/// Makes only what is not UTF-8 visible and leaves the rest for [`escape`] or a JSON writer.
pub(super) fn decode(bytes: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(bytes.len() + 16);
    for chunk in bytes.utf8_chunks() {
        out.push_str(chunk.valid());
        for byte in chunk.invalid() {
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    Cow::Owned(out)
}

/// Appends `text` to `out`, escaped.
pub(super) fn push(out: &mut String, text: &str) {
    if is_clean(text) {
        return out.push_str(text);
    }
    for char in text.chars() {
        if is_unsafe(char) { push_escaped(out, char) } else { out.push(char) }
    }
}

/// Appends `char` in its visible form.
pub(super) fn push_escaped(out: &mut String, char: char) {
    match char {
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\0'..='\x7f' => {
            let _ = write!(out, "\\x{:02x}", u32::from(char));
        }
        _ => {
            let _ = write!(out, "\\u{{{:x}}}", u32::from(char));
        }
    }
}

/// Appends an unsafe `char` in the form it has inside of a JSON string.
pub(super) fn push_json_escaped(out: &mut String, char: char) {
    // All of them lie below U+FFFF, so that four digits are enough.
    let _ = write!(out, "\\u{:04x}", u32::from(char));
}

/// Whether `char` could move the cursor, end the line or reorder the text around it.
pub(super) fn is_unsafe(char: char) -> bool {
    match char {
        '\t' => false,
        '\0'..='\x1f' | '\x7f'..='\u{9f}' | '\u{2028}' | '\u{2029}' => true,
        _ => is_bidi_mark(char),
    }
}

fn is_bidi_mark(char: char) -> bool {
    matches!(char, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn is_clean(text: &str) -> bool {
    text.bytes().all(|byte| (0x20..0x7f).contains(&byte) || byte == b'\t') || !text.chars().any(is_unsafe)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn dangerous_characters_become_visible_and_the_rest_stays() {
        let cases = [
            ("plain text, C:\\new\tand 日本語 é", "plain text, C:\\new\tand 日本語 é"),
            ("", ""),
            ("forged\n2026-11-23 INFO ok", "forged\\n2026-11-23 INFO ok"),
            ("a\r\nb\0c", "a\\r\\nb\\x00c"),
            ("\x1b[31mred\x07\x7f", "\\x1b[31mred\\x07\\x7f"),
            ("\u{85}\u{9b}31m", "\\u{85}\\u{9b}31m"),
            ("\u{2028}\u{2029}", "\\u{2028}\\u{2029}"),
            ("evil\u{202e}txt.exe\u{2066}\u{200f}", "evil\\u{202e}txt.exe\\u{2066}\\u{200f}"),
        ];
        for (input, expected) in cases {
            assert_eq!(escape(input), expected, "{input:?}");
        }
    }

    #[test]
    fn clean_text_is_borrowed() {
        assert!(matches!(escape("日本語, plain"), Cow::Borrowed(_)));
    }

    #[test]
    fn bytes_that_are_not_utf8_show_as_hex() {
        assert_eq!(escape_bytes(b"ok \xff\xc3 \x1b \xe6\x97\xa5"), "ok \\xff\\xc3 \\x1b 日");
    }

    #[test]
    fn json_keeps_its_meaning() {
        let text = serde_json::to_string("a\u{202e}\u{9b}\u{7f}b").expect("a string");
        let escaped = escape_json(&text);
        assert_eq!(escaped, r#""a\u202e\u009b\u007fb""#);
        assert_eq!(serde_json::from_str::<String>(&escaped).expect("still JSON"), "a\u{202e}\u{9b}\u{7f}b");
    }

    proptest! {
        #[test]
        fn escaped_text_holds_nothing_unsafe_and_is_stable(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let once = escape_bytes(&bytes);
            prop_assert!(!once.chars().any(is_unsafe));
            prop_assert_eq!(escape(&once), once.as_str());
        }
    }
}
