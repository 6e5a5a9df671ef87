//! `cargo xtask conformance`: real databases and real drivers through the real binary; the checks are in `conformance/`.
//!
//! `conformance/run.py` tests one server that already runs. Here are the servers: for each version of PostgreSQL and each
//! driver of ours a private database with `forebay` in front of it. With `--direct` there is no proxy, which tests the checks.
//! `cargo xtask conformance mysql-clients` is the same for MySQL and MariaDB: see `mysql`. `cargo xtask conformance postgres` and
//! `cargo xtask conformance mysql` are the differential oracle: see `oracle.rs`.

pub mod mysql;

use std::fmt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Subcommand, ValueEnum};

use crate::certificate::Certificate;
use crate::place;
use crate::postgres::{self, Access, Server, ServerOptions};
use crate::proxy::{self, Proxy, ProxyOptions};
use crate::steps::{heading, progress};
use crate::{install, oracle, process, workspace};

/// Database connections of the proxy: fewer than the clients of several checks.
const BACKENDS_MAX: u32 = 10;

/// The longest that the checks of one pair may take; each suite has a shorter limit of its own.
const LONGEST: Duration = Duration::from_secs(40 * 60);

/// Versions of PostgreSQL: an old one that Debian carries, and the newest.
pub const VERSIONS: [u32; 2] = [15, 18];

/// Which checks, through what.
#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    other: Option<Other>,
    /// The short form that continuous integration runs: each version and each driver once, fewer rounds
    #[arg(long)]
    quick: bool,
    /// Major versions of the database
    #[arg(long, value_delimiter = ',', default_values_t = VERSIONS)]
    versions: Vec<u32>,
    /// Drivers of Forebay
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Driver::Uring, Driver::Epoll])]
    drivers: Vec<Driver>,
    /// Straight at the database, without Forebay
    #[arg(long)]
    direct: bool,
    /// Further arguments for conformance/run.py, such as `--only psycopg`
    #[arg(last = true)]
    more: Vec<String>,
}

/// What is run instead of PostgreSQL's clients.
#[derive(Subcommand)]
pub enum Other {
    /// Clients of MySQL and MariaDB, and what is built on them.
    MysqlClients(mysql::Args),
    /// Plays session programs directly and through Forebay, and compares every reply.
    Postgres(oracle::Args),
    /// The same on MySQL and MariaDB.
    Mysql(oracle::mysql::Args),
}

/// A driver of the data plane.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Driver {
    /// io_uring
    Uring,
    /// epoll
    Epoll,
}

impl fmt::Display for Driver {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(if *self == Driver::Uring {
            "uring"
        } else {
            "epoll"
        })
    }
}

impl Args {
    /// As continuous integration runs it.
    pub fn quick() -> Args {
        Args {
            other: None,
            quick: true,
            versions: VERSIONS.to_vec(),
            drivers: vec![Driver::Uring, Driver::Epoll],
            direct: false,
            more: Vec::new(),
        }
    }

    /// Versions with drivers: all pairs, or for the short form each of both at least once.
    fn pairs(&self, drivers: &[Driver]) -> Vec<(u32, Option<Driver>)> {
        if self.direct || drivers.is_empty() {
            return self
                .versions
                .iter()
                .map(|version| (*version, None))
                .collect();
        }
        if self.quick {
            let count = self.versions.len().max(drivers.len());
            let pair = |at: usize| {
                (
                    self.versions[at % self.versions.len()],
                    Some(drivers[at % drivers.len()]),
                )
            };
            return (0..count).map(pair).collect();
        }
        let with_all = |version: &u32| {
            drivers
                .iter()
                .map(|driver| (*version, Some(*driver)))
                .collect::<Vec<_>>()
        };
        self.versions.iter().flat_map(with_all).collect()
    }
}

/// Where the checks are run from.
pub fn script() -> PathBuf {
    workspace::root().join("conformance/run.py")
}

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    match &args.other {
        Some(Other::MysqlClients(args)) => return mysql::run(args),
        Some(Other::Postgres(args)) => return oracle::run(args),
        Some(Other::Mysql(args)) => return oracle::mysql::run(args),
        None => {}
    }
    if !script().exists() {
        bail!("{} is missing", script().display());
    }
    heading("Building");
    let binary = if args.direct {
        None
    } else {
        Some(
            proxy::build()?
                .canonicalize()
                .context("the forebay binary")?,
        )
    };
    progress("building the suite of the Rust driver");
    process::show(workspace::cargo().args(["build", "-q", "-p", "forebay-conformance"]))?;
    let drivers = if args.direct {
        args.drivers.clone()
    } else {
        allowed(&args.drivers)?
    };
    let mut failed = Vec::new();
    for (version, driver) in args.pairs(&drivers) {
        let through = driver.map_or("direct".into(), |driver| format!("forebay on {driver}"));
        heading(&format!("PostgreSQL {version}, {through}"));
        if let Err(error) = one(args, version, driver.zip(binary.clone())) {
            eprintln!("  {error:#}");
            failed.push(format!("PostgreSQL {version}, {through}"));
        }
    }
    if !failed.is_empty() {
        bail!("conformance failed: {}", failed.join("; "));
    }
    Ok(())
}

/// Those of the drivers that this kernel lets us test.
fn allowed(drivers: &[Driver]) -> Result<Vec<Driver>> {
    let mut drivers = drivers.to_vec();
    if drivers.contains(&Driver::Uring) && !proxy::uring_allowed() {
        progress("NOT TESTED: the driver uring, because this kernel does not allow io_uring here");
        drivers.retain(|driver| *driver != Driver::Uring);
        anyhow::ensure!(!drivers.is_empty(), "no driver is left to test");
    }
    Ok(drivers)
}

/// All checks against one database.
fn one(args: &Args, version: u32, through: Option<(Driver, PathBuf)>) -> Result<()> {
    let options = ServerOptions {
        version: Some(version),
        tls: true,
        settings: vec!["wal_level=logical".into()],
        ..Default::default()
    };
    let server = Server::start(&options)?;
    let folder = place::private_folder()?;
    let mut proxy = None;
    let mut certificate = server.folder().join("server.crt");
    if let Some((driver, binary)) = &through {
        let own = Certificate::make(&folder.path)?;
        let files = [("--tls-cert", &own.certificate), ("--tls-key", &own.key)];
        let more = files
            .iter()
            .flat_map(|(name, file)| [(*name).to_string(), file.display().to_string()])
            .collect();
        let limits = ProxyOptions {
            workers: None,
            driver: Some(driver.to_string()),
            max_connections: Some(BACKENDS_MAX),
            more,
        };
        proxy = Some(Proxy::start(binary, &server.app, &limits, &folder.path)?);
        certificate = own.certificate;
    }
    let access = proxy.as_ref().map_or(&server.app, |proxy| &proxy.access);
    let mut python = checks(args, access, &server)?;
    python.arg("--tls-ca").arg(certificate);
    if let Some(proxy) = &proxy {
        python.args([
            "--direct-port",
            &server.app.port.to_string(),
            "--proxy-pid",
            &proxy.pid().to_string(),
        ]);
        python.args(["--pool-max", &BACKENDS_MAX.to_string()]);
    }
    if let Some((driver, binary)) = &through {
        python.args(["--driver", &driver.to_string()]);
        python.arg("--forebay").arg(binary);
        let ourselves = std::env::current_exe().context("the path of xtask")?;
        python.arg("--xtask").arg(ourselves);
    }
    let outcome = process::show_within(python.args(&args.more), LONGEST);
    if let (Err(_), Some(proxy)) = (&outcome, &proxy) {
        eprintln!("  what forebay logged last:\n{}", proxy.log_tail());
    }
    outcome
}

fn checks(args: &Args, access: &Access, server: &Server) -> Result<Command> {
    let mut python = Command::new(install::program("python3", "python3")?);
    python.current_dir(workspace::root()).arg(script());
    python.args([
        "--host",
        &access.host,
        "--port",
        &access.port.to_string(),
        "--user",
        &access.user,
    ]);
    python.args([
        "--password",
        &access.password,
        "--database",
        &access.database,
    ]);
    python.args(["--admin-url", &server.superuser.url()]);
    // The clients of the same version, where the installation has them.
    if server.binaries.bin.join("psql").exists() {
        python.arg("--bindir").arg(&server.binaries.bin);
    }
    let clients = VERSIONS
        .iter()
        .filter_map(|version| postgres::Binaries::find(Some(*version)));
    let folders: Vec<String> = clients
        .map(|found| found.bin.display().to_string())
        .collect();
    python.arg("--bindirs").arg(folders.join(","));
    if args.quick {
        python.arg("--quick");
    }
    Ok(python)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_short_form_has_each_version_and_each_driver_once() {
        let pairs = Args::quick().pairs(&[Driver::Uring, Driver::Epoll]);
        assert!(pairs == [(15, Some(Driver::Uring)), (18, Some(Driver::Epoll))]);
        assert!(
            Args::quick().pairs(&[Driver::Epoll])
                == [(15, Some(Driver::Epoll)), (18, Some(Driver::Epoll))]
        );
    }
}
