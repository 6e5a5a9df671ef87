//! One private server: its own folder, port and process, all gone when the value is dropped.
//!
//! Servers refuse to run as root: a root user's server runs as the user that `place` names, who then owns the folder.
//! Durability is switched off: what such a server holds is never needed again.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::programs::{Programs, option};
use super::release::Release;
use super::template::Template;
use super::{Access, client, logins::Login};
use crate::certificate::Certificate;
use crate::place::{Folder, User, free_port, private_folder};
use crate::process::{self, Running};
use crate::steps;

/// How long a server may take to accept connections, or to end; seconds on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// What a server should be like.
pub struct ServerOptions {
    /// Family and version.
    pub release: Release,
    /// A port; a free one if `None`.
    pub port: Option<u16>,
    /// Its limit of connections.
    pub max_connections: u32,
    /// Further settings, as `name=value` or `name`.
    pub settings: Vec<String>,
}

/// A running server.
pub struct Server {
    /// The programs it runs from.
    pub programs: Programs,
    /// The superuser, in the database `mysql`.
    pub superuser: Access,
    /// The user `app`, in its own database `app`.
    pub app: Access,
    /// A user for each plugin that the server can check a password with, in the database `app`.
    pub logins: Vec<(String, Access)>,
    // Dropped in this order: first the process, then its folder.
    running: Running,
    place: Folder,
}

impl Server {
    /// Finds or fetches the programs and starts a server; ready when this returns.
    pub fn start(options: &ServerOptions) -> Result<Server> {
        let found = Programs::find_or_fetch(&options.release)?;
        let user = User::unprivileged()?;
        let place = private_folder()?;
        give(user, &place.path)?;
        let programs = found.reachable_by(user, &place.path)?;
        let template = Template::find_or_make(&programs, user)?;
        steps::progress(&format!("starting {}", programs.version));
        let data = place.path.join("data");
        process::capture(Command::new("cp").arg("-a").arg(&template.data).arg(&data))?;
        let certificate = Certificate::make(&place.path)?;
        for path in [&data, &certificate.certificate, &certificate.key] {
            give(user, path)?;
        }
        let launching = Launch {
            programs: &programs,
            user,
            data: &data,
            place: &place.path,
        };
        let mut arguments = vec![
            option("ssl-cert", &certificate.certificate),
            option("ssl-key", &certificate.key),
            format!("--max-connections={}", options.max_connections),
            // Nobody needs what an orderly end would write.
            "--innodb-fast-shutdown=2".into(),
        ];
        let further = options
            .settings
            .iter()
            .map(|setting| format!("--{setting}"));
        arguments.extend(further);
        let (running, port) = listen(&launching, options.port, &arguments)?;
        let access = |login: &Login, database: &str| Access {
            family: options.release.family,
            host: "127.0.0.1".into(),
            port,
            user: login.user.clone(),
            password: login.password.clone(),
            database: database.into(),
            authority: Some(certificate.certificate.clone()),
        };
        let others = template.others.iter();
        Ok(Server {
            superuser: access(&template.root, "mysql"),
            app: access(&template.app, "app"),
            logins: others
                .map(|login| (login.plugin.clone(), access(login, "app")))
                .collect(),
            programs,
            running,
            place,
        })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.running.pid()
    }

    /// Runs statements as the superuser and gives what they answer: rows on lines, columns apart by tabs.
    pub fn ask(&self, sql: &str) -> Result<String> {
        let client = client::of(&self.programs, &self.superuser);
        client::ask(client, sql, &self.place.path)
    }

    /// Where it keeps everything.
    pub fn folder(&self) -> &Path {
        &self.place.path
    }
}

/// Makes the server's user the owner, when it is not us.
pub fn give(user: Option<User>, path: &Path) -> Result<()> {
    user.map_or(Ok(()), |user| user.owns(path))
}

/// Programs, user and folders of a server to be launched.
pub struct Launch<'a> {
    /// The programs.
    pub programs: &'a Programs,
    /// Who runs it, when not we ourselves.
    pub user: Option<User>,
    /// Its data directory.
    pub data: &'a Path,
    /// The folder for its log and its socket.
    pub place: &'a Path,
}

impl Launch<'_> {
    /// The server, with what it is told in every case.
    pub fn command(&self) -> Command {
        let mut command = self.programs.server();
        command
            .arg(option("datadir", self.data))
            .arg(option("socket", &self.socket()))
            .arg(option("pid-file", &self.place.join("pid")))
            .arg(option("tmpdir", self.place))
            .arg(option("secure-file-priv", self.place))
            .args(FIXED);
        if let Some(user) = self.user {
            user.runs(&mut command);
        }
        command
    }

    /// Its socket.
    pub fn socket(&self) -> std::path::PathBuf {
        self.place.join("socket")
    }
}

/// No waiting for disks, small files; options that one family or version does not know are `loose`.
const FIXED: [&str; 14] = [
    "--bind-address=127.0.0.1",
    "--skip-name-resolve",
    "--character-set-server=utf8mb4",
    "--local-infile=ON",
    "--skip-log-bin",
    "--innodb-flush-log-at-trx-commit=0",
    "--innodb-doublewrite=OFF",
    "--loose-innodb-flush-method=nosync",
    "--innodb-buffer-pool-size=64M",
    "--loose-innodb-redo-log-capacity=8M",
    "--loose-innodb-log-file-size=8M",
    "--loose-mysqlx=OFF",
    "--loose-mysql-native-password=ON",
    "--loose-debug-no-sync=ON",
];

/// Starts a server on a prepared data directory, on a port of loopback.
fn listen(launch: &Launch<'_>, port: Option<u16>, arguments: &[String]) -> Result<(Running, u16)> {
    // Between finding a free port and using it somebody else may take it: then another one is tried.
    for _ in 0..3 {
        let chosen = port.map_or_else(free_port, Ok)?;
        let mut all = vec![
            format!("--port={chosen}"),
            format!("--server-id={}", server_id()),
        ];
        all.extend_from_slice(arguments);
        if let Some(running) = start(launch, &all)? {
            return Ok((running, chosen));
        }
        if port.is_some() {
            bail!(
                "port {chosen} of 127.0.0.1 is in use; choose another with --port, or none to get a free one"
            );
        }
    }
    bail!("three free ports in a row were taken by somebody else before the server could use them")
}

/// Another number for each server of this machine, as servers that replicate from each other need it.
fn server_id() -> u32 {
    static COUNT: AtomicU32 = AtomicU32::new(1);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    // The kernel's process ids have 22 bits at most.
    (std::process::id() << 10) | (count & 0x3ff)
}

/// Starts a server and waits until it accepts connections; `None` if its port is taken.
pub fn start(launch: &Launch<'_>, arguments: &[String]) -> Result<Option<Running>> {
    let log = launch.place.join("log");
    let output =
        fs::File::create(&log).with_context(|| format!("cannot make {}", log.display()))?;
    let mut command = launch.command();
    command
        .args(launch.programs.loading())
        .args(arguments)
        .stdout(output.try_clone()?)
        .stderr(output);
    let running = Running::start(&mut command, libc::SIGTERM)?;
    let said = || fs::read_to_string(&log).unwrap_or_default();
    let tail = || process::last_lines(&said(), 20);
    let version = &launch.programs.version;
    let started = process::poll(PATIENCE, || match progress_of(&said()) {
        Progress::Starting => match running.ended() {
            Some(status) => bail!("{version} ended at once ({status}); its log:\n{}", tail()),
            None => Ok(None),
        },
        Progress::Ready => Ok(Some(true)),
        Progress::PortTaken => Ok(Some(false)),
    })?;
    match started {
        Some(ready) => Ok(ready.then_some(running)),
        None => bail!(
            "{version} did not become ready in {PATIENCE:?}; its log:\n{}",
            tail()
        ),
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Progress {
    Starting,
    Ready,
    PortTaken,
}

/// How far a server is, by its log. It says that it is ready when its port is open.
fn progress_of(log: &str) -> Progress {
    if log.contains("Address already in use") {
        Progress::PortTaken
    } else if log.contains(": ready for connections.") {
        Progress::Ready
    } else {
        Progress::Starting
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_says_how_far_the_server_is() {
        let mysql =
            "[System] [MY-010931] [Server] /x/mysqld: ready for connections. Version: '9.7.4-2'";
        let mariadb = "[Note] /x/mariadbd: ready for connections.";
        let taken = "[ERROR] Can't start server: Bind on TCP/IP port. Got error: 98: Address already in use";
        assert_eq!(progress_of(mysql), Progress::Ready);
        assert_eq!(progress_of(mariadb), Progress::Ready);
        assert_eq!(progress_of(taken), Progress::PortTaken);
        assert_eq!(progress_of("InnoDB: ready"), Progress::Starting);
    }

    #[test]
    fn no_two_servers_have_one_number() {
        assert_ne!(server_id(), server_id());
    }
}
