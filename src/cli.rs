//! The command line.

use std::{path::PathBuf, process::ExitCode, sync::Arc};

use clap::{Parser, Subcommand};

use crate::{
    banner,
    config::{self, Settings, Sources},
    logging,
    sandbox::{Sandbox, token},
    secret::Secret,
    server::Server,
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

fn serve(mut settings: Settings) -> Result<(), Failure> {
    logging::init(&settings.log);
    actix_web::rt::System::new().block_on(async {
        let sandbox = match settings.sandbox.enabled {
            true => Some(Sandbox::start(&settings.sandbox)?),
            false => None,
        };
        if let Some(sandbox) = &sandbox {
            settings.membrane.base_url.clone_from(&sandbox.url);
        }
        let server = Server::bind(&Arc::new(settings.clone()))?;
        let address = server.address();
        if let Some(sandbox) = &sandbox {
            banner::print(address, sandbox)?;
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
