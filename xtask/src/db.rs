//! `cargo xtask db`: a private PostgreSQL of this machine, until Ctrl-C.

use anyhow::Result;

use crate::cleanup;
use crate::postgres::{Server, ServerOptions};

/// Commands about databases.
#[derive(clap::Subcommand)]
pub enum Command {
    /// Starts a server and says how to reach it; Ctrl-C stops and removes it.
    Up(Up),
}

/// What the server should be like.
#[derive(clap::Args)]
pub struct Up {
    /// Major version of PostgreSQL (14 to 18); whatever is there if not given
    #[arg(long)]
    version: Option<u32>,
    /// Offer TLS with a self-signed certificate for 127.0.0.1 and localhost
    #[arg(long)]
    tls: bool,
    /// A port of 127.0.0.1; a free one if not given
    #[arg(long)]
    port: Option<u16>,
    /// The server's limit of connections
    #[arg(long, default_value_t = 100)]
    max_connections: u32,
    /// A further setting, as NAME=VALUE; may be given more than once
    #[arg(long = "set", value_name = "NAME=VALUE")]
    settings: Vec<String>,
}

/// Runs the command.
pub fn run(command: &Command) -> Result<()> {
    let Command::Up(up) = command;
    let server = Server::start(&ServerOptions {
        version: up.version,
        tls: up.tls,
        port: up.port,
        max_connections: up.max_connections,
        settings: up.settings.clone(),
    })?;
    // One line each, so that scripts can read them.
    println!("version {}", server.binaries.version);
    println!("folder {}", server.folder().display());
    println!("superuser {}", server.superuser.url());
    println!("app {}", server.app.url());
    println!("ready; Ctrl-C stops it and removes everything");
    cleanup::wait_for_interrupt()
}
