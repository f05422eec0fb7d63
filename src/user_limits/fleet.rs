//! Interface to what the servers that share a store count together of one user, and how a limit is split between them.

use std::{fmt::Debug, pin::Pin, time::Duration};

use crate::ids::UserKey;

/// Fraction of a limit that the servers give out by themselves, each an equal part of it: a twentieth of all. It is what the
/// limit may be wrong by, and what ordinary users need at a server, for whom no other is asked then.
const UNASKED: usize = 20;

/// Answer of the store that servers share; none where it has none to give, and the limits of each server hold alone.
pub type FleetFuture<T> = Pin<Box<dyn Future<Output = Option<T>> + Send>>;

/// Counts that the servers which share a store keep together, by user.
pub trait FleetLimits: Debug + Send + Sync {
    /// Returns how many servers share the store, this one among them; one while the store is away.
    fn servers(&self) -> usize;

    /// Takes calls of a user from what all servers together may still make.
    fn take_calls(&self, user: &UserKey, lot: Lot) -> FleetFuture<Taken>;

    /// Notes how many streams a user has at this server beyond its own part, in place of what was noted before. Gives false,
    /// and notes nothing, where all servers would have more than `most` by that.
    fn note_streams(&self, user: &UserKey, streams: usize, most: Option<usize>) -> FleetFuture<bool>;
}

/// Calls that a server asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lot {
    /// Calls that are wanted, of which fewer may be given.
    pub calls: usize,
    /// Calls in a second that all servers may make in this way, which may also come all at once.
    pub per_s: usize,
}

/// Calls that a server was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    /// Calls that it may make, none where there are none left.
    pub calls: usize,
    /// Time until there are as many as it wanted.
    pub wait: Duration,
}

/// A limit, split between what each server gives out by itself and what all count together. The parts make up the limit, so that
/// one server alone with a user gives at least 95 % of it, and all together no more than the whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Split {
    /// Part of each server; none of a limit that is small.
    pub(super) own: usize,
    /// Part that all servers count together.
    pub(super) shared: usize,
}

impl Split {
    /// Splits a limit between so many servers.
    pub(super) fn new(limit: usize, servers: usize) -> Self {
        if servers <= 1 {
            return Self { own: limit, shared: 0 };
        }
        let own = limit / UNASKED.saturating_mul(servers);
        Self { own, shared: limit - own * servers }
    }
}

#[cfg(test)]
mod tests;
