//! The demo's MySQL or MariaDB: loaded by sysbench, asked with the server's own client.
//!
//! Connections are counted by the server's status variables: `Connections` has all of them, `Max_used_connections` the
//! most at once since it was flushed. One connection of ours asks for both, and is there all the time.

use std::path::Path;

use anyhow::Result;

use super::{Connections, Figures, Load, PROXY_CONNECTIONS_MAX, SERVER_CONNECTIONS_MAX, Way};
use crate::mysql::{Access, Asker, Family, Release, Server, ServerOptions};
use crate::place::{self, Folder};
use crate::proxy::{Proxy, ProxyOptions};
use crate::steps::progress;
use crate::sysbench::{self, Sysbench};

/// Rows of the table.
const ROWS: u32 = 100_000;

/// Makes the most that were used those that are used now. MariaDB's statement without GLOBAL has been the session's own since 11.5.
const FLUSH: &str = "FLUSH /*M!110500 GLOBAL */ STATUS";

/// Where the loads run.
pub struct Stage {
    // Dropped in this order: the proxy before its database.
    proxy: Proxy<Access>,
    asker: Asker,
    server: Server,
    sysbench: Sysbench,
    _folder: Folder,
}

/// What the server counts.
struct Counts {
    connected: i64,
    peak: i64,
    total: i64,
}

impl Stage {
    /// Starts a server and Forebay in front of it, and fills a table.
    pub fn prepare(binary: &Path, family: Family, version: Option<&str>) -> Result<Stage> {
        let folder = place::private_folder()?;
        let sysbench = Sysbench::find(&folder.path)?;
        let server = Server::start(&ServerOptions {
            release: Release::new(family, version)?,
            port: None,
            max_connections: SERVER_CONNECTIONS_MAX,
            settings: Vec::new(),
        })?;
        progress("filling a table of 100,000 rows");
        sysbench.fill(&server.app, ROWS)?;
        progress("starting forebay in front of it");
        let limits = ProxyOptions {
            max_connections: Some(PROXY_CONNECTIONS_MAX),
            ..Default::default()
        };
        let proxy = Proxy::start(binary, &server.app, &limits, &folder.path)?;
        progress(&format!(
            "forebay listens on {}:{}, driver {}",
            proxy.access.host, proxy.access.port, proxy.driver
        ));
        let asker = Asker::start(&server.programs, &server.superuser)?;
        Ok(Stage {
            proxy,
            asker,
            server,
            sysbench,
            _folder: folder,
        })
    }

    fn access(&self, way: Way) -> &Access {
        match way {
            Way::Direct => &self.server.app,
            Way::Forebay => &self.proxy.access,
        }
    }

    fn counts(&mut self) -> Result<Counts> {
        let mut status = |name: &str| {
            let said = self
                .asker
                .ask(&format!("SHOW GLOBAL STATUS LIKE '{name}'"))?;
            let value = said.split('\t').nth(1).unwrap_or_default();
            value
                .parse()
                .map_err(|_| anyhow::anyhow!("no {name}: `{said}`"))
        };
        Ok(Counts {
            connected: status("Threads\\_connected")?,
            peak: status("Max\\_used\\_connections")?,
            total: status("Connections")?,
        })
    }
}

impl super::Server for Stage {
    fn family(&self) -> &'static str {
        match self.server.programs.version.family {
            Family::MySql => "MySQL",
            Family::MariaDb => "MariaDB",
        }
    }

    fn version(&self) -> String {
        self.server.programs.version.number.clone()
    }

    fn try_load(&mut self, way: Way, load: Load) -> Result<Figures> {
        let asked = sysbench::Load {
            clients: load.clients,
            seconds: load.seconds,
            rows: ROWS,
            reconnect: load.reconnect,
        };
        let figures = self.sysbench.run(self.access(way), &asked)?;
        Ok(Figures {
            rate: figures.rate,
            median: figures.median,
            p99: figures.p99,
        })
    }

    fn load(&mut self, way: Way, load: Load) -> Result<(Figures, Connections)> {
        self.asker.tell(FLUSH)?;
        let before = self.counts()?;
        let figures = self.try_load(way, load)?;
        let after = self.counts()?;
        // The asker's is in both counts. What the proxy holds from an earlier load is its own, not that of a direct one.
        let others = match way {
            Way::Direct => before.connected,
            Way::Forebay => 1,
        };
        let peak = after.peak - others;
        // A connection that is still open when the load begins was counted when it began: it is one the load uses, too.
        let total = (after.total - before.total).max(peak);
        Ok((figures, Connections { peak, total }))
    }

    fn said(error: &str) -> &str {
        sysbench::said(error)
    }

    fn proxy_log(&self) -> String {
        self.proxy.log_tail()
    }

    fn client_line(&self, way: Way) -> String {
        self.access(way).client_line(&self.server.programs)
    }

    fn metrics(&self) -> &str {
        &self.proxy.metrics
    }
}
