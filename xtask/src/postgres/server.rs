//! One private server: its own folder, port and process, all gone when the value is dropped.
//!
//! PostgreSQL refuses to run as root: a root user's server runs as the user that `place` names, who then owns the folder.
//! Durability is switched off: what such a server holds is never needed again.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::template::{START_PATIENCE, Template};
use super::{Access, Binaries};
use crate::certificate::Certificate;
use crate::place::{Folder, User, free_port, private_folder};
use crate::process::{self, Running};
use crate::steps;

/// What a server should be like.
pub struct ServerOptions {
    /// Major version; any that is there if `None`.
    pub version: Option<u32>,
    /// Whether it offers TLS.
    pub tls: bool,
    /// A port; a free one if `None`.
    pub port: Option<u16>,
    /// Its limit of connections.
    pub max_connections: u32,
    /// Further settings, as `name=value`.
    pub settings: Vec<String>,
}

impl Default for ServerOptions {
    fn default() -> ServerOptions {
        ServerOptions {
            version: None,
            tls: false,
            port: None,
            max_connections: 100,
            settings: Vec::new(),
        }
    }
}

/// A running server.
pub struct Server {
    /// The programs it runs from.
    pub binaries: Binaries,
    /// The superuser, in the database `postgres`.
    pub superuser: Access,
    /// The role `app`, in its own database `app`.
    pub app: Access,
    // Dropped in this order: first the process, then its folder.
    running: Running,
    place: Folder,
}

impl Server {
    /// Finds or installs PostgreSQL and starts it; ready when this returns.
    pub fn start(options: &ServerOptions) -> Result<Server> {
        let found = Binaries::find_or_install(options.version)?;
        let user = User::unprivileged()?;
        let place = private_folder()?;
        let binaries = found.reachable_by(user, &place.path)?;
        let template = Template::find_or_make(&binaries, user)?;
        steps::progress(&format!("starting PostgreSQL {}", binaries.version));
        let data = place.path.join("data");
        process::capture(Command::new("cp").arg("-a").arg(&template.data).arg(&data))?;
        let mut settings = options.settings.clone();
        settings.push(format!("max_connections={}", options.max_connections));
        if options.tls {
            let certificate = Certificate::make(&place.path)?;
            settings.push("ssl=on".into());
            settings.push(format!(
                "ssl_cert_file={}",
                certificate.certificate.display()
            ));
            settings.push(format!("ssl_key_file={}", certificate.key.display()));
        }
        if let Some(user) = user {
            user.owns(&place.path)?;
        }
        let launching = Launch {
            binaries: &binaries,
            user,
            data: &data,
            place: &place.path,
        };
        let (running, port) = launch(&launching, options.port, &settings)?;
        let superuser = access(port, "postgres", &template.superuser_password, "postgres");
        let app = access(port, "app", &template.app_password, "app");
        Ok(Server {
            binaries,
            superuser,
            app,
            running,
            place,
        })
    }

    /// The process id of the postmaster.
    pub fn pid(&self) -> u32 {
        self.running.pid()
    }

    /// Where it keeps everything.
    pub fn folder(&self) -> &Path {
        &self.place.path
    }
}

/// Programs, user and folders of a server to be launched.
pub struct Launch<'a> {
    /// The programs.
    pub binaries: &'a Binaries,
    /// Who runs it, when not we ourselves.
    pub user: Option<User>,
    /// Its data directory.
    pub data: &'a Path,
    /// The folder for its log.
    pub place: &'a Path,
}

/// Starts a server on a prepared data directory and waits until it accepts connections.
pub fn launch(
    launch: &Launch<'_>,
    port: Option<u16>,
    settings: &[String],
) -> Result<(Running, u16)> {
    // Between finding a free port and using it somebody else may take it: then another one is tried.
    for _ in 0..3 {
        let chosen = port.map_or_else(free_port, Ok)?;
        if let Some(running) = launch_at(launch, chosen, settings)? {
            return Ok((running, chosen));
        }
        if port.is_some() {
            bail!(
                "port {chosen} of 127.0.0.1 is in use; choose another with --port, or none to get a free one"
            );
        }
    }
    bail!("three free ports in a row were taken by somebody else before PostgreSQL could use them")
}

fn launch_at(launch: &Launch<'_>, port: u16, settings: &[String]) -> Result<Option<Running>> {
    let log = launch.place.join("log");
    let output =
        fs::File::create(&log).with_context(|| format!("cannot make {}", log.display()))?;
    let mut postgres = launch
        .binaries
        .command(&launch.binaries.bin.join("postgres"));
    postgres
        .current_dir("/")
        .arg("-D")
        .arg(launch.data)
        .stdout(output.try_clone()?)
        .stderr(output);
    let fixed = [
        "listen_addresses=127.0.0.1",
        "unix_socket_directories=",
        "fsync=off",
        "synchronous_commit=off",
    ];
    let more = [
        "full_page_writes=off",
        "shared_buffers=64MB",
        "autovacuum_naptime=1h",
        "logging_collector=off",
    ];
    let all = fixed.iter().chain(&more).map(ToString::to_string);
    for setting in all
        .chain([format!("port={port}")])
        .chain(settings.iter().cloned())
    {
        postgres.arg("-c").arg(setting);
    }
    if let Some(user) = launch.user {
        user.runs(&mut postgres);
    }
    // SIGINT is PostgreSQL's fast shutdown: it ends sessions and stops.
    let running = Running::start(&mut postgres, libc::SIGINT)?;
    let ready = process::poll(START_PATIENCE, || readiness(&running, launch.data, &log))?;
    match ready {
        Some(Readiness::Ready) => Ok(Some(running)),
        Some(Readiness::PortTaken) => Ok(None),
        None => bail!(
            "PostgreSQL did not become ready in {START_PATIENCE:?}; its log:\n{}",
            tail(&log)
        ),
    }
}

enum Readiness {
    Ready,
    PortTaken,
}

/// As `pg_ctl` knows it: the eighth line of postmaster.pid says `ready`.
fn readiness(running: &Running, data: &Path, log: &Path) -> Result<Option<Readiness>> {
    if let Some(status) = running.ended() {
        let said = tail(log);
        if said.contains("Address already in use") {
            return Ok(Some(Readiness::PortTaken));
        }
        bail!("PostgreSQL ended at once ({status}); its log:\n{said}");
    }
    let lines = fs::read_to_string(data.join("postmaster.pid")).unwrap_or_default();
    Ok(lines
        .lines()
        .nth(7)
        .filter(|state| state.trim() == "ready")
        .map(|_| Readiness::Ready))
}

fn tail(log: &Path) -> String {
    process::last_lines(&fs::read_to_string(log).unwrap_or_default(), 20)
}

/// A role and a database at a port of this machine.
pub fn access(port: u16, user: &str, password: &str, database: &str) -> Access {
    let words = (user.to_string(), password.to_string(), database.to_string());
    Access {
        host: "127.0.0.1".into(),
        port,
        user: words.0,
        password: words.1,
        database: words.2,
        sslmode: "disable",
    }
}
