//! The demo's PostgreSQL: loaded by `pgbench`, asked with `psql`.
//!
//! Sessions are counted by `pg_stat_database.sessions`, the most at once is that of a watched `pg_stat_activity`.

use std::path::Path;

use anyhow::Result;

use super::{Connections, Figures, Load, PROXY_CONNECTIONS_MAX, SERVER_CONNECTIONS_MAX, Way};
use crate::db;
use crate::pgbench;
use crate::place::{self, Folder};
use crate::postgres::{Access, Server, ServerOptions};
use crate::proxy::{Proxy, ProxyOptions};
use crate::psql::{self, Watch};
use crate::steps::progress;

/// Where the loads run.
pub struct Stage {
    // Dropped in this order: the proxy before its database.
    proxy: Proxy,
    server: Server,
    folder: Folder,
}

impl Stage {
    /// Starts a server and Forebay in front of it, and fills a table.
    pub fn prepare(binary: &Path, version: Option<&str>) -> Result<Stage> {
        let server = Server::start(&ServerOptions {
            version: version.map(db::major).transpose()?,
            max_connections: SERVER_CONNECTIONS_MAX,
            ..Default::default()
        })?;
        progress("filling a table of 100,000 rows");
        pgbench::fill(&server.binaries, &server.app, 1)?;
        let folder = place::private_folder()?;
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
        Ok(Stage {
            proxy,
            server,
            folder,
        })
    }

    fn access(&self, way: Way) -> &Access {
        match way {
            Way::Direct => &self.server.app,
            Way::Forebay => &self.proxy.access,
        }
    }

    fn connected(&self) -> Result<String> {
        let sql = "SELECT string_agg(pid::text, ',') FROM pg_stat_activity WHERE datname = 'app'";
        psql::ask(&self.server.binaries, &self.server.superuser, sql)
    }

    fn sessions(&self) -> Result<i64> {
        let sql = "SELECT sessions FROM pg_stat_database WHERE datname = 'app'";
        psql::number(&self.server.binaries, &self.server.superuser, sql)
    }
}

impl super::Server for Stage {
    fn family(&self) -> &'static str {
        "PostgreSQL"
    }

    fn version(&self) -> String {
        self.server.binaries.version.to_string()
    }

    fn try_load(&mut self, way: Way, load: Load) -> Result<Figures> {
        let asked = pgbench::Load {
            reconnect: load.reconnect,
            ..pgbench::Load::select(load.clients, load.seconds)
        };
        let folder = &self.folder.path;
        let none = || Ok(Vec::new());
        let figures = pgbench::run(
            &self.server.binaries,
            self.access(way),
            &asked,
            folder,
            none,
        )?;
        Ok(Figures {
            rate: figures.rate,
            median: figures.median,
            p99: figures.p99,
        })
    }

    fn load(&mut self, way: Way, load: Load) -> Result<(Figures, Connections)> {
        let before = self.sessions()?;
        // The connections that the proxy holds from an earlier load are its own, not those of a direct one.
        let others = match way {
            Way::Direct => self.connected()?,
            Way::Forebay => String::new(),
        };
        let connected = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = 'app' AND pid <> ALL ('{{{others}}}'::int[])"
        );
        let superuser = &self.server.superuser;
        let folder = &self.folder.path;
        let watch = Watch::start(&self.server.binaries, superuser, &connected, folder)?;
        let figures = self.try_load(way, load)?;
        let peak = watch.stop();
        // A session that is still open when the load begins was counted when it began: it is one the load uses, too.
        let total = (self.sessions()? - before).max(peak);
        Ok((figures, Connections { peak, total }))
    }

    fn said(error: &str) -> &str {
        error.rsplit("FATAL:").next().unwrap_or_default().trim()
    }

    fn proxy_log(&self) -> String {
        self.proxy.log_tail()
    }

    fn client_line(&self, way: Way) -> String {
        format!("psql '{}'", self.access(way).url())
    }

    fn metrics(&self) -> &str {
        &self.proxy.metrics
    }
}
