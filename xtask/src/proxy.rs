//! The `forebay` binary as the commands use it: built for speed, started in front of a server, waited for until ready.
//!
//! `forebay run` prints one line each on standard output: `listening on HOST:PORT …`, `metrics on http://HOST:PORT/metrics`,
//! `driver NAME …`; it is ready when `GET /readyz` on the metrics port answers 200.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::mysql;
use crate::postgres::Access;
use crate::process::{self, Running};
use crate::steps::progress;
use crate::workspace;

/// The longest that a proxy may take to be ready; it has only to bind a port and to reach its database.
const START_PATIENCE: Duration = Duration::from_secs(20);

/// Builds the binary as benchmarks and the demo use it; gives its path.
pub fn build() -> Result<PathBuf> {
    if let Some(given) = std::env::var_os("FOREBAY_BIN") {
        return Ok(given.into());
    }
    progress("building forebay for speed (minutes the first time)");
    let mut cargo = workspace::cargo();
    cargo.args([
        "build",
        "--profile",
        "quick",
        "-p",
        "forebay",
        "--bin",
        "forebay",
        "--message-format=json-render-diagnostics",
    ]);
    let mut running = Running::start(cargo.stdout(Stdio::piped()), libc::SIGTERM)?;
    let output = running.take_stdout().context("the output of cargo")?;
    let built = BufReader::new(output)
        .lines()
        .map_while(Result::ok)
        .filter_map(|line| executable(&line))
        .last();
    anyhow::ensure!(
        running.wait()?.success(),
        "`{}` failed",
        process::line(&cargo)
    );
    built.context("the package `forebay` has no binary named `forebay`")
}

fn executable(line: &str) -> Option<PathBuf> {
    let message: Value = serde_json::from_str(line).ok()?;
    if message["target"]["name"] != "forebay" {
        return None;
    }
    message["executable"].as_str().map(PathBuf::from)
}

/// A database that a proxy stands in front of.
pub trait Target {
    /// For `forebay run`.
    fn url(&self) -> String;
    /// The same database by way of a proxy that speaks without TLS.
    fn at(&self, host: &str, port: u16) -> Self;
}

impl Target for Access {
    fn url(&self) -> String {
        self.url()
    }

    fn at(&self, host: &str, port: u16) -> Access {
        self.at(host, port)
    }
}

impl Target for mysql::Access {
    fn url(&self) -> String {
        self.url()
    }

    fn at(&self, host: &str, port: u16) -> mysql::Access {
        mysql::Access {
            host: host.into(),
            port,
            authority: None,
            ..self.clone()
        }
    }
}

/// How to start a proxy.
#[derive(Default, Clone)]
pub struct ProxyOptions {
    /// Its event loops; as many as cores if `None`.
    pub workers: Option<u32>,
    /// `uring` or `epoll`; the best that works if `None`.
    pub driver: Option<String>,
    /// The most database connections it may hold.
    pub max_connections: Option<u32>,
    /// Further arguments of `forebay run`.
    pub more: Vec<String>,
}

/// A running proxy.
pub struct Proxy<A = Access> {
    /// The database behind it, by way of it.
    pub access: A,
    /// `HOST:PORT` of its metrics and health.
    pub metrics: String,
    /// Its own words about its driver.
    pub driver: String,
    log: PathBuf,
    running: Running,
}

impl<A: Target> Proxy<A> {
    /// Starts `forebay run` in front of `target`; `folder` takes its log.
    pub fn start(
        binary: &Path,
        target: &A,
        options: &ProxyOptions,
        folder: &Path,
    ) -> Result<Proxy<A>> {
        let name = options.driver.as_deref().unwrap_or("any");
        let mut command = Command::new(binary);
        command.arg("run").arg(target.url()).args([
            "--listen",
            "127.0.0.1:0",
            "--metrics",
            "127.0.0.1:0",
        ]);
        options.add_to(&mut command);
        Proxy::launch(command, target, folder.join(format!("forebay-{name}.log")))
    }

    /// Starts `forebay serve` with a configuration file that has one endpoint, in front of `target`; `folder` takes its log.
    pub fn serve(binary: &Path, config: &Path, target: &A, folder: &Path) -> Result<Proxy<A>> {
        let mut command = Command::new(binary);
        command.arg("serve").arg("--config").arg(config);
        Proxy::launch(command, target, folder.join("forebay.log"))
    }

    fn launch(mut command: Command, target: &A, log: PathBuf) -> Result<Proxy<A>> {
        command
            .stdout(Stdio::piped())
            .stderr(fs::File::create(&log)?);
        let mut running = Running::start(&mut command, libc::SIGTERM)?;
        let lines = collect_lines(running.take_stdout().context("the output of forebay")?);
        let said = process::poll(START_PATIENCE, || started(&running, &lines, &log))?;
        let Some((listen, metrics, driver)) = said else {
            bail!(
                "forebay did not say where it listens within {START_PATIENCE:?}; its log:\n{}",
                tail(&log)
            );
        };
        let ready = process::poll(START_PATIENCE, || {
            alive(&running, &log)?;
            Ok(http_get(&metrics, "/readyz")
                .ok()
                .filter(|(status, _)| *status == 200)
                .map(drop))
        })?;
        if ready.is_none() {
            bail!(
                "forebay was not ready within {START_PATIENCE:?} (GET http://{metrics}/readyz); its log:\n{}",
                tail(&log)
            );
        }
        let (host, port) = host_and_port(&listen)?;
        Ok(Proxy {
            access: target.at(host, port),
            metrics,
            driver,
            log,
            running,
        })
    }

    /// The last lines of its log.
    pub fn log_tail(&self) -> String {
        tail(&self.log)
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.running.pid()
    }
}

impl ProxyOptions {
    fn add_to(&self, command: &mut Command) {
        if let Some(workers) = self.workers {
            command.args(["--workers", &workers.to_string()]);
        }
        if let Some(driver) = &self.driver {
            command.args(["--driver", driver]);
        }
        if let Some(most) = self.max_connections {
            command.args(["--max-connections", &most.to_string()]);
        }
        command.args(&self.more);
    }
}

type Lines = Arc<Mutex<Vec<String>>>;

/// Keeps reading, so that a proxy never blocks on a full pipe.
fn collect_lines(output: ChildStdout) -> Lines {
    let lines = Lines::default();
    let into = lines.clone();
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            into.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(line);
        }
    });
    lines
}

/// What the proxy said of itself, once it said where it listens and where its metrics are.
fn started(
    running: &Running,
    lines: &Lines,
    log: &Path,
) -> Result<Option<(String, String, String)>> {
    let lines = lines.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let after = |mark: &str| {
        let rest = lines
            .iter()
            .find_map(|line| line.split_once(mark).map(|(_, rest)| rest));
        rest.map(|text| text.split_whitespace().next().unwrap_or("").to_string())
    };
    if let (Some(listen), Some(metrics)) = (after("listening on "), after("metrics on http://")) {
        let metrics = metrics.split('/').next().unwrap_or("").to_string();
        return Ok(Some((
            listen,
            metrics,
            after("driver ").unwrap_or_default(),
        )));
    }
    alive(running, log).map(|()| None)
}

fn alive(running: &Running, log: &Path) -> Result<()> {
    match running.ended() {
        Some(status) => bail!("forebay ended ({status}); its log:\n{}", tail(log)),
        None => Ok(()),
    }
}

fn tail(log: &Path) -> String {
    process::last_lines(&fs::read_to_string(log).unwrap_or_default(), 20)
}

fn host_and_port(address: &str) -> Result<(&str, u16)> {
    let parts = address.trim_end_matches([',', '.', ';']).rsplit_once(':');
    let (host, port) = parts.with_context(|| format!("not HOST:PORT: `{address}`"))?;
    Ok((
        host,
        port.parse()
            .with_context(|| format!("not a port: `{port}`"))?,
    ))
}

/// Whether the kernel lets this process make an io_uring; most containers do not.
pub fn uring_allowed() -> bool {
    // `struct io_uring_params` of io_uring_setup(2) is 120 bytes long; all zero asks for nothing special.
    let mut parameters = [0_u64; 15];
    // SAFETY: the kernel fills the structure behind the pointer, which is as large and as aligned as it expects.
    let ring = unsafe { libc::syscall(libc::SYS_io_uring_setup, 1, parameters.as_mut_ptr()) };
    let Ok(descriptor) = i32::try_from(ring) else {
        return false;
    };
    if descriptor >= 0 {
        // SAFETY: the descriptor was made above and is used nowhere else.
        unsafe { libc::close(descriptor) };
    }
    descriptor >= 0
}

/// Status and body of a GET; for ports of this machine only.
pub fn http_get(address: &str, path: &str) -> Result<(u16, String)> {
    let mut stream =
        TcpStream::connect(address).with_context(|| format!("cannot connect to {address}"))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let status = answer
        .split_whitespace()
        .nth(1)
        .and_then(|code| code.parse().ok())
        .context("not an HTTP answer")?;
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    Ok((status, body.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_with_whatever_follows_it() {
        assert_eq!(
            host_and_port("127.0.0.1:6432,").unwrap(),
            ("127.0.0.1", 6432)
        );
        assert!(
            host_and_port("nowhere")
                .unwrap_err()
                .to_string()
                .contains("HOST:PORT")
        );
    }
}
