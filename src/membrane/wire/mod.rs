//! Connections to the upstream: TCP and TLS, HTTP/1.1 or HTTP/2.
//!
//! [`Connector`] opens them for `awc`. Over HTTP/1.1 a [`guard`] stands between a connection and `awc`: it tracks where each
//! response ends and passes nothing on that no request asked for, so that a response can only reach the request it belongs
//! to. docs/decisions/awc-and-interim-responses.md tells why `awc` needs that.

mod chunks;
mod connector;
mod guard;
mod head;
mod idle;
mod responses;
mod stream;
mod tls;
mod violation;

pub use connector::{Connector, Protocol};
pub(super) use tls::is_of_tls;
pub use tls::{CaFileError, UpstreamTls};
