//! The daemon.
pub mod clock;
mod signals;
