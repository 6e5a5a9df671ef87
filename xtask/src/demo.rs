//! `cargo xtask demo`: what Forebay does, seen on this machine in a minute.
//!
//! A real server, the same two loads without and with the proxy, and a small table; `postgres` and `mysql` have a server, its
//! load and the proxy in front of it ready. How many connections there were is said in the database's own words.

mod mysql;
mod postgres;

use anyhow::{Context, Result};

use crate::db::Engine;
use crate::mysql::Family;
use crate::steps::{heading, progress};
use crate::table::{Table, number};
use crate::{cleanup, proxy};

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
    /// Whose server
    #[arg(long, value_enum, default_value_t = Engine::Postgres)]
    engine: Engine,
    /// Leave everything running at the end, say how to connect, and wait for Ctrl-C
    #[arg(long)]
    keep: bool,
    /// Seconds for each of the measurements
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u32).range(3..=600))]
    seconds: u32,
    /// As for `cargo xtask db up`: a major version of PostgreSQL (14 to 18), 10.11 or 11.8 of MariaDB
    #[arg(long)]
    version: Option<String>,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    heading("Getting ready");
    let binary = proxy::build()?;
    let version = args.version.as_deref();
    match args.engine {
        Engine::Postgres => show(args, &mut postgres::Stage::prepare(&binary, version)?),
        Engine::Mysql => show(
            args,
            &mut mysql::Stage::prepare(&binary, Family::MySql, version)?,
        ),
        Engine::Mariadb => show(
            args,
            &mut mysql::Stage::prepare(&binary, Family::MariaDb, version)?,
        ),
    }
}

/// By which way clients reach the database.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Without a proxy.
    Direct,
    /// Through Forebay.
    Forebay,
}

impl Way {
    fn name(self) -> &'static str {
        match self {
            Way::Direct => "direct",
            Way::Forebay => "Forebay",
        }
    }
}

/// Clients that ask for one row, all the time.
#[derive(Clone, Copy)]
struct Load {
    clients: u32,
    seconds: u32,
    /// Whether they connect for each question.
    reconnect: bool,
}

/// What a load showed.
struct Figures {
    /// Requests in a second.
    rate: f64,
    /// Milliseconds.
    median: f64,
    /// Milliseconds; 99 of 100 are not slower.
    p99: f64,
}

/// How many connections the database saw, in its own words.
#[derive(Clone, Copy)]
struct Connections {
    /// The most at once.
    peak: i64,
    /// In all.
    total: i64,
}

/// A server with Forebay in front of it, and what loads it.
trait Server {
    /// Whose it is.
    fn family(&self) -> &'static str;
    /// Its version.
    fn version(&self) -> String;
    /// Runs a load that may be refused.
    fn try_load(&mut self, way: Way, load: Load) -> Result<Figures>;
    /// Runs a load and counts the connections it took.
    fn load(&mut self, way: Way, load: Load) -> Result<(Figures, Connections)>;
    /// What the server itself said in a failure of a load.
    fn said(error: &str) -> &str;
    /// The last lines of the proxy's log.
    fn proxy_log(&self) -> String;
    /// A line for a shell that connects.
    fn client_line(&self, way: Way) -> String;
    /// Where the proxy's metrics are.
    fn metrics(&self) -> &str;
}

fn show<S: Server>(args: &Args, server: &mut S) -> Result<()> {
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
    let loads = short_lived(server, args.seconds, &mut table)
        .and_then(|()| many_clients(server, args.seconds, &mut table));
    let note =
        loads.with_context(|| format!("what forebay logged last:\n{}", server.proxy_log()))?;
    println!("\n{}", table.plain());
    if !note.is_empty() {
        println!("{note}");
    }
    println!("peak, connections: how many the database saw at once, and in all.");
    println!(
        "{} {}, max_connections {SERVER_CONNECTIONS_MAX}; Forebay may hold {PROXY_CONNECTIONS_MAX}.",
        server.family(),
        server.version()
    );
    println!("All of it, clients included, shares this machine's processors.");
    if args.keep {
        stay(server);
    }
    Ok(())
}

fn short_lived<S: Server>(server: &mut S, seconds: u32, table: &mut Table) -> Result<()> {
    heading(&format!(
        "Short-lived connections: {RECONNECTING_CLIENTS} clients, each connects, asks once, disconnects"
    ));
    let load = Load {
        clients: RECONNECTING_CLIENTS,
        seconds,
        reconnect: true,
    };
    for way in [Way::Direct, Way::Forebay] {
        let label = format!("connect per query, {RECONNECTING_CLIENTS} clients");
        measure(server, table, &label, way, load)?;
    }
    Ok(())
}

fn many_clients<S: Server>(server: &mut S, seconds: u32, table: &mut Table) -> Result<String> {
    let mut note = String::new();
    heading(&format!(
        "Many clients: {MANY_CLIENTS} that stay connected and ask all the time"
    ));
    let many = Load {
        clients: MANY_CLIENTS,
        seconds,
        reconnect: false,
    };
    let label = format!("{MANY_CLIENTS} clients");
    progress(&format!("{label}, direct"));
    match server.try_load(Way::Direct, many) {
        Ok(figures) => table.row(row(&label, Way::Direct, &figures, None)),
        // What an application would get: said as it is, then measured with as many as fit.
        Err(error) => {
            let error = format!("{error:#}");
            let (said, family) = (S::said(&error), server.family());
            progress(&format!("refused by {family}: {said}"));
            table.row(vec![label.clone(), "direct".into(), "refused".into()]);
            note = format!("{label}, direct: {family} says \"{said}\".");
        }
    }
    let fitting = Load {
        clients: DIRECT_CLIENTS_MAX,
        ..many
    };
    let fewer = format!("{DIRECT_CLIENTS_MAX} clients");
    measure(server, table, &fewer, Way::Direct, fitting)?;
    measure(server, table, &label, Way::Forebay, many)?;
    Ok(note)
}

fn measure<S: Server>(
    server: &mut S,
    table: &mut Table,
    label: &str,
    way: Way,
    load: Load,
) -> Result<()> {
    progress(&format!("{label}, {}", way.name()));
    let (figures, connections) = server.load(way, load)?;
    table.row(row(label, way, &figures, Some(connections)));
    Ok(())
}

fn row(label: &str, way: Way, figures: &Figures, connections: Option<Connections>) -> Vec<String> {
    let mut cells = vec![label.to_string(), way.name().to_string()];
    cells.extend([figures.rate, figures.median, figures.p99].map(number));
    let counts = connections.map(|connections| [connections.peak, connections.total]);
    cells.extend(counts.into_iter().flatten().map(|count| count.to_string()));
    cells
}

fn stay<S: Server>(server: &S) {
    println!("\nthrough Forebay  {}", server.client_line(Way::Forebay));
    println!("direct           {}", server.client_line(Way::Direct));
    println!("metrics          http://{}/metrics", server.metrics());
    println!("all of it runs until Ctrl-C, and is then removed");
    cleanup::wait_for_interrupt();
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    #[test]
    fn without_an_engine_the_server_is_postgresql() {
        let engine = |words: &[&str]| Line::try_parse_from(words).map(|line| line.args.engine);
        assert_eq!(engine(&["demo"]).unwrap(), Engine::Postgres);
        let named = ["demo", "--engine", "mariadb", "--version", "11.8"];
        assert_eq!(engine(&named).unwrap(), Engine::Mariadb);
        assert!(engine(&["demo", "--engine", "oracle"]).is_err());
    }
}
