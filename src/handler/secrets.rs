//! Values that nobody is to see: replaced by [`MARK`] in everything that a job says, before it is logged, kept or shown.
//!
//! A stream is cut anywhere, so the end of a piece that may be the beginning of a secret is held back until more has come: at most as
//! much as the longest secret is long. What comes out does not depend on where the stream was cut.

use std::borrow::Cow;
use std::fmt;

use memchr::memchr;
use memchr::memmem::{self, Finder};

/// What stands in the place of a secret.
const MARK: &str = "***";

/// A shorter value is no secret: it would be found everywhere.
const MIN_BYTES: usize = 4;

/// Of a secret of several lines, each of so many bytes is one by itself: programs print them one by one.
const MIN_LINE_BYTES: usize = 8;

/// Parts of the names of variables that hold secrets.
const TELLING: [&str; 7] = ["PASSWORD", "PASSWD", "PASSPHRASE", "SECRET", "TOKEN", "CREDENTIAL", "KEY"];

/// The secrets of one process.
#[derive(Clone, Default)]
pub(crate) struct Secrets {
    finders: Vec<Finder<'static>>,
}

/// Replaces secrets in a stream.
#[derive(Clone, Default)]
pub(crate) struct Redactor {
    secrets: Secrets,
    /// What is not decided yet.
    pending: Vec<u8>,
    /// So many bytes of `pending` belong to a secret whose mark is written already.
    covered: usize,
}

impl Secrets {
    /// Adds a value, its lines, and what it looks like inside of JSON.
    pub(crate) fn add(&mut self, value: &str) {
        let json = serde_json::to_string(value).unwrap_or_default();
        let lines = value.lines().map(str::trim).filter(|line| line.len() >= MIN_LINE_BYTES);
        for text in [value, value.trim(), json.trim_matches('"')].into_iter().chain(lines) {
            let is_known = self.finders.iter().any(|finder| finder.needle() == text.as_bytes());
            if text.len() >= MIN_BYTES && !is_known {
                self.finders.push(Finder::new(text.as_bytes()).into_owned());
            }
        }
    }

    /// Adds the value of a variable when its name says that it is a secret, and else the password of a URL in it.
    pub(crate) fn add_variable(&mut self, name: &str, value: &str) {
        if is_telling(name) {
            self.add(value);
        } else if let Some(userinfo) = userinfo(value)
            && let Some((_, password)) = value[userinfo].split_once(':')
        {
            self.add(password);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.finders.is_empty()
    }

    pub(crate) fn redactor(&self) -> Redactor {
        Redactor { secrets: self.clone(), ..Redactor::default() }
    }

    /// The text without the secrets.
    pub(crate) fn redact<'a>(&self, text: &'a str) -> Cow<'a, str> {
        if self.is_empty() {
            return Cow::Borrowed(text);
        }
        // Secrets are whole characters, so that what is left is as well.
        Cow::Owned(String::from_utf8_lossy(&self.clean(text.as_bytes())).into_owned())
    }

    /// The same of bytes.
    pub(crate) fn clean<'a>(&self, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        if self.is_empty() {
            return Cow::Borrowed(bytes);
        }
        let (mut redactor, mut clean) = (self.redactor(), Vec::new());
        redactor.push(bytes, |bytes| clean.extend_from_slice(bytes));
        redactor.finish(|bytes| clean.extend_from_slice(bytes));
        Cow::Owned(clean)
    }

    fn longest(&self) -> usize {
        self.finders.iter().map(|finder| finder.needle().len()).max().unwrap_or(0)
    }
}

/// How many there are; never what they are.
impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secrets({})", self.finders.len())
    }
}

impl Redactor {
    /// Takes the next bytes, and gives out what is decided.
    pub(crate) fn push(&mut self, bytes: &[u8], mut emit: impl FnMut(&[u8])) {
        if self.secrets.is_empty() {
            return emit(bytes);
        }
        self.pending.extend_from_slice(bytes);
        let decided = self.first_open();
        self.release(decided, emit);
    }

    /// Gives out the rest.
    pub(crate) fn finish(&mut self, emit: impl FnMut(&[u8])) {
        self.release(self.pending.len(), emit);
    }

    /// Where the first text begins that may become a secret when more has come.
    fn first_open(&self) -> usize {
        let length = self.pending.len();
        let may_become = |at: &usize| {
            let rest = &self.pending[*at..];
            self.secrets.finders.iter().any(|finder| finder.needle().len() > rest.len() && finder.needle().starts_with(rest))
        };
        let from = (length + 1).saturating_sub(self.secrets.longest());
        (from..length).find(may_become).unwrap_or(length)
    }

    /// Gives out the first `decided` bytes, in which every secret that begins there is seen whole. Secrets that overlap are one.
    fn release(&mut self, decided: usize, mut emit: impl FnMut(&[u8])) {
        let mut clean = Vec::with_capacity(decided);
        let mut end = self.covered;
        for (start, stop) in self.occurrences(decided) {
            if start >= end {
                clean.extend_from_slice(&self.pending[end..start]);
                clean.extend_from_slice(MARK.as_bytes());
                end = stop;
            }
            end = end.max(stop);
        }
        clean.extend_from_slice(self.pending.get(end..decided).unwrap_or_default());
        self.covered = end.saturating_sub(decided);
        self.pending.drain(..decided);
        emit(&clean);
    }

    /// Where secrets stand that begin before `decided`, in order; they may overlap.
    fn occurrences(&self, decided: usize) -> Vec<(usize, usize)> {
        let mut found = Vec::new();
        for finder in &self.secrets.finders {
            let length = finder.needle().len();
            let mut from = 0;
            while let Some(at) = finder.find(self.pending.get(from..).unwrap_or_default()).map(|at| from + at).filter(|at| *at < decided) {
                found.push((at, at + length));
                from = at + 1;
            }
        }
        found.sort_unstable();
        found
    }
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redactor").field("secrets", &self.secrets).finish_non_exhaustive()
    }
}

fn is_telling(name: &str) -> bool {
    let is_in = |part: &str| name.as_bytes().windows(part.len()).any(|window| window.eq_ignore_ascii_case(part.as_bytes()));
    TELLING.iter().any(|part| is_in(part))
}

/// The text with the user and password of every URL replaced.
pub(crate) fn without_userinfo(text: &str) -> Cow<'_, str> {
    let (mut clean, mut rest) = (String::new(), text);
    while let Some(found) = userinfo(rest) {
        clean += &rest[..found.start];
        clean += MARK;
        rest = &rest[found.end..];
    }
    if clean.is_empty() { Cow::Borrowed(text) } else { Cow::Owned(clean + rest) }
}

/// Where the user and password of the first URL that has some stand: between `://` and the last `@` of its authority.
fn userinfo(text: &str) -> Option<std::ops::Range<usize>> {
    memchr(b'@', text.as_bytes())?;
    memmem::find_iter(text.as_bytes(), "://").find_map(|at| {
        let start = at + "://".len();
        let is_end = |c: char| c.is_whitespace() || matches!(c, '/' | '?' | '#' | '"' | '\'' | '<' | '>' | '`');
        let authority = text[start..].split(is_end).next().unwrap_or_default();
        authority.rfind('@').filter(|length| *length > 0).map(|length| start..start + length)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes out of a stream, however it is cut.
    #[track_caller]
    fn check(values: &[&str], text: &str, expected: &str) {
        let mut secrets = Secrets::default();
        for value in values {
            secrets.add(value);
        }
        for size in 1..=text.len().max(1) {
            let (mut redactor, mut clean) = (secrets.redactor(), Vec::new());
            for piece in text.as_bytes().chunks(size) {
                redactor.push(piece, |bytes| clean.extend_from_slice(bytes));
                assert!(redactor.pending.len() < secrets.longest().max(1), "{} bytes are held back", redactor.pending.len());
            }
            redactor.finish(|bytes| clean.extend_from_slice(bytes));
            assert_eq!(String::from_utf8_lossy(&clean), expected, "{values:?} in pieces of {size}");
        }
    }

    #[test]
    fn secrets_are_replaced_wherever_the_stream_is_cut() {
        check(&[], "hunter22", "hunter22");
        check(&["hunter22"], "", "");
        check(&["hunter22"], "hunter22", "***");
        check(&["hunter22"], "a hunter22, hunter2 and hunter22hunter22", "a ***, hunter2 and ******");
        check(&["hunter22"], "hunhunter22ter22", "hun***ter22");
        check(&["abcd", "abcdef"], "abcdef abcde abcd", "*** ***e ***");
        check(&["abcd", "cdxx"], "abcdxx abcx cdxx", "*** abcx ***");
        check(&["aaaa"], "aaaaaaa aaa", "*** aaa");
        check(&["비밀번호"], "그 비밀번호는 비밀", "그 ***는 비밀");
        check(&["abc"], "abc", "abc");
    }

    #[test]
    fn a_secret_has_several_looks() {
        check(&["pass\"word\n"], "pass\"word; {\"x\": \"pass\\\"word\\n\"}", "***; {\"x\": \"***\"}");
        check(&["-----BEGIN-----\nMIIEvQIBADAN\n--\n"], "1 MIIEvQIBADAN\n2 --\n", "1 ***\n2 --\n");
    }

    #[test]
    fn a_long_run_of_secrets_is_not_held_back() {
        let mut secrets = Secrets::default();
        secrets.add("aaaaaaaa");
        let (mut redactor, mut clean) = (secrets.redactor(), Vec::new());
        for _ in 0..1000 {
            redactor.push(&[b'a'; 999], |bytes| clean.extend_from_slice(bytes));
            assert!(redactor.pending.len() < 8);
        }
        redactor.finish(|bytes| clean.extend_from_slice(bytes));
        assert_eq!(clean, b"***");
    }

    #[test]
    fn variables_with_telling_names_are_secrets() {
        let secret = |name: &str, value: &str| {
            let mut secrets = Secrets::default();
            secrets.add_variable(name, value);
            secrets.redact(value).into_owned()
        };
        assert_eq!(secret("DB_PASSWORD", "hunter22"), "***");
        assert_eq!(secret("api_key", "hunter22"), "***");
        assert_eq!(secret("PIN_TOKEN", "123"), "123");
        assert_eq!(secret("HOST", "example.org"), "example.org");
        assert_eq!(secret("DATABASE_URL", "postgres://shop:p@ssw0rd@db/shop"), "postgres://shop:***@db/shop");
        assert_eq!(secret("SITE", "https://example.org/a@b"), "https://example.org/a@b");
    }

    #[test]
    fn users_and_passwords_of_urls_are_not_told() {
        for (text, expected) in [
            ("fatal: https://me:pw@example.org/x: no", "fatal: https://***@example.org/x: no"),
            ("a://u@h b://v:w@i", "a://***@h b://***@i"),
            ("https://example.org/?q=a@b", "https://example.org/?q=a@b"),
            ("me@example.org", "me@example.org"),
            ("://@", "://@"),
        ] {
            assert_eq!(without_userinfo(text), expected);
        }
    }

    #[test]
    fn a_secret_is_not_told_by_its_debug() {
        let mut secrets = Secrets::default();
        secrets.add("hunter22");
        assert_eq!(format!("{secrets:?} {:?}", secrets.redactor()), "Secrets(1) Redactor { secrets: Secrets(1), .. }");
    }
}
