//! `cargo xtask conformance postgres`: session programs directly and through Forebay, every reply compared.
//!
//! The programs and the comparison are the testkit's binary `oracle`. Here are its servers: for each version of PostgreSQL one
//! private server, and in front of it several `forebay run`, each with one to three backends that it lends in rotation, so that
//! sessions meet each other's backends all the time.

pub mod mysql;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::conformance::VERSIONS;
use crate::postgres::{Access, Server, ServerOptions};
use crate::proxy::{self, Proxy, ProxyOptions};
use crate::steps::heading;
use crate::{place, process, psql, workspace};

/// User and backends of each bench: a superuser, who can set everything, and somebody who owns nothing.
const BENCHES: [(&str, u32); 4] = [
    ("oracle_super", 1),
    ("oracle_plain", 2),
    ("oracle_super", 3),
    ("oracle_plain", 1),
];

/// How long, and from which seed.
#[derive(clap::Args)]
pub struct Args {
    /// How long to go on with new seeds, all versions together; without this and --programs a minute each
    #[arg(long)]
    seconds: Option<u64>,
    /// How many programs, one for each seed
    #[arg(long)]
    programs: Option<u64>,
    /// The first seed, as a difference printed it
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Major versions of the database
    #[arg(long, value_delimiter = ',', default_values_t = VERSIONS)]
    versions: Vec<u32>,
    /// Go on after a difference
    #[arg(long)]
    keep_going: bool,
}

impl Args {
    /// As continuous integration runs it.
    pub fn quick() -> Args {
        Args {
            seconds: Some(20),
            programs: None,
            seed: 1,
            versions: VERSIONS.to_vec(),
            keep_going: false,
        }
    }
}

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    heading("Building");
    let binary = proxy::build()?.canonicalize()?;
    let oracle = build()?;
    for version in &args.versions {
        heading(&format!(
            "PostgreSQL {version}, directly and through forebay"
        ));
        one(args, *version, &binary, &oracle)?;
    }
    Ok(())
}

fn build() -> Result<PathBuf> {
    let mut cargo = workspace::cargo();
    cargo.args(["build", "-q", "--profile", "quick"]);
    process::show(cargo.args(["-p", "forebay-testkit", "--bin", "oracle"]))?;
    Ok(workspace::target().join("quick/oracle"))
}

fn one(args: &Args, version: u32, binary: &Path, oracle: &Path) -> Result<()> {
    let server = Server::start(&ServerOptions {
        version: Some(version),
        ..Default::default()
    })?;
    make_roles(&server)?;
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
    let at = |proxy: &Proxy| format!("{}:{}", proxy.access.host, proxy.access.port);
    let played = Played {
        engine: "postgres",
        passwords: [&server.superuser.password, &server.app.password],
        port: server.superuser.port,
        repeat: format!("cargo xtask conformance postgres --versions {version}"),
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
        eprintln!("  what a forebay logged last:\n{}", proxy.log_tail());
    }
    outcome
}

/// What the binary `oracle` is told of one server.
struct Played<'a> {
    /// As the binary calls it.
    engine: &'static str,
    /// Of the superuser, and of the users of the benches.
    passwords: [&'a str; 2],
    /// The server's.
    port: u16,
    /// What a person would type to repeat it, up to the seed.
    repeat: String,
    /// `HOST:PORT` of the proxies, in the order of [`BENCHES`].
    proxies: Vec<String>,
    seed: u64,
    seconds: Option<u64>,
    programs: Option<u64>,
    keep_going: bool,
}

/// Runs the binary `oracle`.
fn play(oracle: &Path, played: &Played<'_>) -> Result<()> {
    let [admin, user] = played.passwords;
    let mut command = std::process::Command::new(oracle);
    command
        .env("ORACLE_ADMIN_PASSWORD", admin)
        .env("ORACLE_PASSWORD", user)
        .args(["--engine", played.engine])
        .args(["--admin", &format!("127.0.0.1:{}", played.port)])
        .args(["--seed", &played.seed.to_string()])
        .args(["--repeat", &played.repeat]);
    for ((user, backends), at) in BENCHES.iter().zip(&played.proxies) {
        command.args(["--bench", &format!("{user},{backends},{at}")]);
    }
    if let Some(seconds) = played.seconds {
        command.args(["--seconds", &seconds.to_string()]);
    }
    if let Some(programs) = played.programs {
        command.args(["--programs", &programs.to_string()]);
    }
    if played.keep_going {
        command.arg("--keep-going");
    }
    let spare = Duration::from_secs(10 * 60);
    process::show_within(
        &mut command,
        Duration::from_secs(played.seconds.unwrap_or(3600)) + spare,
    )
}

/// As few backends as the bench says, all of them open from the start, each in its turn; and room for one that listens.
fn options(backends: u32) -> ProxyOptions {
    let size = backends.to_string();
    let words = [
        "--lease-order",
        "rotate",
        "--borrow-timeout",
        "8s",
        "--pool-size-min",
        &size,
        "--pool-size-max",
        &size,
    ];
    ProxyOptions {
        workers: Some(1),
        driver: None,
        max_connections: Some(backends + 1),
        more: words.iter().map(ToString::to_string).collect(),
    }
}

/// The users of the benches, with the password of `app`, and roles for them to take on.
fn make_roles(server: &Server) -> Result<()> {
    let password = &server.app.password;
    ensure!(
        !password.contains('\''),
        "passwords are made of digits and letters"
    );
    let sql = format!(
        "CREATE ROLE oracle_r1; CREATE ROLE oracle_r2; \
         CREATE ROLE oracle_super SUPERUSER LOGIN PASSWORD '{password}'; \
         CREATE ROLE oracle_plain LOGIN PASSWORD '{password}' IN ROLE oracle_r1, oracle_r2"
    );
    psql::ask(&server.binaries, &server.superuser, &sql).map(drop)
}
