//! Settings of the store.

use std::{path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use super::values::millis;
use crate::secret::Secret;

/// Schemes of `store.url`: one server, the nodes of a cluster, or Sentinels, each with TLS as well.
const SCHEMES: [&str; 6] = ["redis", "rediss", "redis-cluster", "rediss-cluster", "redis-sentinel", "rediss-sentinel"];

/// Values of `store.url`, for an operator.
pub(super) const KINDS: &str =
    "empty, or a URL that begins with redis://, redis-cluster:// or redis-sentinel://, or rediss… for TLS";

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml documents each")]
pub struct Store {
    /// URL of Redis, a secret because it may hold a password.
    pub url: Secret,
    pub ca_file: PathBuf,
    pub cert_file: PathBuf,
    pub key_file: PathBuf,
    #[serde(rename = "timeout_ms", with = "millis")]
    pub timeout: Duration,
    pub path: PathBuf,
}

impl Store {
    fn scheme(&self) -> &str {
        self.url.reveal().split_once("://").map_or("", |(scheme, _)| scheme)
    }

    /// Returns whether the URL is of a kind that a store can be opened at.
    pub(super) fn is_known_kind(&self) -> bool {
        self.url.is_empty() || SCHEMES.contains(&self.scheme())
    }

    /// Returns the setting that does not go with the others, and what it may be.
    pub(super) fn conflict(&self) -> Option<(&'static str, &'static str)> {
        let files = [&self.ca_file, &self.cert_file, &self.key_file].map(|file| !file.as_os_str().is_empty());
        let keys = ["store.ca_file", "store.cert_file", "store.key_file"];
        let is_tls = self.scheme().starts_with("rediss");
        let without_tls = keys.into_iter().zip(files).find(|(_, is_set)| *is_set && !is_tls);
        if let Some((key, _)) = without_tls {
            return Some((key, "empty, unless store.url is a rediss:// URL"));
        }
        match files {
            [_, true, false] => Some(("store.key_file", "the private key of store.cert_file")),
            [_, false, true] => Some(("store.cert_file", "the certificate of store.key_file")),
            _ => None,
        }
    }
}
