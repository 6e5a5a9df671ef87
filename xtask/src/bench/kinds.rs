//! What can be named on the command line: who is compared, what is measured, and which of both each engine has.

use anyhow::{Result, ensure};
use clap::ValueEnum;

use crate::db::Engine;

/// A candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Kind {
    /// No proxy
    Direct,
    /// HAProxy in TCP mode, one thread
    Haproxy,
    /// PgBouncer, transaction pooling (PostgreSQL)
    Pgbouncer,
    /// MySQL Router, one thread, a server connection for each client (MySQL, MariaDB)
    Router,
    /// MySQL Router, one thread, with `connection_sharing` (MySQL, under TLS only)
    RouterSharing,
    /// Forebay, one worker on io_uring
    ForebayUring,
    /// Forebay, one worker on epoll
    ForebayEpoll,
    /// Forebay, two workers on io_uring
    ForebayUring2,
}

/// A part of the matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Section {
    /// One-row SELECTs, simple protocol, 1 to 256 clients (PostgreSQL)
    Simple,
    /// The same in the extended protocol (PostgreSQL)
    Extended,
    /// One-row SELECTs as text, 1 to 64 clients (MySQL, MariaDB)
    Text,
    /// The same with named prepared statements; MySQL and MariaDB: with prepared statements of the protocol
    Prepared,
    /// The same, where each client has settings of its own and 50 statements
    Rich,
    /// A new connection for each query
    Connect,
    /// One-row SELECTs over TLS; MySQL and MariaDB: as text and prepared
    Tls,
    /// Large results: SELECT and COPY out (PostgreSQL)
    Bulk,
    /// Memory of clients that do nothing
    Idle,
}

impl Kind {
    /// As it is written on the command line and in tables.
    pub fn name(self) -> String {
        self.to_possible_value()
            .map_or_else(String::new, |value| value.get_name().to_string())
    }

    /// As it calls itself.
    pub fn title(self) -> String {
        match self {
            Kind::Haproxy => "HAProxy".into(),
            Kind::Pgbouncer => "PgBouncer".into(),
            Kind::Router => "MySQL Router".into(),
            Kind::RouterSharing => "MySQL Router with sharing".into(),
            _ => self.name(),
        }
    }

    /// Whether it is ours.
    pub fn is_forebay(self) -> bool {
        matches!(
            self,
            Kind::ForebayUring | Kind::ForebayEpoll | Kind::ForebayUring2
        )
    }
}

impl Section {
    /// As it is written on the command line and in tables.
    pub fn name(self) -> String {
        self.to_possible_value()
            .map_or_else(String::new, |value| value.get_name().to_string())
    }
}

/// Who can be compared in front of an engine's servers, and is when nothing else is said.
pub fn peers(engine: Engine) -> &'static [Kind] {
    match engine {
        Engine::Postgres => &[
            Kind::Direct,
            Kind::Haproxy,
            Kind::Pgbouncer,
            Kind::ForebayUring,
            Kind::ForebayEpoll,
            Kind::ForebayUring2,
        ],
        Engine::Mysql => &[
            Kind::Direct,
            Kind::Haproxy,
            Kind::Router,
            Kind::RouterSharing,
            Kind::ForebayUring,
            Kind::ForebayEpoll,
        ],
        Engine::Mariadb => &[
            Kind::Direct,
            Kind::Haproxy,
            Kind::Router,
            Kind::ForebayUring,
            Kind::ForebayEpoll,
        ],
    }
}

/// What can be measured of an engine, and is when nothing else is said.
pub fn sections(engine: Engine) -> &'static [Section] {
    match engine {
        Engine::Postgres => &[
            Section::Simple,
            Section::Extended,
            Section::Prepared,
            Section::Rich,
            Section::Connect,
            Section::Tls,
            Section::Bulk,
            Section::Idle,
        ],
        Engine::Mysql | Engine::Mariadb => &[
            Section::Text,
            Section::Prepared,
            Section::Rich,
            Section::Connect,
            Section::Tls,
            Section::Idle,
        ],
    }
}

/// What is wanted of what an engine has: everything, or what was named.
pub fn chosen<T: ValueEnum + PartialEq + Clone>(named: &[T], all: &[T]) -> Result<Vec<T>> {
    for one in named {
        let value = one.to_possible_value();
        let name = value.as_ref().map_or("", |value| value.get_name());
        ensure!(all.contains(one), "`{name}` is not for this engine");
    }
    Ok(if named.is_empty() { all } else { named }.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_engine_lacks_is_refused_by_name() {
        let error = chosen(&[Kind::Direct, Kind::Pgbouncer], peers(Engine::Mysql)).unwrap_err();
        assert!(error.to_string().contains("pgbouncer"), "{error}");
        assert!(chosen(&[Section::Bulk], sections(Engine::Mariadb)).is_err());
    }

    #[test]
    fn who_names_nothing_gets_everything() {
        let all = chosen(&[], sections(Engine::Postgres)).unwrap();
        assert_eq!(all, sections(Engine::Postgres));
        let some = chosen(&[Kind::Router], peers(Engine::Mysql)).unwrap();
        assert_eq!(some, [Kind::Router]);
    }
}
