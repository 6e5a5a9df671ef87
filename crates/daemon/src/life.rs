//! The life of the process: start, stay, reload at SIGHUP, drain at SIGTERM or SIGINT, stop.
//!
//! ```text
//! start ──► serving ──SIGTERM──► draining ──no clients, time over, second signal──► stopped
//!             │  ▲
//!             └──┘ SIGHUP
//! ```
//!
//! The main thread runs this on a small runtime of its own; no client byte passes here.

use crate::log::{self, EventLog};
use crate::plan::{Origin, Plan, environment};
use crate::process;
use anyhow::{Context, Error, Result};
use forebay_api::{Audience, Server, Sessions};
use forebay_control::config::{self, Driver, LogFormat, ServerConfig, SessionsAudience};
use forebay_control::differences;
use forebay_core::metrics::Registry;
use forebay_core::snapshot::{EngineFamily, Snapshot};
use forebay_dataplane::{DataPlane, DriverChoice, Options};
use std::fmt::Write as _;
use std::io::Write as _;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, interval, sleep_until};
use tracing::{error, info, warn};

/// How often a drain looks whether clients are left.
const DRAIN_TICK: Duration = Duration::from_millis(20);
/// How often we look whether the workers are well.
const HEALTH_TICK: Duration = Duration::from_secs(1);

/// Starts what the plan says and stays until a signal ends it.
///
/// # Errors
/// When something cannot be started.
pub fn live(plan: Plan) -> Result<()> {
    log::init(plan.server.log_format, plan.log_level);
    if !plan.allow_core {
        process::forbid_core();
    }
    process::raise_open_files();
    for warning in &plan.warnings {
        warn!("{warning}");
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime of the main thread")?;
    runtime.block_on(async {
        // Before anything else listens: a signal must not find the default action.
        let mut signals = Signals::new().context("cannot listen for signals")?;
        let mut running = Running::start(plan)?;
        let served = running.serve(&mut signals).await;
        if served.is_ok() {
            running.drain(&mut signals).await;
        }
        running.stop();
        served
    })
}

/// The signals we obey.
struct Signals {
    hangup: Signal,
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Signals> {
        Ok(Signals {
            hangup: signal(SignalKind::hangup())?,
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Waits for SIGTERM or SIGINT; gives its name.
    async fn end(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }
}

/// What the HTTP thread also looks at.
struct Shared {
    /// Present until the end.
    plane: Mutex<Option<DataPlane>>,
    draining: AtomicBool,
}

impl Shared {
    fn plane(&self) -> MutexGuard<'_, Option<DataPlane>> {
        // Nothing that holds the lock changes anything but whether the plane is there.
        self.plane.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ready(&self) -> Result<(), String> {
        if self.draining.load(Ordering::Relaxed) {
            return Err("draining".to_owned());
        }
        match &*self.plane() {
            Some(plane) => plane.ready(),
            None => Err("stopped".to_owned()),
        }
    }

    fn clients(&self) -> usize {
        self.plane().as_ref().map_or(0, DataPlane::clients)
    }
}

/// Everything that runs.
struct Running {
    shared: Arc<Shared>,
    http: Option<Server>,
    log: EventLog,
    server: ServerConfig,
    snapshot: Arc<Snapshot>,
    origin: Origin,
}

impl Running {
    fn start(plan: Plan) -> Result<Running> {
        let log = EventLog::start().context("cannot start the log's thread")?;
        let registry = Arc::new(Registry::default());
        let snapshot = Arc::new(plan.snapshot);
        let workers = workers(&plan.server);
        let options = Options {
            workers,
            driver: driver(plan.server.driver),
            events: log.sink(),
            metrics: Arc::clone(&registry),
        };
        let plane = DataPlane::start(options, &snapshot)?;
        let asker = plane.sessions_asker();
        let shared = Arc::new(Shared {
            plane: Mutex::new(Some(plane)),
            draining: AtomicBool::new(false),
        });
        let asked = Arc::clone(&shared);
        let http = match plan.server.metrics {
            Some(address) => {
                let ready = move || asked.ready();
                let sessions = Sessions {
                    audience: audience(plan.server.sessions_audience),
                    asker: Arc::new(move |asked| asker.ask(asked)),
                };
                let server = Server::start(address, registry, log.sink(), sessions, ready);
                Some(server?)
            }
            None => None,
        };
        let running = Running {
            shared,
            http,
            log,
            server: plan.server,
            snapshot,
            origin: plan.origin,
        };
        running.announce(workers);
        Ok(running)
    }

    /// Tells on standard output, in one write, and in the log where everything is; scripts wait for these lines. Where both go to one
    /// place they are there once: as they are among lines for people, as objects among objects.
    fn announce(&self, workers: usize) {
        let mut text = String::new();
        if let Some(plane) = &*self.shared.plane() {
            text = self.announcement(plane, workers);
        }
        let (one_place, json) = (
            process::outputs_are_one(),
            self.server.log_format == LogFormat::Json,
        );
        if json || !one_place {
            text.lines().for_each(|line| info!("{line}"));
        }
        if json && one_place {
            return;
        }
        let mut output = std::io::stdout().lock();
        // Nobody reads: the same lines are in the log.
        let _ = output
            .write_all(text.as_bytes())
            .and_then(|()| output.flush());
    }

    fn announcement(&self, plane: &DataPlane, workers: usize) -> String {
        let mut lines = Vec::new();
        let endpoints = plane.endpoints();
        for at in &endpoints {
            lines.push(format!(
                "listening on {} (proxy {}, endpoint {})",
                at.address, at.proxy, at.endpoint
            ));
        }
        if let Some(http) = &self.http {
            lines.push(format!("metrics on http://{}/metrics", http.address()));
        }
        let (driver, why) = plane.driver();
        let plural = if workers == 1 { "" } else { "s" };
        lines.push(format!("driver {driver} ({why}), {workers} worker{plural}"));
        if let (
            Origin::Url {
                engine,
                user,
                database,
            },
            Some(at),
        ) = (&self.origin, endpoints.first())
        {
            lines.push(match engine {
                EngineFamily::Postgres => format!(
                    "connect with: psql 'postgres://{}@{}/{}'",
                    encoded(user),
                    at.address,
                    encoded(database)
                ),
                EngineFamily::Mysql => format!(
                    "connect with: mysql --host={} --port={} --user='{user}' --password {database}",
                    at.address.ip(),
                    at.address.port()
                ),
            });
        }
        lines.join("\n") + "\n"
    }

    /// Serves until a signal asks for the end.
    ///
    /// # Errors
    /// When a worker has failed: backends and places that it had are lost to the others, so whoever supervises us starts us anew.
    async fn serve(&mut self, signals: &mut Signals) -> Result<()> {
        let mut tick = interval(HEALTH_TICK);
        loop {
            tokio::select! {
                _ = tick.tick() => self.shared.ready().map_err(Error::msg)?,
                _ = signals.hangup.recv() => self.reload(),
                _ = signals.interrupt.recv() => {
                    info!("SIGINT: draining");
                    return Ok(());
                }
                _ = signals.terminate.recv() => {
                    info!("SIGTERM: draining");
                    return Ok(());
                }
            }
        }
    }

    /// Reads the file again; a wrong one changes nothing.
    fn reload(&mut self) {
        let Origin::File { path, server } = &self.origin else {
            info!("SIGHUP: nothing to read again: started with a URL");
            return;
        };
        let loaded = match config::load(path, self.snapshot.generation + 1, &environment) {
            Ok(loaded) => loaded,
            Err(errors) => {
                error!("SIGHUP: the old configuration stays");
                errors.0.iter().for_each(|wrong| error!("{wrong}"));
                return;
            }
        };
        for warning in &loaded.warnings {
            warn!("{warning}");
        }
        if loaded.server != *server {
            warn!("SIGHUP: [server] has changed, which needs a restart");
        }
        self.take(Arc::new(loaded.snapshot));
    }

    /// Puts a snapshot into effect and tells what it changed.
    fn take(&mut self, snapshot: Arc<Snapshot>) {
        if let Some(plane) = &*self.shared.plane()
            && let Err(wrong) = plane.load(&snapshot)
        {
            error!("SIGHUP: the old configuration stays: {wrong}");
            return;
        }
        let changes = differences(&self.snapshot, &snapshot);
        let (generation, count) = (snapshot.generation, changes.len());
        info!("SIGHUP: configuration {generation} is in effect; changes: {count}");
        changes.iter().for_each(|change| info!("{change}"));
        self.snapshot = snapshot;
    }

    /// Lets clients reach the end of their transaction, for a while.
    async fn drain(&mut self, signals: &mut Signals) {
        self.shared.draining.store(true, Ordering::Relaxed);
        if let Some(plane) = &*self.shared.plane() {
            plane.drain();
        }
        let end = Instant::now() + self.server.drain_timeout;
        let mut tick = interval(DRAIN_TICK);
        loop {
            tokio::select! {
                _ = tick.tick() => {
                    if self.shared.clients() == 0 {
                        info!("drained");
                        return;
                    }
                }
                () = sleep_until(end) => {
                    warn!("drain_timeout is over: closing {} clients", self.shared.clients());
                    return;
                }
                name = signals.end() => {
                    warn!("{name} again: closing {} clients at once", self.shared.clients());
                    return;
                }
            }
        }
    }

    fn stop(self) {
        let plane = self.shared.plane().take();
        if let Some(plane) = plane {
            plane.stop();
        }
        if let Some(http) = self.http {
            http.stop();
        }
        self.log.finish();
        info!("stopped");
    }
}

fn workers(server: &ServerConfig) -> usize {
    let cores = || std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    server.workers.map_or_else(cores, NonZeroUsize::get)
}

fn driver(driver: Driver) -> DriverChoice {
    match driver {
        Driver::Auto => DriverChoice::Auto,
        Driver::Uring => DriverChoice::Uring,
        Driver::Epoll => DriverChoice::Epoll,
    }
}

fn audience(audience: SessionsAudience) -> Audience {
    match audience {
        SessionsAudience::Off => Audience::Nobody,
        SessionsAudience::Loopback => Audience::Loopback,
        SessionsAudience::Any => Audience::Anyone,
    }
}

/// A name as it may stand in a URL and between single quotes of a shell.
fn encoded(name: &str) -> String {
    let mut text = String::new();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            write!(text, "%{byte:02X}").expect("writing to a string does not fail");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::encoded;

    #[test]
    fn a_name_in_the_printed_url_cannot_end_its_quotes() {
        assert_eq!(encoded("app"), "app");
        assert_eq!(encoded("o'brien@x"), "o%27brien%40x");
    }
}
