//! `cargo xtask bench`: what a query costs through Forebay, next to what it costs through others, in the same minutes.
//!
//! Absolute figures of one machine mean little, and the same machine is never the same twice: so every workload runs in
//! rounds, each round visits every peer in turn, and what is reported are medians over the rounds and their ratio to a yardstick's.
//! `kinds` says what can be named, `peers` starts the candidates, `workloads` and `idle` say what a visit shows, `report` writes
//! what was found; `postgres` and `mysql` have an engine's server, its load generator and its proxies.

mod idle;
mod kinds;
mod mysql;
mod peers;
mod postgres;
mod report;
mod workloads;

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

use crate::db::{self, Engine};
use crate::mysql::Family;
use crate::procfs;
use crate::proxy::{self, Target};
use crate::steps::{heading, progress};
use kinds::{Kind, Section};
use peers::Peer;
use report::{Measurement, Report};
use workloads::{Measured, Workload};

/// Database connections of a pooling peer.
const BACKENDS_MAX: u32 = 20;
/// Of the server: a plain relay needs as many as there are clients.
const SERVER_CONNECTIONS_MAX: u32 = 400;

/// What to measure, and for how long.
#[derive(clap::Args)]
pub struct Args {
    /// Whose server
    #[arg(long, value_enum, default_value_t = Engine::Postgres)]
    engine: Engine,
    /// One short round of a few workloads: does it work at all?
    #[arg(long)]
    quick: bool,
    /// Who is compared; everybody who speaks the engine's protocol, if not given
    #[arg(long, value_enum, value_delimiter = ',')]
    peers: Vec<Kind>,
    /// What is measured; everything that the engine has, if not given
    #[arg(long, value_enum, value_delimiter = ',')]
    sections: Vec<Section>,
    /// How often every peer is visited for each workload
    #[arg(long)]
    rounds: Option<u32>,
    /// Seconds of one visit; the first and the last are not counted
    #[arg(long, value_parser = clap::value_parser!(u32).range(3..=600))]
    seconds: Option<u32>,
    /// Clients of the memory measurement
    #[arg(long)]
    idle_clients: Option<u32>,
    /// As for `cargo xtask db up`: a major version of PostgreSQL (14 to 18), 10.11 or 11.8 of MariaDB
    #[arg(long)]
    version: Option<String>,
    /// Print only, write nothing into bench/results/
    #[arg(long)]
    no_files: bool,
}

impl Args {
    fn rounds(&self) -> u32 {
        self.rounds.unwrap_or(if self.quick { 1 } else { 3 })
    }

    fn seconds(&self) -> u32 {
        self.seconds.unwrap_or(if self.quick { 3 } else { 6 })
    }

    fn idle_clients(&self) -> u32 {
        self.idle_clients
            .unwrap_or(if self.quick { 1_000 } else { 10_000 })
    }
}

/// An engine's server, with what loads it and the proxies that speak its protocol.
trait Stage {
    /// How a database is reached.
    type Access: Target + Clone;
    /// What the load generator is to do.
    type Task;

    /// Versions of the server and of the load generator.
    fn facts(&self) -> Result<Vec<(&'static str, String)>>;
    /// What a reader of the figures must know of the peers: who does not take part in what, and why.
    fn notes(&self) -> Vec<&'static str>;
    /// The workloads of some sections.
    fn workloads(
        &self,
        sections: &[Section],
        quick: bool,
        seconds: u32,
    ) -> Result<Vec<Workload<Self::Task>>>;
    /// Starts a peer in front of the server; ready when this returns.
    fn start(&self, kind: Kind) -> Result<Peer<Self::Access>>;
    /// Whether a section makes sense for a peer.
    fn suits(&self, section: Section, kind: Kind) -> bool;
    /// One visit.
    fn visit(&self, workload: &Workload<Self::Task>, peer: &Peer<Self::Access>)
    -> Result<Measured>;
    /// Whether idle clients of a peer hold no database connections.
    fn rests(&self, kind: Kind, tls: bool) -> bool;
    /// Bytes of the peer's memory per idle client.
    fn idle(&self, peer: &Peer<Self::Access>, clients: u32, tls: bool) -> Result<f64>;
}

/// What is wanted, of what the engine has.
struct Wanted<'a> {
    args: &'a Args,
    peers: Vec<Kind>,
    sections: Vec<Section>,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    let wanted = Wanted {
        args,
        peers: kinds::chosen(&args.peers, kinds::peers(args.engine))?,
        sections: kinds::chosen(&args.sections, kinds::sections(args.engine))?,
    };
    heading("Getting ready");
    let files = procfs::raise_open_files(u64::from(args.idle_clients()) + 2_000);
    ensure!(
        files > u64::from(args.idle_clients()) + 100,
        "{} idle clients need as many open files, and the limit is {files}: raise it (`ulimit -Hn`) or give --idle-clients",
        args.idle_clients()
    );
    let binary = wanted.binary()?;
    let version = args.version.as_deref();
    match args.engine {
        Engine::Postgres => {
            let version = version.map(db::major).transpose()?;
            wanted.measure(&postgres::Stage::prepare(binary, version, args.quick)?)
        }
        Engine::Mysql => wanted.measure(&mysql::Stage::prepare(binary, Family::MySql, version)?),
        Engine::Mariadb => {
            wanted.measure(&mysql::Stage::prepare(binary, Family::MariaDb, version)?)
        }
    }
}

impl Wanted<'_> {
    /// The `forebay` binary, when one takes part.
    fn binary(&self) -> Result<Option<PathBuf>> {
        let ours = self.peers.iter().any(|kind| kind.is_forebay());
        ours.then(proxy::build).transpose()
    }

    fn measure<S: Stage>(&self, stage: &S) -> Result<()> {
        let mut report = Report::new(self.args.engine, stage.notes());
        report.facts(&stage.facts()?, self.args.rounds(), self.args.seconds());
        self.queries(stage, &mut report)?;
        if self.sections.contains(&Section::Idle) {
            self.memory(stage, &mut report);
        }
        println!("\n{}", report.plain());
        if !self.args.no_files {
            report.write()?;
        }
        Ok(())
    }

    /// Every workload that asks something, in interleaved rounds.
    fn queries<S: Stage>(&self, stage: &S, report: &mut Report) -> Result<()> {
        let workloads = stage.workloads(&self.sections, self.args.quick, self.args.seconds())?;
        if workloads.is_empty() {
            return Ok(());
        }
        let mut peers = Vec::new();
        let used = |kind: &&Kind| {
            workloads
                .iter()
                .any(|work| stage.suits(work.section, **kind))
        };
        for kind in self.peers.iter().filter(used) {
            match stage.start(*kind) {
                Ok(peer) => peers.push(peer),
                Err(error) => report.absent(*kind, &format!("{error:#}")),
            }
        }
        ensure!(!peers.is_empty(), "none of the peers could be started");
        report.peers(&peers);
        for workload in &workloads {
            heading(&workload.label());
            for round in 1..=self.args.rounds() {
                for peer in &peers {
                    if stage.suits(workload.section, peer.kind) {
                        visit(stage, workload, peer, round, report);
                    }
                }
            }
        }
        Ok(())
    }

    fn memory<S: Stage>(&self, stage: &S, report: &mut Report) {
        let clients = self.args.idle_clients();
        for tls in [false, true] {
            heading(&format!(
                "{clients} idle clients{}",
                if tls { ", TLS" } else { "" }
            ));
            for kind in self.peers.iter().filter(|kind| stage.rests(**kind, tls)) {
                // A fresh process: what earlier loads left in its buffers would hide what clients need.
                let found = stage
                    .start(*kind)
                    .and_then(|peer| stage.idle(&peer, clients, tls));
                let line = found.as_ref().map_or_else(
                    |error| format!("{error:#}"),
                    |bytes| format!("{bytes:.0} bytes a client"),
                );
                progress(&format!("{}: {line}", kind.name()));
                report.idle(*kind, clients, tls, found.context("idle clients"));
            }
        }
    }
}

fn visit<S: Stage>(
    stage: &S,
    workload: &Workload<S::Task>,
    peer: &Peer<S::Access>,
    round: u32,
    report: &mut Report,
) {
    let measurement = Measurement {
        workload,
        peer: peer.kind,
        round,
        measured: stage.visit(workload, peer),
    };
    progress(&measurement.line());
    if let (Err(_), Some(log)) = (&measurement.measured, peer.log_tail()) {
        eprintln!("{log}");
    }
    report.add(measurement);
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
        let args = |words: &str| Line::try_parse_from(words.split(' ')).unwrap().args;
        assert_eq!(args("bench --quick").engine, Engine::Postgres);
        let line = args("bench --engine mysql --peers haproxy,router-sharing --sections tls");
        assert_eq!(line.engine, Engine::Mysql);
        assert_eq!(line.peers, [Kind::Haproxy, Kind::RouterSharing]);
        assert_eq!(line.sections, [Section::Tls]);
    }
}
