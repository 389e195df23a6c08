//! The outbox as its readers see it: what waits to be delivered, lane by lane. A lane is a channel, or the pings of one job.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::shape::Time;
use crate::engine::{LetterKey, Notice};

/// So many messages of a channel may wait; further ones are given up.
pub const MAX_WAITING: u32 = 1_000;

/// So many pings of a job may wait.
pub const MAX_WAITING_PINGS: u32 = 20;

/// What the lanes of pings begin with; no name of a channel has a colon.
pub const PING_LANE: &str = "ping:";

/// The lane of a job's pings.
pub fn ping_lane(job: &str) -> String {
    format!("{PING_LANE}{job}")
}

/// A lane in which something waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lane {
    pub name: String,
    /// When its first message is due.
    pub next: Timestamp,
}

/// A message that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    pub key: LetterKey,
    /// The same at each attempt, and no other message's.
    pub id: String,
    pub created: Timestamp,
    /// When it is due.
    pub next: Timestamp,
    /// Attempts that were begun.
    pub attempts: u32,
    /// Whether one of them may have arrived.
    pub unsure: bool,
    /// The first of those that went as one message with it.
    pub lead: Option<LetterKey>,
    pub notice: Notice,
}

/// A channel's part of the outbox, as `batchd status` shows it; the pings of all jobs count as one, named `ping`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ChannelView {
    pub channel: String,
    /// Messages that wait.
    pub waiting: u32,
    /// Since when the oldest of them waits.
    #[schemars(with = "Option<Time>")]
    pub oldest: Option<Timestamp>,
    /// What went wrong at the last attempt of the first that waits.
    pub error: Option<String>,
    /// Messages that were given up, as far as they are kept.
    pub given_up: u32,
    /// Why the last of them was.
    pub given_up_error: Option<String>,
}
