//! Questions to a server with its own command line client; the sibling of `psql`.
//!
//! Passwords and scripts are in the environment and on standard input: nothing of them appears in a list of processes.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, ensure};

use super::Access;
use super::programs::{Programs, option};
use super::release::Family;
use crate::place;
use crate::process::{self, Running};

/// The client as `root` without a password, at the socket of a server that is being prepared.
pub fn at_socket(programs: &Programs, socket: &Path) -> Command {
    let mut command = Command::new(&programs.client);
    command
        .args(["--no-defaults", "--protocol=SOCKET", "--user=root"])
        .arg(option("socket", socket))
        .env_remove("MYSQL_PWD");
    command
}

/// The client with its connection, ready for more arguments; it checks the server's certificate, if there is one.
pub fn of(programs: &Programs, access: &Access) -> Command {
    let mut command = Command::new(&programs.client);
    command
        .args(["--no-defaults", "--protocol=TCP"])
        .arg(format!("--host={}", access.host))
        .arg(format!("--port={}", access.port))
        .arg(format!("--user={}", access.user))
        .arg(format!("--database={}", access.database))
        .env("MYSQL_PWD", &access.password);
    match (&access.authority, programs.version.family) {
        (Some(authority), Family::MySql) => command
            .arg(option("ssl-ca", authority))
            .arg("--ssl-mode=VERIFY_IDENTITY"),
        (Some(authority), Family::MariaDb) => command
            .arg(option("ssl-ca", authority))
            .arg("--ssl-verify-server-cert"),
        // The password is then sent under a key that the server shows.
        (None, Family::MySql) => command.args(["--ssl-mode=DISABLED", "--get-server-public-key"]),
        (None, Family::MariaDb) => command.arg("--skip-ssl"),
    };
    command
}

/// Runs a script and gives what it answers: rows on lines, columns apart by tabs. `folder` holds the script meanwhile.
pub fn ask(mut client: Command, sql: &str, folder: &Path) -> Result<String> {
    let script = folder.join("script.sql");
    place::write_private(&script, sql)?;
    client.args(["--batch", "--skip-column-names"]);
    process::capture_reading(&mut client, &script)
}

/// A connection that is kept for many questions.
pub struct Asker {
    // Dropped first: at the end of its input the client goes by itself.
    input: ChildStdin,
    answers: BufReader<ChildStdout>,
    _running: Running,
}

impl Asker {
    /// Connects.
    pub fn start(programs: &Programs, access: &Access) -> Result<Asker> {
        let mut command = of(programs, access);
        command
            .args(["--batch", "--skip-column-names", "--unbuffered"])
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit());
        let mut running = Running::start_talking(&mut command, libc::SIGTERM)?;
        let input = running.take_stdin().context("the client's input")?;
        let output = running.take_stdout().context("the client's output")?;
        let mut asker = Asker {
            input,
            answers: BufReader::new(output),
            _running: running,
        };
        asker.ask("SELECT 1")?;
        Ok(asker)
    }

    /// Runs a statement without an answer.
    pub fn tell(&mut self, sql: &str) -> Result<()> {
        Ok(writeln!(self.input, "{sql};")?)
    }

    /// Asks a question whose answer is one row: columns apart by tabs.
    pub fn ask(&mut self, sql: &str) -> Result<String> {
        self.tell(sql)?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer)?;
        ensure!(!answer.is_empty(), "the server did not answer `{sql}`");
        Ok(answer.trim_end().into())
    }
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
