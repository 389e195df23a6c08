//! The one integration binary: everything that is checked from outside the library, a module for each subject.

mod args;
mod commands;
mod daemon;
mod disk;
mod embedded;
mod guarantees;
mod hook;
mod kill;
mod log;
mod moving;
mod notify;
mod readme;
mod reload;
mod secrets;
mod site;
mod state;
mod stop;
mod targets;
mod tidy;
mod time;
mod users;
mod week;
mod zoo;
