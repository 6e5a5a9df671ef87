//! One private server: its own folder, port and process, all gone when the value is dropped.
//!
//! PostgreSQL refuses to run as root, so a root user's server runs as `postgres` or `nobody`, which then owns the folder.
//! Durability is switched off: what such a server holds is never needed again.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, bail};

use super::template::{START_PATIENCE, Template};
use super::{Access, Binaries, Certificate};
use crate::cleanup::{self, Guard};
use crate::process::{self, Running};
use crate::{install, steps};

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

/// A port that nobody listens on now.
pub fn free_port() -> Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").context("no free port on 127.0.0.1")?;
    Ok(listener.local_addr()?.port())
}

/// A user that may run a server when we may not.
#[derive(Clone, Copy)]
pub struct User {
    uid: u32,
    gid: u32,
}

impl User {
    /// `None` when we are not root and servers may run as we are.
    pub fn unprivileged() -> Result<Option<User>> {
        if !install::is_root() {
            return Ok(None);
        }
        let users = fs::read_to_string("/etc/passwd").context("/etc/passwd")?;
        let found = ["postgres", "nobody"]
            .iter()
            .find_map(|name| User::named(&users, name));
        found.map(Some).context("PostgreSQL refuses to run as root, and there is no user `postgres` or `nobody` to run it as")
    }

    fn named(users: &str, name: &str) -> Option<User> {
        let fields: Vec<&str> = users
            .lines()
            .map(|line| line.split(':').collect::<Vec<_>>())
            .find(|user| user[0] == name)?;
        Some(User {
            uid: fields.get(2)?.parse().ok()?,
            gid: fields.get(3)?.parse().ok()?,
        })
    }

    /// Makes a command run as this user, without our groups.
    pub fn runs(self, command: &mut Command) -> &mut Command {
        command.uid(self.uid).gid(self.gid)
    }

    /// Gives a folder and all in it to this user.
    pub fn owns(self, folder: &Path) -> Result<()> {
        let owner = format!("{}:{}", self.uid, self.gid);
        process::capture(Command::new("chown").args(["-R", &owner]).arg(folder)).map(drop)
    }
}

/// A folder that is removed at the end.
pub struct Folder {
    /// Where it is.
    pub path: PathBuf,
    _remove: Guard,
}

/// Makes a folder for one server or proxy under the machine's temporary folder.
pub fn private_folder() -> Result<Folder> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let path = loop {
        let name = format!(
            "forebay-{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let path = std::env::temp_dir().join(name);
        match fs::create_dir(&path) {
            Ok(()) => break path,
            // Left by a killed process that had our id: the next number is free sooner or later.
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => {
                return Err(error).with_context(|| format!("cannot make {}", path.display()));
            }
        }
    };
    fs::set_permissions(&path, fs::Permissions::from_mode(0o700))?;
    let remove = path.clone();
    let guard = cleanup::guard(move || drop(fs::remove_dir_all(remove)));
    Ok(Folder {
        path,
        _remove: guard,
    })
}

/// Writes a file that only its owner reads.
pub fn write_private(path: &Path, text: &str) -> Result<()> {
    let mut options = fs::OpenOptions::new();
    let file = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path);
    let mut file = file.with_context(|| format!("cannot write {}", path.display()))?;
    std::io::Write::write_all(&mut file, text.as_bytes())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_its_name() {
        let users = "root:x:0:0:root:/root:/bin/bash\npostgres:x:101:104:,,,:/var/lib/postgresql:/bin/bash\n";
        let user = User::named(users, "postgres").unwrap();
        assert_eq!((user.uid, user.gid), (101, 104));
        assert!(User::named(users, "nobody").is_none());
    }

    #[test]
    fn a_private_folder_is_ours_alone_and_goes_with_its_value() {
        let folder = private_folder().unwrap();
        let path = folder.path.clone();
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o700
        );
        drop(folder);
        assert!(!path.exists());
    }
}
