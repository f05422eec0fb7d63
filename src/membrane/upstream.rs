//! State that all clients of the process share: the upstream is one, however many threads ask it.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use awc::http::Uri;
use tokio::sync::broadcast;
use url::Url;
use uuid::Uuid;

use super::{
    authorization_server::{AuthorizationServer, Discovered},
    background::Background,
    breaker::Breaker,
    interner::Interner,
    kept::{Keeper, Shelf},
    pool::Pool,
    retry::Budget,
    switch::Switch,
    turns::{Share, Turns},
    webhook::Changed,
    wire::{CaFileError, Protocol, UpstreamTls},
};
use crate::config::Settings;

/// Changes kept for a waiter that is slow; one who misses some looks for itself.
const CHANGES: usize = 64;

/// Why nothing can be asked of the upstream.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// `membrane.base_url` is no URL.
    #[error("membrane.base_url is no URL of a server: {0}")]
    Url(String),
    /// The authorities that it names can't be read.
    #[error(transparent)]
    CaFile(#[from] CaFileError),
}

/// State that all workers share of the upstream. See the [module](self).
#[derive(Debug)]
pub struct Upstream {
    /// URL of the API, without a trailing path.
    pub(super) url: Uri,
    /// The same, as addresses of requests begin.
    bases: Bases,
    /// How TLS is spoken with it, where it is.
    pub(super) tls: Option<UpstreamTls>,
    /// Source of the names of requests.
    pub(super) tags: RequestTags,
    /// Whether it is to be asked at all.
    pub(super) breaker: Breaker,
    /// How much may be sent again.
    pub(super) budget: Budget,
    /// The reads that may be in flight.
    pub(super) reads: Arc<Turns>,
    /// The loads that may go on while no request waits for them.
    pub(super) background: Background,
    /// The tools that were loaded, each set once.
    pub(super) tools: Interner,
    /// Tools that are kept outside this process, where they are.
    pub(super) keeper: Option<Arc<Keeper>>,
    /// Threads for work on large messages.
    pub(super) pool: Pool,
    /// Whether it has connection requests, as far as is known.
    pub(super) connecting: Switch,
    /// Users whose connections have changed, for those who wait for that.
    changes: broadcast::Sender<Arc<Changed>>,
    /// Authorization server that it names, if it does.
    pub(super) discovered: Discovered,
}

/// URL of the API for requests over HTTP/1.1, and over HTTP/2.
#[derive(Debug)]
struct Bases {
    http_1: String,
    http_2: String,
}

impl Bases {
    /// Writes the URLs of an API that is asked with TLS or without: `awc` takes `http` for HTTP/1.1 and `https` for HTTP/2.
    fn of(url: &Uri, has_tls: bool) -> Self {
        let authority = url.authority().map_or("", |authority| authority.as_str());
        let path = url.path().trim_end_matches('/');
        // awc is given `http` for HTTP/1.1 over TLS as well, and would connect to port 80.
        let port = if has_tls && url.port().is_none() { ":443" } else { "" };
        Self { http_1: format!("http://{authority}{port}{path}"), http_2: format!("https://{authority}{path}") }
    }
}

impl Upstream {
    /// Returns the pool for work that would keep a worker too long.
    #[must_use]
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Tells those who wait that connections of some users have changed.
    pub fn tell_changed(&self, changed: Arc<Changed>) {
        // An error means that no call waits for a change, which is the rule.
        let _ = self.changes.send(changed);
    }

    /// Returns the changes of connections from now on.
    #[must_use]
    pub fn changes(&self) -> broadcast::Receiver<Arc<Changed>> {
        self.changes.subscribe()
    }

    /// Returns the authorization server that the upstream named when it was last asked.
    #[must_use]
    pub fn authorization_server(&self) -> Option<Arc<AuthorizationServer>> {
        self.discovered.get()
    }

    /// Returns whether this server can sign users in: where it can register, and redeem codes, at the upstream's own host. It sends
    /// nothing to other hosts that a document names.
    #[must_use]
    pub fn can_sign_in(&self, server: &AuthorizationServer) -> bool {
        self.own_path(&server.token_endpoint).is_some() && self.registration_path(server).is_some()
    }

    pub(super) fn registration_path(&self, server: &AuthorizationServer) -> Option<String> {
        server.registration_endpoint.as_deref().and_then(|endpoint| self.own_path(endpoint))
    }

    /// Returns the path and query of an address on the upstream's host.
    pub(super) fn own_path(&self, address: &str) -> Option<String> {
        let own = Url::parse(&self.url.to_string()).ok()?;
        let url = Url::parse(address).ok().filter(|url| url.origin() == own.origin())?;
        Some(url[url::Position::BeforePath..url::Position::AfterQuery].to_owned())
    }

    /// Returns an upstream of which nothing is known yet.
    ///
    /// # Errors
    /// [`UpstreamError`].
    pub fn new(settings: &Settings) -> Result<Self, UpstreamError> {
        let url: Uri = settings.membrane.base_url.parse().map_err(|error| UpstreamError::Url(format!("{error}")))?;
        if url.authority().is_none() {
            return Err(UpstreamError::Url("it names no host".to_owned()));
        }
        let own = Some(settings.membrane.ca_file.as_path()).filter(|path| *path != Path::new(""));
        // Read once for all workers: a file of authorities that can't be read stops the start.
        let tls = match url.scheme_str() {
            Some("https") => Some(UpstreamTls::new(own)?),
            _ => None,
        };
        Ok(Self {
            bases: Bases::of(&url, tls.is_some()),
            url,
            tls,
            tags: RequestTags::new(),
            breaker: Breaker::new(settings.tuning.breaker_failures, settings.tuning.breaker_pause),
            budget: Budget::default(),
            reads: Turns::adaptive(
                settings.tuning.max_reads,
                Share::AtMost(settings.tuning.max_reads_per_user),
                settings.tuning.max_retry_wait,
            ),
            background: Background::new(),
            tools: Interner::default(),
            keeper: None,
            pool: Pool::default(),
            connecting: Switch::default(),
            changes: broadcast::Sender::new(CHANGES),
            discovered: Discovered::default(),
        })
    }

    /// Returns the upstream as one whose users' tools are kept on a shelf for a time; not at all if that is zero.
    #[must_use]
    pub fn kept_on(self, shelf: Arc<dyn Shelf>, ttl: Duration) -> Self {
        let base = self.bases.http_1.clone();
        let keeper = (!ttl.is_zero()).then(|| Arc::new(Keeper::new(shelf, ttl, &base)));
        Self { keeper, ..self }
    }

    /// Returns the address of a path as `awc` wants it.
    pub(super) fn address(&self, protocol: Protocol, path: &str) -> String {
        let base = match protocol {
            Protocol::Http1 => &self.bases.http_1,
            Protocol::Http2 => &self.bases.http_2,
        };
        [base.as_str(), path].concat()
    }

    /// Returns the paths at which a document of all issuers may be: between host and path of the API's URL (RFC 8414 § 3.1), and
    /// after its path, where many servers have it.
    pub(super) fn metadata_paths(&self, well_known: &str) -> Vec<String> {
        // RFC 8414 puts the well-known part before the path. OpenID Connect puts it behind, and many servers do so for
        // both.
        match self.url.path().trim_end_matches('/') {
            "" => vec![well_known.to_owned()],
            path => vec![[well_known, path].concat(), [path, well_known].concat()],
        }
    }

    /// Returns the address of a path of the host, whatever path the API is below.
    pub(super) fn address_of_host(&self, protocol: Protocol, path: &str) -> String {
        let base = self.address(protocol, "");
        let own = self.url.path().trim_end_matches('/');
        [base.strip_suffix(own).unwrap_or(&base), path].concat()
    }

    /// Returns whether it has failed so often that it is left alone.
    #[must_use]
    pub fn is_breaker_open(&self) -> bool {
        self.breaker.is_open()
    }
}

/// Names for the requests of this process, by which an answer to another one is told from that to this one where the upstream
/// repeats them.
#[derive(Debug)]
pub(super) struct RequestTags {
    process: String,
    next: AtomicU64,
}

impl RequestTags {
    fn new() -> Self {
        Self { process: format!("{}-", Uuid::new_v4().simple()), next: AtomicU64::new(1) }
    }

    /// Returns a name that no request has had.
    pub(super) fn next(&self) -> String {
        [self.process.as_str(), &self.next.fetch_add(1, Ordering::Relaxed).to_string()].concat()
    }

    /// Returns whether `id` names a request of this process other than that of `tag`. An upstream may well give ids of its own.
    pub(super) fn is_of_another(&self, id: &str, tag: &str) -> bool {
        id != tag && id.starts_with(&self.process)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Sources, load};

    fn upstream(url: &str) -> Result<Upstream, UpstreamError> {
        let mut settings = load(&Sources::default()).unwrap();
        url.clone_into(&mut settings.membrane.base_url);
        Upstream::new(&settings)
    }

    #[test]
    fn an_address_keeps_host_port_and_path_of_the_upstream() {
        rustls::crypto::ring::default_provider().install_default().ok();
        let cases = [
            ("http://host", Protocol::Http1, "http://host/self"),
            ("http://host:81/api/", Protocol::Http1, "http://host:81/api/self"),
            ("https://host", Protocol::Http1, "http://host:443/self"),
            ("https://host:444", Protocol::Http1, "http://host:444/self"),
            ("https://host/api", Protocol::Http2, "https://host/api/self"),
            ("https://[::1]", Protocol::Http1, "http://[::1]:443/self"),
        ];
        for (url, protocol, expected) in cases {
            assert_eq!(upstream(url).unwrap().address(protocol, "/self"), expected, "{url}");
        }
        assert!(upstream("https://").is_err());
    }

    #[test]
    fn metadata_is_looked_for_where_issuers_have_it() {
        rustls::crypto::ring::default_provider().install_default().ok();
        let cases: [(&str, &[&str]); 3] = [
            ("http://host", &["http://host/.well-known/x"]),
            ("http://host:81/", &["http://host:81/.well-known/x"]),
            ("https://host/api/", &["https://host/.well-known/x/api", "https://host/api/.well-known/x"]),
        ];
        for (url, expected) in cases {
            let upstream = upstream(url).unwrap();
            let paths = upstream.metadata_paths("/.well-known/x");
            let protocol = if upstream.tls.is_some() { Protocol::Http2 } else { Protocol::Http1 };
            let found: Vec<_> = paths.iter().map(|path| upstream.address_of_host(protocol, path)).collect();
            assert_eq!(found, expected, "{url}");
        }
    }

    #[test]
    fn only_names_of_other_requests_of_this_process_are_of_another() {
        let (tags, others) = (RequestTags::new(), RequestTags::new());
        let (first, second) = (tags.next(), tags.next());
        assert!(!tags.is_of_another(&first, &first));
        assert!(tags.is_of_another(&first, &second));
        for id in ["", "4711", others.next().as_str()] {
            assert!(!tags.is_of_another(id, &first), "{id}");
        }
    }

    #[test]
    fn users_sign_in_where_the_upstream_itself_registers_and_redeems() {
        rustls::crypto::ring::default_provider().install_default().ok();
        let server = AuthorizationServer::usual("https://api.example.com");
        let upstream = upstream("https://api.example.com/v2").unwrap();
        assert!(upstream.can_sign_in(&server));
        for change in [
            |server: &mut AuthorizationServer| server.registration_endpoint = None,
            |server: &mut AuthorizationServer| server.registration_endpoint = Some("https://evil.example/r".to_owned()),
            |server: &mut AuthorizationServer| server.token_endpoint = "http://api.example.com/token".to_owned(),
            |server: &mut AuthorizationServer| server.token_endpoint = "https://api.example.com:8443/token".to_owned(),
        ] {
            let mut server = server.clone();
            change(&mut server);
            assert!(!upstream.can_sign_in(&server), "{server:?}");
        }
    }
}
