//! A cluster: nodes by which the others are found, and connections to all of them.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use redis::{
    Cmd, ConnectionAddr, ConnectionInfo, RedisResult, TlsCertificates, Value,
    cluster::{ClusterClient, ClusterClientBuilder},
    cluster_async::ClusterConnection,
    from_redis_value_ref,
};

/// Attempts of the client of a cluster before the whole connection is made anew, and the milliseconds between them.
const RETRIES: u32 = 8;
const PAUSE_MS: u64 = 20;

/// Nodes of a cluster, as far as they are known.
pub(super) struct Cluster {
    seeds: Vec<ConnectionInfo>,
    certificates: Option<TlsCertificates>,
    /// Nodes that the cluster named when it was last connected to. All seeds may be away by the next time.
    found: Mutex<Vec<(String, u16)>>,
}

impl Cluster {
    /// Returns the cluster of some nodes.
    ///
    /// # Errors
    /// An error of the client, for addresses that don't go together.
    pub(super) fn new(seeds: Vec<ConnectionInfo>, certificates: Option<TlsCertificates>) -> RedisResult<Self> {
        let cluster = Self { seeds, certificates, found: Mutex::default() };
        cluster.builder(Duration::MAX).build()?;
        Ok(cluster)
    }

    /// Returns the nodes of the settings.
    pub(super) fn seeds(&self) -> &[ConnectionInfo] {
        &self.seeds
    }

    /// Returns a builder of clients whose requests take this long at most.
    pub(super) fn builder(&self, timeout: Duration) -> ClusterClientBuilder {
        let mut nodes = self.seeds.clone();
        if let Some(first) = self.seeds.first() {
            let found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
            let infos =
                found.iter().map(|(host, port)| first.clone().set_addr(like(first.addr(), host.clone(), *port)));
            nodes.extend(infos.filter(|info| !self.seeds.iter().any(|seed| seed.addr() == info.addr())));
        }
        let builder = ClusterClientBuilder::new(nodes).connection_timeout(timeout / 5).response_timeout(timeout / 2);
        match &self.certificates {
            Some(certificates) => builder.certs(certificates.clone()),
            None => builder,
        }
    }

    /// Connects to all nodes that answer.
    ///
    /// A node that hangs is waited for twice, first as one that may know the others. That and an attempt before, which has a
    /// third of a request's time, leave time for another.
    pub(super) async fn connect(&self, timeout: Duration) -> RedisResult<ClusterConnection> {
        let builder = self.builder(timeout).overall_response_timeout(None).retries(RETRIES);
        let client: ClusterClient = builder.min_retry_wait(PAUSE_MS).max_retry_wait(5 * PAUSE_MS).build()?;
        let mut connection = client.get_async_connection().await?;
        let mut ask = Cmd::new();
        ask.arg("CLUSTER").arg("SLOTS");
        if let Ok(slots) = ask.query_async::<Value>(&mut connection).await {
            *self.found.lock().unwrap_or_else(PoisonError::into_inner) = nodes(&slots);
        }
        Ok(connection)
    }
}

/// Returns an address of the same kind.
fn like(other: &ConnectionAddr, host: String, port: u16) -> ConnectionAddr {
    match other {
        ConnectionAddr::TcpTls { insecure, tls_params, .. } => {
            ConnectionAddr::TcpTls { host, port, insecure: *insecure, tls_params: tls_params.clone() }
        }
        _ => ConnectionAddr::Tcp(host, port),
    }
}

/// Returns the addresses in an answer to `CLUSTER SLOTS`: for each range of slots its first and last, and its nodes, each a list
/// that begins with host and port. A node that does not know its own host is left out.
fn nodes(slots: &Value) -> Vec<(String, u16)> {
    let parts = |value: &Value| if let Value::Array(parts) = value { parts.clone() } else { Vec::new() };
    let nodes = parts(slots).iter().flat_map(|range| parts(range).into_iter().skip(2)).collect::<Vec<_>>();
    let address = |node: &Value| match &*parts(node) {
        [host, port, ..] => from_redis_value_ref::<String>(host).ok().zip(from_redis_value_ref(port).ok()),
        _ => None,
    };
    let mut addresses: Vec<_> = nodes.iter().filter_map(address).filter(|(host, _)| !host.is_empty()).collect();
    addresses.sort();
    addresses.dedup();
    addresses
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_read_from_slots() {
        let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let node = |host, port| Value::Array(vec![text(host), Value::Int(port), text("id"), Value::Array(vec![])]);
        let range = |nodes: &[Value]| Value::Array([&[Value::Int(0), Value::Int(9)], nodes].concat());
        let slots = Value::Array(vec![
            range(&[node("b", 2), node("a", 1)]),
            range(&[node("a", 1), node("", 3), Value::Array(vec![Value::Nil, Value::Int(4)])]),
        ]);
        assert_eq!(nodes(&slots), [("a".to_owned(), 1), ("b".to_owned(), 2)]);
        assert_eq!(nodes(&Value::Nil), []);
    }
}
