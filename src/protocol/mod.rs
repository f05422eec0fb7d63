//! MCP as data: revisions, JSON-RPC envelopes, tools and results. Pure: no actor, no HTTP, no I/O.

pub mod aliases;
pub mod answer;
pub mod clean;
pub mod codes;
pub mod conform;
pub mod json;
pub mod jsonrpc;
pub mod lifecycle;
pub mod loosen;
pub mod modern;
pub mod outline;
pub mod param_headers;
pub mod pattern;
pub mod pieces;
pub mod publish;
pub mod request;
pub mod revision;
pub mod schema;
pub mod tokens;
pub mod tools;
pub mod types;
pub mod validation;
