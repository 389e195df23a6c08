//! Arguments → command → exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    if let Some(code) = batchd::handler::shim::enter() {
        return code;
    }
    batchd::http::install_provider();
    let rooms = batchd::cli::Installed::new(batchd::handler::Registry::new());
    ExitCode::from(batchd::cli::main(&rooms) as u8)
}
