//! The command line.

use std::{
    io::{self, IsTerminal as _, Write as _},
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
};

use clap::{Parser, Subcommand};

#[cfg(feature = "otel")]
use crate::trace;
use crate::{
    banner::{self, Addresses},
    config::{self, Settings, Sources},
    doctor, healthcheck, logging,
    sandbox::{KeyLife, Sandbox, token},
    secret::Secret,
    server::{Server, install_tls},
};

/// Serves the apps that users have connected on Membrane (Integration.app) as MCP tools for AI agents.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    /// A file with settings; see config/default.toml for all there are
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Serve sample apps instead of the real Membrane: works without an account
    #[arg(long, global = true)]
    sandbox: bool,
    /// Address to listen on, in place of server.host
    #[arg(long, global = true, value_name = "ADDRESS")]
    host: Option<String>,
    /// Port to listen on, in place of server.port
    #[arg(long, global = true, value_name = "NUMBER")]
    port: Option<u16>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server (the default)
    Serve,
    /// Print the settings in effect, secrets hidden
    CheckConfig,
    /// Ask the server that runs with the same settings whether it is alive
    Healthcheck,
    /// Examine settings, addresses and the upstream, and say what to do
    Doctor {
        /// A token to examine, which is never printed; - reads it from standard input
        #[arg(long, value_name = "TOKEN")]
        token: Option<String>,
    },
    /// Mint a token for the sandbox
    Token {
        /// The user it is to speak for
        #[arg(long, value_name = "ID")]
        user: String,
        /// The key to sign with; the setting sandbox.secret where this is missing
        #[arg(long, value_name = "S")]
        secret: Option<String>,
    },
}

/// Does what the command line asks for.
#[must_use]
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    match execute(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// User of the sandbox for whom its banner and its pages hold a token.
const GUEST: &str = "you";

type Failure = Box<dyn std::error::Error>;

fn execute(cli: Cli) -> Result<(), Failure> {
    let mut settings = config::load(&Sources { host: cli.host, port: cli.port, ..Sources::of_process(cli.config) })?;
    settings.sandbox.enabled |= cli.sandbox;
    match cli.command.unwrap_or(Command::Serve) {
        Command::Serve => serve(settings),
        Command::CheckConfig => {
            show(toml::to_string(&settings)?.trim_end())?;
            Ok(())
        }
        Command::Healthcheck => Ok(healthcheck::check(&settings)?),
        Command::Doctor { token } => examine(settings, token),
        Command::Token { user, secret } => {
            let given = secret.map(|secret| Secret::new(&secret));
            let secret = given.or_else(|| key_of_sandbox(&settings)).ok_or_else(|| {
                let folder = settings.store.path.display();
                format!(
                    "no signing key: pass --secret, or set sandbox.secret. A sandbox that has run keeps its own in {folder:?}, \
                     else its banner shows it"
                )
            })?;
            show(&token::mint(&user, &secret)?)?;
            Ok(())
        }
    }
}

/// Writes a line to standard output. A reader who has read enough and closed the pipe is no failure.
fn show(line: &str) -> io::Result<()> {
    match writeln!(io::stdout(), "{line}") {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

/// Returns the key of the sandbox that has these settings, where that is known before it runs.
fn key_of_sandbox(settings: &Settings) -> Option<Secret> {
    match settings.sandbox.secret.is_empty() {
        true => token::kept_secret(&settings.store.path),
        false => Some(settings.sandbox.secret.clone()),
    }
}

/// Returns what ends with the server, though a user may count on it.
fn fleeting(settings: &Settings, sandbox: Option<&Sandbox>) -> Vec<&'static str> {
    let is_in_memory = settings.store.url.is_empty() && settings.store.path.as_os_str().is_empty();
    let has_drawn_key = sandbox.is_some_and(|sandbox| sandbox.kept == KeyLife::WhileItRuns);
    [
        (is_in_memory, "sessions, chats and their enabled tools (set store.path or store.url)"),
        (has_drawn_key, "the sandbox's tokens (set store.path or sandbox.secret)"),
        (sandbox.is_some(), "what the sandbox's apps hold"),
    ]
    .into_iter()
    .filter_map(|(ends, what)| ends.then_some(what))
    .collect()
}

fn examine(mut settings: Settings, token: Option<String>) -> Result<(), Failure> {
    let token = match token.as_deref() {
        Some("-") => Some(io::read_to_string(io::stdin())?),
        _ => token,
    };
    let token = token.map(|token| Secret::new(token.trim()));
    install_tls();
    let findings = actix_web::rt::System::new().block_on(async {
        let sandbox = start_sandbox(&mut settings)?;
        let findings = doctor::examine(&settings, token.as_ref()).await;
        if let Some(sandbox) = sandbox {
            sandbox.stop().await;
        }
        Ok::<_, Failure>(findings)
    })?;
    for finding in &findings {
        show(&finding.to_string())?;
    }
    match findings.iter().filter(|finding| !finding.is_good()).count() {
        0 => Ok(()),
        faults => Err(format!("{faults} of {} parts need your attention", findings.len()).into()),
    }
}

/// Starts the sandbox, if it is wanted, and makes it the upstream.
fn start_sandbox(settings: &mut Settings) -> Result<Option<Sandbox>, Failure> {
    if !settings.sandbox.enabled {
        return Ok(None);
    }
    let sandbox = Sandbox::start(settings)?;
    settings.membrane.base_url.clone_from(&sandbox.url);
    Ok(Some(sandbox))
}

fn serve(mut settings: Settings) -> Result<(), Failure> {
    let _log = logging::init(&settings.log);
    logging::watch_panics();
    // Until the server has stopped.
    #[cfg(feature = "otel")]
    let _exporter = match settings.telemetry.otlp_endpoint.as_str() {
        "" => None,
        endpoint => Some(trace::TraceExporter::start(endpoint)?),
    };
    actix_web::rt::System::new().block_on(async {
        let sandbox = start_sandbox(&mut settings)?;
        let guest = sandbox.as_ref().map(|sandbox| token::mint(GUEST, &sandbox.secret)).transpose()?;
        let guest = guest.map(|token| Secret::new(&token));
        let server = Server::bind(&Arc::new(settings.clone()), guest.clone())?;
        let address = server.address();
        let addresses = Addresses { clients: address, operators: server.admin_address() };
        match sandbox.as_ref().zip(guest.as_ref()) {
            Some((sandbox, guest)) => banner::print_sandbox(addresses, sandbox, guest, &config::program()),
            None if io::stdout().is_terminal() => {
                banner::print(addresses, &settings);
                let settings = settings.clone();
                actix_web::rt::spawn(async move {
                    if let Some(trouble) = doctor::upstream_trouble(&settings).await {
                        // A closed terminal needs no advice.
                        let _ = show(&format!("{trouble}\n"));
                    }
                });
            }
            None => {}
        }
        if sandbox.is_some() && !address.ip().is_loopback() {
            log::warn!(
                "the sandbox is for this machine, but {address} is reached from others: whoever has its token, or gets one by \
                 its OAuth, acts as any of its users; set server.host = \"127.0.0.1\" or use the real upstream"
            );
        }
        log::info!(upstream = settings.membrane.base_url; "listening on http://{address}");
        log::info!("metrics and health on http://{}", server.admin_address());
        if let fleeting @ [_, ..] = fleeting(&settings, sandbox.as_ref()).as_slice() {
            log::info!("these end with this server: {}", fleeting.join("; "));
        }
        server.run().await?;
        if let Some(sandbox) = sandbox {
            sandbox.stop().await;
        }
        log::info!("stopped");
        Ok(())
    })
}
