//! Asks the server that runs with these settings whether it is alive, for containers in which there is no other program.

use std::{
    io::{self, Read as _, Write as _},
    net::{TcpStream, ToSocketAddrs as _},
    time::Duration,
};

use crate::config::Settings;

/// More than the server gives its shards to answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Why the server does not count as alive.
#[derive(Debug, thiserror::Error)]
pub enum HealthcheckError {
    /// Both ports are drawn by the system, so that the address is not known.
    #[error("admin.port and server.port are 0, so it can't be known where the server listens")]
    NoPort,
    /// No answer came from the address.
    #[error("{address} can't be asked: {source}")]
    Unreachable {
        /// Address that the settings name.
        address: String,
        /// Error of the system or the socket.
        source: io::Error,
    },
    /// The server answers that it is not healthy.
    #[error("{address} answers {answer:?}")]
    Unhealthy {
        /// Address that answered.
        address: String,
        /// The first line of its answer.
        answer: String,
    },
}

/// Asks `/healthz`, on the admin listener if that has a fixed port.
///
/// # Errors
/// [`HealthcheckError`].
pub fn check(settings: &Settings) -> Result<(), HealthcheckError> {
    let listeners = [(&settings.admin.host, settings.admin.port), (&settings.server.host, settings.server.port)];
    let (host, port) = listeners.into_iter().find(|(_, port)| port.port() != 0).ok_or(HealthcheckError::NoPort)?;
    check_at(host, port.port())
}

/// Asks `/healthz` of the server at an address of the settings.
///
/// # Errors
/// [`HealthcheckError`].
pub fn check_at(host: &str, port: u16) -> Result<(), HealthcheckError> {
    // Where a server listens on every address, it is also reached by this one.
    let host = match host {
        "0.0.0.0" => "127.0.0.1",
        "::" => "::1",
        host => host,
    };
    let address = format!("{host}:{port}");
    let answer =
        ask(host, port).map_err(|source| HealthcheckError::Unreachable { address: address.clone(), source })?;
    let first = answer.lines().next().unwrap_or_default();
    if first.split(' ').nth(1) == Some("200") {
        return Ok(());
    }
    Err(HealthcheckError::Unhealthy { address, answer: first.to_owned() })
}

fn ask(host: &str, port: u16) -> io::Result<String> {
    let address = (host, port).to_socket_addrs()?.next().ok_or(io::ErrorKind::AddrNotAvailable)?;
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(64 * 1024).read_to_string(&mut answer)?;
    Ok(answer)
}
