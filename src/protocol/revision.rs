//! The revisions of MCP, and every fact in which they differ.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The revision whose requests stand alone: each carries its version, and there are no sessions.
pub const MODERN: &str = "2026-07-28";

/// The two shapes of the protocol (MCP 2026-07-28, basic/versioning).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Era {
    /// Up to 2025-11-25: `initialize`, then a session.
    Legacy,
    /// Revisions from 2026-07-28 on, which have no session.
    Modern,
}

impl Era {
    /// As labels of metrics have it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Legacy => "legacy",
            Self::Modern => "modern",
        }
    }
}

/// A published revision of the Model Context Protocol that sessions speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[expect(missing_docs, reason = "a revision's name is its date")]
pub enum Revision {
    #[serde(rename = "2024-11-05")]
    V2024_11_05,
    #[serde(rename = "2025-03-26")]
    V2025_03_26,
    #[serde(rename = "2025-06-18")]
    V2025_06_18,
    #[serde(rename = "2025-11-25")]
    V2025_11_25,
}

impl Revision {
    /// All revisions with sessions, oldest first.
    pub const ALL: [Self; 4] = [Self::V2024_11_05, Self::V2025_03_26, Self::V2025_06_18, Self::V2025_11_25];

    /// The newest revision, offered to a client that asks for one we don't speak.
    pub const LATEST: Self = Self::V2025_11_25;

    /// Returns the name of the revision on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V2024_11_05 => "2024-11-05",
            Self::V2025_03_26 => "2025-03-26",
            Self::V2025_06_18 => "2025-06-18",
            Self::V2025_11_25 => "2025-11-25",
        }
    }

    /// Reads the name of a revision, if it is one with sessions.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|revision| revision.as_str() == text)
    }

    /// Returns the revision that `initialize` answers: the requested one where it is spoken, else the newest (MCP
    /// 2025-11-25, basic/lifecycle § Version Negotiation).
    #[must_use]
    pub fn negotiate(requested: &str) -> Self {
        Self::parse(requested).unwrap_or(Self::LATEST)
    }

    /// Returns the names of all revisions that are spoken here, of both eras, newest first.
    #[must_use]
    pub fn supported() -> Vec<&'static str> {
        let sessions = Self::ALL.iter().rev().map(|revision| revision.as_str());
        std::iter::once(MODERN).chain(sessions).collect()
    }

    /// Returns whether streams begin with an event that only tells its id: from 2025-11-25 on (basic/transports §
    /// Sending Messages to the Server). Clients of earlier revisions read every event as JSON.
    #[must_use]
    pub fn primes_streams(self) -> bool {
        self >= Self::V2025_11_25
    }

    /// Returns whether a server may answer a call by an error that asks the user to open a page: from 2025-11-25 on
    /// (client/elicitation § URL Elicitation Required Error).
    #[must_use]
    pub fn asks_by_error(self) -> bool {
        self >= Self::V2025_11_25
    }

    /// Returns whether a POST may carry a JSON-RPC batch: in 2025-03-26 alone (basic/index § Batching).
    #[must_use]
    pub fn accepts_batches(self) -> bool {
        self == Self::V2025_03_26
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spoken_revision_is_echoed_and_any_other_gets_the_newest() {
        for revision in Revision::ALL {
            assert_eq!(Revision::negotiate(revision.as_str()), revision);
        }
        for other in ["2026-07-28", "2024-10-07", "1.0", ""] {
            assert_eq!(Revision::negotiate(other), Revision::LATEST, "{other:?}");
        }
    }
}
