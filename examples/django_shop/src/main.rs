//! A shop's batch server: what were Django commands in cron, as handlers in Rust. `README.md` beside this file tells how to run it.

mod cleanup;
mod daily_report;
mod ledger;
mod thumbnails;

use std::process::ExitCode;

use batchd::daemon::Daemon;
use batchd::handler::{Arg, Blocking, Lane};

fn main() -> ExitCode {
    let ledger = Lane::new("ledger");
    batchd::cli::main(
        Daemon::builder()
            .handler("daily_report", daily_report::DailyReport)
            .handler("thumbnails", Blocking::new(thumbnails::thumbnail).arg(Arg::integer("width").default(80).help("in pixels")))
            .handler("post", Blocking::on(&ledger, ledger::post))
            .handler("cleanup", cleanup::cleanup),
    )
}
