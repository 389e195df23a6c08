//! Arguments → command → exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    batchd::cli::main(batchd::daemon::Daemon::builder())
}
