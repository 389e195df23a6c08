//! From start to leave: lock, log, store, recovery, the API, and the loop.

use std::collections::HashSet;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::mpsc;
use tracing::{error, info, warn};

use super::clock::{self, Alarm, Ring};
use super::core::Core;
use super::events::{Event, Sources};
use super::reload::{self, Reloaded, Reloader};
use super::signals::{Signal, SignalStream};
use super::source::{self, LoadError, Loaded};
use super::{Daemon, status};
use crate::config::{self, Config};
use crate::engine::{self, Engine};
use crate::handler::process;
use crate::log::{self, Log};
use crate::runner::{self, Runner};
use crate::store::{self, Health, Reader, Sqlite, StateLock, Store, Writer};
use crate::web::{self, Control, ReloadReport, Request};

/// Why the daemon did not start, or left with an error.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error(transparent)]
    Config(#[from] LoadError),
    #[error(transparent)]
    Lock(#[from] store::LockError),
    #[error(transparent)]
    Store(#[from] store::StoreError),
    #[error(transparent)]
    Log(#[from] log::LogError),
    #[error("cannot listen on `{path}`: {source}")]
    Socket { path: String, source: io::Error },
    #[error("cannot use the clock: {0}")]
    Clock(io::Error),
    #[error("cannot install signal handlers: {0}")]
    Signals(io::Error),
}

