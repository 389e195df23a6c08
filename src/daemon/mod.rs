//! The daemon: the one clock reader, the loop, signals, reload, drain.

pub mod source;
