//! PostgreSQL: loaded by pgbench, with PgBouncer as the pooler to beat.

mod idle;
mod pgbouncer;
mod workloads;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::SERVER_CONNECTIONS_MAX;
use super::kinds::{Kind, Section};
use super::peers::{self, Peer};
use super::workloads::{Measured, Workload};
use crate::place::{self, Folder};
use crate::postgres::{Access, Server, ServerOptions};
use crate::steps::progress;
use crate::{pgbench, process};

/// A server with filled tables.
pub struct Stage {
    server: Server,
    binary: Option<PathBuf>,
    folder: Folder,
}

impl Stage {
    /// Starts a server and fills its tables; `binary` is Forebay, when it takes part.
    pub fn prepare(binary: Option<PathBuf>, version: Option<u32>, quick: bool) -> Result<Stage> {
        let server = Server::start(&ServerOptions {
            version,
            max_connections: SERVER_CONNECTIONS_MAX,
            ..Default::default()
        })?;
        let scale = if quick { 1 } else { 10 };
        progress(&format!("filling tables ({scale}00,000 rows)"));
        pgbench::fill(&server.binaries, &server.app, scale)?;
        Ok(Stage {
            server,
            binary,
            folder: place::private_folder()?,
        })
    }

    /// For logs and scripts.
    fn folder(&self) -> &Path {
        &self.folder.path
    }
}

impl super::Stage for Stage {
    type Access = Access;
    type Task = workloads::Task;

    fn facts(&self) -> Result<Vec<(&'static str, String)>> {
        let binaries = &self.server.binaries;
        let pgbench = process::capture(binaries.tool("pgbench")?.arg("--version"))?;
        Ok(vec![
            ("postgresql", binaries.version.clone()),
            ("pgbench", pgbench.trim().into()),
        ])
    }

    fn notes(&self) -> Vec<&'static str> {
        vec!["The database offers no TLS: a plain relay ends none, and does not take part there."]
    }

    fn workloads(
        &self,
        sections: &[Section],
        quick: bool,
        seconds: u32,
    ) -> Result<Vec<Workload<Self::Task>>> {
        workloads::of(self, sections, quick, seconds)
    }

    fn start(&self, kind: Kind) -> Result<Peer<Access>> {
        let app = &self.server.app;
        let started = match kind {
            Kind::Direct => {
                let version = format!("PostgreSQL {}", self.server.binaries.version);
                Ok(peers::direct(app.clone(), version))
            }
            Kind::Haproxy => peers::haproxy(app, app.port),
            Kind::Pgbouncer => pgbouncer::start(&self.server),
            _ => peers::forebay(kind, self.binary.as_deref(), app),
        };
        started.with_context(|| format!("cannot start {}", kind.name()))
    }

    fn suits(&self, section: Section, kind: Kind) -> bool {
        section != Section::Tls || self.rests(kind, true)
    }

    fn visit(&self, workload: &Workload<Self::Task>, peer: &Peer<Access>) -> Result<Measured> {
        workloads::visit(self, workload, peer)
    }

    fn rests(&self, kind: Kind, _tls: bool) -> bool {
        !matches!(kind, Kind::Direct | Kind::Haproxy)
    }

    fn idle(&self, peer: &Peer<Access>, clients: u32, tls: bool) -> Result<f64> {
        idle::measure(self, peer, clients, tls)
    }
}
