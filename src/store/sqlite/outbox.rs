//! Questions about the outbox.

use rusqlite::{Row, params};

use super::{Reader, values};
use crate::store::StoreError;
use crate::store::outbox::{ChannelView, Lane, Letter};

/// `next` is that of the row with the smallest key, as `SQLite` promises for a bare column beside one `min()`.
const LANES: &str = "SELECT lane, min(key), next FROM outbox INDEXED BY outbox_open WHERE ended IS NULL GROUP BY lane";

const LETTERS: &str = "
    SELECT key, id, created, attempts, unsure OR trying, lead, message, next FROM outbox INDEXED BY outbox_open
    WHERE lane = ?1 AND ended IS NULL ORDER BY key LIMIT ?2";

const WAITING: &str = "
    SELECT CASE WHEN lane LIKE 'ping:%' THEN 'ping' ELSE lane END AS channel, count(*), min(created), min(key), error
    FROM outbox INDEXED BY outbox_open WHERE ended IS NULL GROUP BY channel";

const GIVEN_UP: &str = "
    SELECT CASE WHEN lane LIKE 'ping:%' THEN 'ping' ELSE lane END AS channel, count(*), max(key), error
    FROM outbox INDEXED BY outbox_given_up WHERE ended IS NOT NULL AND error IS NOT NULL GROUP BY channel";

impl Reader {
    /// The lanes in which something waits.
    pub fn lanes(&self) -> Result<Vec<Lane>, StoreError> {
        self.all(LANES, [], |row| Ok(Lane { name: row.get(0)?, next: values::time(row, 2)? }))
    }

    /// The first `most` messages that wait in a lane.
    pub fn letters(&self, lane: &str, most: u32) -> Result<Vec<Letter>, StoreError> {
        self.all(LETTERS, params![lane, most], letter)
    }

    /// How much waits in each channel, and what was given up; by name.
    pub fn channels(&self) -> Result<Vec<ChannelView>, StoreError> {
        let mut channels = self.all(WAITING, [], |row| {
            let (channel, waiting, oldest) = (row.get(0)?, row.get(1)?, values::optional_time(row, 2)?);
            Ok(ChannelView { channel, waiting, oldest, error: row.get(4)?, ..ChannelView::default() })
        })?;
        for (channel, given_up, error) in self.all(GIVEN_UP, [], |row| Ok((row.get::<_, String>(0)?, row.get(1)?, row.get(3)?)))? {
            let at = channels.iter().position(|known| known.channel == channel).unwrap_or_else(|| {
                channels.push(ChannelView { channel, ..ChannelView::default() });
                channels.len() - 1
            });
            channels[at].given_up = given_up;
            channels[at].given_up_error = error;
        }
        channels.sort_by(|a, b| a.channel.cmp(&b.channel));
        Ok(channels)
    }
}

fn letter(row: &Row<'_>) -> rusqlite::Result<Letter> {
    Ok(Letter {
        key: row.get(0)?,
        id: row.get(1)?,
        created: values::time(row, 2)?,
        attempts: row.get(3)?,
        unsure: row.get(4)?,
        lead: row.get(5)?,
        notice: values::from_json(row, 6)?,
        next: values::time(row, 7)?,
    })
}
