//! Messages of channels, by a connection that does nothing else.

use futures_util::StreamExt;
use redis::{
    Client, ProtocolVersion, PushInfo, PushKind, RedisResult, Value,
    aio::{PubSubSink, PubSubStream},
    cluster::ClusterClientBuilder,
    cluster_async::ClusterConnection,
};
use tokio::sync::broadcast;

/// Messages that may wait to be read on a cluster. Beyond them the subscription is given up.
const WAITING: usize = 4096;

/// Subscription to some channels.
pub(super) enum Subscription {
    /// At one server.
    Server(PubSubSink, PubSubStream),
    /// At the node of a cluster that has the slot of the channels.
    Cluster {
        /// Handle that is kept because the connection ends with the last of them.
        _connection: ClusterConnection,
        /// Messages, and word of what became of the connection.
        pushes: broadcast::Receiver<PushInfo>,
    },
}

impl Subscription {
    /// Subscribes at a server.
    pub(super) async fn on_server(client: &Client, channels: &[String]) -> RedisResult<Self> {
        let (mut sink, stream) = client.get_async_pubsub().await?.split();
        sink.subscribe(channels).await?;
        Ok(Self::Server(sink, stream))
    }

    /// Subscribes on a cluster to sharded channels (Redis 7), which go to the node of their slot and not to all.
    ///
    /// No command goes by the same connection: the client takes the word that a channel has moved away for the answer to
    /// one that is under way.
    pub(super) async fn on_cluster(builder: ClusterClientBuilder, channels: &[String]) -> RedisResult<Self> {
        let (pushed, pushes) = broadcast::channel(WAITING);
        let builder = builder.use_protocol(ProtocolVersion::RESP3).push_sender(pushed);
        let mut connection = builder.build()?.get_async_connection().await?;
        connection.ssubscribe(channels).await?;
        Ok(Self::Cluster { _connection: connection, pushes })
    }

    /// Returns the next message. It may be dropped while it waits.
    ///
    /// # Errors
    /// A reason, where the subscription is over.
    pub(super) async fn next(&mut self) -> Result<Vec<u8>, String> {
        match self {
            Self::Server(_, messages) => {
                let message = messages.next().await.ok_or("the connection has ended")?;
                Ok(message.get_payload_bytes().to_vec())
            }
            Self::Cluster { pushes, .. } => loop {
                let push = pushes.recv().await.map_err(|error| error.to_string())?;
                match (push.kind, push.data.into_iter().next_back()) {
                    (PushKind::SMessage, Some(Value::BulkString(message))) => return Ok(message),
                    // The client would not subscribe again where the slot has gone.
                    (PushKind::SUnsubscribe, _) => return Err("the channels have moved".to_owned()),
                    (PushKind::Disconnection, _) => return Err("a connection has ended".to_owned()),
                    _ => {}
                }
            },
        }
    }

    /// Checks that the server still answers by this connection; nothing of the kind is known of a cluster.
    pub(super) async fn ping(&mut self) -> RedisResult<()> {
        match self {
            Self::Server(sink, _) => sink.ping::<Value>().await.map(|_pong| ()),
            Self::Cluster { .. } => Ok(()),
        }
    }
}
