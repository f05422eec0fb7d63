//! The program: see the library of the same name.

use std::process::ExitCode;

/// A fifth less processor time for a request than with glibc's: see docs/benchmarks.md.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    integration_app_mcp_server::cli::run()
}
