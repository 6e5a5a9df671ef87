//! `cargo xtask conformance mysql`: session programs directly and through Forebay, every packet compared; the sibling of the oracle for
//! PostgreSQL.
//!
//! For each server one private instance, and in front of it several `forebay run`, each with one to three backends that it lends in
//! rotation. A server that cannot be had is said to be missing, and fails the run unless another was asked for.

use std::path::Path;

use anyhow::{Result, bail, ensure};
use clap::ValueEnum;

use super::{BENCHES, Played, options, play};
use crate::mysql::{Access, Family, Release, Server, ServerOptions};
use crate::proxy::{self, Proxy};
use crate::steps::{heading, progress};
use crate::{place, process};

/// A server, by the names that `cargo xtask db fetch` has for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Version {
    /// MySQL from Debian unstable
    Mysql,
    /// MariaDB 10.11 from Debian 12
    #[value(name = "mariadb-10.11")]
    Mariadb10_11,
    /// MariaDB 11.8 from Debian unstable
    #[value(name = "mariadb-11.8")]
    Mariadb11_8,
}

impl Version {
    /// What is to be started.
    pub fn release(self) -> Result<Release> {
        match self {
            Version::Mysql => Release::new(Family::MySql, None),
            Version::Mariadb10_11 => Release::new(Family::MariaDb, Some("10.11")),
            Version::Mariadb11_8 => Release::new(Family::MariaDb, Some("11.8")),
        }
    }

    /// As the command line has it.
    pub fn name(self) -> String {
        let value = self.to_possible_value();
        value.map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

/// How long, and from which seed.
#[derive(clap::Args)]
pub struct Args {
    /// How long to go on with new seeds, all servers together; without this and --programs a minute each
    #[arg(long)]
    seconds: Option<u64>,
    /// How many programs, one for each seed
    #[arg(long)]
    programs: Option<u64>,
    /// The first seed, as a difference printed it
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Servers
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Version::Mysql, Version::Mariadb10_11, Version::Mariadb11_8])]
    versions: Vec<Version>,
    /// Go on after a difference
    #[arg(long)]
    keep_going: bool,
}

/// Runs the command: all servers that can be had, then a word on those that cannot.
pub fn run(args: &Args) -> Result<()> {
    heading("Building");
    let binary = proxy::build()?.canonicalize()?;
    let oracle = super::build()?;
    let (mut missing, mut failed) = (Vec::new(), Vec::new());
    for version in &args.versions {
        heading(&format!("{}, directly and through forebay", version.name()));
        let server = match start(*version) {
            Ok(server) => server,
            Err(why) => {
                progress(&format!("NOT TESTED: {}: {why:#}", version.name()));
                missing.push(version.name());
                continue;
            }
        };
        if let Err(why) = one(args, *version, &server, &binary, &oracle) {
            eprintln!("  {why:#}");
            failed.push(version.name());
        }
    }
    ensure!(failed.is_empty(), "differences on {}", failed.join(", "));
    if !missing.is_empty() {
        bail!("not tested, for want of a server: {}", missing.join(", "));
    }
    Ok(())
}

/// Waits of one statement for another end soon enough to be told from a proxy that hangs.
fn start(version: Version) -> Result<Server> {
    let server = Server::start(&ServerOptions {
        release: version.release()?,
        port: None,
        max_connections: 100,
        settings: vec![
            "lock-wait-timeout=5".into(),
            "innodb-lock-wait-timeout=5".into(),
        ],
    })?;
    make_users(&server)?;
    Ok(server)
}

fn one(args: &Args, version: Version, server: &Server, binary: &Path, oracle: &Path) -> Result<()> {
    let folder = place::private_folder()?;
    let mut proxies = Vec::new();
    for (number, (user, backends)) in BENCHES.iter().enumerate() {
        let place = folder.path.join(number.to_string());
        std::fs::create_dir(&place)?;
        let target = Access {
            user: (*user).into(),
            ..server.app.clone()
        };
        proxies.push(Proxy::start(binary, &target, &options(*backends), &place)?);
    }
    let at = |proxy: &Proxy<Access>| format!("{}:{}", proxy.access.host, proxy.access.port);
    let played = Played {
        engine: server.app.family.scheme(),
        passwords: [&server.superuser.password, &server.app.password],
        port: server.superuser.port,
        repeat: format!(
            "cargo xtask conformance mysql --versions {}",
            version.name()
        ),
        proxies: proxies.iter().map(at).collect(),
        seed: args.seed,
        seconds: args
            .seconds
            .map(|all| (all / args.versions.len() as u64).max(1)),
        programs: args.programs,
        keep_going: args.keep_going,
    };
    let outcome = play(oracle, &played);
    for proxy in proxies.iter().filter(|_| outcome.is_err()) {
        eprintln!(
            "  what a forebay logged last:\n{}",
            process::last_lines(&proxy.log_tail(), 4)
        );
    }
    outcome
}

/// The users of the benches, with the password of `app`, and roles for them to take on.
fn make_users(server: &Server) -> Result<()> {
    let password = &server.app.password;
    ensure!(
        !password.contains('\''),
        "passwords are made of digits and letters"
    );
    let mut sql = "CREATE ROLE oracle_r1; CREATE ROLE oracle_r2;".to_owned();
    for (user, granted) in [("oracle_super", "*.*"), ("oracle_plain", "`o%`.*")] {
        sql.push_str(&format!(
            "CREATE USER {user}@'%' IDENTIFIED BY '{password}'; GRANT ALL ON {granted} TO {user}@'%'; \
             GRANT ALL ON app.* TO {user}@'%'; GRANT oracle_r1 TO {user}@'%'; GRANT oracle_r2 TO {user}@'%';"
        ));
    }
    server.ask(&sql).map(drop)
}
