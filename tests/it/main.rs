//! The one integration binary: everything that is checked from outside the library, a module for each subject.

mod args;
mod daemon;
mod disk;
mod hook;
mod kill;
mod moving;
mod notify;
mod readme;
mod secrets;
mod site;
mod state;
mod targets;
mod tidy;
mod time;
mod users;
mod week;
mod zoo;
