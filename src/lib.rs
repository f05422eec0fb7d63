//! Integration App MCP Server: the apps that a user has connected on Membrane (once Integration.app) as MCP tools.
//!
//! docs/architecture.md shows the parts in a drawing and follows a request through them; docs/decisions tells why they are so.
//!
//! # Layout
//!
//! An actix-web handler reads a request into types and sends one message. [`session::Sessions`], a directory of addresses, sends
//! it to the [`session::SessionRegistry`] of the session's worker, and that passes it to the [`session::SessionActor`], which
//! holds what the session has enabled, its calls in flight and its stream. A session, and a request without one, list, find and
//! call tools by the [`tools::ToolService`] of their thread. It takes catalogs from the [`membrane::MembraneActor`], which loads each user's catalog once for all who ask, and calls go
//! upstream by the thread's own [`membrane::MembraneClient`].
//!
//! ```text
//! http ──▶ session ──▶ tools ──▶ auth ──▶ membrane, store ──▶ search, protocol, user_limits ──▶ error, token, chunks ──▶ ids, secret
//! ```
//!
//! Every HTTP worker is a shard: it has its own registry, sessions, Membrane actor and client, so that sessions
//! and catalogs need no lock; what is counted for all workers is locked for a moment. [`session::Runtime`] starts and stops them. [`session::directory`] knows which worker a session belongs
//! to, and knows addresses and messages alone: registries hold it to reach each other, and handlers to reach them.
//!
//! | To change | See |
//! |---|---|
//! | a route, a header | [`http`] |
//! | which status and which code a refusal has | [`http::error`], [`error::Error::kind`], [`protocol::codes`]; in which era: `http::post` |
//! | deadlines and limits of clients' connections | `http::connections`, `http::bodies`, [`gathering`] |
//! | who is let in | [`token`], [`auth`], [`membrane::trust`], [`membrane::signature`] |
//! | what a user may use, at this server and at all that share a store | [`user_limits`], [`user_limits::fleet`] |
//! | what a message says | [`protocol`] |
//! | what is sent compressed, and compressed once | [`chunks`] |
//! | which tools a request sees, and how it calls one | [`tools`] |
//! | which of a user's accounts a call acts on, and what is told of them | [`membrane::accounts`], [`membrane::noted`], `tools::accounts` |
//! | how tools are loaded and named, and what a call sends | [`membrane::load`], [`membrane::tool`], [`membrane::call`] |
//! | what is asked of Membrane, and over which connections | [`membrane::client`], `membrane::wire` |
//! | when Membrane is asked again, later, or not at all | `membrane::retry`, `membrane::turns`, `membrane::width`, `membrane::background`, `membrane::breaker` |
//! | what a session does | [`session::actor`] |
//! | a session's streams, and how a client goes on with one | [`session::streams`], [`session::event_log`], `session::actor::streaming`, `session::remote_stream` |
//! | how a session comes into memory, leaves it, and ends | [`session::registry`] (`revival`, `passivation`), [`session::storage`] |
//! | which session serves a chat | [`session::chats`] |
//! | what is kept, and what servers tell each other | [`store`], [`store::replicas`], [`session::runtime`] |
//! | settings, constants, metrics, log lines | [`config`], [`config::Tuning`] or beside their code, [`metrics`], [`logging`] |
//!
//! # Words
//!
//! - action, integration, connection: Membrane's words for what can be done, the app it is done in, and a user's account there.
//! - account: a connection of an app, where calls choose among several.
//! - tool: an action as MCP clients see it. catalog: all tools of a user. view: the tools that a request sees of them.
//! - caller: a user whose token was accepted, for one request.
//! - session: what an MCP client has opened, or what a chat of 2026-07-28 is served by. chat: a conversation that the client
//!   names by `x-chat-id`.
//! - era: legacy, the revisions with sessions; modern, those from 2026-07-28 on.
//! - shard: a worker's thread with its actors. replica, or another server: a process that shares a store.
//! - upstream: the Membrane API.
//!
//! # Invariants (checked by `tests/tidy`)
//!
//! - Invariant: layers import downwards only, as drawn above, and no files of a layer need each other in a circle: a name counts
//!   for the file that defines it, whatever re-exports it. `config` is a leaf that any layer above `protocol` may read;
//!   `sandbox` is a program of its own, which only `cli` and `banner` know.
//! - Invariant: `protocol` is pure. It knows no actor, no HTTP and no clock.
//! - Invariant: only `http` knows status codes and header names of MCP; only `protocol::codes` knows JSON-RPC codes.
//! - Invariant: only `membrane` knows the upstream's paths; only `config` reads the environment.
//! - Invariant: no mailbox waits. What asks the upstream runs as a future of its own and returns as a message.
//! - Invariant: a [`membrane::Caller`] is made by authentication alone, so whoever holds one may act for its user.
//! - Invariant: every metric stands in [`metrics::METRICS`], which any layer may count by; no label names a user, a chat, a
//!   session, a tool or a token.
//! - Invariant: a request upstream is made in the [`trace`] of the request that it is made for, and tells no collector a token.
//! - Invariant: a token is a [`secret::Secret`], which shows itself to the wire only.

pub mod auth;
pub mod banner;
pub mod chunks;
pub mod cli;
pub mod config;
pub mod doctor;
pub mod error;
pub mod gathering;
pub mod healthcheck;
pub mod http;
pub mod ids;
pub mod logging;
pub mod membrane;
pub mod metrics;
pub mod pem;
pub mod protocol;
pub mod sandbox;
pub mod seal;
pub mod search;
pub mod secret;
pub mod server;
pub mod session;
pub mod signing;
pub mod store;
pub mod token;
pub mod tools;
pub mod trace;
pub mod user_limits;
pub mod workers;
