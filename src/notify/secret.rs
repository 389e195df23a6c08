//! Texts that are read where they are kept, at each use: a file can be renewed without a reload.

use std::path::PathBuf;

use tokio::io::AsyncReadExt;

use super::Undelivered;
use crate::config::Secret;

/// A secret may have at most this many bytes.
const MAX_BYTES: u64 = 64 * 1024;

/// Where systemd puts the credentials of a unit.
const CREDENTIALS_DIRECTORY: &str = "CREDENTIALS_DIRECTORY";

/// The secret, without the blanks around it.
pub(super) async fn read(secret: &Secret) -> Result<String, Undelivered> {
    let path = match secret {
        Secret::Plain(text) => return Ok(text.clone()),
        Secret::File(path) => path.clone(),
        Secret::Credential { name, directory } => {
            let directory = directory.clone().or_else(|| std::env::var_os(CREDENTIALS_DIRECTORY).map(PathBuf::from));
            let missing = || {
                Undelivered::certain(format!(
                    "no credential `{name}`: ${CREDENTIALS_DIRECTORY} is not set; add LoadCredential= to the unit, or set `[daemon] credentials_dir`"
                ))
            };
            directory.ok_or_else(missing)?.join(name)
        }
    };
    let failed = |error: std::io::Error| Undelivered::certain(format!("cannot read `{}`: {error}", path.display()));
    let file = tokio::fs::File::open(&path).await.map_err(failed)?;
    let mut text = String::new();
    file.take(MAX_BYTES).read_to_string(&mut text).await.map_err(failed)?;
    let text = text.trim();
    if text.is_empty() {
        return Err(Undelivered::certain(format!("`{}` is empty", path.display())));
    }
    Ok(text.to_owned())
}
