//! The messages that the Membrane actor takes, and the one that it sends.

use std::{collections::BTreeMap, sync::Arc};

use actix::Message;

use super::{Apps, CachedCatalog, Caller, Catalog, MembraneError, Tool, webhook::Changed};
use crate::{
    error::Error,
    ids::{ToolName, UserKey},
    secret::Fingerprint,
    token::AccessToken,
    trace,
};

/// Asks whether a token is good. The answer is the upstream's: that of a request made with the very token, or what it said
/// before, for a while.
#[derive(Debug, Message)]
#[rtype(result = "Result<Caller, Error>")]
pub struct Authenticate {
    /// Token that a request came with.
    pub token: AccessToken,
    /// Request by which the upstream is asked.
    pub proof: Proof,
    /// Trace of the request that wants to know.
    pub trace: trace::Context,
}

/// Asks for the standing of a token as it is known here, without a request to the upstream.
#[derive(Debug, Message)]
#[rtype(result = "Result<Standing, Error>")]
pub struct Recognise(pub AccessToken);

/// Standing of a token, as far as it is known here.
#[derive(Debug)]
pub enum Standing {
    /// The token is good.
    Trusted(Caller),
    /// The token was good when the upstream last saw it, and has to be shown there again.
    AcceptedBefore,
    /// The token claims a user of whom other tokens were good of late.
    Claims(UserKey),
    /// The token is unknown, and so is any user that it claims.
    Stranger,
}

/// To any actor of a shard: answers, which shows that it lives and has time.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct Ping;

/// The request by which the upstream is asked about a token.
#[derive(Debug, Clone)]
pub enum Proof {
    /// `GET /self`, the cheapest request there is.
    Customer,
    /// The load of the catalog, which will be wanted next: that saves a round trip.
    Catalog(Apps),
}

/// Asks for the tools of a user.
#[derive(Debug, Message)]
#[rtype(result = "Result<Arc<CachedCatalog>, MembraneError>")]
pub struct LoadCatalog {
    /// User whose tools are wanted, with today's token.
    pub caller: Caller,
    /// Apps that the tools must belong to.
    pub apps: Apps,
}

/// Asks for a user's tools as far as they are known, without loading them.
#[derive(Debug, Message)]
#[rtype(result = "Option<Arc<Catalog>>")]
pub struct KnownCatalog {
    /// User whose tools are wanted.
    pub user: UserKey,
    /// Apps that the tools must belong to.
    pub apps: Apps,
}

/// Asks for tools that are not in the user's catalog; those found come by the names asked for.
#[derive(Debug, Message)]
#[rtype(result = "Result<BTreeMap<ToolName, Arc<Tool>>, MembraneError>")]
pub struct FindTools {
    /// User for whom tools are looked up, with today's token.
    pub caller: Caller,
    /// Apps outside of which nothing may be found.
    pub apps: Apps,
    /// The catalog that does not have them.
    pub catalog: Arc<Catalog>,
    /// Names that are not in the catalog.
    pub names: Vec<ToolName>,
}

/// A user's connections have changed: what was loaded of them before is no longer fresh.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct Refresh(pub Arc<Changed>);

/// The upstream refused a token: it must be asked again before the token counts.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct RevokeToken(pub Fingerprint);

/// From the actor: a load has found other tools than the one before.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct CatalogChanged {
    /// User whose tools have changed.
    pub user: UserKey,
    /// Apps that the catalog was loaded for.
    pub apps: Apps,
    /// Tools as they were before the load.
    pub before: Arc<Catalog>,
    /// Tools as the load has found them.
    pub now: Arc<Catalog>,
}

/// From the actor: the upstream has refused a token, while nobody waited for its answer.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct TokenRefused(pub AccessToken);

/// To any actor, in tests: panics in its handler.
#[cfg(test)]
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<(), Error>")]
pub(crate) struct Crash;

/// The same in the future that answers.
#[cfg(test)]
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<(), Error>")]
pub(crate) struct CrashLater;
