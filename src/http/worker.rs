//! State of one worker, as its handlers share it.

use std::sync::Arc;

use super::{bodies::PendingBodies, known_host::KnownHost};
use crate::{
    auth::Authenticator,
    config::Settings,
    membrane::pool::Pool,
    secret::Secret,
    session::{Chats, Runtime, Sessions},
    tools::ToolService,
};

/// State that every handler of a worker has at hand.
pub struct Worker {
    /// Number of the worker, from 0.
    pub number: usize,
    /// All workers of the process.
    pub runtime: Runtime,
    /// Addresses by which sessions are reached.
    pub sessions: Sessions,
    /// Chats of all users.
    pub chats: Chats,
    /// Authentication, with the tokens that this worker knows.
    pub auth: Authenticator,
    /// Tools, with the catalogs that this worker knows.
    pub tools: ToolService,
    /// Budget of the bodies that are arriving, for all workers.
    pub bodies: PendingBodies,
    /// Name under which clients ask for this server.
    pub known_host: KnownHost,
    /// Token of the sandbox for whoever tries it, where there is a sandbox.
    pub guest: Option<Secret>,
    /// Settings of the server, as they were at the start.
    pub settings: Arc<Settings>,
}

impl Worker {
    /// Returns the pool for work on large messages.
    pub(super) fn pool(&self) -> &Pool {
        self.runtime.upstream().pool()
    }
}
