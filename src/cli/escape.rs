//! Makes text from outside safe to show on a terminal: the log's escaper.

pub(super) use crate::log::{escape, escape_json};
