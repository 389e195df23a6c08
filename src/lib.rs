//! `batchd`: a cron-style batch daemon.
//!
//! **Bird's eye.** `jobs.toml` names jobs: a schedule, a handler, targets, policies. The daemon fires each job at its nominal
//! times, runs one *partial* per target concurrently, gathers the results in target order and records every decision before
//! it acts on it. Data flows one way:
//!
//! ```text
//! text → config::Config → engine::Engine → effects → records (store), processes (runner), lines (log)
//! ```
//!
//! **A program of your own** adds handlers in Rust: [`handler::rust`] tells how, [`cli::main`] is its whole command line.
//!
//! **Code map**, an arrow may only go down: `main → cli → daemon → {runner, store, web} → engine → {config, schedule}`;
//! `handler` carries out attempts for the `runner`, `log` and `memory` are leaves that anyone above the pure core may use.
//!
//! **Invariants.**
//! - `config`, `schedule` and `engine` are pure: no clock, no I/O, no async; they cannot fail at run time.
//! - There is one reader of the clock (`daemon::clock`) and one loop (`daemon`), fed by one closed `enum`.
//! - A decision is on disk before anything that follows from it starts.

pub mod audit;
pub mod cli;
pub mod config;
pub mod daemon;
pub mod engine;
pub mod exchange;
pub mod handler;
pub mod http;
pub mod log;
mod memory;
pub mod notify;
pub mod runner;
pub mod schedule;
pub mod simulate;
pub mod store;
pub mod web;

/// The code in the documentation is compiled, and run, as documentation tests.
#[cfg(doctest)]
#[doc = include_str!("../docs/coming-from-django.md")]
pub struct ComingFromDjango;
