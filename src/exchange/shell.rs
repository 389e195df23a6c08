//! Words of a POSIX shell, as a command line that is written for people has them.

/// One word: in quotes only where it needs some.
pub(super) fn word(text: &str) -> String {
    let is_bare = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-./:=@+,%".contains(&byte));
    if is_bare { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}
