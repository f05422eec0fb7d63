//! The server as its users meet it: the real binary, on a free port, over real HTTP.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by a panic, in its helpers too"
)]

mod apps;
mod calls;
mod catalog;
mod command_line;
mod dynamic;
mod files;
mod official_client;
mod support;
