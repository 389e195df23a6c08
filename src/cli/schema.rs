//! `batchd schema`: the JSON Schema of `jobs.toml`.

use std::io;

use super::{Exit, Screen};
use crate::config;

/// The arguments of `batchd schema`.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct SchemaArgs {}

pub(super) fn schema(screen: &mut Screen<'_>) -> io::Result<Exit> {
    screen.json(&config::schema())?;
    Ok(Exit::Done)
}
