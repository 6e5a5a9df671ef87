//! Private PostgreSQL servers: found or installed, started in a moment, gone without a trace.
//!
//! `binaries` finds or installs them, `template` makes (once) the data directory that servers are copied from,
//! `server` runs one. A server listens on loopback with SCRAM-SHA-256 and has two
//! roles, the superuser `postgres` and `app`, which owns the database `app`.

mod binaries;
mod server;
mod template;

pub use binaries::Binaries;
pub use server::{Server, ServerOptions};

use std::process::Command;

/// How to reach one database as one role, directly or through a proxy.
#[derive(Clone)]
pub struct Access {
    /// An address.
    pub host: String,
    /// A TCP port.
    pub port: u16,
    /// A role.
    pub user: String,
    /// Its password; made for this machine alone, at random.
    pub password: String,
    /// A database.
    pub database: String,
    /// libpq's sslmode.
    pub sslmode: &'static str,
}

impl Access {
    /// The same role and database behind another address.
    pub fn at(&self, host: &str, port: u16) -> Access {
        Access {
            host: host.into(),
            port,
            ..self.clone()
        }
    }

    /// The same with TLS required, unverified: the certificates of a test are signed by themselves.
    pub fn with_tls(&self) -> Access {
        Access {
            sslmode: "require",
            ..self.clone()
        }
    }

    /// For `forebay run` and for people.
    pub fn url(&self) -> String {
        format!(
            "postgres://{}:{}@{}:{}/{}",
            self.user, self.password, self.host, self.port, self.database
        )
    }

    /// Sets what libpq reads; nothing of it appears in a list of processes.
    pub fn set_environment(&self, command: &mut Command) {
        for name in [
            "PGSERVICE",
            "PGOPTIONS",
            "PGHOSTADDR",
            "PGSSLROOTCERT",
            "PGTARGETSESSIONATTRS",
        ] {
            command.env_remove(name);
        }
        command
            .env("PGHOST", &self.host)
            .env("PGPORT", self.port.to_string())
            .env("PGUSER", &self.user)
            .env("PGPASSWORD", &self.password)
            .env("PGDATABASE", &self.database)
            .env("PGSSLMODE", self.sslmode)
            .env("PGGSSENCMODE", "disable")
            .env("PGCONNECT_TIMEOUT", "20");
    }
}
