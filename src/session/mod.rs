//! Sessions and chats: the registry that knows them, and one actor for each.

pub mod actor;
pub mod calls;
pub mod changes;
pub mod coherence;
pub mod delivery;
pub mod enable;
pub mod event_log;
pub mod follow;
pub mod kept;
pub mod left_tools;
pub mod messages;
pub mod passivation;
pub mod profile;
pub mod pulse;
pub mod queue;
pub mod registry;
pub mod shards;
pub mod streaming;
pub mod streams;
pub mod token_end;

pub use actor::SessionActor;
pub use registry::SessionRegistry;
pub use shards::{LocalShard, Shards};
