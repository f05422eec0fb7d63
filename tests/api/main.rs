//! The server as its users meet it: the real binary, on a free port, over real HTTP.

mod apps;
mod calls;
mod catalog;
mod command_line;
mod dynamic;
mod files;
mod official_client;
mod support;
