//! What a newcomer needs to begin with the sandbox.

use std::net::{Ipv4Addr, SocketAddr};

use serde_json::json;

use crate::sandbox::{Sandbox, token};

/// The user whose token the banner shows.
const USER: &str = "you";

/// The address as a client on this machine would write it.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(Ipv4Addr::LOCALHOST.into());
    }
    address
}

/// Prints where the server is, a token, and what to paste into clients.
///
/// # Errors
/// Where no token can be signed.
pub fn print(address: SocketAddr, sandbox: &Sandbox) -> jsonwebtoken::errors::Result<()> {
    let token = token::mint(USER, &sandbox.secret)?;
    let url = format!("http://{}/mcp", reachable(address));
    let with_token = format!("{url}?token={token}");
    let cursor = json!({"mcpServers": {"integration-app": {"url": with_token}}});
    let vscode = json!({"servers": {"integration-app": {"type": "http", "url": with_token}}});
    println!(
        "\
Integration App MCP Server {version}, with the sandbox's sample apps

  MCP endpoint   {url}
  Sandbox API    {upstream}
  Token          {token}
                 (user \"{USER}\", good for {days} days)

Cursor, ~/.cursor/mcp.json:
  {cursor}

Claude Code:
  claude mcp add --transport http integration-app {url} --header \"Authorization: Bearer {token}\"

VS Code, .vscode/mcp.json:
  {vscode}

A token for another user:
  integration-app-mcp-server token --user bob --secret {secret}
",
        version = env!("CARGO_PKG_VERSION"),
        upstream = sandbox.url,
        days = token::LIFE.as_secs() / (24 * 60 * 60),
        secret = sandbox.secret.reveal(),
    );
    Ok(())
}
