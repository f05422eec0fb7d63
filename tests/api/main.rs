//! The server as its users meet it: the real binary, on a free port, over real HTTP.

mod authentication;
mod batches;
mod chats;
mod event_streams;
mod official_client;
mod sessions;
mod status_codes;
mod support;
