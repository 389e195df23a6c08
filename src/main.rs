//! The program: arguments → command → exit code.

use std::process::ExitCode;

use batchd::cli::{self, Local};

fn main() -> ExitCode {
    ExitCode::from(cli::main(&Local::default()) as u8)
}
