//! Facts on a server that starts, for a person at the terminal: they fit on a screen of 80 columns and 24 lines.

use std::{
    fmt,
    io::{self, Write as _},
    net::{Ipv4Addr, SocketAddr},
};

use crate::{
    config::Settings,
    sandbox::{KeyLife, Sandbox, token},
    secret::Secret,
};

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Returns the address as a client on this machine would write it.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(Ipv4Addr::LOCALHOST.into());
    }
    address
}

/// Addresses on which a server listens.
#[derive(Debug, Clone, Copy)]
pub struct Addresses {
    /// Address that clients use, with `/mcp` below it.
    pub clients: SocketAddr,
    /// Address of metrics and health, for operators.
    pub operators: SocketAddr,
}

impl fmt::Display for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (clients, operators) = (reachable(self.clients), reachable(self.operators));
        writeln!(f, "  Page           http://{clients}/ (how to connect each client)")?;
        writeln!(f, "  MCP endpoint   http://{clients}/mcp")?;
        write!(f, "  Operators      http://{operators}/metrics")
    }
}

/// Writes a text for a person. Whoever has read enough of it closes the pipe, which is no reason to stop.
fn show(text: &str) {
    let _ = io::stdout().write_all(text.as_bytes());
}

/// Prints where the server is and what it works with.
pub fn print(addresses: Addresses, settings: &Settings) {
    let sessions = match (settings.store.url.is_empty(), settings.store.path.as_os_str().is_empty()) {
        (false, _) => "in the Redis of store.url".to_owned(),
        (true, true) => "in memory".to_owned(),
        (true, false) => format!("kept in {}", settings.store.path.display()),
    };
    let mode = match settings.auth.workspace_secret.is_empty() {
        true => "each is shown to the upstream before it counts",
        false => "those of the workspace are trusted by their signature",
    };
    let upstream = &settings.membrane.base_url;
    show(&format!(
        "\
Integration App MCP Server {VERSION}

{addresses}
  Upstream       {upstream}
  Sessions       {sessions}
  Tokens         {mode}

Stop it with Ctrl-C.

"
    ));
}

/// Prints where the server is, a token of the `guest`, and what to try. `program` is how the program was called.
pub fn print_sandbox(addresses: Addresses, sandbox: &Sandbox, guest: &Secret, program: &str) {
    let url = format!("http://{}/mcp", reachable(addresses.clients));
    let token = guest.reveal();
    let days = token::LIFE.as_secs() / (24 * 60 * 60);
    let life = match sandbox.kept {
        KeyLife::ForGood => format!("good for {days} days"),
        KeyLife::WhileItRuns => "good until the server stops".to_owned(),
    };
    let secret = match sandbox.kept {
        KeyLife::ForGood => String::new(),
        KeyLife::WhileItRuns => format!(" --secret {}", sandbox.secret.reveal()),
    };
    let ask = sandbox
        .unconnected
        .as_ref()
        .map_or_else(String::new, |app| format!("Or connect an agent as the page shows, and have it connect {app}.\n"));
    show(&format!(
        "\
Integration App MCP Server {VERSION}, with the sandbox's sample apps

{addresses}

Call a tool from another terminal ({life}):
export TOKEN={token}
curl -s {url} -H \"Authorization: Bearer $TOKEN\" \\
 -H 'Content-Type: application/json' -H 'MCP-Protocol-Version: 2026-07-28' \\
 -H 'Mcp-Method: tools/call' -H 'Mcp-Name: slack_list-channels' -d '{{\"id\":1,
 \"jsonrpc\":\"2.0\",\"method\":\"tools/call\",\"params\":{{\"name\":\"slack_list-channels\",
 \"_meta\":{{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\",
 \"io.modelcontextprotocol/clientCapabilities\":{{}}}}}}}}'
{ask}
Another user: {program} token --user bob{secret}
Stop it with Ctrl-C.

"
    ));
}
