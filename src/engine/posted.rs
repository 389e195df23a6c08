//! What becomes of the messages in the outbox. The engine takes no part: the room that delivers records it.

use jiff::Timestamp;

/// The number of a message in the outbox, ascending in the order in which messages came.
pub type LetterKey = i64;

/// One step of a delivery; the first of the letters stands for those that go as one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Posted {
    /// They may have been sent, as one message, from now on.
    Trying {
        letters: Vec<LetterKey>,
    },
    Delivered {
        letters: Vec<LetterKey>,
        at: Timestamp,
    },
    /// They have not arrived, or, with `unsure`, nobody knows; they are due again at `next`.
    Deferred {
        letters: Vec<LetterKey>,
        next: Timestamp,
        error: String,
        unsure: bool,
    },
    GivenUp {
        letters: Vec<LetterKey>,
        at: Timestamp,
        error: String,
    },
}
