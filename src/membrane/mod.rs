//! The upstream: Membrane's connections, integrations and actions, and the tools made of them.

pub mod accounts;
pub mod actor;
mod app_list;
pub mod app_tools;
pub mod apps;
mod authorization_server;
mod background;
mod breaker;
mod cache;
pub mod call;
pub mod catalog;
mod check;
pub mod client;
pub mod error;
mod interner;
pub mod kept;
mod lenient;
pub mod load;
pub mod lookup;
mod masking;
pub mod messages;
pub mod model;
mod names;
pub mod noted;
pub mod pool;
mod reading;
mod report;
mod retry;
mod searchable;
pub mod shared;
pub mod shared_lists;
pub mod signature;
mod switch;
mod thaw;
pub mod tool;
pub mod trust;
pub mod turns;
pub mod upstream;
pub mod webhook;
mod width;
mod wire;
mod words;

pub use accounts::{Account, AccountState, Accounts};
pub use actor::{MembraneActor, Watchers};
pub use apps::Apps;
pub use authorization_server::AuthorizationServer;
pub use cache::CachedCatalog;
pub use catalog::Catalog;
pub use client::{MembraneClient, connect, lists, sign_in};
pub use error::MembraneError;
pub use messages::{
    Authenticate, CatalogChanged, FindTools, KnownCatalog, LoadCatalog, Ping, Proof, Recognise, Refresh, RevokeToken,
    Standing, TokenRefused,
};
pub use report::Report;
pub use shared_lists::Sharing;

#[cfg(test)]
pub(crate) use messages::{Crash, CrashLater};
pub use tool::Tool;
pub use trust::Caller;
pub use upstream::{Upstream, UpstreamError};
