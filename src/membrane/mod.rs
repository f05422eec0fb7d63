//! The upstream: Membrane's connections, integrations and actions, and the tools made of them.

pub mod accounts;
pub mod actor;
mod app_list;
pub mod app_tools;
pub mod apps;
mod batching;
mod breaker;
mod cache;
pub mod call;
pub mod catalog;
mod check;
pub mod client;
pub mod connect;
mod discovery;
pub mod error;
mod exchange;
mod interner;
mod lenient;
pub mod lists;
pub mod load;
pub mod loading;
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
pub mod sign_in;
pub mod signature;
pub mod tool;
pub mod trust;
pub mod turns;
pub mod upstream;
pub mod webhook;
mod wire;
mod words;

pub use accounts::{Account, AccountState, Accounts};
pub use actor::MembraneActor;
pub use apps::Apps;
pub use cache::Loaded;
pub use catalog::Catalog;
pub use client::MembraneClient;
pub use discovery::AuthorizationServer;
pub use error::MembraneError;
pub use loading::Watchers;
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
