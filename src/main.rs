//! The program: see the library of the same name.

use std::process::ExitCode;

/// A fifth less processor time for a request than with glibc's: see docs/benchmarks.md. Without huge pages, with which the
/// process would hold 25 MiB more from its start.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    integration_app_mcp_server::cli::run()
}
