//! Text that must never be shown: access tokens and keys.

use std::{borrow::Cow, fmt, sync::Arc};

use serde::{Deserialize, Serialize, Serializer};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// Text that stands for a secret wherever one would be shown.
const HIDDEN: &str = "(hidden)";

/// A secret text. `Debug`, `Display` and serialisation hide it; only [`Secret::reveal`] shows it.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(Arc<str>);

impl Secret {
    /// Takes a text that is secret from here on.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// Returns the secret itself: for the wire and for cryptography, nothing else.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Returns a text in which nothing shows the secret.
    #[must_use]
    pub fn hide_in<'a>(&self, text: &'a str) -> Cow<'a, str> {
        match !self.is_empty() && text.contains(self.reveal()) {
            true => text.replace(self.reveal(), HIDDEN).into(),
            false => text.into(),
        }
    }

    /// Returns whether the text is empty, which settings use for "not set".
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns whether the text is this secret, in a time that tells nothing of where they differ.
    #[must_use]
    pub fn is(&self, text: &str) -> bool {
        let (own, other) = (self.fingerprint(), Self::new(text).fingerprint());
        own.0.ct_eq(&other.0).into()
    }

    /// Returns a one-way fingerprint by which the secret can be remembered.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.0)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(if self.is_empty() { "" } else { HIDDEN })
    }
}

/// SHA-256 of a secret, by which it can be remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// Returns the fingerprint of a secret text.
    #[must_use]
    pub fn of(text: &str) -> Self {
        Self(Sha256::digest(text.as_bytes()).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_shows_nowhere() {
        let secret = Secret::new("s3cret");
        assert_eq!(format!("{secret:?}"), HIDDEN);
        assert_eq!(secret.hide_in("a s3cret, the s3cret"), "a (hidden), the (hidden)");
        assert_eq!(Secret::new("").hide_in("text"), "text");
        assert!(secret.is("s3cret") && !secret.is("s3cre") && !secret.is(""));
        assert_eq!(serde_json::to_string(&secret).unwrap(), "\"(hidden)\"");
    }
}
