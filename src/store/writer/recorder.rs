//! The writer's queue for those who record beside the loop.

use std::fmt;
use std::sync::Arc;

use super::queue::Shared;
use crate::engine::Record;

/// Records beside the loop; cheap to clone.
#[derive(Clone)]
pub struct Recorder(pub(super) Arc<Shared>);

impl Recorder {
    /// As [`super::Writer::record`].
    pub fn record(&self, record: Record) {
        self.0.record(record);
    }

    /// As [`super::Writer::once_written`].
    pub fn once_written(&self, told: impl FnOnce() + Send + 'static) {
        self.0.once_written(told);
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Recorder")
    }
}
