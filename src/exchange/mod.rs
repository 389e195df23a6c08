//! `jobs.toml` from what others read, and back: crontabs and systemd's units. PURE: texts in; a file and findings out.
//!
//! An import keeps what ran and when it ran. Where batchd would do better by default, the old behaviour is written out, so that
//! the better one is a deleted line away; what cannot be said stands in the file as a comment with the reason; and each thing
//! that changes its meaning is a [`Finding`].
//!
//! `sheet` is the `jobs.toml` in the making, `finding` what there is to say, `name` finds names for commands, `shell` quotes
//! words, `crontab` and `systemd` translate.

pub mod crontab;
mod finding;
mod name;
mod sheet;
mod shell;
pub mod systemd;

pub use finding::{Finding, Place, Topic};
pub use name::{programs, written_files};
pub use sheet::Imported;
