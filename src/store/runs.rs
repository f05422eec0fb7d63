//! Calls that run once, each kept under the key that its client chose.

use std::{fmt::Write as _, time::Duration};

use sha2::{Digest as _, Sha256};

/// How long a call is kept, so that a repeat of it does not run again.
pub const KEPT_FOR: Duration = Duration::from_secs(24 * 3600);

/// Calls of one user that are kept. Beyond them the oldest that has ended is forgotten. With [`MAX_RESULT`] this bounds the bytes
/// of a user to 8 MiB.
pub const MAX_RUNS: usize = 128;

/// Longest result that is kept, in bytes. Results of writes are small: mostly the record that was made.
pub const MAX_RESULT: usize = 64 << 10;

/// Fingerprint of a text: of a client's key, or of what a call does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// Returns the fingerprint with these bytes, a SHA-256 of something.
    #[must_use]
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Returns the fingerprint of some texts. Each counts with its length, so that no two lists of texts are alike.
    #[must_use]
    pub fn of(texts: &[&str]) -> Self {
        let mut hash = Sha256::new();
        for text in texts {
            hash.update(text.len().to_le_bytes());
            hash.update(text);
        }
        Self(hash.finalize().into())
    }

    /// Returns the fingerprint in hexadecimal digits, as stores keep it.
    #[must_use]
    pub fn to_hex(self) -> String {
        self.0.iter().fold(String::with_capacity(64), |mut hex, byte| {
            // Writing to a text can't fail.
            let _ = write!(hex, "{byte:02x}");
            hex
        })
    }
}

/// A call as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptRun {
    /// Fingerprint of what the call does, in hexadecimal digits.
    pub digest: String,
    /// How far the call has come.
    pub state: RunState,
}

/// How far a call has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunState {
    /// The call runs on the replica of this name; a server that stands alone has none.
    Running {
        /// Name of the replica.
        replica: String,
    },
    /// The call has given this result; none where it was too long to keep.
    Done {
        /// Result as JSON.
        result: Option<String>,
    },
    /// Nobody knows whether the call was run: its answer was lost, or the replica that ran it.
    Unknown,
}

impl RunState {
    /// Returns the state as stores write it: a word, and the replica or the result.
    pub(super) fn to_parts(&self) -> (&'static str, String) {
        match self {
            Self::Running { replica } => ("running", replica.clone()),
            Self::Done { result: Some(result) } if result.len() <= MAX_RESULT => ("done", result.clone()),
            // Noted as done without its result: a repeat must not run a second time because the first had much to say.
            Self::Done { .. } => ("long", String::new()),
            Self::Unknown => ("unknown", String::new()),
        }
    }

    /// Reads a state that a store has written. A word of a later version says no more than that the call is known.
    pub(super) fn from_parts(word: &str, rest: String) -> Self {
        match word {
            "running" => Self::Running { replica: rest },
            "done" => Self::Done { result: Some(rest) },
            "long" => Self::Done { result: None },
            _ => Self::Unknown,
        }
    }
}
