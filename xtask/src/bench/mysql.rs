//! MySQL and MariaDB: loaded by sysbench, with HAProxy and MySQL Router as what others use.

mod idle;
mod load;
mod router;
mod workloads;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::SERVER_CONNECTIONS_MAX;
use super::kinds::{Kind, Section};
use super::peers::{self, Peer};
use super::workloads::{Measured, Workload};
use crate::mysql::{Access, Family, Release, Server, ServerOptions};
use crate::place::{self, Folder, User};
use crate::steps::progress;
use load::Generator;

/// Rows of the table that is read: it fits into the server's memory.
const ROWS: u32 = 100_000;

/// A server with a filled table.
pub struct Stage {
    server: Server,
    generator: Generator,
    binary: Option<PathBuf>,
    folder: Folder,
    _known: Folder,
}

impl Stage {
    /// Starts a server and fills its table; `binary` is Forebay, when it takes part.
    pub fn prepare(
        binary: Option<PathBuf>,
        family: Family,
        version: Option<&str>,
    ) -> Result<Stage> {
        let folder = place::private_folder()?;
        let generator = Generator::find(&folder.path)?;
        let known = place::private_folder()?;
        let client = known.path.join("client.crt");
        fs::copy(generator.certificate(), &client)?;
        if let Some(user) = User::unprivileged()? {
            user.owns(&known.path)?;
        }
        let server = Server::start(&ServerOptions {
            release: Release::new(family, version)?,
            port: None,
            max_connections: SERVER_CONNECTIONS_MAX,
            // A client that shows a certificate is refused by a server that does not know it.
            settings: vec![format!("ssl-ca={}", client.display())],
        })?;
        progress(&format!("filling a table ({ROWS} rows)"));
        generator.fill(&server.app)?;
        Ok(Stage {
            server,
            generator,
            binary,
            folder,
            _known: known,
        })
    }

    /// For logs.
    fn folder(&self) -> &Path {
        &self.folder.path
    }
}

impl super::Stage for Stage {
    type Access = Access;
    type Task = workloads::Task;

    fn facts(&self) -> Result<Vec<(&'static str, String)>> {
        let version = &self.server.programs.version;
        Ok(vec![
            (version.family.scheme(), version.number.clone()),
            ("sysbench", self.generator.version()?),
        ])
    }

    fn notes(&self) -> Vec<&'static str> {
        let sharing = match self.server.programs.version.family {
            Family::MySql => {
                "MySQL Router shares connections only of clients whose password it was told, which takes TLS: `router-sharing` is in \
                 `tls` alone. Neither form of it limits how many server connections are in use at once. Of a client that has \
                 prepared a statement it shares none. Of many logins at once some fail there (client error 2027); its clients try again."
            }
            Family::MariaDb => {
                "MySQL Router cannot share connections of MariaDB: it sets `session_track_gtids`, which MariaDB does not know (error \
                 1193). `router-sharing` does not take part."
            }
        };
        vec![
            sharing,
            "In `tls` HAProxy passes on what client and server encrypt: its own time has no cryptography in it, the server's has. All \
             others end TLS and go on plain.",
        ]
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
        // Proxies reach the server without TLS, as their clients reach them when nothing else is said.
        let app = Access {
            authority: None,
            ..self.server.app.clone()
        };
        let started = match kind {
            Kind::Direct => {
                let version = self.server.programs.version.to_string();
                let mut peer = peers::direct(app, version);
                peer.certificate.clone_from(&self.server.app.authority);
                Ok(peer)
            }
            Kind::Haproxy => peers::haproxy(&app, app.port).map(|mut peer| {
                // What its clients are shown is the server's.
                peer.certificate.clone_from(&self.server.app.authority);
                peer
            }),
            Kind::Router | Kind::RouterSharing => router::start(kind, &app),
            _ => peers::forebay(kind, self.binary.as_deref(), &app),
        };
        started.with_context(|| format!("cannot start {}", kind.name()))
    }

    fn suits(&self, section: Section, kind: Kind) -> bool {
        section == Section::Tls || kind != Kind::RouterSharing
    }

    fn visit(&self, workload: &Workload<Self::Task>, peer: &Peer<Access>) -> Result<Measured> {
        workloads::visit(self, workload, peer)
    }

    fn rests(&self, kind: Kind, tls: bool) -> bool {
        kind.is_forebay() || (kind == Kind::RouterSharing && tls)
    }

    fn idle(&self, peer: &Peer<Access>, clients: u32, tls: bool) -> Result<f64> {
        idle::measure(self, peer, clients, tls)
    }
}
