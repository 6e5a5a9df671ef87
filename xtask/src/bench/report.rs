//! What was found: on the terminal, and as JSON (every visit) and Markdown (medians) under bench/results/.

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::peers::{Kind, Peer, Stage};
use super::workloads::{Measured, Workload};
use super::{BACKENDS_MAX, SERVER_CONNECTIONS_MAX};
use crate::table::{Table, number};
use crate::{process, samples, steps, workspace};

/// One visit of one workload to one peer.
pub struct Measurement<'a> {
    /// What was run.
    pub workload: &'a Workload,
    /// Through whom.
    pub peer: Kind,
    /// In which round.
    pub round: u32,
    /// What it showed.
    pub measured: Result<Measured>,
}

impl Measurement<'_> {
    /// A line of progress.
    pub fn line(&self) -> String {
        let name = self.peer.name();
        match &self.measured {
            Err(error) => format!("{name}: failed, {error:#}"),
            Ok(found) => {
                let unit = if self.workload.is_bulk() {
                    ("MB/s", "s/GB")
                } else {
                    ("q/s", "µs/query")
                };
                let cpu = found.proxy_cpu.map_or(String::new(), |cpu| {
                    format!(", proxy {} {}", number(cpu), unit.1)
                });
                format!("{name}: {} {}{cpu}", number(found.rate), unit.0)
            }
        }
    }
}

/// Everything that was found.
pub struct Report {
    facts: Value,
    peers: Vec<Value>,
    absent: Vec<String>,
    lines: Vec<Line>,
    idle: Vec<(Kind, u32, bool, Result<f64>)>,
}

/// All visits of one workload.
struct Line {
    name: String,
    clients: u32,
    command: String,
    bulk: bool,
    visits: Vec<(Kind, u32, Result<Measured, String>)>,
    yardstick: Option<Kind>,
}

impl Report {
    /// An empty report about this machine.
    pub fn new(stage: &Stage<'_>, rounds: u32, seconds: u32) -> Result<Report> {
        let facts = json!({
            "when": said("date", &["-u", "+%Y-%m-%dT%H:%M:%SZ"]),
            "commit": said("git", &["rev-parse", "HEAD"]),
            "kernel": said("uname", &["-sr"]),
            "processor": processor(),
            "cores": std::thread::available_parallelism().map_or(0, usize::from),
            "rustc": said("rustc", &["--version"]),
            "postgresql": stage.server.binaries.version,
            "pgbench": process::capture(stage.server.binaries.tool("pgbench")?.arg("--version"))?.trim(),
            "rounds": rounds,
            "seconds": seconds,
            "backends": BACKENDS_MAX,
            "server_max_connections": SERVER_CONNECTIONS_MAX,
            "load_average_before": fs::read_to_string("/proc/loadavg").unwrap_or_default().trim(),
            "command": std::env::args().skip(1).collect::<Vec<_>>().join(" "),
        });
        Ok(Report {
            facts,
            peers: Vec::new(),
            absent: Vec::new(),
            lines: Vec::new(),
            idle: Vec::new(),
        })
    }

    /// Who takes part.
    pub fn peers(&mut self, peers: &[Peer]) {
        let entry = |peer: &Peer| json!({"peer": peer.kind.name(), "version": peer.version, "setup": peer.setup});
        self.peers = peers.iter().map(entry).collect();
    }

    /// Who could not, and why.
    pub fn absent(&mut self, kind: Kind, why: &str) {
        steps::progress(&format!("without {}: {why}", kind.name()));
        self.absent.push(format!("{}: {why}", kind.name()));
    }

    /// Adds a visit.
    pub fn add(&mut self, visit: Measurement<'_>) {
        let (name, clients) = (visit.workload.name(), visit.workload.clients);
        let known = self
            .lines
            .iter()
            .position(|line| line.name == name && line.clients == clients);
        let at = known.unwrap_or_else(|| {
            let (command, bulk) = (visit.workload.shown_command(), visit.workload.is_bulk());
            let yardstick = Kind::USUAL
                .into_iter()
                .find(|kind| kind.is_yardstick(visit.workload));
            self.lines.push(Line {
                name,
                clients,
                command,
                bulk,
                visits: Vec::new(),
                yardstick,
            });
            self.lines.len() - 1
        });
        self.lines[at].visits.push((
            visit.peer,
            visit.round,
            visit.measured.map_err(|error| format!("{error:#}")),
        ));
    }

    /// Adds a measurement of memory.
    pub fn idle(&mut self, kind: Kind, clients: u32, tls: bool, bytes: Result<f64>) {
        self.idle.push((kind, clients, tls, bytes));
    }

    /// For the terminal.
    pub fn plain(&self) -> String {
        let mut text = String::new();
        for (title, table) in self.tables() {
            let _ = write!(text, "{title}\n\n{}\n", table.plain());
        }
        for failure in self
            .lines
            .iter()
            .flat_map(Line::failures)
            .chain(self.absent.clone())
        {
            let _ = writeln!(text, "failed: {failure}");
        }
        text
    }

    /// Writes both files and says where they are.
    pub fn write(&self) -> Result<()> {
        let folder = workspace::root().join("bench/results");
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let name = said("date", &["-u", "+%Y-%m-%d-%H%M"]);
        let json = folder.join(format!("{name}.json"));
        fs::write(&json, serde_json::to_string_pretty(&self.json())? + "\n")?;
        let markdown = folder.join(format!("{name}.md"));
        fs::write(&markdown, self.markdown())?;
        println!("written: {}, {}", shown(&json), shown(&markdown));
        Ok(())
    }

    fn tables(&self) -> impl Iterator<Item = (&'static str, Table)> {
        let query = [
            "workload",
            "clients",
            "peer",
            "queries/s",
            "median ms",
            "p99 ms",
            "proxy µs",
            "ratio",
            "server µs",
        ];
        let bulk = [
            "workload",
            "clients",
            "peer",
            "MB/s",
            "proxy s/GB",
            "ratio",
            "server s/GB",
        ];
        let mut tables = vec![
            (
                "Queries: processor time per query; ratio of the proxy's to PgBouncer's",
                self.table(&query, false),
            ),
            (
                "Large results: processor time per gigabyte; ratio of the proxy's to HAProxy's",
                self.table(&bulk, true),
            ),
        ];
        tables.retain(|(_, table)| !table.is_empty());
        if !self.idle.is_empty() {
            tables.push(("Idle clients: memory of the proxy", self.idle_table()));
        }
        tables.into_iter()
    }

    fn table(&self, head: &[&str], bulk: bool) -> Table {
        let mut table = Table::new(3, head);
        for line in self.lines.iter().filter(|line| line.bulk == bulk) {
            for kind in line.kinds() {
                table.row(line.row(kind));
            }
        }
        table
    }

    fn idle_table(&self) -> Table {
        let mut table = Table::new(2, &["peer", "clients", "number", "bytes each"]);
        for (kind, clients, tls, bytes) in &self.idle {
            let cell = bytes
                .as_ref()
                .map_or_else(|error| format!("failed: {error:#}"), |bytes| number(*bytes));
            let what = if *tls { "TLS" } else { "plain" };
            table.row(vec![kind.name(), what.into(), clients.to_string(), cell]);
        }
        table
    }

    fn markdown(&self) -> String {
        let mut text = String::from(
            "# Benchmark\n\nMedians over the rounds; every visit is in the JSON file beside this one.\n\n",
        );
        let mut facts = Table::new(2, &["fact", "value"]);
        for (name, value) in self.facts.as_object().into_iter().flatten() {
            facts.row(vec![
                name.clone(),
                value
                    .as_str()
                    .map_or_else(|| value.to_string(), ToString::to_string),
            ]);
        }
        text += &facts.markdown();
        for (title, table) in self.tables() {
            let _ = write!(text, "\n## {title}\n\n{}", table.markdown());
        }
        text += "\n## Who was compared\n";
        for peer in &self.peers {
            let field = |name: &str| peer[name].as_str().unwrap_or_default();
            let _ = write!(text, "\n**{}**: {}\n", field("peer"), field("version"));
            if !field("setup").is_empty() {
                let _ = write!(text, "\n```\n{}\n```\n", field("setup").trim_end());
            }
        }
        for absent in &self.absent {
            let _ = write!(text, "\nAbsent: {absent}\n");
        }
        for failure in self.lines.iter().flat_map(Line::failures) {
            let _ = write!(text, "\nFailed: {failure}\n");
        }
        text += "\n## Loads\n\n";
        for line in &self.lines {
            let _ = writeln!(
                text,
                "- {}, {} clients: `{}`",
                line.name, line.clients, line.command
            );
        }
        text
    }

    fn json(&self) -> Value {
        let idle = |(kind, clients, tls, bytes): &(Kind, u32, bool, Result<f64>)| {
            let found = bytes.as_ref().map_or_else(
                |error| json!({"failed": format!("{error:#}")}),
                |bytes| json!(bytes),
            );
            json!({"peer": kind.name(), "clients": clients, "tls": tls, "bytes_each": found})
        };
        json!({
            "facts": self.facts,
            "peers": self.peers,
            "absent": self.absent,
            "workloads": self.lines.iter().map(Line::json).collect::<Vec<_>>(),
            "idle": self.idle.iter().map(idle).collect::<Vec<_>>(),
        })
    }
}

impl Line {
    /// The peers in the order of their first visit.
    fn kinds(&self) -> Vec<Kind> {
        let mut kinds = Vec::new();
        for (kind, _, _) in &self.visits {
            if !kinds.contains(kind) {
                kinds.push(*kind);
            }
        }
        kinds
    }

    /// The median over a peer's successful visits of one figure.
    fn median(&self, kind: Kind, figure: impl Fn(&Measured) -> Option<f64>) -> Option<f64> {
        let own = self.visits.iter().filter(|(peer, _, _)| *peer == kind);
        let values: Vec<f64> = own
            .filter_map(|(_, _, measured)| figure(measured.as_ref().ok()?))
            .collect();
        samples::median(&values)
    }

    fn row(&self, kind: Kind) -> Vec<String> {
        let mut row = vec![self.name.clone(), self.clients.to_string(), kind.name()];
        let visits = self.visits.iter().filter(|(peer, _, _)| *peer == kind);
        let failed = visits.filter(|(_, _, measured)| measured.is_err()).count();
        let Some(rate) = self.median(kind, |found| Some(found.rate)) else {
            row.push("failed".into());
            return row;
        };
        let cell = |value: Option<f64>| value.map_or("–".into(), number);
        let note = if failed > 0 {
            format!(" ({failed} failed)")
        } else {
            String::new()
        };
        row.push(number(rate) + &note);
        if !self.bulk {
            row.extend([
                cell(self.median(kind, |found| found.median)),
                cell(self.median(kind, |found| found.p99)),
            ]);
        }
        let cpu = |of: Kind| self.median(of, |found| found.proxy_cpu);
        let ratio = self
            .yardstick
            .and_then(cpu)
            .zip(cpu(kind))
            .map(|(yard, own)| own / yard);
        row.extend([
            cell(cpu(kind)),
            cell(ratio),
            cell(self.median(kind, |found| Some(found.server_cpu))),
        ]);
        row
    }

    /// What failed, each reason once.
    fn failures(&self) -> Vec<String> {
        let mut failures = Vec::new();
        for (kind, _, measured) in &self.visits {
            if let Err(why) = measured {
                let text = format!(
                    "{}, {} clients, {}: {why}",
                    self.name,
                    self.clients,
                    kind.name()
                );
                if !failures.contains(&text) {
                    failures.push(text);
                }
            }
        }
        failures
    }

    fn json(&self) -> Value {
        let visit = |(kind, round, measured): &(Kind, u32, Result<Measured, String>)| match measured
        {
            Err(why) => json!({"peer": kind.name(), "round": round, "failed": why}),
            Ok(found) => json!({
                "peer": kind.name(),
                "round": round,
                "rate": found.rate,
                "median_ms": found.median,
                "p99_ms": found.p99,
                "proxy_cpu": found.proxy_cpu,
                "server_cpu": found.server_cpu,
            }),
        };
        let unit = if self.bulk {
            "MB/s, s/GB"
        } else {
            "queries/s, µs/query"
        };
        json!({
            "workload": self.name,
            "clients": self.clients,
            "command": self.command,
            "units": unit,
            "visits": self.visits.iter().map(visit).collect::<Vec<_>>(),
        })
    }
}

fn said(program: &str, args: &[&str]) -> String {
    let mut command = Command::new(program);
    let said = process::capture(command.current_dir(workspace::root()).args(args));
    said.map_or_else(|_| "unknown".into(), |text| text.trim().to_string())
}

fn processor() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = text
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split(':').nth(1));
    name.map_or_else(|| "unknown".into(), |name| name.trim().to_string())
}

fn shown(path: &Path) -> String {
    path.strip_prefix(workspace::root())
        .unwrap_or(path)
        .display()
        .to_string()
}
