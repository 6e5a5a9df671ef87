//! A candidate that runs: no proxy at all, HAProxy as a plain relay, Forebay on a driver, or an engine's own proxies.
//!
//! Each peer is one process with one working thread (but for the two-worker Forebay), in front of the same server. What pools
//! has the same limit of 20 database connections, where it can be limited. HAProxy pools nothing: it opens a server connection
//! for each client, costs what moving bytes costs, and so is the floor.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::BACKENDS_MAX;
use super::kinds::Kind;
use crate::certificate::Certificate;
use crate::mysql::tools;
use crate::place::{self, Folder, User};
use crate::process::{self, Running};
use crate::proxy::{Proxy, ProxyOptions, Target};

/// A candidate that runs; `A` is how its engine's databases are reached.
pub struct Peer<A> {
    /// Which one.
    pub kind: Kind,
    /// The database, by way of it.
    pub access: A,
    /// What it says of its version (and driver).
    pub version: String,
    /// How it was started, or its configuration.
    pub setup: String,
    /// What it shows to clients that ask for TLS; none without a proxy.
    pub certificate: Option<PathBuf>,
    process: Process<A>,
    // After the process: it may still write there while it ends.
    _folder: Option<Folder>,
}

enum Process<A> {
    None,
    Other(Running),
    Forebay(Proxy<A>),
}

impl<A: Target> Peer<A> {
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

/// No proxy.
pub fn direct<A>(access: A, version: String) -> Peer<A> {
    Peer {
        kind: Kind::Direct,
        access,
        version,
        setup: String::new(),
        certificate: None,
        process: Process::None,
        _folder: None,
    }
}

/// Forebay, as its kind says; ready when this returns.
pub fn forebay<A: Target + Clone>(
    kind: Kind,
    binary: Option<&Path>,
    target: &A,
) -> Result<Peer<A>> {
    let (driver, workers) = match kind {
        Kind::ForebayEpoll => ("epoll", 1),
        Kind::ForebayUring2 => ("uring", 2),
        _ => ("uring", 1),
    };
    let binary = binary.context("no forebay binary was built")?;
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
    let proxy = Proxy::start(binary, target, &options, &folder.path)?;
    let said = process::capture(Command::new(binary).arg("--version")).unwrap_or_default();
    let version = format!(
        "{}, driver {}, workers {workers}",
        said.trim(),
        proxy.driver
    );
    let setup = format!(
        "forebay run {} --driver {driver} --workers {workers} --max-connections {BACKENDS_MAX}",
        without_address(&target.url())
    );
    Ok(Peer {
        kind,
        access: proxy.access.clone(),
        version,
        setup,
        certificate: Some(certificate.certificate),
        process: Process::Forebay(proxy),
        _folder: Some(folder),
    })
}

/// A URL as it may be shown: its scheme and its options.
fn without_address(url: &str) -> String {
    let scheme = url.split("://").next().unwrap_or_default();
    let options = url
        .split_once('?')
        .map_or(String::new(), |(_, rest)| format!("?{rest}"));
    format!("{scheme}://…{options}")
}

/// HAProxy in front of a port of this machine.
pub fn haproxy<A: Target>(target: &A, target_port: u16) -> Result<Peer<A>> {
    let program = tools::haproxy()?;
    let port = place::free_port()?;
    let config = format!(
        "global\n  maxconn 4000\n  nbthread 1\n\
         defaults\n  mode tcp\n  timeout connect 10s\n  timeout client 1h\n  timeout server 1h\n\
         listen database\n  bind 127.0.0.1:{port}\n  server primary 127.0.0.1:{target_port}\n"
    );
    let make = |file: &Path| {
        let mut command = Command::new(&program);
        command.arg("-db").arg("-f").arg(file);
        command
    };
    Configured {
        kind: Kind::Haproxy,
        port,
        version: first_line(&program, "-v"),
        config,
        paths: Vec::new(),
        files: Vec::new(),
    }
    .start(target, make)
}

/// A proxy that takes a configuration file.
pub struct Configured {
    /// Which one.
    pub kind: Kind,
    /// Where it will listen.
    pub port: u16,
    /// What it says of its version.
    pub version: String,
    /// The file; `FOLDER` stands for the folder of it, which also has `server.crt` and `server.key`.
    pub config: String,
    /// What else stands for a path in it.
    pub paths: Vec<(&'static str, PathBuf)>,
    /// Further files in that folder.
    pub files: Vec<(&'static str, String)>,
}

impl Configured {
    /// Starts it by the command that `make` makes of its file, as an unprivileged user when we are root.
    pub fn start<A: Target>(self, target: &A, make: impl Fn(&Path) -> Command) -> Result<Peer<A>> {
        let folder = place::private_folder()?;
        let certificate = Certificate::make(&folder.path)?;
        for (name, text) in &self.files {
            fs::write(folder.path.join(name), text)?;
        }
        let file = folder.path.join("config");
        let mut text = self
            .config
            .replace("FOLDER", &folder.path.display().to_string());
        for (name, path) in &self.paths {
            text = text.replace(name, &path.display().to_string());
        }
        fs::write(&file, text)?;
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
        wait_for_port(&running, self.port, &log)?;
        Ok(Peer {
            kind: self.kind,
            access: target.at("127.0.0.1", self.port),
            version: self.version,
            setup: self.config,
            certificate: Some(certificate.certificate),
            process: Process::Other(running),
            _folder: Some(folder),
        })
    }
}

fn wait_for_port(running: &Running, port: u16, log: &Path) -> Result<()> {
    let said = || process::last_lines(&fs::read_to_string(log).unwrap_or_default(), 20);
    let listening = process::poll(Duration::from_secs(10), || {
        if let Some(status) = running.ended() {
            bail!("it ended at once ({status}); its log:\n{}", said());
        }
        Ok(std::net::TcpStream::connect(("127.0.0.1", port))
            .ok()
            .map(drop))
    })?;
    listening.with_context(|| format!("it does not listen on port {port}; its log:\n{}", said()))
}

/// The first line that a program prints with an option.
pub fn first_line(program: &Path, option: &str) -> String {
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
    fn a_shown_url_has_neither_password_nor_address() {
        let url = "mysql://app:secret@127.0.0.1:3306/app?ssl-mode=DISABLED";
        assert_eq!(without_address(url), "mysql://…?ssl-mode=DISABLED");
        assert_eq!(without_address("postgres://a:b@c/d"), "postgres://…");
    }
}
