//! Authentication: whose a token is, and what may be asked about it.
//!
//! A worker remembers the tokens that it was told are good ([`token_cache`]), so that most requests ask nobody. An unknown
//! token is looked up at the Membrane actor of its user's worker, which asks the upstream where it has to ([`authenticator`]);
//! guesses are limited before that ([`admission`]). A token that the upstream refuses is forgotten everywhere ([`revocation`]).

pub mod admission;
pub mod authenticator;
pub mod revocation;
pub mod token_cache;

pub use authenticator::Authenticator;
pub use revocation::{Revocations, RevokeToken};
