//! `store.url`: one Redis, the nodes of a cluster, or the Sentinels that know which server is the master.

use std::fmt;

use redis::{
    Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisError, RedisResult, TlsCertificates, TlsMode,
    sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType},
};

use super::{cluster::Cluster, tls::TlsFiles};
use crate::store::StoreError;

/// Port of a Sentinel, where its address names none.
const SENTINEL_PORT: u16 = 26_379;

/// Returns the error of a store that can't be opened. The URL may hold a password, so no message quotes it.
pub(super) fn cannot_open(reason: &dyn fmt::Display) -> StoreError {
    StoreError::Open { path: "store.url".to_owned(), reason: reason.to_string() }
}

/// Address of a store, as `store.url` gives it.
pub(super) enum Address {
    /// One server, or a name that always leads to the master.
    Single(Box<Client>),
    /// Some nodes of a cluster, which tell of the others.
    Cluster(Box<Cluster>),
    /// Sentinels, asked for the master before each connection.
    Sentinel(Box<SentinelAddress>),
}

/// Sentinels, and the name by which they know the master.
pub(super) struct SentinelAddress {
    sentinels: Vec<ConnectionInfo>,
    master: String,
    database: i64,
    certificates: Option<TlsCertificates>,
    /// User and password at the Sentinels, which need not be those at Redis.
    login: [Option<String>; 2],
}

impl SentinelAddress {
    /// Returns a client that asks the Sentinels.
    pub(super) fn client(&self) -> RedisResult<SentinelClient> {
        let addresses = self.sentinels.iter().map(|sentinel| sentinel.addr().clone());
        let mut builder = SentinelClientBuilder::new(addresses, &self.master, SentinelServerType::Master)?;
        let first = self.sentinels.first();
        if let Some(redis) = first.map(ConnectionInfo::redis_settings) {
            builder = builder.set_client_to_redis_db(self.database);
            if let Some(username) = redis.username() {
                builder = builder.set_client_to_redis_username(username);
            }
            if let Some(password) = redis.password() {
                builder = builder.set_client_to_redis_password(password);
            }
        }
        let is_tls = first.is_some_and(|first| matches!(first.addr(), ConnectionAddr::TcpTls { .. }));
        if is_tls {
            builder = builder.set_client_to_redis_tls_mode(TlsMode::Secure);
            builder = builder.set_client_to_sentinel_tls_mode(TlsMode::Secure);
        }
        if let Some(certificates) = &self.certificates {
            builder = builder.set_client_to_redis_certificates(certificates.clone());
            builder = builder.set_client_to_sentinel_certificates(certificates.clone());
        }
        let [username, password] = &self.login;
        if let Some(username) = username {
            builder = builder.set_client_to_sentinel_username(username);
        }
        if let Some(password) = password {
            builder = builder.set_client_to_sentinel_password(password);
        }
        builder.build()
    }
}

/// Parts of a URL that may name several hosts, which other parsers of URLs refuse.
#[derive(Debug, PartialEq, Eq)]
struct Parts<'a> {
    scheme: &'a str,
    /// User and password with the `@` behind them, or nothing.
    login: &'a str,
    hosts: Vec<&'a str>,
    /// Parts of the path.
    path: Vec<&'a str>,
    query: &'a str,
}

impl<'a> Parts<'a> {
    fn parse(url: &'a str) -> Option<Self> {
        let (scheme, rest) = url.split_once("://")?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        // A password may hold an `@` that was not encoded, and no host does.
        let (login, hosts) = authority.split_at(authority.rfind('@').map_or(0, |at| at + 1));
        let path = path.split('/').filter(|part| !part.is_empty()).collect();
        Some(Self { scheme, login, hosts: hosts.split(',').collect(), path, query })
    }

    /// Returns the hosts as addresses of servers each, by these port and database where they name none.
    fn infos(&self, database: &str, port: Option<u16>) -> RedisResult<Vec<ConnectionInfo>> {
        let scheme = if self.scheme.starts_with("rediss") { "rediss" } else { "redis" };
        let info = |host: &&str| {
            // An IPv6 address has its colons in brackets.
            let has_port = host.rsplit(']').next().is_some_and(|end| end.contains(':'));
            let port = port.filter(|_| !has_port).map(|port| format!(":{port}")).unwrap_or_default();
            format!("{scheme}://{}{host}{port}/{database}", self.login).into_connection_info()
        };
        self.hosts.iter().map(info).collect()
    }
}

impl Address {
    /// Reads a URL, and the files that its TLS needs.
    ///
    /// # Errors
    /// [`StoreError::Open`] for a URL that can't be used, [`StoreError::TlsFile`] for a file.
    pub(super) fn parse(url: &str, files: TlsFiles<'_>) -> Result<Self, StoreError> {
        let invalid = |error: RedisError| cannot_open(&error);
        let parts = Parts::parse(url).ok_or_else(|| cannot_open(&"it is no URL"))?;
        let certificates = files.read()?;
        match (parts.scheme, &*parts.path) {
            ("redis-cluster" | "rediss-cluster", []) => {
                let seeds = parts.infos("", None).map_err(invalid)?;
                Cluster::new(seeds, certificates).map(|cluster| Self::Cluster(Box::new(cluster))).map_err(invalid)
            }
            ("redis-cluster" | "rediss-cluster", _) => Err(cannot_open(&"a cluster has no databases")),
            ("redis-sentinel" | "rediss-sentinel", [master, rest @ ..]) if rest.len() <= 1 => {
                let database = rest.first().copied().unwrap_or_default();
                let sentinels = parts.infos(database, Some(SENTINEL_PORT)).map_err(invalid)?;
                let database = sentinels.first().map_or(0, |sentinel| sentinel.redis_settings().db());
                let login = ["sentinel_username", "sentinel_password"].map(|name| {
                    let mut pairs = url::form_urlencoded::parse(parts.query.as_bytes());
                    pairs.find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
                });
                let master = (*master).to_owned();
                Ok(Self::Sentinel(Box::new(SentinelAddress { sentinels, master, database, certificates, login })))
            }
            ("redis-sentinel" | "rediss-sentinel", _) => {
                Err(cannot_open(&"its path must be the name of the master, and a database if need be"))
            }
            _ => match certificates {
                None => Client::open(url),
                Some(certificates) => Client::build_with_tls(url, certificates),
            }
            .map(|client| Self::Single(Box::new(client)))
            .map_err(invalid),
        }
    }

    /// Returns the number of the database, which channels of Redis know nothing of.
    pub(super) fn database(&self) -> i64 {
        match self {
            Self::Single(client) => client.get_connection_info().redis_settings().db(),
            Self::Cluster(_) => 0,
            Self::Sentinel(sentinel) => sentinel.database,
        }
    }

    /// Returns whether keys are spread over several servers.
    pub(super) fn is_cluster(&self) -> bool {
        matches!(self, Self::Cluster(_))
    }
}

/// Names the servers without user and password, for logs.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list =
            |infos: &[ConnectionInfo]| infos.iter().map(|info| info.addr().to_string()).collect::<Vec<_>>().join(",");
        match self {
            Self::Single(client) => write!(f, "redis at {}/{}", client.get_connection_info().addr(), self.database()),
            Self::Cluster(cluster) => write!(f, "redis cluster at {}", list(cluster.seeds())),
            Self::Sentinel(address) => {
                let SentinelAddress { sentinels, master, database, .. } = &**address;
                write!(f, "redis {master}/{database} by the sentinels at {}", list(sentinels))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(url: &str) -> Result<String, StoreError> {
        Address::parse(url, TlsFiles::default()).map(|address| address.to_string())
    }

    #[test]
    fn each_kind_of_address_is_named_without_its_password() {
        let cases = [
            ("redis://host", "redis at host:6379/0"),
            ("redis://:word@host:1/3", "redis at host:1/3"),
            ("redis-cluster://user:word@a,b:7", "redis cluster at a:6379,b:7"),
            ("redis-cluster://user:wo@rd@[::1]:7,[::2]/", "redis cluster at ::1:7,::2:6379"),
            ("rediss-cluster://a", "redis cluster at a:6379"),
            ("redis-sentinel://a,b:7/mymaster", "redis mymaster/0 by the sentinels at a:26379,b:7"),
            ("redis-sentinel://user:word@[::1]/mymaster/3", "redis mymaster/3 by the sentinels at ::1:26379"),
            ("rediss-sentinel://a/mymaster?sentinel_password=word", "redis mymaster/0 by the sentinels at a:26379"),
        ];
        for (url, named) in cases {
            assert_eq!(read(url).as_deref(), Ok(named), "{url}");
        }
    }

    #[test]
    fn an_address_that_cannot_be_used_is_refused_with_a_reason() {
        let cases = [
            ("redis-cluster://", "Missing hostname"),
            ("redis-cluster://a:b", "Redis URL did not parse"),
            ("redis-cluster://a/1", "a cluster has no databases"),
            ("redis-sentinel://a", "the name of the master"),
            ("redis-sentinel://a/mymaster/1/2", "the name of the master"),
            ("redis-sentinel://a/mymaster/word", "Invalid database number"),
        ];
        for (url, reason) in cases {
            let refused = read(url).unwrap_err().to_string();
            assert!(
                refused.starts_with("can't open the store store.url: ") && refused.contains(reason),
                "{url}: {refused}"
            );
        }
    }

    #[test]
    fn sentinels_have_users_of_their_own() {
        let url = "redis-sentinel://user:word@a/mymaster?sentinel_username=watch&sentinel_password=a%20word";
        let Ok(Address::Sentinel(address)) = Address::parse(url, TlsFiles::default()) else { panic!("it is one") };
        assert_eq!(address.login, [Some("watch".to_owned()), Some("a word".to_owned())]);
        let redis = address.sentinels[0].redis_settings();
        assert_eq!((redis.username(), redis.password()), (Some("user"), Some("word")));
        assert!(address.client().is_ok());
    }
}
