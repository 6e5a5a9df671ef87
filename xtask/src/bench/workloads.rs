//! What is run: one-row SELECTs in every protocol mode and crowd, new connections, TLS, large results.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Instant;

use anyhow::Result;
use clap::ValueEnum;

use super::peers::{Kind, Peer, Stage};
use crate::pgbench::{self, Load};
use crate::process::{self, Running};
use crate::{procfs, psql};

/// A part of the matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Section {
    /// One-row SELECTs, simple protocol, 1 to 256 clients
    Simple,
    /// The same in the extended protocol
    Extended,
    /// The same with named prepared statements
    Prepared,
    /// The same, where each client has settings of its own and 50 statements
    Rich,
    /// A new connection for each query
    Connect,
    /// One-row SELECTs over TLS
    Tls,
    /// Large results: SELECT and COPY out
    Bulk,
    /// Memory of clients that do nothing
    Idle,
}

impl Section {
    /// All of it.
    pub const ALL: [Section; 8] = [
        Section::Simple,
        Section::Extended,
        Section::Prepared,
        Section::Rich,
        Section::Connect,
        Section::Tls,
        Section::Bulk,
        Section::Idle,
    ];

    fn name(self) -> String {
        self.to_possible_value()
            .map_or_else(String::new, |value| value.get_name().to_string())
    }
}

/// Rows and bytes of the bulk SELECT: a DataRow message of one text column of 100 bytes is 111 bytes long
/// (type 1, length 4, columns 2, column length 4).
const BULK_ROWS: u64 = 100_000;
const BULK_ROW_BYTES: u64 = 111;
/// The same of COPY out: a CopyData message (type 1, length 4) with 199 bytes and the line's end. 205 MB in all.
const COPY_ROWS: u64 = 1_000_000;
const COPY_ROW_BYTES: u64 = 205;

/// One line of the results.
pub struct Workload {
    section: Section,
    /// Clients at once.
    pub clients: u32,
    task: Task,
    command: String,
}

enum Task {
    Queries(Load),
    BulkSelect(Load),
    CopyOut,
}

/// What one visit showed. Times of processors are per query, or per gigabyte for bulk.
#[derive(Clone, Debug)]
pub struct Measured {
    /// Queries, or megabytes for bulk, per second.
    pub rate: f64,
    /// Milliseconds; none for bulk.
    pub median: Option<f64>,
    /// Milliseconds; none for bulk.
    pub p99: Option<f64>,
    /// The proxy: microseconds per query, or seconds per gigabyte for bulk; none without a proxy.
    pub proxy_cpu: Option<f64>,
    /// PostgreSQL, in the same unit.
    pub server_cpu: f64,
}

/// The workloads of some sections.
pub fn of(
    sections: &[Section],
    quick: bool,
    seconds: u32,
    stage: &Stage<'_>,
) -> Result<Vec<Workload>> {
    let crowds: &[u32] = if quick { &[1, 64] } else { &[1, 16, 64, 256] };
    let few: &[u32] = if quick { &[16] } else { &[16, 64] };
    let mut workloads = Vec::new();
    let mut add = |section, clients, task: Task| {
        let command = task.command(stage);
        workloads.push(Workload {
            section,
            clients,
            task,
            command,
        });
    };
    for section in sections {
        let queries = |clients: u32, protocol| {
            Task::Queries(Load {
                protocol,
                ..Load::select(clients, seconds)
            })
        };
        match section {
            Section::Simple => crowds
                .iter()
                .for_each(|clients| add(*section, *clients, queries(*clients, "simple"))),
            Section::Extended => crowds
                .iter()
                .for_each(|clients| add(*section, *clients, queries(*clients, "extended"))),
            Section::Prepared => crowds
                .iter()
                .for_each(|clients| add(*section, *clients, queries(*clients, "prepared"))),
            Section::Rich => {
                let scripts = rich_scripts(stage.folder)?;
                for clients in crowds.iter().filter(|clients| **clients > 1) {
                    let load = Load {
                        protocol: "prepared",
                        scripts: scripts.clone(),
                        ..Load::select(*clients, seconds)
                    };
                    add(*section, *clients, Task::Queries(load));
                }
            }
            Section::Tls => few
                .iter()
                .for_each(|clients| add(*section, *clients, queries(*clients, "simple"))),
            Section::Connect => {
                let load = Load {
                    reconnect: true,
                    ..Load::select(8, seconds.max(5))
                };
                add(*section, 8, Task::Queries(load));
            }
            Section::Bulk => {
                let load = Load {
                    scripts: vec![bulk_script(stage.folder)?],
                    ..Load::select(2, seconds.max(5))
                };
                add(*section, 2, Task::BulkSelect(load));
                add(*section, 1, Task::CopyOut);
            }
            Section::Idle => {}
        }
    }
    Ok(workloads)
}

impl Task {
    fn command(&self, stage: &Stage<'_>) -> String {
        match self {
            Task::Queries(load) | Task::BulkSelect(load) => {
                let command = load.command(&stage.server.binaries, &stage.server.app);
                command.map_or_else(|_| String::new(), |command| process::line(&command))
            }
            Task::CopyOut => format!("psql -c \"{}\"", copy_sql()),
        }
    }
}

impl Workload {
    /// For headings and tables.
    pub fn name(&self) -> String {
        match &self.task {
            Task::Queries(_) => self.section.name(),
            Task::BulkSelect(_) => "bulk SELECT".into(),
            Task::CopyOut => "COPY out 200 MB".into(),
        }
    }

    /// With its clients.
    pub fn label(&self) -> String {
        format!(
            "{}, {} client{}",
            self.name(),
            self.clients,
            if self.clients == 1 { "" } else { "s" }
        )
    }

    /// Whether the figures are megabytes per second and seconds per gigabyte.
    pub fn is_bulk(&self) -> bool {
        self.section == Section::Bulk
    }

    /// Whether it makes sense for a peer.
    pub fn suits(&self, peer: &Peer) -> bool {
        // The server of the benchmark offers no TLS, and a plain relay ends none.
        self.section != Section::Tls || peer.kind.pools()
    }

    /// The command of the load, as one would type it.
    pub fn shown_command(&self) -> String {
        self.command.clone()
    }

    /// One visit.
    pub fn run(&self, stage: &Stage<'_>, peer: &Peer) -> Result<Measured> {
        let access = if self.section == Section::Tls {
            peer.access.with_tls()
        } else {
            peer.access.clone()
        };
        match &self.task {
            Task::Queries(load) => {
                let figures =
                    pgbench::run(&stage.server.binaries, &access, load, stage.folder, || {
                        readings(stage, peer)
                    })?;
                let micros = |nanos: f64| nanos / 1000.0;
                Ok(Measured {
                    rate: figures.rate,
                    median: Some(figures.median),
                    p99: Some(figures.p99),
                    proxy_cpu: figures.per_transaction.get(1).copied().map(micros),
                    server_cpu: micros(figures.per_transaction[0]),
                })
            }
            Task::BulkSelect(load) => {
                let figures =
                    pgbench::run(&stage.server.binaries, &access, load, stage.folder, || {
                        readings(stage, peer)
                    })?;
                Ok(bulk(
                    figures.rate,
                    BULK_ROWS * BULK_ROW_BYTES,
                    &figures.per_transaction,
                ))
            }
            Task::CopyOut => copy_out(stage, peer),
        }
    }
}

/// Nanoseconds of the server, then of the proxy if there is one.
fn readings(stage: &Stage<'_>, peer: &Peer) -> Result<Vec<u64>> {
    let mut values = vec![procfs::family_cpu_nanoseconds(stage.server.pid())?];
    if let Some(pid) = peer.pid() {
        values.push(procfs::cpu_nanoseconds(pid)?);
    }
    Ok(values)
}

/// `rate` transfers per second of `bytes` each. A nanosecond per byte is a second per gigabyte.
#[expect(clippy::cast_precision_loss)]
fn bulk(rate: f64, bytes: u64, nanos_per_transfer: &[f64]) -> Measured {
    let per_gigabyte = |nanos: &f64| nanos / bytes as f64;
    Measured {
        rate: rate * bytes as f64 / 1e6,
        median: None,
        p99: None,
        proxy_cpu: nanos_per_transfer.get(1).map(per_gigabyte),
        server_cpu: nanos_per_transfer.first().map_or(0.0, per_gigabyte),
    }
}

fn copy_sql() -> String {
    format!("COPY (SELECT repeat('x', 199) FROM generate_series(1, {COPY_ROWS})) TO STDOUT")
}

fn copy_out(stage: &Stage<'_>, peer: &Peer) -> Result<Measured> {
    let before = readings(stage, peer)?;
    let start = Instant::now();
    let mut command = psql::psql(&stage.server.binaries, &peer.access)?;
    let running = Running::start(
        command.args(["-c", &copy_sql()]).stdout(Stdio::null()),
        libc::SIGTERM,
    )?;
    anyhow::ensure!(running.wait()?.success(), "COPY out failed");
    let rate = 1.0 / start.elapsed().as_secs_f64();
    let after = readings(stage, peer)?;
    #[expect(clippy::cast_precision_loss)]
    let grown: Vec<f64> = before
        .iter()
        .zip(&after)
        .map(|(before, after)| after.saturating_sub(*before) as f64)
        .collect();
    Ok(bulk(rate, COPY_ROWS * COPY_ROW_BYTES, &grown))
}

/// Statements of which each client of the rich workload runs one at a time.
const RICH_STATEMENTS: u32 = 50;

/// One script for each statement; whichever comes first in a client's life also makes its settings.
fn rich_scripts(folder: &Path) -> Result<Vec<PathBuf>> {
    let script = |number: u32| {
        let path = folder.join(format!("rich{number}.sql"));
        let text = format!(
            "\\if :ready = 0\n\
             SELECT set_config('application_name', 'client ' || (:client_id)::text, false), \
             set_config('work_mem', ((:client_id)::int + 1000)::text, false), \
             set_config('statement_timeout', ((:client_id)::int + 60000)::text, false), \
             set_config('extra_float_digits', ((:client_id)::int % 4)::text, false);\n\
             \\set ready 1\n\
             \\endif\n\
             \\set aid random(1, 100000)\n\
             SELECT abalance AS balance{number} FROM pgbench_accounts WHERE aid = :aid;\n"
        );
        fs::write(&path, text)?;
        Ok(path)
    };
    (0..RICH_STATEMENTS).map(script).collect()
}

fn bulk_script(folder: &Path) -> Result<PathBuf> {
    let path = folder.join("bulk.sql");
    fs::write(
        &path,
        format!("SELECT repeat('x', 100) FROM generate_series(1, {BULK_ROWS});\n"),
    )?;
    Ok(path)
}

impl Kind {
    /// Whether its figures are what others are compared with.
    pub fn is_yardstick(self, workload: &Workload) -> bool {
        // For bulk, what moving bytes costs; for queries, the pooler to beat.
        self == if workload.is_bulk() {
            Kind::Haproxy
        } else {
            Kind::Pgbouncer
        }
    }
}
