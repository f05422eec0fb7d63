//! Facts on a server that starts, for a person at the terminal.

use std::{
    fmt,
    net::{Ipv4Addr, SocketAddr},
};

use serde_json::json;

use crate::{
    config::Settings,
    sandbox::{Sandbox, token},
};

/// The user whose token the banner shows.
const USER: &str = "you";

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
        write!(
            f,
            "  MCP endpoint   http://{}/mcp\n  Operators      http://{}/metrics, /healthz, /readyz",
            reachable(self.clients),
            reachable(self.operators)
        )
    }
}

/// Prints where the server is and what it works with.
pub fn print(addresses: Addresses, settings: &Settings) {
    println!(
        "\
Integration App MCP Server {version}

{addresses}
  Upstream       {upstream}
  Sessions       {sessions}
  Mode           {mode}
",
        version = env!("CARGO_PKG_VERSION"),
        upstream = settings.membrane.base_url,
        sessions = match settings.store.path.as_os_str().is_empty() {
            true => "in memory".to_owned(),
            false => format!("kept in {}", settings.store.path.display()),
        },
        mode = if settings.auth.workspace_secret.is_empty() {
            "each token is shown to the upstream before it counts"
        } else {
            "tokens of the workspace are trusted by their signature"
        },
    );
}

/// Returns what to try with an app that is not connected yet.
fn to_try(app: &String) -> String {
    format!(
        "\nTo try: ask your agent to connect {app}, open the link, allow it on the sandbox's sign-in page, and go on in the chat.\n"
    )
}

/// Prints where the server is, a token, and what to paste into clients.
///
/// # Errors
/// Where no token can be signed.
pub fn print_sandbox(addresses: Addresses, sandbox: &Sandbox) -> jsonwebtoken::errors::Result<()> {
    let token = token::mint(USER, &sandbox.secret)?;
    let url = format!("http://{}/mcp", reachable(addresses.clients));
    let with_token = format!("{url}?token={token}");
    let cursor = json!({"mcpServers": {"integration-app": {"url": with_token}}});
    let vscode = json!({"servers": {"integration-app": {"type": "http", "url": with_token}}});
    println!(
        "\
Integration App MCP Server {version}, with the sandbox's sample apps

{addresses}
  Sandbox API    {upstream}
  Token          {token}
                 (user \"{USER}\", good for {days} days)

Cursor, ~/.cursor/mcp.json:
  {cursor}

Claude Code:
  claude mcp add --transport http integration-app {url} --header \"Authorization: Bearer {token}\"

VS Code, .vscode/mcp.json:
  {vscode}
{to_try}
A token for another user:
  integration-app-mcp-server token --user bob --secret {secret}
",
        version = env!("CARGO_PKG_VERSION"),
        upstream = sandbox.url,
        days = token::LIFE.as_secs() / (24 * 60 * 60),
        secret = sandbox.secret.reveal(),
        to_try = sandbox.unconnected.as_ref().map(to_try).unwrap_or_default(),
    );
    Ok(())
}
