//! `cargo xtask bench`: what a query costs through Forebay, next to what it costs through others, in the same minutes.
//!
//! Absolute figures of one machine mean little, and the same machine is never the same twice: so every workload runs in
//! rounds, each round visits every peer in turn, and what is reported are medians over the rounds and their ratio to PgBouncer's.
//! `peers` starts the candidates, `workloads` says what is run, `idle` measures memory, `report` writes what was found.

mod idle;
mod peers;
mod report;
mod workloads;

use anyhow::{Context, Result, ensure};

use crate::postgres::{Server, ServerOptions};
use crate::steps::{heading, progress};
use crate::{pgbench, place, procfs};
use peers::{Kind, Peer, Stage};
use report::{Measurement, Report};
use workloads::Section;

/// Database connections of a pooling peer.
const BACKENDS_MAX: u32 = 20;
/// Of the server: a plain relay needs as many as there are clients.
const SERVER_CONNECTIONS_MAX: u32 = 400;

/// What to measure, and for how long.
#[derive(clap::Args)]
pub struct Args {
    /// One short round of a few workloads: does it work at all?
    #[arg(long)]
    quick: bool,
    /// Who is compared
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Kind::USUAL)]
    peers: Vec<Kind>,
    /// What is measured
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Section::ALL)]
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
    /// Major version of PostgreSQL (14 to 18); whatever is there if not given
    #[arg(long)]
    version: Option<u32>,
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

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    heading("Getting ready");
    let files = procfs::raise_open_files(u64::from(args.idle_clients()) + 2_000);
    ensure!(
        files > u64::from(args.idle_clients()) + 100,
        "{} idle clients need as many open files, and the limit is {files}: raise it (`ulimit -Hn`) or give --idle-clients",
        args.idle_clients()
    );
    let binary = if args.peers.iter().any(|kind| kind.is_forebay()) {
        Some(crate::proxy::build()?)
    } else {
        None
    };
    let options = ServerOptions {
        version: args.version,
        max_connections: SERVER_CONNECTIONS_MAX,
        ..Default::default()
    };
    let server = Server::start(&options)?;
    let scale = if args.quick { 1 } else { 10 };
    progress(&format!("filling tables ({scale}00,000 rows)"));
    pgbench::fill(&server.binaries, &server.app, scale)?;
    let folder = place::private_folder()?;
    let stage = Stage {
        server: &server,
        folder: &folder.path,
        binary: binary.as_deref(),
    };
    let mut report = Report::new(&stage, args.rounds(), args.seconds())?;
    queries(args, &stage, &mut report)?;
    if args.sections.contains(&Section::Idle) {
        memory(args, &stage, &mut report)?;
    }
    println!("\n{}", report.plain());
    if !args.no_files {
        report.write()?;
    }
    Ok(())
}

/// Every workload that asks something, in interleaved rounds.
fn queries(args: &Args, stage: &Stage<'_>, report: &mut Report) -> Result<()> {
    let workloads = workloads::of(&args.sections, args.quick, args.seconds(), stage)?;
    if workloads.is_empty() {
        return Ok(());
    }
    let mut peers = Vec::new();
    for kind in &args.peers {
        match Peer::start(*kind, stage) {
            Ok(peer) => peers.push(peer),
            Err(error) => report.absent(*kind, &format!("{error:#}")),
        }
    }
    ensure!(!peers.is_empty(), "none of the peers could be started");
    report.peers(&peers);
    for workload in &workloads {
        heading(&workload.label());
        for round in 1..=args.rounds() {
            for peer in peers.iter().filter(|peer| workload.suits(peer)) {
                let measured = workload.run(stage, peer);
                let measurement = Measurement {
                    workload,
                    peer: peer.kind,
                    round,
                    measured,
                };
                progress(&measurement.line());
                if let (Err(_), Some(log)) = (&measurement.measured, peer.log_tail()) {
                    eprintln!("{log}");
                }
                report.add(measurement);
            }
        }
    }
    Ok(())
}

fn memory(args: &Args, stage: &Stage<'_>, report: &mut Report) -> Result<()> {
    for tls in [false, true] {
        heading(&format!(
            "{} idle clients{}",
            args.idle_clients(),
            if tls { ", TLS" } else { "" }
        ));
        for kind in args.peers.iter().filter(|kind| kind.pools()) {
            // A fresh process: what earlier loads left in its buffers would hide what clients need.
            let found = Peer::start(*kind, stage)
                .and_then(|peer| idle::measure(stage, &peer, args.idle_clients(), tls));
            let line = found.as_ref().map_or_else(
                |error| format!("{error:#}"),
                |bytes| format!("{bytes:.0} bytes a client"),
            );
            progress(&format!("{}: {line}", kind.name()));
            report.idle(
                *kind,
                args.idle_clients(),
                tls,
                found.context("idle clients"),
            );
        }
    }
    Ok(())
}
