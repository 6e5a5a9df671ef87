//! Questions to a server with its own command line client; the sibling of `psql`.
//!
//! Passwords and scripts are in the environment and on standard input: nothing of them appears in a list of processes.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use super::Access;
use super::programs::{Programs, option};
use super::release::Family;
use crate::{place, process};

/// The client as `root` without a password, at the socket of a server that is being prepared.
pub fn at_socket(programs: &Programs, socket: &Path) -> Command {
    let mut command = Command::new(&programs.client);
    command
        .args(["--no-defaults", "--protocol=SOCKET", "--user=root"])
        .arg(option("socket", socket))
        .env_remove("MYSQL_PWD");
    command
}

/// The client with its connection, ready for more arguments; it checks the server's certificate.
pub fn of(programs: &Programs, access: &Access) -> Command {
    let mut command = Command::new(&programs.client);
    command
        .args(["--no-defaults", "--protocol=TCP"])
        .arg(format!("--host={}", access.host))
        .arg(format!("--port={}", access.port))
        .arg(format!("--user={}", access.user))
        .arg(format!("--database={}", access.database))
        .arg(option("ssl-ca", &access.authority))
        .arg(match programs.version.family {
            Family::MySql => "--ssl-mode=VERIFY_IDENTITY",
            Family::MariaDb => "--ssl-verify-server-cert",
        })
        .env("MYSQL_PWD", &access.password);
    command
}

/// Runs a script and gives what it answers: rows on lines, columns apart by tabs. `folder` holds the script meanwhile.
pub fn ask(mut client: Command, sql: &str, folder: &Path) -> Result<String> {
    let script = folder.join("script.sql");
    place::write_private(&script, sql)?;
    client.args(["--batch", "--skip-column-names"]);
    process::capture_reading(&mut client, &script)
}

/// The command with its environment, for a shell.
pub fn line(client: &Command) -> String {
    let variables = client.get_envs().filter_map(|(name, value)| {
        let value = value?.to_string_lossy().into_owned();
        Some(format!("{}={value}", name.to_string_lossy()))
    });
    let words = std::iter::once(client.get_program()).chain(client.get_args());
    let words = words.map(|word| word.to_string_lossy().into_owned());
    variables.chain(words).collect::<Vec<_>>().join(" ")
}
