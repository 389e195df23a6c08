//! The daemon: the one clock reader, the loop, signals, reload, drain.
//!
//! A program of your own embeds it with its handlers:
//!
//! ```no_run
//! use batchd::daemon::Daemon;
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! Daemon::builder().config("jobs.toml").build().run().await?;
//! # Ok(())
//! # }
//! ```

pub mod clock;
mod core;
mod events;
mod foreground;
mod narrate;
mod open;
mod plans;
mod progress;
mod reload;
mod results;
mod serve;
mod signals;
pub mod source;
mod status;
mod systemd;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

pub use self::foreground::{ForegroundError, Ran, run_once};
pub use self::progress::{Progress, RunOptions};
pub use self::serve::ServeError;
pub use self::signals::Signal;
use crate::handler::{IntoHandler, Registry};

/// A daemon, ready to run.
#[derive(Debug)]
pub struct Daemon {
    config: Arc<Path>,
    handlers: Registry,
    shutdown: CancellationToken,
    signals: bool,
    logs: bool,
}

/// Puts a [`Daemon`] together.
#[derive(Clone, Debug)]
pub struct Builder {
    config: Option<PathBuf>,
    handlers: Registry,
    shutdown: CancellationToken,
    signals: bool,
    logs: bool,
}

impl Daemon {
    /// A builder with the built-in handlers, which reads `jobs.toml` in the current directory and handles signals.
    pub fn builder() -> Builder {
        let (handlers, shutdown) = (Registry::default(), CancellationToken::new());
        Builder { config: None, handlers, shutdown, signals: true, logs: true }
    }

    /// Runs until SIGTERM, SIGINT or the shutdown token; returns when nothing is live and everything is on disk.
    pub async fn run(self) -> Result<(), ServeError> {
        serve::serve(self).await
    }
}

impl Builder {
    /// The configuration file. On the command line `--config` and `BATCHD_CONFIG` come before it.
    #[must_use]
    pub fn config(mut self, path: impl Into<PathBuf>) -> Self {
        self.config = Some(path.into());
        self
    }

    /// Handlers that were registered before.
    #[must_use]
    pub fn handlers(mut self, handlers: Registry) -> Self {
        self.handlers = handlers;
        self
    }

    /// Registers a handler for `handler = "NAME"` in the configuration: a [`Batch`](crate::handler::Batch), a
    /// [`Handler`](crate::handler::Handler), a closure, or a [`Blocking`](crate::handler::Blocking) one.
    #[must_use]
    pub fn handler<Kind>(mut self, name: impl Into<Arc<str>>, handler: impl IntoHandler<Kind>) -> Self {
        self.handlers.insert(name, handler);
        self
    }

    /// Drains and returns from [`Daemon::run`] when this token is cancelled.
    #[must_use]
    pub fn shutdown(mut self, token: CancellationToken) -> Self {
        self.shutdown = token;
        self
    }

    /// Whether the daemon installs handlers for SIGHUP, SIGTERM, SIGINT and SIGUSR1. The default is true.
    #[must_use]
    pub fn signals(mut self, handled: bool) -> Self {
        self.signals = handled;
        self
    }

    /// Whether the daemon writes `[log]`, for which it becomes the process's `tracing` subscriber. The default is true; with
    /// false, its events are the embedding program's to log.
    #[must_use]
    pub fn logs(mut self, written: bool) -> Self {
        self.logs = written;
        self
    }

    pub(crate) fn registry(&self) -> &Registry {
        &self.handlers
    }

    pub(crate) fn config_path(&self) -> Option<&Path> {
        self.config.as_deref()
    }

    pub fn build(self) -> Daemon {
        let Self { config, handlers, shutdown, signals, logs } = self;
        let config = config.unwrap_or_else(|| "jobs.toml".into());
        Daemon { config: config.into(), handlers, shutdown, signals, logs }
    }
}
