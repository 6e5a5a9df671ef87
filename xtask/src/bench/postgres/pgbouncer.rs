//! PgBouncer, configured as Forebay is: pooling by transaction, stored SCRAM secrets, no log of connections.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::bench::BACKENDS_MAX;
use crate::bench::kinds::Kind;
use crate::bench::peers::{Configured, Peer, first_line};
use crate::postgres::{Access, Server};
use crate::{install, place, psql};

/// Starts it in front of the server; ready when this returns.
pub fn start(server: &Server) -> Result<Peer<Access>> {
    let given = std::env::var_os("FOREBAY_PGBOUNCER").map(PathBuf::from);
    let program = given.map_or_else(|| install::program("pgbouncer", "pgbouncer"), Ok)?;
    let version = first_line(&program, "--version");
    let port = place::free_port()?;
    // The stored form of the password, as a careful operator gives it: from a plain one, PgBouncer would derive the key
    // again at every login.
    let sql = "SELECT rolpassword FROM pg_authid WHERE rolname = 'app'";
    let stored = psql::ask(&server.binaries, &server.superuser, sql)?;
    let users = format!("\"app\" \"{stored}\"\n");
    let mut config = format!(
        "[databases]\napp = host=127.0.0.1 port={} dbname=app\n\
         [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
         auth_type = scram-sha-256\nauth_file = FOLDER/users\npool_mode = transaction\n\
         default_pool_size = {BACKENDS_MAX}\nmax_client_conn = 12000\nserver_tls_sslmode = disable\n\
         client_tls_sslmode = allow\nclient_tls_cert_file = FOLDER/server.crt\nclient_tls_key_file = FOLDER/server.key\n\
         log_connections = 0\nlog_disconnections = 0\nlog_stats = 0\nignore_startup_parameters = extra_float_digits\n",
        server.app.port
    );
    if tracks_prepared(&version) {
        let _ = writeln!(config, "max_prepared_statements = 200");
    }
    let make = |file: &Path| {
        let mut command = Command::new(&program);
        command.arg(file);
        command
    };
    Configured {
        kind: Kind::Pgbouncer,
        port,
        version,
        config,
        paths: Vec::new(),
        files: vec![("users", users)],
    }
    .start(&server.app, make)
}

/// Named prepared statements under transaction pooling came with PgBouncer 1.21; older ones refuse the setting.
fn tracks_prepared(version: &str) -> bool {
    let number = version
        .split_whitespace()
        .find(|word| word.starts_with(|c: char| c.is_ascii_digit()))
        .unwrap_or("");
    let mut parts = number
        .split('.')
        .map(|part| part.parse::<u32>().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0)) >= (1, 21)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pgbouncer_tracks_prepared_statements_from_1_21_on() {
        assert!(!tracks_prepared("PgBouncer 1.18.0"));
        assert!(tracks_prepared("PgBouncer 1.21.0"));
        assert!(!tracks_prepared("unknown version"));
    }
}
