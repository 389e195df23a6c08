//! `batchd notify test`: sends a message through a channel now, to see whether it arrives.

use super::escape::escape;
use super::rooms::Rooms;
use super::{Exit, Failure, Screen};
use crate::config::Config;

/// The arguments of `batchd notify`.
#[derive(Clone, Debug, clap::Args)]
pub struct NotifyArgs {
    #[command(subcommand)]
    pub order: Order,
}

/// What can be asked of the channels.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum Order {
    /// Send a test message through a channel, now and from here; exit 1 when it does not arrive
    Test {
        /// The channel's name: NAME of `[notify.NAME]`
        #[arg(value_name = "CHANNEL")]
        channel: String,
    },
}

pub(super) fn notify(rooms: &dyn Rooms, config: &Config, args: &NotifyArgs, screen: &mut Screen<'_>) -> Result<Exit, Failure> {
    let Order::Test { channel } = &args.order;
    let Some(found) = config.channels.get(channel.as_str()) else {
        let known: Vec<&str> = config.channels.keys().map(|name| &**name).collect();
        let known = if known.is_empty() { "there is none".to_owned() } else { format!("there are: {}", known.join(", ")) };
        screen.error(&format!("no channel is called `{channel}`; {known}"), None)?;
        return Ok(Exit::NotFound);
    };
    match rooms.try_out(found, &config.daemon.state_dir)? {
        Ok(()) => {
            screen.line(format!("{} has taken the test message", escape(channel)))?;
            Ok(Exit::Done)
        }
        Err(error) => {
            screen.error(&format!("{channel} could not be told: {error}"), None)?;
            Ok(Exit::WorkFailed)
        }
    }
}
