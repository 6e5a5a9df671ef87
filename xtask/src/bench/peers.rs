//! Who is compared: no proxy at all, Forebay on each driver, PgBouncer, HAProxy as a plain relay.
//!
//! Each peer is one process with one working thread (but for the two-worker Forebay), in front of the same server, with the
//! same limit of 20 database connections. HAProxy pools nothing: it opens a server connection for each client, costs what
//! moving bytes costs, and so is the floor. PgBouncer pools by transaction and logs no connections, as Forebay does not.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use super::BACKENDS_MAX;
use crate::certificate::Certificate;
use crate::mysql::tools;
use crate::place::{self, Folder, User};
use crate::postgres::{Access, Server};
use crate::process::{self, Running};
use crate::proxy::{Proxy, ProxyOptions};
use crate::{install, psql};

/// A candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Kind {
    /// No proxy
    Direct,
    /// HAProxy in TCP mode, one thread
    Haproxy,
    /// PgBouncer, transaction pooling
    Pgbouncer,
    /// Forebay, one worker on io_uring
    ForebayUring,
    /// Forebay, one worker on epoll
    ForebayEpoll,
    /// Forebay, two workers on io_uring
    ForebayUring2,
}

impl Kind {
    /// Who is compared when nothing else is said.
    pub const USUAL: [Kind; 6] = [
        Kind::Direct,
        Kind::Haproxy,
        Kind::Pgbouncer,
        Kind::ForebayUring,
        Kind::ForebayEpoll,
        Kind::ForebayUring2,
    ];

    /// As it is written on the command line and in tables.
    pub fn name(self) -> String {
        self.to_possible_value()
            .map_or_else(String::new, |value| value.get_name().to_string())
    }

    /// Whether it is ours.
    pub fn is_forebay(self) -> bool {
        matches!(
            self,
            Kind::ForebayUring | Kind::ForebayEpoll | Kind::ForebayUring2
        )
    }

    /// Whether many clients share few database connections.
    pub fn pools(self) -> bool {
        self == Kind::Pgbouncer || self.is_forebay()
    }
}

/// What all peers have in common.
pub struct Stage<'a> {
    /// The database.
    pub server: &'a Server,
    /// For logs and scripts.
    pub folder: &'a Path,
    /// The `forebay` binary, when one is wanted.
    pub binary: Option<&'a Path>,
}

/// A candidate that runs.
pub struct Peer {
    /// Which one.
    pub kind: Kind,
    /// The database, by way of it.
    pub access: Access,
    /// What it says of its version (and driver).
    pub version: String,
    /// How it was started, or its configuration.
    pub setup: String,
    process: Process,
    // After the process: it may still write there while it ends.
    _folder: Option<Folder>,
}

enum Process {
    None,
    Other(Running),
    Forebay(Proxy),
}

impl Peer {
    /// Starts it in front of the server of the stage; ready when this returns.
    pub fn start(kind: Kind, stage: &Stage<'_>) -> Result<Peer> {
        let started = match kind {
            Kind::Direct => Ok(direct(stage)),
            Kind::Haproxy => haproxy(stage),
            Kind::Pgbouncer => pgbouncer(stage),
            Kind::ForebayUring => forebay(kind, "uring", 1, stage),
            Kind::ForebayEpoll => forebay(kind, "epoll", 1, stage),
            Kind::ForebayUring2 => forebay(kind, "uring", 2, stage),
        };
        started.with_context(|| format!("cannot start {}", kind.name()))
    }

    /// The last lines that it logged, when it is ours.
    pub fn log_tail(&self) -> Option<String> {
        match &self.process {
            Process::Forebay(proxy) => Some(proxy.log_tail()),
            Process::None | Process::Other(_) => None,
        }
    }

    /// Its process; none when there is no proxy.
    pub fn pid(&self) -> Option<u32> {
        match &self.process {
            Process::None => None,
            Process::Other(running) => Some(running.pid()),
            Process::Forebay(proxy) => Some(proxy.pid()),
        }
    }
}

fn direct(stage: &Stage<'_>) -> Peer {
    let version = format!("PostgreSQL {}", stage.server.binaries.version);
    let access = stage.server.app.clone();
    Peer {
        kind: Kind::Direct,
        access,
        version,
        setup: String::new(),
        process: Process::None,
        _folder: None,
    }
}

fn forebay(kind: Kind, driver: &str, workers: u32, stage: &Stage<'_>) -> Result<Peer> {
    let binary = stage.binary.context("no forebay binary was built")?;
    let folder = place::private_folder()?;
    let certificate = Certificate::make(&folder.path)?;
    let files = [
        ("--tls-cert", &certificate.certificate),
        ("--tls-key", &certificate.key),
    ];
    let more = files
        .iter()
        .flat_map(|(name, file)| [(*name).to_string(), file.display().to_string()])
        .collect();
    let options = ProxyOptions {
        workers: Some(workers),
        driver: Some(driver.into()),
        max_connections: Some(BACKENDS_MAX),
        more,
    };
    let proxy = Proxy::start(binary, &stage.server.app, &options, &folder.path)?;
    let said = process::capture(Command::new(binary).arg("--version")).unwrap_or_default();
    let version = format!(
        "{}, driver {}, workers {workers}",
        said.trim(),
        proxy.driver
    );
    let setup = format!(
        "forebay run postgres://… --driver {driver} --workers {workers} --max-connections {BACKENDS_MAX}"
    );
    let access = proxy.access.clone();
    Ok(Peer {
        kind,
        access,
        version,
        setup,
        process: Process::Forebay(proxy),
        _folder: Some(folder),
    })
}

fn haproxy(stage: &Stage<'_>) -> Result<Peer> {
    let program = tools::haproxy()?;
    let port = place::free_port()?;
    let config = format!(
        "global\n  maxconn 4000\n  nbthread 1\n\
         defaults\n  mode tcp\n  timeout connect 10s\n  timeout client 1h\n  timeout server 1h\n\
         listen postgres\n  bind 127.0.0.1:{port}\n  server primary 127.0.0.1:{}\n",
        stage.server.app.port
    );
    let version = first_line(&program, "-v");
    let make = |file: &Path| {
        let mut command = Command::new(&program);
        command.arg("-db").arg("-f").arg(file);
        command
    };
    other(stage, Kind::Haproxy, port, &version, config, &[], make)
}

fn pgbouncer(stage: &Stage<'_>) -> Result<Peer> {
    let given = std::env::var_os("FOREBAY_PGBOUNCER").map(PathBuf::from);
    let program = given.map_or_else(|| install::program("pgbouncer", "pgbouncer"), Ok)?;
    let version = first_line(&program, "--version");
    let port = place::free_port()?;
    // The stored form of the password, as a careful operator gives it: from a plain one, PgBouncer would derive the key
    // again at every login.
    let sql = "SELECT rolpassword FROM pg_authid WHERE rolname = 'app'";
    let stored = psql::ask(&stage.server.binaries, &stage.server.superuser, sql)?;
    let users = format!("\"app\" \"{stored}\"\n");
    let mut config = format!(
        "[databases]\napp = host=127.0.0.1 port={} dbname=app\n\
         [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
         auth_type = scram-sha-256\nauth_file = FOLDER/users\npool_mode = transaction\n\
         default_pool_size = {BACKENDS_MAX}\nmax_client_conn = 12000\nserver_tls_sslmode = disable\n\
         client_tls_sslmode = allow\nclient_tls_cert_file = FOLDER/server.crt\nclient_tls_key_file = FOLDER/server.key\n\
         log_connections = 0\nlog_disconnections = 0\nlog_stats = 0\nignore_startup_parameters = extra_float_digits\n",
        stage.server.app.port
    );
    if tracks_prepared(&version) {
        let _ = writeln!(config, "max_prepared_statements = 200");
    }
    let make = |file: &Path| {
        let mut command = Command::new(&program);
        command.arg(file);
        command
    };
    other(
        stage,
        Kind::Pgbouncer,
        port,
        &version,
        config,
        &[("users", users)],
        make,
    )
}

/// Named prepared statements under transaction pooling came with PgBouncer 1.21; older ones refuse the setting.
fn tracks_prepared(version: &str) -> bool {
    let number = version
        .split_whitespace()
        .find(|word| word.starts_with(|c: char| c.is_ascii_digit()))
        .unwrap_or("");
    let mut parts = number
        .split('.')
        .map(|part| part.parse::<u32>().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0)) >= (1, 21)
}

/// Starts a proxy that takes a configuration file, as an unprivileged user when we are root.
fn other(
    stage: &Stage<'_>,
    kind: Kind,
    port: u16,
    version: &str,
    config: String,
    files: &[(&str, String)],
    make: impl Fn(&Path) -> Command,
) -> Result<Peer> {
    let folder = place::private_folder()?;
    Certificate::make(&folder.path)?;
    for (name, text) in files {
        fs::write(folder.path.join(name), text)?;
    }
    let file = folder.path.join("config");
    fs::write(
        &file,
        config.replace("FOLDER", &folder.path.display().to_string()),
    )?;
    let log = folder.path.join("log");
    let output = fs::File::create(&log)?;
    let mut command = make(&file);
    command
        .current_dir("/")
        .stdout(Stdio::null())
        .stderr(output);
    if let Some(user) = User::unprivileged()? {
        user.owns(&folder.path)?;
        user.runs(&mut command);
    }
    let running = Running::start(&mut command, libc::SIGTERM)?;
    let access = stage.server.app.at("127.0.0.1", port);
    wait_for_port(&running, &access, &log)?;
    let process = Process::Other(running);
    Ok(Peer {
        kind,
        access,
        version: version.into(),
        setup: config,
        process,
        _folder: Some(folder),
    })
}

fn wait_for_port(running: &Running, access: &Access, log: &Path) -> Result<()> {
    let said = || process::last_lines(&fs::read_to_string(log).unwrap_or_default(), 20);
    let listening = process::poll(Duration::from_secs(10), || {
        if let Some(status) = running.ended() {
            bail!("it ended at once ({status}); its log:\n{}", said());
        }
        Ok(
            std::net::TcpStream::connect((access.host.as_str(), access.port))
                .ok()
                .map(drop),
        )
    })?;
    listening.with_context(|| {
        format!(
            "it does not listen on port {}; its log:\n{}",
            access.port,
            said()
        )
    })
}

fn first_line(program: &Path, option: &str) -> String {
    let said = process::capture(Command::new(program).arg(option)).unwrap_or_default();
    said.lines()
        .next()
        .unwrap_or("unknown version")
        .trim()
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pgbouncer_tracks_prepared_statements_from_1_21_on() {
        assert!(!tracks_prepared("PgBouncer 1.18.0"));
        assert!(tracks_prepared("PgBouncer 1.21.0"));
        assert!(!tracks_prepared("unknown version"));
    }
}
