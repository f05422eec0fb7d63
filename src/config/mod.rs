//! Settings: `config/default.toml`, `config/<APP_ENV>.toml`, the file given by `--config`, the environment.
//!
//! The defaults live in `config/default.toml` alone, where operators read them; a key that does not stand there does not
//! exist. What no operator turns is a constant: in `tuning` where tests turn it, else beside its code.

mod choices;
mod load;
mod proxy;
mod store;
mod tuning;
mod values;

use std::{path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

pub use choices::{ApiVersion, LogFormat, OnAmbiguous, Sharing};
pub use load::{SettingsError, Sources, load, program};
pub use proxy::unsupported_proxy;
pub use store::Store;
pub use tuning::Tuning;
pub use values::{Count, Discovery};
use values::{env_filter, list, seconds};

use crate::secret::Secret;

/// Whether traces can be sent anywhere.
const TRACES: bool = cfg!(feature = "otel");
/// Values that `telemetry.otlp_endpoint` may have, for its error.
const ENDPOINT: &str = if TRACES {
    "empty, or an http:// URL without user name, password, query and fragment"
} else {
    "empty, for this program was built without the feature otel"
};
/// Values allowed for `membrane.base_url`. It is logged and printed, so it must hold no password, and paths are appended to it.
const WEB_URL: &str = "an http:// or https:// URL without user name, password, query and fragment";

/// All settings. Each field is documented in `config/default.toml`.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml documents each")]
pub struct Settings {
    pub server: Server,
    pub admin: Admin,
    pub log: Log,
    pub membrane: Membrane,
    pub catalog: Catalog,
    pub outputs: Outputs,
    pub accounts: Accounts,
    pub auth: Auth,
    pub oauth: OAuth,
    pub connect: Connect,
    pub webhooks: Webhooks,
    pub store: Store,
    pub sessions: Sessions,
    pub streams: Streams,
    pub telemetry: Telemetry,
    pub sandbox: Sandbox,
    /// Constants. They are no settings, so they are never printed, and read from elsewhere with the feature `lab` alone.
    #[cfg_attr(feature = "lab", serde(default, skip_serializing))]
    #[cfg_attr(not(feature = "lab"), serde(skip))]
    pub tuning: Tuning,
}

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml documents each")]
pub struct Server {
    pub host: String,
    pub port: Count,
    pub workers: Count,
    #[serde(rename = "keep_alive_s", with = "seconds")]
    pub keep_alive: Duration,
    pub proxies: Count,
    pub public_path: String,
    #[serde(deserialize_with = "list")]
    pub allowed_origins: Vec<String>,
    #[serde(deserialize_with = "list")]
    pub allowed_hosts: Vec<String>,
    #[serde(rename = "shutdown_s", with = "seconds")]
    pub shutdown: Duration,
}

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml documents each")]
pub struct Admin {
    pub host: String,
    pub port: Count,
    #[serde(deserialize_with = "list")]
    pub allowed_hosts: Vec<String>,
}

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml documents each")]
pub struct Log {
    pub filter: String,
    pub format: LogFormat,
    pub arguments: bool,
}

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml documents each")]
pub struct Membrane {
    pub base_url: String,
    pub ca_file: PathBuf,
    pub api_version: ApiVersion,
    pub per_user_calls_per_s: Count,
}

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml documents each")]
pub struct Catalog {
    #[serde(rename = "fresh_s", with = "seconds")]
    pub fresh: Duration,
    pub max_bytes: Count,
    pub shared: Sharing,
}

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml documents each")]
pub struct Outputs {
    pub max_tokens: Count,
    #[serde(rename = "keep_s", with = "seconds")]
    pub keep: Duration,
}

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml documents each")]
pub struct Accounts {
    pub on_ambiguous: OnAmbiguous,
}

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml documents each")]
pub struct Auth {
    pub workspace_key: String,
    pub workspace_secret: Secret,
    #[serde(deserialize_with = "list")]
    pub workspaces: Vec<String>,
    pub seal_key: Secret,
    #[serde(rename = "trust_s", with = "seconds")]
    pub trust: Duration,
}

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml documents each")]
pub struct OAuth {
    pub enabled: Discovery,
    pub public_url: String,
}

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml documents each")]
pub struct Connect {
    pub interstitial: bool,
}

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml documents each")]
pub struct Webhooks {
    pub secret: Secret,
}

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml documents each")]
pub struct Sessions {
    #[serde(rename = "retention_s", with = "seconds")]
    pub retention: Duration,
    pub max_per_user: Count,
    pub max: Count,
}

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml documents each")]
pub struct Streams {
    pub max_per_user: Count,
}

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml documents each")]
pub struct Telemetry {
    pub otlp_endpoint: String,
}

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml documents each")]
pub struct Sandbox {
    pub enabled: bool,
    pub port: Count,
    pub secret: Secret,
    pub catalog: PathBuf,
}

/// A value that a setting can't have.
#[derive(Debug, PartialEq, Eq)]
pub struct InvalidSetting {
    /// Key of the setting, such as `server.port`.
    pub key: &'static str,
    /// Values that the setting may have.
    pub allowed: &'static str,
}

impl Settings {
    /// Returns the settings whose values are of the right type but out of range.
    #[must_use]
    pub fn faults(&self) -> Vec<InvalidSetting> {
        let port = |n: Count| u16::try_from(n.0).is_ok();
        let some = |n: Count| n.0 > 0;
        let time = |d: Duration| !d.is_zero();
        let web = |url: &str| plain_url(url, &["http", "https"]);
        let secret = |secret: &Secret, length| secret.is_empty() || secret.reveal().len() >= length;
        let address = |host: &str| host.parse::<std::net::IpAddr>().is_ok() || host == "localhost";
        let path = &self.server.public_path;
        let path = path.is_empty() || (path.starts_with('/') && !path.ends_with('/'));
        let endpoint = &self.telemetry.otlp_endpoint;
        let checks = [
            ("server.host", address(&self.server.host), "an IP address or localhost"),
            ("server.port", port(self.server.port), "a number from 0 to 65535"),
            ("server.workers", self.server.workers.0 <= 1024, "a number from 0 to 1024"),
            ("server.keep_alive_s", time(self.server.keep_alive), "a number from 1"),
            ("server.public_path", path, "empty, or a path that begins but does not end with /"),
            ("admin.host", address(&self.admin.host), "an IP address or localhost"),
            ("admin.port", port(self.admin.port), "a number from 0 to 65535"),
            (
                "log.filter",
                env_filter(&self.log.filter),
                "a level (off, error, warn, info, debug, trace) or a list of module=level",
            ),
            ("membrane.base_url", web(&self.membrane.base_url), WEB_URL),
            ("membrane.per_user_calls_per_s", some(self.membrane.per_user_calls_per_s), "a number from 1"),
            ("catalog.max_bytes", some(self.catalog.max_bytes), "a number from 1"),
            ("outputs.max_tokens", self.outputs.max_tokens.get() >= 300, "a number from 300"),
            ("outputs.keep_s", self.outputs.keep.as_secs() <= 86_400, "a number to 86400"),
            ("auth.trust_s", (1..=300).contains(&self.auth.trust.as_secs()), "a number from 1 to 300"),
            ("auth.seal_key", secret(&self.auth.seal_key, 32), "empty, or at least 32 characters long"),
            (
                "oauth.public_url",
                self.oauth.public_url.is_empty() || web(&self.oauth.public_url),
                "empty, or an http:// or https:// URL without user name, password, query and fragment",
            ),
            ("store.url", self.store.is_known_kind(), store::KINDS),
            ("store.timeout_ms", time(self.store.timeout), "a number from 1"),
            ("webhooks.secret", secret(&self.webhooks.secret, 16), "empty, or at least 16 characters long"),
            ("sessions.retention_s", time(self.sessions.retention), "a number from 1"),
            ("sessions.max_per_user", some(self.sessions.max_per_user), "a number from 1"),
            ("sessions.max", some(self.sessions.max), "a number from 1"),
            ("streams.max_per_user", some(self.streams.max_per_user), "a number from 1"),
            ("telemetry.otlp_endpoint", endpoint.is_empty() || (TRACES && plain_url(endpoint, &["http"])), ENDPOINT),
            ("sandbox.port", port(self.sandbox.port), "a number from 0 to 65535"),
            // Timers whose period is nothing panic, also where a test sets it.
            ("tuning.progress_ms", time(self.tuning.progress), "a number from 1"),
            ("tuning.session_idle_s", time(self.tuning.session_idle), "a number from 1"),
            ("tuning.stream_keep_alive_s", time(self.tuning.stream_keep_alive), "a number from 1"),
        ];
        let faulty = checks.into_iter().filter(|(_, sound, _)| !sound);
        faulty.map(|(key, _, allowed)| InvalidSetting { key, allowed }).collect()
    }
}

impl Settings {
    /// Returns the settings that do not go together, which only shows when all sources are read.
    #[must_use]
    pub fn conflict(&self) -> Option<InvalidSetting> {
        if let Some((key, allowed)) = self.store.conflict() {
            return Some(InvalidSetting { key, allowed });
        }
        let (key, secret) = (self.auth.workspace_key.is_empty(), self.auth.workspace_secret.is_empty());
        if key != secret {
            let key = if key { "auth.workspace_key" } else { "auth.workspace_secret" };
            let allowed = "set, as the other of auth.workspace_key and auth.workspace_secret is";
            return Some(InvalidSetting { key, allowed });
        }
        let workspaces = &self.auth.workspaces;
        (!key && !workspaces.is_empty() && !workspaces.contains(&self.auth.workspace_key)).then_some(InvalidSetting {
            key: "auth.workspaces",
            allowed: "empty, or a list that holds auth.workspace_key",
        })
    }
}

/// Returns whether a text is a URL of one of these schemes that has no more than host, port and path.
fn plain_url(text: &str, schemes: &[&str]) -> bool {
    let Ok(url) = url::Url::parse(text) else { return false };
    let has_more = url.query().is_some() || url.fragment().is_some();
    let has_user = !url.username().is_empty() || url.password().is_some();
    text.contains("://") && schemes.contains(&url.scheme()) && url.has_host() && !has_more && !has_user
}
