//! The program: see the library of the same name.

use std::process::ExitCode;

fn main() -> ExitCode {
    integration_app_mcp_server::cli::run()
}
