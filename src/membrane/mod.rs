//! The upstream: Membrane's connections, integrations and actions, and the tools made of them.

pub mod actor;
pub mod apps;
pub mod call;
pub mod catalog;
pub mod client;
pub mod error;
pub mod load;
pub mod lookup;
pub mod model;
pub mod signature;
pub mod tool;
pub mod trust;
pub mod webhook;

pub use actor::{Authenticate, Distrust, FindTools, LoadCatalog, MembraneActor, Proof, Recognise, Refresh};
pub use apps::Apps;
pub use catalog::Catalog;
pub use client::MembraneClient;
pub use error::MembraneError;
pub use tool::Tool;
pub use trust::Caller;
