//! `cargo xtask demo`: what Forebay does, seen on this machine in a minute.
//!
//! A real PostgreSQL, the same two loads without and with the proxy, and a small table. The database's own words are used
//! where they exist: the sessions it saw are its `pg_stat_database.sessions`, the most at once a watched `pg_stat_activity`.

use std::path::Path;

use anyhow::{Context, Result};

use crate::cleanup;
use crate::pgbench::{self, Figures, Load};
use crate::place;
use crate::postgres::{Access, Server, ServerOptions};
use crate::proxy::{self, Proxy, ProxyOptions};
use crate::psql::{self, Watch};
use crate::steps::{heading, progress};
use crate::table::{Table, number};

/// The server's limit, as PostgreSQL ships it.
const SERVER_CONNECTIONS_MAX: u32 = 100;
/// What is left when superusers, our own questions and the proxy's connections have theirs.
const DIRECT_CLIENTS_MAX: u32 = 70;
/// More than the server would ever accept.
const MANY_CLIENTS: u32 = 200;
/// Applications that connect for each query.
const RECONNECTING_CLIENTS: u32 = 8;
/// Database connections that the proxy may hold.
const PROXY_CONNECTIONS_MAX: u32 = 20;

/// How long, and whether to stay.
#[derive(clap::Args)]
pub struct Args {
    /// Leave everything running at the end, say how to connect, and wait for Ctrl-C
    #[arg(long)]
    keep: bool,
    /// Seconds for each of the measurements
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u32).range(3..=600))]
    seconds: u32,
    /// Major version of PostgreSQL (14 to 18); whatever is there if not given
    #[arg(long)]
    version: Option<u32>,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    heading("Getting ready");
    let binary = proxy::build()?;
    let options = ServerOptions {
        version: args.version,
        max_connections: SERVER_CONNECTIONS_MAX,
        ..Default::default()
    };
    let server = Server::start(&options)?;
    progress("filling a table of 100,000 rows");
    pgbench::fill(&server.binaries, &server.app, 1)?;
    let folder = place::private_folder()?;
    progress("starting forebay in front of it");
    let limits = ProxyOptions {
        max_connections: Some(PROXY_CONNECTIONS_MAX),
        ..Default::default()
    };
    let proxy = Proxy::start(&binary, &server.app, &limits, &folder.path)?;
    progress(&format!(
        "forebay listens on {}:{}, driver {}",
        proxy.access.host, proxy.access.port, proxy.driver
    ));

    let stage = Stage {
        server: &server,
        proxied: &proxy.access,
        folder: &folder.path,
        seconds: args.seconds,
    };
    let mut table = Table::new(
        2,
        &[
            "load",
            "way",
            "requests/s",
            "median ms",
            "p99 ms",
            "peak",
            "connections",
        ],
    );
    let loads = stage
        .short_lived(&mut table)
        .and_then(|()| stage.many_clients(&mut table));
    let note = loads.with_context(|| format!("what forebay logged last:\n{}", proxy.log_tail()))?;
    println!("\n{}", table.plain());
    if !note.is_empty() {
        println!("{note}");
    }
    println!("peak, connections: how many the database saw at once, and in all.");
    println!(
        "PostgreSQL {}, max_connections {SERVER_CONNECTIONS_MAX}; Forebay may hold {PROXY_CONNECTIONS_MAX}.",
        server.binaries.version
    );
    println!("All of it, clients included, shares this machine's processors.");
    if args.keep {
        stay(&server, &proxy);
    }
    Ok(())
}

/// Where the loads run.
struct Stage<'a> {
    server: &'a Server,
    proxied: &'a Access,
    folder: &'a Path,
    seconds: u32,
}

impl Stage<'_> {
    fn ways(&self) -> [(&'static str, &Access); 2] {
        [("direct", &self.server.app), ("Forebay", self.proxied)]
    }

    fn short_lived(&self, table: &mut Table) -> Result<()> {
        heading(&format!(
            "Short-lived connections: {RECONNECTING_CLIENTS} clients, each connects, asks once, disconnects"
        ));
        let load = Load {
            reconnect: true,
            ..Load::select(RECONNECTING_CLIENTS, self.seconds)
        };
        for (way, access) in self.ways() {
            let label = format!("connect per query, {RECONNECTING_CLIENTS} clients");
            self.measure(table, &label, way, access, &load)?;
        }
        Ok(())
    }

    fn many_clients(&self, table: &mut Table) -> Result<String> {
        let mut note = String::new();
        heading(&format!(
            "Many clients: {MANY_CLIENTS} that stay connected and ask all the time"
        ));
        let many = Load::select(MANY_CLIENTS, self.seconds);
        let label = format!("{MANY_CLIENTS} clients");
        progress(&format!("{label}, direct"));
        match pgbench::run(
            &self.server.binaries,
            &self.server.app,
            &many,
            self.folder,
            || Ok(Vec::new()),
        ) {
            Ok(figures) => table.row(row(&label, "direct", &figures, &[])),
            // What an application would get: said as it is, then measured with as many as fit.
            Err(error) => {
                let error = format!("{error:#}");
                let said = error.rsplit("FATAL:").next().unwrap_or_default().trim();
                progress(&format!("refused by PostgreSQL: {said}"));
                table.row(vec![label.clone(), "direct".into(), "refused".into()]);
                note = format!("{label}, direct: PostgreSQL says \"{said}\".");
            }
        }
        let fitting = Load::select(DIRECT_CLIENTS_MAX, self.seconds);
        self.measure(
            table,
            &format!("{DIRECT_CLIENTS_MAX} clients"),
            "direct",
            &self.server.app,
            &fitting,
        )?;
        self.measure(table, &label, "Forebay", self.proxied, &many)?;
        Ok(note)
    }

    fn measure(
        &self,
        table: &mut Table,
        label: &str,
        way: &str,
        access: &Access,
        load: &Load,
    ) -> Result<()> {
        progress(&format!("{label}, {way}"));
        let before = self.sessions()?;
        let superuser = &self.server.superuser;
        // The connections that the proxy holds from an earlier load are its own, not those of a direct one.
        let others = if way == "direct" {
            self.connected()?
        } else {
            String::new()
        };
        let connected = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = 'app' AND pid <> ALL ('{{{others}}}'::int[])"
        );
        let watch = Watch::start(&self.server.binaries, superuser, &connected, self.folder)?;
        let figures = pgbench::run(&self.server.binaries, access, load, self.folder, || {
            Ok(Vec::new())
        })?;
        let peak = watch.stop();
        // A session that is still open when the load begins was counted when it began: it is one the load uses, too.
        let total = (self.sessions()? - before).max(peak);
        table.row(row(label, way, &figures, &[peak, total]));
        Ok(())
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

fn row(label: &str, way: &str, figures: &Figures, connections: &[i64]) -> Vec<String> {
    let mut cells = vec![label.to_string(), way.to_string()];
    cells.extend([figures.rate, figures.median, figures.p99].map(number));
    cells.extend(connections.iter().map(ToString::to_string));
    cells
}

fn stay(server: &Server, proxy: &Proxy) {
    let line = |access: &Access| format!("psql '{}'", access.url());
    println!("\nthrough Forebay  {}", line(&proxy.access));
    println!("direct           {}", line(&server.app));
    println!("metrics          http://{}/metrics", proxy.metrics);
    println!("all of it runs until Ctrl-C, and is then removed");
    cleanup::wait_for_interrupt();
}
