//! `env_file`: `KEY=VALUE` lines, `#` comments, `export` and quotes as in a shell; nothing is expanded.

use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use nix::unistd::geteuid;

use super::account::Account;
use super::exposure::{self, Exposure, Trusted};

/// An `env_file` may have at most this many bytes.
const ENV_FILE_MAX_BYTES: u64 = 1024 * 1024;

/// An `env_file` that cannot be used. Values are never shown: they are where secrets live.
#[derive(Debug, thiserror::Error)]
pub(super) enum EnvFileError {
    #[error("cannot read env_file `{}`: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("env_file `{}` is not a regular file", path.display())]
    NotAFile { path: PathBuf },
    #[error("env_file `{}` has more than {ENV_FILE_MAX_BYTES} bytes", path.display())]
    TooLarge { path: PathBuf },
    #[error("env_file `{}`: {exposure}", path.display())]
    Exposed { path: PathBuf, exposure: Exposure },
    #[error("env_file `{}` is not the file of `{user}`, who decides what stands there", path.display())]
    NotTheirs { path: PathBuf, user: String },
    #[error("{}:{line}: {problem}", path.display())]
    Line { path: PathBuf, line: usize, problem: &'static str },
}

/// The variables of the file at `path`, in its order.
///
/// They decide what programs a job runs. So as root the file must be one that nobody else can change but the user of the job; and
/// where that user can, who may have made a link to something that only root reads, it must be the user's own.
pub(super) fn read(path: &Path, account: Option<&Account>) -> Result<Vec<(String, String)>, EnvFileError> {
    let failed = |source| EnvFileError::Read { path: path.to_owned(), source };
    let trusted = Trusted { uid: account.map(|account| account.uid.as_raw()), gid: account.map(|account| account.gid.as_raw()) };
    let is_theirs = if geteuid().is_root() {
        exposure::walk(path, trusted).map_err(|exposure| EnvFileError::Exposed { path: path.to_owned(), exposure })?
    } else {
        false
    };
    // A FIFO in the file's place must not make the attempt wait.
    let file = OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path).map_err(failed)?;
    let found = file.metadata().map_err(failed)?;
    if !found.is_file() {
        return Err(EnvFileError::NotAFile { path: path.to_owned() });
    }
    if let Some(account) = account.filter(|account| is_theirs && found.uid() != account.uid.as_raw()) {
        return Err(EnvFileError::NotTheirs { path: path.to_owned(), user: account.name.clone() });
    }
    let mut bytes = Vec::new();
    file.take(ENV_FILE_MAX_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > ENV_FILE_MAX_BYTES {
        return Err(EnvFileError::TooLarge { path: path.to_owned() });
    }
    let text = str::from_utf8(&bytes).map_err(|error| {
        let line = bytes[..error.valid_up_to()].split(|byte| *byte == b'\n').count();
        EnvFileError::Line { path: path.to_owned(), line, problem: "not UTF-8" }
    })?;
    parse(text).map_err(|(line, problem)| EnvFileError::Line { path: path.to_owned(), line, problem })
}

/// An error is a line, from 1, and what is wrong with it.
fn parse(text: &str) -> Result<Vec<(String, String)>, (usize, &'static str)> {
    let lines = text.trim_start_matches('\u{feff}').lines().zip(1..);
    lines.filter_map(|(line, number)| variable(line.trim()).map_err(|problem| (number, problem)).transpose()).collect()
}

/// The variable of a line; `None` for an empty line or a comment.
fn variable(line: &str) -> Result<Option<(String, String)>, &'static str> {
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let line = line.strip_prefix("export ").map_or(line, str::trim_start);
    let (name, text) = line.split_once('=').ok_or("expected `NAME=VALUE`")?;
    let name = name.trim_end();
    let well_formed = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') && !name.starts_with(|c: char| c.is_ascii_digit());
    if name.is_empty() || !well_formed {
        return Err("a name has letters, digits and `_`, and does not begin with a digit");
    }
    let text = text.trim_start();
    let value = match text.chars().next() {
        Some(quote @ ('\'' | '"')) => quoted(&text[1..], quote)?,
        // As in a shell, a `#` begins a comment only after a blank.
        _ if text.starts_with('#') => String::new(),
        _ => text.split(" #").next().unwrap_or_default().split("\t#").next().unwrap_or_default().trim_end().to_owned(),
    };
    if value.contains('\0') {
        return Err("a value cannot hold a NUL");
    }
    Ok(Some((name.to_owned(), value)))
}

/// The value of a quoted text, whose opening quote is gone. Double quotes know `\n`, `\t`, `\r` and `\` before any other character.
fn quoted(text: &str, quote: char) -> Result<String, &'static str> {
    let mut value = String::new();
    let mut rest = text.chars();
    loop {
        match rest.next().ok_or("the closing quote is missing")? {
            c if c == quote => break,
            '\\' if quote == '"' => value.push(match rest.next().ok_or("the closing quote is missing")? {
                'n' => '\n',
                't' => '\t',
                'r' => '\r',
                other => other,
            }),
            c => value.push(c),
        }
    }
    let rest = rest.as_str().trim_start();
    if rest.is_empty() || rest.starts_with('#') { Ok(value) } else { Err("text after the closing quote") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[(&str, &str)]) {
        let owned = expected.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        assert_eq!(parse(text), Ok(owned), "{text}");
    }

    #[test]
    fn variables() {
        check("A=1\n\n# no\r\nexport B = two words # why\n", &[("A", "1"), ("B", "two words")]);
        check("\u{feff}A=a#b\nB=#c\nC=", &[("A", "a#b"), ("B", ""), ("C", "")]);
        check(r#"A='x # "y\n'"#, &[("A", r#"x # "y\n"#)]);
        check(r#"A="x\n\"y\" \$z" # why"#, &[("A", "x\n\"y\" $z")]);
    }

    #[test]
    fn problems_name_their_line() {
        assert_eq!(parse("A=1\nB"), Err((2, "expected `NAME=VALUE`")));
        assert_eq!(parse("A='x"), Err((1, "the closing quote is missing")));
        assert_eq!(parse("A='x' y"), Err((1, "text after the closing quote")));
        assert_eq!(parse("\n1A=x"), Err((2, "a name has letters, digits and `_`, and does not begin with a digit")));
    }
}
