//! The public face of handlers in Rust: what follows is `docs/rust-handlers.md`, word for word.
#![doc = include_str!("../../../docs/rust-handlers.md")]

mod argument;
mod batch;
mod blocking;
mod context;
mod lane;
mod registry;
mod results;
mod spoken;
mod target_list;
mod trial;

pub use argument::Arg;
pub use batch::{AsBatch, AsBlocking, AsClosure, AsHandler, Batch, Handler, HandlerError, HandlerResult, IntoHandler, Registered};
pub use blocking::{Blocking, blocking};
pub(crate) use context::Around;
pub use context::{Context, Stopped, WrongArgument, WrongTarget};
pub use lane::{Lane, LaneError};
pub use registry::Registry;
pub(crate) use results::ResultPages;
pub use results::Results;
pub(crate) use spoken::Spoken;
pub use target_list::TargetList;
pub(super) use target_list::list;
pub use trial::{Trial, TrialError, Tried};
