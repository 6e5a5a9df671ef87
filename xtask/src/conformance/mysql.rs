//! `cargo xtask conformance mysql-clients`: what people use with MySQL and MariaDB, through the real binary; the checks are `conformance/run_mysql.py`.
//!
//! Here are the servers, and a file for the checks with what is known of each: its users by plugin and the command lines of its version. The
//! checks start Forebay themselves, in front of it, over a few backends that other clients keep dirty; drivers of ours take turns.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Map, Value, json};

use super::{Driver, allowed};
use crate::mysql::{Family, Programs, Release, Server, ServerOptions};
use crate::oracle::mysql::Version;
use crate::steps::{heading, progress};
use crate::{install, place, process, proxy, workspace};

/// The longest that the checks of one server may take; each suite has a shorter limit of its own.
const LONGEST: Duration = Duration::from_secs(30 * 60);

/// Which checks, through what.
#[derive(clap::Args)]
pub struct Args {
    /// The short form that continuous integration runs: one server, what is quickly installed, fewer rounds
    #[arg(long)]
    quick: bool,
    /// Servers; all of them, or MySQL alone with --quick, if not given
    #[arg(long, value_enum, value_delimiter = ',')]
    versions: Vec<Version>,
    /// Drivers of Forebay, one for each server in turn
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Driver::Uring, Driver::Epoll])]
    drivers: Vec<Driver>,
    /// Straight at the database, without Forebay
    #[arg(long)]
    direct: bool,
    /// Further arguments for conformance/run_mysql.py, such as `--only pymysql`
    #[arg(last = true)]
    more: Vec<String>,
}

impl Args {
    /// As continuous integration runs it.
    pub fn quick() -> Args {
        Args {
            quick: true,
            versions: Vec::new(),
            drivers: vec![Driver::Uring, Driver::Epoll],
            direct: false,
            more: Vec::new(),
        }
    }

    fn servers(&self) -> Vec<Version> {
        match (self.versions.is_empty(), self.quick) {
            (false, _) => self.versions.clone(),
            (true, true) => vec![Version::Mysql],
            (true, false) => vec![Version::Mysql, Version::Mariadb10_11, Version::Mariadb11_8],
        }
    }
}

/// Runs the command: all servers that can be had, then a word on those that cannot.
pub fn run(args: &Args) -> Result<()> {
    let missing = play(args)?;
    if !missing.is_empty() {
        bail!("not tested, for want of a server: {}", missing.join(", "));
    }
    Ok(())
}

/// Runs the short form; says whether there was a server to run it against.
pub fn run_quick() -> Result<bool> {
    let args = Args::quick();
    Ok(play(&args)?.len() < args.servers().len())
}

/// Gives the servers that cannot be had.
fn play(args: &Args) -> Result<Vec<String>> {
    heading("Building");
    let binary = if args.direct {
        None
    } else {
        Some(proxy::build()?.canonicalize()?)
    };
    let drivers = allowed(&args.drivers)?;
    let (mut missing, mut failed) = (Vec::new(), Vec::new());
    for (version, driver) in args.servers().iter().zip(drivers.iter().cycle()) {
        let through = binary.as_deref().map(|path| (*driver, path));
        let title = through.map_or("direct".into(), |_| format!("forebay on {driver}"));
        let title = format!("{}, {title}", version.name());
        heading(&title);
        match start(*version) {
            Ok(server) => {
                if let Err(error) = one(args, &server, through) {
                    eprintln!("  {error:#}");
                    failed.push(title);
                }
            }
            Err(why) => {
                progress(&format!("NOT TESTED: {}: {why:#}", version.name()));
                missing.push(version.name());
            }
        }
    }
    ensure!(
        failed.is_empty(),
        "conformance failed: {}",
        failed.join("; ")
    );
    Ok(missing)
}

/// Values of 40 MiB go through it, and what each suite holds at one time.
fn start(version: Version) -> Result<Server> {
    Server::start(&ServerOptions {
        release: version.release()?,
        port: None,
        max_connections: 200,
        settings: vec!["max-allowed-packet=64M".into()],
    })
}

/// All checks against one server.
fn one(args: &Args, server: &Server, through: Option<(Driver, &Path)>) -> Result<()> {
    let folder = place::private_folder()?;
    let known = folder.path.join("server.json");
    place::write_private(&known, &describe(args, server)?.to_string())?;
    let app = &server.app;
    let port = app.port.to_string();
    let mut python = Command::new(install::program("python3", "python3")?);
    python
        .current_dir(workspace::root())
        .arg("conformance/run_mysql.py");
    python.args(["--host", &app.host, "--port", &port, "--user", &app.user]);
    python.args(["--password", &app.password, "--database", &app.database]);
    python.args(["--admin-url", &server.superuser.url()]);
    python.arg("--server-file").arg(&known);
    if let Some(authority) = &app.authority {
        python.arg("--tls-ca").arg(authority);
    }
    if let Some((driver, binary)) = through {
        python.args(["--direct-port", &port, "--driver", &driver.to_string()]);
        python.arg("--forebay").arg(binary);
    }
    if args.quick {
        python.arg("--quick");
    }
    process::show_within(python.args(&args.more), LONGEST)
}

/// What `--server-file` is about: see `conformance/kit/mysql_place.py`.
fn describe(args: &Args, server: &Server) -> Result<Value> {
    let user = |(plugin, access): &(String, crate::mysql::Access)| json!({"plugin": plugin, "user": access.user, "password": access.password});
    let users: Vec<Value> = server.logins.iter().map(user).collect();
    let mut programs = Map::new();
    for family in [Family::MySql, Family::MariaDb] {
        if let Some(client) = command_line(args, server, family) {
            let client = fs::canonicalize(&client)
                .with_context(|| format!("no client {}", client.display()))?;
            programs.insert(family.scheme().into(), json!(client));
        }
    }
    Ok(json!({"users": users, "programs": programs}))
}

/// The server's own command line, and the other family's; for that nothing is fetched in the short form.
fn command_line(args: &Args, server: &Server, family: Family) -> Option<PathBuf> {
    if server.programs.version.family == family {
        return Some(server.programs.client.clone());
    }
    if args.quick {
        return None;
    }
    let release = Release::new(family, None).ok()?;
    match Programs::find_or_fetch(&release) {
        Ok(found) => Some(found.client),
        Err(why) => {
            progress(&format!(
                "NOT TESTED: the command line of {family}: {why:#}"
            ));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_short_form_has_one_server_and_the_long_one_all() {
        assert_eq!(Args::quick().servers(), [Version::Mysql]);
        let long = Args {
            quick: false,
            ..Args::quick()
        };
        assert_eq!(long.servers().len(), 3);
    }
}
