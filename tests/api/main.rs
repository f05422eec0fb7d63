//! The server as its users meet it: the real binary, on a free port, over real HTTP.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "what a test did not expect is to end it"
)]
#![allow(clippy::needless_pass_by_value, reason = "values are made on the spot, by json!")]

mod authentication;
mod batches;
mod chats;
mod event_streams;
mod official_client;
mod original;
mod sessions;
mod status_codes;
mod support;
