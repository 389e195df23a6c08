//! `batchd schema`: the JSON Schema of `jobs.toml`, or the `OpenAPI` document of the socket.

use std::io;

use super::{Exit, Screen};
use crate::{config, web};

/// The arguments of `batchd schema`.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct SchemaArgs {
    /// The `OpenAPI` document of the daemon's socket instead
    #[arg(long)]
    pub api: bool,
}

pub(super) fn schema(args: SchemaArgs, screen: &mut Screen<'_>) -> io::Result<Exit> {
    screen.json(&if args.api { web::openapi() } else { config::schema() })?;
    Ok(Exit::Done)
}
