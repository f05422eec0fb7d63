//! The command line.

use std::{
    io::{self, IsTerminal as _},
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
    sandbox::{Sandbox, token},
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
    let mut settings = config::load(&Sources::of_process(cli.config))?;
    settings.sandbox.enabled |= cli.sandbox;
    match cli.command.unwrap_or(Command::Serve) {
        Command::Serve => serve(settings),
        Command::CheckConfig => {
            println!("{}", toml::to_string(&settings)?.trim_end());
            Ok(())
        }
        Command::Healthcheck => Ok(healthcheck::check(&settings)?),
        Command::Doctor { token } => examine(settings, token),
        Command::Token { user, secret } => {
            let secret = secret.map_or(settings.sandbox.secret, |secret| Secret::new(&secret));
            if secret.is_empty() {
                return Err(
                    "which key? Give --secret, or set sandbox.secret: the running sandbox's banner tells its own"
                        .into(),
                );
            }
            println!("{}", token::mint(&user, &secret)?);
            Ok(())
        }
    }
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
        println!("{finding}");
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
    let sandbox = Sandbox::start(&settings.sandbox)?;
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
        endpoint => Some(trace::Exporter::start(endpoint)?),
    };
    actix_web::rt::System::new().block_on(async {
        let sandbox = start_sandbox(&mut settings)?;
        let guest = sandbox.as_ref().map(|sandbox| token::mint(GUEST, &sandbox.secret)).transpose()?;
        let server = Server::bind(&Arc::new(settings.clone()), guest.as_deref().map(Secret::new))?;
        let address = server.address();
        let addresses = Addresses { clients: address, operators: server.admin_address() };
        match &sandbox {
            Some(sandbox) => banner::print_sandbox(addresses, sandbox)?,
            None if io::stdout().is_terminal() => {
                banner::print(addresses, &settings);
                let settings = settings.clone();
                actix_web::rt::spawn(async move {
                    if let Some(trouble) = doctor::upstream_trouble(&settings).await {
                        println!("{trouble}\n");
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
        server.run().await?;
        if let Some(sandbox) = sandbox {
            sandbox.stop().await;
        }
        log::info!("stopped");
        Ok(())
    })
}
