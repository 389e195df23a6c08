//! What the commands need of the rooms below.

use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;

use super::{Exit, Failure};
use crate::config::{Channel, Config, JobName, Problems};
use crate::daemon::source::LoadError;
use crate::daemon::{Progress, Ran, RunOptions};
use crate::web::History;

/// See the module's documentation.
pub trait Rooms {
    /// The wall clock.
    fn now(&self) -> Timestamp;
    /// The validated configuration with what is suspicious about it.
    fn examine(&self, path: &Path) -> Result<(Config, Problems), LoadError>;
    /// The same for this process to start its jobs: what they ask for and it cannot give is refused.
    fn load(&self, path: &Path) -> Result<Config, LoadError>;
    /// The records below the directory.
    fn history(&self, state_dir: &Path) -> Arc<dyn History>;
    /// Sends a test message through the channel; the inner error says why it did not arrive.
    fn try_out(&self, channel: &Channel, state_dir: &Path) -> Result<Result<(), String>, Failure>;
    /// Is the daemon, to its end.
    fn serve(&self, config: &Path) -> Result<Exit, Failure>;
    /// Runs a job of the configuration in the foreground, to its end. An interrupt stops it.
    fn run_once(&self, config: Config, job: JobName, options: RunOptions, progress: Box<dyn Progress>) -> Result<Ran, Failure>;
}
