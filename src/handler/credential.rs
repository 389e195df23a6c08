//! Credentials: one file each, in the directory that systemd makes for `LoadCredential=`, or in one that the configuration names.

use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;

/// Where systemd tells a service the directory of its credentials; see systemd.exec(5).
pub(super) const DIRECTORY_VARIABLE: &str = "CREDENTIALS_DIRECTORY";

/// A credential may have at most this many bytes.
const MAX_BYTES: u64 = 64 * 1024;

/// Why there is no credential. Never holds a part of one.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CredentialError {
    #[error("there is no directory of credentials: set `LoadCredential=` in the unit, or `[daemon] credentials_dir`")]
    NoDirectory,
    #[error("`{0}` is no name of a credential: letters, digits, `_`, `-` and `.` make one")]
    Name(String),
    #[error("cannot read the credential `{}`: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("the credential `{}` {problem}", path.display())]
    Unusable { path: PathBuf, problem: &'static str },
}

/// The credential `name`, without the newline at its end.
pub(super) fn read(directory: Option<&Path>, name: &str) -> Result<String, CredentialError> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if name.is_empty() || name.len() > 255 || name.starts_with('.') || !name.chars().all(is_part) {
        return Err(CredentialError::Name(name.escape_debug().take(60).collect()));
    }
    let path = directory.ok_or(CredentialError::NoDirectory)?.join(name);
    let failed = |source| CredentialError::Read { path: path.clone(), source };
    // A FIFO in its place must not make the attempt wait.
    let file = OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(&path).map_err(failed)?;
    let unusable = |problem| Err(CredentialError::Unusable { path: path.clone(), problem });
    if !file.metadata().map_err(failed)?.is_file() {
        return unusable("is not a regular file");
    }
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MAX_BYTES {
        return unusable("has more than 64 KiB");
    }
    let Ok(text) = String::from_utf8(bytes) else { return unusable("is not UTF-8") };
    let text = text.strip_suffix('\n').map_or(&*text, |text| text.strip_suffix('\r').unwrap_or(text));
    match text {
        "" => unusable("is empty"),
        text if text.contains('\0') => unusable("holds a NUL"),
        text => Ok(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(content: &[u8], expected: &str) {
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::write(dir.path().join("db"), content).expect("a file");
        let found = read(Some(dir.path()), "db").unwrap_or_else(|error| error.to_string());
        assert_eq!(found.replace(&dir.path().display().to_string(), "DIR"), expected);
    }

    #[test]
    fn a_credential_is_the_text_of_its_file() {
        check(b"hunter22\n", "hunter22");
        check(b"hunter22\r\n", "hunter22");
        check(b" two\nlines \n\n", " two\nlines \n");
        check(b"\n", "the credential `DIR/db` is empty");
        check(b"\xff", "the credential `DIR/db` is not UTF-8");
        check(b"a\0b", "the credential `DIR/db` holds a NUL");
        check(&vec![b'x'; 70_000], "the credential `DIR/db` has more than 64 KiB");
    }

    #[test]
    fn what_is_not_there_is_named() {
        let refused = |directory: Option<&str>, name: &str| read(directory.map(Path::new), name).expect_err("is refused").to_string();
        assert!(refused(None, "db").contains("LoadCredential="));
        assert_eq!(refused(Some("/nowhere"), "db"), "cannot read the credential `/nowhere/db`: No such file or directory (os error 2)");
        for name in ["../shadow", "a/b", ".hidden", "", "a\nb"] {
            assert!(refused(Some("/etc"), name).contains("is no name of a credential"), "{name}");
        }
    }
}
