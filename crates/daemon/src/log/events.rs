//! What a worker's event is in words: level, message and fields, in the spirit of RDS Proxy's log.
//!
//! A client's own events are DEBUG; pins and refusals are WARN because somebody may want to act on them.

use super::reasons;
use forebay_core::event::{Event, EventKind};
use forebay_core::{CloseReason, Refusal, StatementShape};
use std::borrow::Cow;
use std::time::Duration;
use tracing::Level;

/// Lines that may come in storms, each kind limited by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Storm {
    Refusals,
    Pins,
    Unpins,
    Backends,
}

/// A line without its time; absent fields are not written.
#[derive(Debug, PartialEq, Eq)]
pub struct Line<'e> {
    pub level: Level,
    pub storm: Option<Storm>,
    pub message: Cow<'static, str>,
    pub reason: Option<&'static str>,
    pub peer: Option<&'e str>,
    pub user: Option<&'e str>,
    pub database: Option<&'e str>,
    pub target: Option<&'e str>,
    pub tls: Option<bool>,
    pub detail: Option<&'e str>,
    pub incident: Option<u64>,
    pub statement: Option<&'e StatementShape>,
    pub lasted: Option<Duration>,
}

impl Line<'_> {
    fn new(level: Level, message: impl Into<Cow<'static, str>>) -> Self {
        Line {
            level,
            storm: None,
            message: message.into(),
            reason: None,
            peer: None,
            user: None,
            database: None,
            target: None,
            tls: None,
            detail: None,
            incident: None,
            statement: None,
            lasted: None,
        }
    }
}

/// The line of an event.
pub fn line(event: &Event) -> Line<'_> {
    match &event.kind {
        EventKind::WorkerStarted { driver, why } => Line::new(
            Level::INFO,
            format!("A worker started on {driver} ({why})."),
        ),
        EventKind::ClientReady {
            user,
            database,
            peer,
            tls,
        } => Line {
            peer: Some(peer),
            user: Some(user),
            database: Some(database),
            tls: Some(*tls),
            ..Line::new(Level::DEBUG, format!("A new client connected from {peer}."))
        },
        EventKind::ClientRefused {
            refusal,
            peer,
            detail,
        } => refused(refusal, peer, detail),
        EventKind::ClientClosed { reason } => Line {
            reason: Some(reason.as_str()),
            ..Line::new(
                close_level(*reason),
                format!(
                    "The client connection closed. Reason: {}",
                    reasons::close(*reason)
                ),
            )
        },
        EventKind::SessionPinned {
            reason,
            statement,
            user,
            database,
        } => Line {
            storm: Some(Storm::Pins),
            reason: Some(reason.as_str()),
            user: Some(user),
            database: Some(database),
            statement: statement.as_deref(),
            ..Line::new(
                Level::WARN,
                format!(
                    "The client session was pinned to the database connection{}. The proxy can't reuse this connection until the pin ends. Reason: {}",
                    connection(event),
                    reasons::pin(*reason)
                ),
            )
        },
        EventKind::SessionUnpinned {
            reason,
            statement,
            user,
            database,
            lasted,
            goes_on,
        } => Line {
            storm: Some(Storm::Unpins),
            reason: Some(reason.as_str()),
            user: Some(user),
            database: Some(database),
            statement: statement.as_deref(),
            lasted: Some(*lasted),
            ..Line::new(
                Level::INFO,
                format!(
                    "{} the database connection{} after {:.3} s. It was for: {}",
                    match goes_on {
                        true => "The client session is no longer pinned to",
                        false => "The client session ended, and with it its pin to",
                    },
                    connection(event),
                    lasted.as_secs_f64(),
                    reasons::pin(*reason)
                ),
            )
        },
        EventKind::BackendReady {
            target,
            user,
            database,
            tls,
        } => Line {
            target: Some(target),
            user: Some(user),
            database: Some(database),
            tls: Some(*tls),
            ..Line::new(
                Level::DEBUG,
                format!("A connection was established from the proxy to the database at {target}."),
            )
        },
        EventKind::PasswordFound {
            target,
            user,
            is_previous,
        } => Line {
            target: Some(target),
            user: Some(user),
            ..Line::new(
                Level::INFO,
                match is_previous {
                    true => format!(
                        "The database at {target} knows user {user} by the previous password."
                    ),
                    false => format!(
                        "The database at {target} knows user {user} by the current password now."
                    ),
                },
            )
        },
        EventKind::BackendFailed {
            target,
            user,
            database,
            refusal,
        } => Line {
            storm: Some(Storm::Backends),
            target: Some(target),
            user: Some(user),
            database: Some(database),
            ..Line::new(
                Level::WARN,
                format!(
                    "No connection from the proxy to the database at {target}: {}",
                    why(refusal)
                ),
            )
        },
        EventKind::BackendClosed { reason, detail } => Line {
            storm: Some(Storm::Backends),
            reason: Some(reason.as_str()),
            detail: given(detail),
            ..Line::new(
                close_level(*reason),
                format!(
                    "The database connection closed. Reason: {}",
                    reasons::close(*reason)
                ),
            )
        },
        EventKind::BackendMoved { to } => Line::new(
            Level::DEBUG,
            format!(
                "The database connection went to worker {to}, whose clients had waited longer."
            ),
        ),
        EventKind::LimitsRead {
            target,
            max_connections,
            usable,
        } => Line {
            target: Some(target),
            ..Line::new(
                Level::INFO,
                format!(
                    "The database at {target} allows {max_connections} connections; the proxy may use {usable}."
                ),
            )
        },
        EventKind::Bug { incident, what } => Line {
            incident: Some(*incident),
            ..Line::new(
                Level::ERROR,
                format!(
                    "bug: incident {incident}: {what}. The connections of the session were closed; please report this."
                ),
            )
        },
        EventKind::AcceptsFail => Line::new(
            Level::ERROR,
            "New connections cannot be accepted: the process has no file descriptor or memory left. Raise its limit of open files (LimitNOFILE, ulimit -n).",
        ),
        EventKind::Drained => Line::new(Level::INFO, "A worker has no more clients."),
        other => Line::new(Level::INFO, format!("{other:?}")),
    }
}

fn refused<'e>(refusal: &Refusal, peer: &'e str, detail: &'e str) -> Line<'e> {
    // What we or the client itself asked for is no reason to worry.
    let level = match refusal {
        Refusal::ShuttingDown | Refusal::Cancelled | Refusal::IdleClientTimeout => Level::DEBUG,
        Refusal::Bug { .. } => Level::ERROR,
        _ => Level::WARN,
    };
    let name = refusal.as_str();
    Line {
        storm: Some(Storm::Refusals),
        reason: Some(name),
        peer: Some(peer),
        detail: given(detail),
        ..Line::new(
            level,
            format!("The client at {peer} was refused. Reason: {name}."),
        )
    }
}

/// Why a database connection could not be made.
fn why(refusal: &Refusal) -> Cow<'_, str> {
    match refusal {
        Refusal::TargetUnreachable { detail } | Refusal::TargetAuthentication { detail } => {
            Cow::Borrowed(detail)
        }
        Refusal::TargetRefused { code, message, .. } => Cow::Owned(format!("{code} {message}")),
        other => Cow::Borrowed(other.as_str()),
    }
}

fn close_level(reason: CloseReason) -> Level {
    match reason {
        CloseReason::Bug => Level::ERROR,
        CloseReason::NotClean | CloseReason::BackendProtocol => Level::WARN,
        _ => Level::DEBUG,
    }
}

/// RDS's form of a database connection's number.
fn connection(event: &Event) -> String {
    match event.backend {
        Some(number) => format!(" [dbConnection={number}]"),
        None => String::new(),
    }
}

fn given(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use forebay_core::PinReason;
    use std::sync::Arc;

    fn statement() -> Arc<StatementShape> {
        Arc::new(StatementShape {
            fingerprint: 0xbeef,
            text: "listen jobs".into(),
        })
    }

    fn event(kind: EventKind) -> Event {
        Event {
            worker: 1,
            proxy: Some(Arc::from("orders")),
            endpoint: Some(Arc::from("default")),
            client: Some(7),
            backend: Some(3),
            kind,
        }
    }

    #[test]
    fn a_pin_names_the_database_connection_and_the_reason() {
        let event = event(EventKind::SessionPinned {
            reason: PinReason::Listen,
            statement: Some(statement()),
            user: Arc::from("app"),
            database: Arc::from("shop"),
        });
        let line = line(&event);
        assert_eq!(line.statement, Some(&*statement()));
        assert_eq!((line.user, line.database), (Some("app"), Some("shop")));
        assert_eq!(line.level, Level::WARN);
        assert_eq!(line.reason, Some("listen"));
        assert_eq!(
            line.message,
            "The client session was pinned to the database connection [dbConnection=3]. The proxy can't reuse this connection until the pin ends. Reason: The session listens on a notification channel."
        );
    }

    #[test]
    fn the_end_of_a_pin_says_how_long_it_lasted() {
        let ended = |goes_on| {
            event(EventKind::SessionUnpinned {
                reason: PinReason::Listen,
                statement: Some(statement()),
                user: Arc::from("app"),
                database: Arc::from("shop"),
                lasted: Duration::from_millis(2500),
                goes_on,
            })
        };
        let event = ended(true);
        let line = line(&event);
        assert_eq!(line.level, Level::INFO);
        assert_eq!(line.lasted, Some(Duration::from_millis(2500)));
        assert_eq!(
            line.message,
            "The client session is no longer pinned to the database connection [dbConnection=3] after 2.500 s. It was for: The session listens on a notification channel."
        );
        let event = ended(false);
        let message = super::line(&event).message;
        assert!(
            message.starts_with("The client session ended, and with it its pin to"),
            "{message}"
        );
    }

    #[test]
    fn a_refusal_is_a_warning_with_its_name_and_detail() {
        let event = event(EventKind::ClientRefused {
            refusal: Refusal::TlsRequired,
            peer: Arc::from("10.0.0.1:5"),
            detail: Arc::from("plain startup message"),
        });
        let line = line(&event);
        assert_eq!(
            (line.level, line.storm),
            (Level::WARN, Some(Storm::Refusals))
        );
        assert_eq!(
            line.message,
            "The client at 10.0.0.1:5 was refused. Reason: tls_required."
        );
        assert_eq!(line.detail, Some("plain startup message"));
    }

    #[test]
    fn connections_that_come_and_go_are_for_debugging() {
        let ready = event(EventKind::ClientReady {
            user: Arc::from("app"),
            database: Arc::from("orders"),
            peer: Arc::from("10.0.0.1:5"),
            tls: true,
        });
        let closed = event(EventKind::BackendClosed {
            reason: CloseReason::MaxAge,
            detail: Arc::from(""),
        });
        assert_eq!(line(&ready).level, Level::DEBUG);
        assert_eq!(
            line(&ready).message,
            "A new client connected from 10.0.0.1:5."
        );
        assert_eq!(line(&closed).level, Level::DEBUG);
        assert_eq!(line(&closed).detail, None);
    }

    #[test]
    fn a_bug_is_an_error_with_its_incident() {
        let event = event(EventKind::Bug {
            incident: 42,
            what: "two answers for one question",
        });
        let line = line(&event);
        assert_eq!((line.level, line.incident), (Level::ERROR, Some(42)));
        assert!(
            line.message.starts_with("bug: incident 42: "),
            "{}",
            line.message
        );
    }
}
