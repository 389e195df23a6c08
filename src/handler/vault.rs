//! Gives credentials to templates, and remembers which: what a template makes of one is as secret.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::credential::{self, CredentialError};
use super::secrets::Secrets;
use crate::config::template::{self, Credentials, TemplateError, Values};

/// Where the credentials of one attempt, or of one message, come from.
#[derive(Debug, Default)]
pub(super) struct Vault {
    directory: Option<PathBuf>,
    given: Mutex<Vec<String>>,
    refusal: Mutex<Option<CredentialError>>,
}

/// Why a text with credentials could not be made. Never holds a part of one.
#[derive(Debug, thiserror::Error)]
pub(crate) enum VaultError {
    #[error(transparent)]
    Credential(#[from] CredentialError),
    #[error(transparent)]
    Template(#[from] TemplateError),
}

impl Vault {
    /// `directory`: as configured, else where systemd says.
    pub(super) fn new(directory: Option<PathBuf>) -> Arc<Self> {
        Arc::new(Self { directory, ..Self::default() })
    }

    pub(super) fn of_daemon(configured: Option<&Path>) -> Arc<Self> {
        let told = || std::env::var_os(credential::DIRECTORY_VARIABLE).map(PathBuf::from);
        Self::new(configured.map(Path::to_owned).or_else(told))
    }

    pub(super) fn open(self: Arc<Self>) -> Credentials {
        Credentials(Arc::new(move |name| {
            let read = credential::read(self.directory.as_deref(), name);
            let read = read.map_err(|error| *self.refusal.lock().unwrap_or_else(PoisonError::into_inner) = Some(error)).ok()?;
            self.given.lock().unwrap_or_else(PoisonError::into_inner).push(read.clone());
            Some(read)
        }))
    }

    /// The text, whose credentials join `secrets`. `render` makes it with what [`Vault::open`] gave.
    pub(super) fn keep<T: AsRef<str>>(&self, rendered: Result<T, TemplateError>, secrets: &mut Secrets) -> Result<T, VaultError> {
        let text = rendered.map_err(|error| match self.refusal.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(refusal) => VaultError::Credential(refusal),
            None => VaultError::Template(error),
        })?;
        for secret in std::mem::take(&mut *self.given.lock().unwrap_or_else(PoisonError::into_inner)) {
            secrets.add(&secret);
            // What a filter has made of it is as secret.
            secrets.add(text.as_ref());
            secrets.add_variable("", text.as_ref());
        }
        Ok(text)
    }
}

/// A text that knows nothing but credentials, such as a header of a message.
pub(crate) fn render(text: &str, directory: Option<&Path>, secrets: &mut Secrets) -> Result<String, VaultError> {
    let vault = Vault::of_daemon(directory);
    let values = Values { credentials: Some(Arc::clone(&vault).open()), ..Values::empty() };
    vault.keep(template::render(text, &values), secrets)
}
