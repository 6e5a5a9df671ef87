//! MySQL Router with one thread: with a server connection for each client, or sharing a few among them.
//!
//! It shares what it can put into the state of another client, for which it must log in by itself: it asks a client under TLS
//! for the password in clear. `connection_sharing_delay` 0 gives a connection away behind each statement, as Forebay does; by
//! default it would be kept for a second. The pool bounds how many connections rest, not how many are in use.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::bench::BACKENDS_MAX;
use crate::bench::kinds::Kind;
use crate::bench::peers::{Configured, Peer};
use crate::mysql::{Access, tools};
use crate::place;

/// Starts it in front of the server; ready when this returns.
pub fn start(kind: Kind, target: &Access) -> Result<Peer<Access>> {
    let router = tools::router(false)?;
    let port = place::free_port()?;
    let make = |file: &Path| {
        let mut command = Command::new(&router.program);
        command.arg("--config").arg(file);
        command
    };
    Configured {
        kind,
        port,
        version: format!("MySQL Router {}", router.version),
        config: config(kind, target.port, port),
        paths: vec![("PLUGINS", router.plugins)],
        files: Vec::new(),
    }
    .start(target, make)
}

fn config(kind: Kind, target: u16, port: u16) -> String {
    let sharing = if kind == Kind::RouterSharing {
        "connection_sharing = 1\nconnection_sharing_delay = 0\n"
    } else {
        ""
    };
    let pool = if kind == Kind::RouterSharing {
        format!("[connection_pool]\nmax_idle_server_connections = {BACKENDS_MAX}\n")
    } else {
        String::new()
    };
    format!(
        "[DEFAULT]\nplugin_folder = PLUGINS\nlogging_folder =\nruntime_folder = FOLDER\ndata_folder = FOLDER\n\
         max_total_connections = 12000\n\
         [logger]\nlevel = error\n\
         [io]\nthreads = 1\n\
         {pool}\
         [routing:database]\nbind_address = 127.0.0.1\nbind_port = {port}\ndestinations = 127.0.0.1:{target}\n\
         routing_strategy = first-available\nprotocol = classic\nmax_connections = 12000\n\
         max_connect_errors = 1000000\n\
         client_ssl_mode = PREFERRED\nclient_ssl_cert = FOLDER/server.crt\nclient_ssl_key = FOLDER/server.key\n\
         server_ssl_mode = DISABLED\n\
         {sharing}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_shared_only_where_that_is_what_is_measured() {
        let plain = config(Kind::Router, 3306, 6446);
        assert!(!plain.contains("sharing") && !plain.contains("pool"));
        let sharing = config(Kind::RouterSharing, 3306, 6446);
        assert!(sharing.contains("connection_sharing = 1\n"));
        assert!(sharing.contains("max_idle_server_connections = 20\n"));
    }
}
