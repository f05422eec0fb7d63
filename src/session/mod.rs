//! Sessions and chats: the registry that knows them, and one actor for each.

pub mod actor;
pub mod calls;
pub mod chats;
pub mod directory;
pub mod event_log;
pub mod health;
pub mod left_tools;
pub mod messages;
pub mod permit;
pub mod persistence;
pub mod profile;
pub mod queue;
pub mod registry;
pub mod remote_stream;
pub mod runtime;
mod shelf;
pub mod storage;
pub mod streams;
pub mod token_end;

pub use actor::SessionActor;
pub use chats::Chats;
pub use registry::{SessionRegistry, Sessions};
pub use runtime::{Runtime, WorkerContext};
