//! The daemon: the one clock reader, the loop, signals, reload, drain.

mod progress;

pub use progress::{Progress, RunOptions};
