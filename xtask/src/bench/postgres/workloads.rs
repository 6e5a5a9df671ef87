//! What PostgreSQL is asked: one-row SELECTs in every protocol mode and crowd, new connections, TLS, large results.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Instant;

use anyhow::{Result, ensure};

use super::Stage;
use crate::bench::kinds::{Kind, Section};
use crate::bench::peers::Peer;
use crate::bench::workloads::{self, Measured, Workload};
use crate::pgbench::{self, Load};
use crate::postgres::Access;
use crate::process::{self, Running};
use crate::{procfs, psql};

/// Rows and bytes of the bulk SELECT: a DataRow message of one text column of 100 bytes is 111 bytes long
/// (type 1, length 4, columns 2, column length 4).
const BULK_ROWS: u64 = 100_000;
const BULK_ROW_BYTES: u64 = 111;
/// The same of COPY out: a CopyData message (type 1, length 4) with 199 bytes and the line's end. 205 MB in all.
const COPY_ROWS: u64 = 1_000_000;
const COPY_ROW_BYTES: u64 = 205;

/// What is done.
pub enum Task {
    /// Queries of a known kind.
    Queries(Load),
    /// Large results of a script.
    BulkSelect(Load),
    /// `COPY … TO STDOUT`, once.
    CopyOut,
}

/// The workloads of some sections.
pub fn of(
    stage: &Stage,
    sections: &[Section],
    quick: bool,
    seconds: u32,
) -> Result<Vec<Workload<Task>>> {
    let crowds: &[u32] = if quick { &[1, 64] } else { &[1, 16, 64, 256] };
    let few: &[u32] = if quick { &[16] } else { &[16, 64] };
    let mut workloads = Vec::new();
    for section in sections {
        let select = |clients: &u32, protocol| {
            let load = Load {
                protocol,
                ..Load::select(*clients, seconds)
            };
            Task::Queries(load)
        };
        let tasks: Vec<Task> = match section {
            Section::Simple => crowds.iter().map(|many| select(many, "simple")).collect(),
            Section::Extended => crowds.iter().map(|many| select(many, "extended")).collect(),
            Section::Prepared => crowds.iter().map(|many| select(many, "prepared")).collect(),
            Section::Tls => few.iter().map(|many| select(many, "simple")).collect(),
            Section::Rich => rich(crowds, seconds, stage.folder())?,
            Section::Connect => vec![Task::Queries(Load {
                reconnect: true,
                ..Load::select(8, seconds.max(5))
            })],
            Section::Bulk => {
                let load = Load {
                    scripts: vec![bulk_script(stage.folder())?],
                    ..Load::select(2, seconds.max(5))
                };
                vec![Task::BulkSelect(load), Task::CopyOut]
            }
            Section::Text | Section::Idle => Vec::new(),
        };
        workloads.extend(
            tasks
                .into_iter()
                .map(|task| workload(stage, *section, task)),
        );
    }
    Ok(workloads)
}

fn workload(stage: &Stage, section: Section, task: Task) -> Workload<Task> {
    let (name, clients) = match &task {
        Task::Queries(load) => (section.name(), load.clients),
        Task::BulkSelect(load) => ("bulk SELECT".into(), load.clients),
        Task::CopyOut => ("COPY out 200 MB".into(), 1),
    };
    let bulk = section == Section::Bulk;
    Workload {
        section,
        name,
        clients,
        bulk,
        // For bulk, what moving bytes costs; for queries, the pooler to beat.
        yardstick: if bulk { Kind::Haproxy } else { Kind::Pgbouncer },
        command: task.command(stage),
        task,
    }
}

impl Task {
    fn command(&self, stage: &Stage) -> String {
        match self {
            Task::Queries(load) | Task::BulkSelect(load) => {
                let command = load.command(&stage.server.binaries, &stage.server.app);
                command.map_or_else(|_| String::new(), |command| process::line(&command))
            }
            Task::CopyOut => format!("psql -c \"{}\"", copy_sql()),
        }
    }
}

/// One visit.
pub fn visit(stage: &Stage, workload: &Workload<Task>, peer: &Peer<Access>) -> Result<Measured> {
    let access = if workload.section == Section::Tls {
        peer.access.with_tls()
    } else {
        peer.access.clone()
    };
    let run = |load| {
        let probe = || readings(stage, peer);
        pgbench::run(&stage.server.binaries, &access, load, stage.folder(), probe)
    };
    match &workload.task {
        Task::Queries(load) => Ok(Measured::of_queries(&run(load)?)),
        Task::BulkSelect(load) => {
            let figures = run(load)?;
            let bytes = BULK_ROWS * BULK_ROW_BYTES;
            Ok(bulk(figures.rate, bytes, &figures.per_request))
        }
        Task::CopyOut => copy_out(stage, peer),
    }
}

fn readings(stage: &Stage, peer: &Peer<Access>) -> Result<Vec<u64>> {
    let server = procfs::family_cpu_nanoseconds(stage.server.pid())?;
    workloads::readings(server, peer)
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

fn copy_out(stage: &Stage, peer: &Peer<Access>) -> Result<Measured> {
    let before = readings(stage, peer)?;
    let start = Instant::now();
    let mut command = psql::psql(&stage.server.binaries, &peer.access)?;
    let running = Running::start(
        command.args(["-c", &copy_sql()]).stdout(Stdio::null()),
        libc::SIGTERM,
    )?;
    ensure!(running.wait()?.success(), "COPY out failed");
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

fn rich(crowds: &[u32], seconds: u32, folder: &Path) -> Result<Vec<Task>> {
    let scripts = rich_scripts(folder)?;
    let task = |clients: &u32| {
        Task::Queries(Load {
            protocol: "prepared",
            scripts: scripts.clone(),
            ..Load::select(*clients, seconds)
        })
    };
    let crowds = crowds.iter().filter(|clients| **clients > 1);
    Ok(crowds.map(task).collect())
}

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
