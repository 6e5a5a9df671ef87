//! The thread that turns workers' events into log lines. It alone may wait for standard error; workers never do: what does not fit into the
//! queue is dropped and counted.

use super::events::{Line, Storm, line};
use super::outages::{Outages, Say};
use super::rate::Rate;
use forebay_core::event::{Event, EventKind, EventSink};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tracing::{Level, debug, error, info, trace, warn};

/// Events that wait for their line; about 2 MB at most.
const QUEUE_MAX: usize = 16 * 1024;
/// How often suppressed and dropped lines are reported while nothing happens.
const TICK: Duration = Duration::from_secs(1);

/// The running thread.
pub struct EventLog {
    events: EventSink,
    ending: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl EventLog {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the operating system has no thread for us.
    pub fn start() -> std::io::Result<EventLog> {
        let (sender, receiver) = sync_channel(QUEUE_MAX);
        let ending = Arc::new(AtomicBool::new(false));
        let ends = Arc::clone(&ending);
        let thread = std::thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || Drain::default().run(&receiver, &ends))?;
        let events = EventSink::new(sender);
        events.set_details(is_seen(Level::DEBUG));
        Ok(EventLog {
            events,
            ending,
            thread,
        })
    }

    /// Where workers put their events.
    pub fn sink(&self) -> EventSink {
        self.events.clone()
    }

    /// Waits until everything is written: until no other sink is left, or a second has passed without an event.
    pub fn finish(self) {
        let dropped = self.events.dropped();
        self.ending.store(true, Ordering::Relaxed);
        drop(self.events);
        // A panic in it has been reported by the panic hook.
        let _ = self.thread.join();
        if dropped > 0 {
            warn!("{dropped} events were not logged: the log could not keep up");
        }
    }
}

#[derive(Default)]
struct Drain {
    refusals: Rate,
    pins: Rate,
    unpins: Rate,
    backends: Rate,
    outages: Outages,
}

impl Drain {
    fn run(mut self, events: &Receiver<Event>, ending: &AtomicBool) {
        loop {
            match events.recv_timeout(TICK) {
                Ok(event) => self.on_event(&event),
                Err(RecvTimeoutError::Timeout) if ending.load(Ordering::Relaxed) => return,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.report_suppressed(Instant::now());
        }
    }

    fn on_event(&mut self, event: &Event) {
        let mut line = line(event);
        self.pace(Instant::now(), &event.kind, &mut line);
        self.tell(event, &line);
    }

    /// Keeps the lines about a database that takes no connections few, and tells when that is over.
    fn pace(&mut self, now: Instant, kind: &EventKind, line: &mut Line<'_>) {
        match kind {
            EventKind::BackendFailed {
                target,
                user,
                database,
                refusal,
            } => match self
                .outages
                .on_failed(now, target, (user, database), refusal)
            {
                Say::Begins => {}
                Say::Lasts(lasting) => {
                    line.message = format!("{} ({lasting})", line.message).into()
                }
                Say::Nothing => line.level = Level::DEBUG,
            },
            EventKind::BackendReady {
                target,
                user,
                database,
                ..
            } => {
                for lasted in self.outages.on_ready(now, target, (user, database)) {
                    let target = &**target;
                    info!(
                        target,
                        "The database at {target} takes connections again ({lasted})"
                    );
                }
            }
            _ => {}
        }
    }

    fn tell(&mut self, event: &Event, line: &Line<'_>) {
        // A line that nobody sees must not use up the second's lines.
        if !is_seen(line.level) {
            return;
        }
        // Whoever asks for DEBUG wants them all.
        let allowed = match line.storm {
            Some(storm) if line.level <= Level::INFO => self.rate(storm).allows(Instant::now()),
            _ => true,
        };
        if allowed {
            write(event, line);
        }
    }

    fn rate(&mut self, storm: Storm) -> &mut Rate {
        match storm {
            Storm::Refusals => &mut self.refusals,
            Storm::Pins => &mut self.pins,
            Storm::Unpins => &mut self.unpins,
            Storm::Backends => &mut self.backends,
        }
    }

    fn report_suppressed(&mut self, now: Instant) {
        for (storm, what) in [
            (Storm::Refusals, "refusals"),
            (Storm::Pins, "pins"),
            (Storm::Unpins, "ends of pins"),
            (Storm::Backends, "database connections"),
        ] {
            if let Some(lines) = self.rate(storm).take_suppressed(now) {
                warn!("suppressed {lines} more lines about {what} within a second");
            }
        }
    }
}

fn is_seen(level: Level) -> bool {
    level <= tracing::level_filters::LevelFilter::current()
}

fn write(event: &Event, line: &Line<'_>) {
    let fingerprint = line.statement.map(ToString::to_string);
    /// Fields must be known at compile time; those that are `None` are not written.
    macro_rules! write_at {
        ($macro:ident) => {
            $macro!(
                worker = event.worker,
                proxy = event.proxy.as_deref(),
                endpoint = event.endpoint.as_deref(),
                client = event.client,
                backend = event.backend,
                reason = line.reason,
                peer = line.peer,
                user = line.user,
                database = line.database,
                target = line.target,
                tls = line.tls,
                detail = line.detail,
                incident = line.incident,
                pinned_seconds = line.lasted.map(|lasted| lasted.as_secs_f64()),
                fingerprint = fingerprint.as_deref(),
                statement = line.statement.map(|statement| &*statement.text),
                "{}",
                line.message
            )
        };
    }
    match line.level {
        Level::ERROR => write_at!(error),
        Level::WARN => write_at!(warn),
        Level::INFO => write_at!(info),
        Level::DEBUG => write_at!(debug),
        Level::TRACE => write_at!(trace),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use forebay_core::Refusal;
    use serde_json::Value;
    use std::io;
    use std::sync::Mutex;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// The lines of these events, as objects.
    fn lines(events: Vec<EventKind>) -> Vec<Value> {
        let written = Written::default();
        let writer = written.clone();
        let subscriber = tracing_subscriber::fmt()
            .json()
            .flatten_event(true)
            .with_max_level(Level::DEBUG)
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            let mut drain = Drain::default();
            for kind in events {
                drain.on_event(&Event {
                    worker: 1,
                    proxy: Some("orders".into()),
                    endpoint: Some("reports".into()),
                    client: Some(7),
                    backend: None,
                    kind,
                });
            }
        });
        let bytes = written.0.lock().unwrap();
        let objects = serde_json::Deserializer::from_slice(&bytes).into_iter();
        objects.map(|line| line.expect("an object")).collect()
    }

    #[test]
    fn a_line_names_endpoint_and_client() {
        let refused = EventKind::ClientRefused {
            refusal: Refusal::TlsRequired,
            peer: "10.0.0.1:5".into(),
            detail: "".into(),
        };
        let line = &lines(vec![refused])[0];
        assert_eq!(line["proxy"], "orders");
        assert_eq!(line["endpoint"], "reports");
        assert_eq!(line["client"], 7);
        assert_eq!(line["worker"], 1);
    }

    #[test]
    fn a_pin_is_told_with_its_statement() {
        let pinned = EventKind::SessionPinned {
            reason: forebay_core::PinReason::AdvisoryLock,
            statement: Some(Arc::new(forebay_core::StatementShape {
                fingerprint: 0xbeef,
                text: "select pg_advisory_lock(?)".into(),
            })),
            user: "app".into(),
            database: "shop".into(),
        };
        let line = &lines(vec![pinned])[0];
        assert_eq!(line["reason"], "advisory_lock");
        assert_eq!(line["fingerprint"], "000000000000beef");
        assert_eq!(line["statement"], "select pg_advisory_lock(?)");
    }

    #[test]
    fn a_database_that_is_down_is_one_warning_and_its_return_one_line() {
        let failed = EventKind::BackendFailed {
            target: "db:5432".into(),
            user: "app".into(),
            database: "shop".into(),
            refusal: Refusal::TargetUnreachable {
                detail: "connection refused".into(),
            },
        };
        let ready = EventKind::BackendReady {
            target: "db:5432".into(),
            user: "app".into(),
            database: "shop".into(),
            tls: false,
        };
        let lines = lines(vec![failed.clone(), failed.clone(), failed, ready]);
        let told: Vec<_> = lines
            .iter()
            .filter(|line| line["level"] != "DEBUG")
            .map(|line| line["message"].as_str().expect("a message"))
            .collect();
        let expected = [
            "No connection from the proxy to the database at db:5432: connection refused",
            "The database at db:5432 takes connections again (3 failed attempts in 0 s)",
        ];
        assert_eq!(told, expected);
    }
}
