//! What was found: on the terminal, and as JSON (every visit) and Markdown (medians) under bench/results/.

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::kinds::Kind;
use super::peers::Peer;
use super::workloads::{Measured, Workload};
use super::{BACKENDS_MAX, SERVER_CONNECTIONS_MAX};
use crate::db::Engine;
use crate::table::{Table, number};
use crate::{process, samples, steps, workspace};

/// One visit of one workload to one peer.
pub struct Measurement<'a, T> {
    /// What was run.
    pub workload: &'a Workload<T>,
    /// Through whom.
    pub peer: Kind,
    /// In which round.
    pub round: u32,
    /// What it showed.
    pub measured: Result<Measured>,
}

impl<T> Measurement<'_, T> {
    /// A line of progress.
    pub fn line(&self) -> String {
        let name = self.peer.name();
        match &self.measured {
            Err(error) => format!("{name}: failed, {error:#}"),
            Ok(found) => {
                let unit = if self.workload.bulk {
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
    engine: Engine,
    notes: Vec<&'static str>,
    facts: Value,
    peers: Vec<Value>,
    absent: Vec<String>,
    lines: Vec<Line>,
    idle: Vec<(Kind, u32, bool, Result<f64>)>,
}

/// Columns of the tables of queries: added is what the median exceeds that of a direct connection by.
const QUERIES: [&str; 10] = [
    "workload",
    "clients",
    "peer",
    "queries/s",
    "median ms",
    "added ms",
    "p99 ms",
    "proxy µs",
    "ratio",
    "server µs",
];

/// Columns of the tables of large results.
const BULK: [&str; 7] = [
    "workload",
    "clients",
    "peer",
    "MB/s",
    "proxy s/GB",
    "ratio",
    "server s/GB",
];

/// All visits of one workload.
struct Line {
    name: String,
    clients: u32,
    command: String,
    bulk: bool,
    yardstick: Kind,
    visits: Vec<(Kind, u32, Result<Measured, String>)>,
}

impl Report {
    /// An empty report; `notes` are what its readers must know.
    pub fn new(engine: Engine, notes: Vec<&'static str>) -> Report {
        Report {
            engine,
            notes,
            facts: Value::Null,
            peers: Vec::new(),
            absent: Vec::new(),
            lines: Vec::new(),
            idle: Vec::new(),
        }
    }

    /// Says what this machine is, and what versions there are.
    pub fn facts(&mut self, versions: &[(&str, String)], rounds: u32, seconds: u32) {
        let mut facts = json!({
            "when": said("date", &["-u", "+%Y-%m-%dT%H:%M:%SZ"]),
            "commit": said("git", &["rev-parse", "HEAD"]),
            "kernel": said("uname", &["-sr"]),
            "processor": processor(),
            "cores": std::thread::available_parallelism().map_or(0, usize::from),
            "rustc": said("rustc", &["--version"]),
            "rounds": rounds,
            "seconds": seconds,
            "backends": BACKENDS_MAX,
            "server_max_connections": SERVER_CONNECTIONS_MAX,
            "load_average_before": fs::read_to_string("/proc/loadavg").unwrap_or_default().trim(),
            "command": std::env::args().skip(1).collect::<Vec<_>>().join(" "),
        });
        for (name, version) in versions {
            facts[name] = json!(version);
        }
        self.facts = facts;
    }

    /// Who takes part.
    pub fn peers<A>(&mut self, peers: &[Peer<A>]) {
        let entry = |peer: &Peer<A>| json!({"peer": peer.kind.name(), "version": peer.version, "setup": peer.setup});
        self.peers = peers.iter().map(entry).collect();
    }

    /// Who could not, and why.
    pub fn absent(&mut self, kind: Kind, why: &str) {
        steps::progress(&format!("without {}: {why}", kind.name()));
        self.absent.push(format!("{}: {why}", kind.name()));
    }

    /// Adds a visit.
    pub fn add<T>(&mut self, visit: Measurement<'_, T>) {
        let workload = visit.workload;
        let known = self
            .lines
            .iter()
            .position(|line| line.name == workload.name && line.clients == workload.clients);
        let at = known.unwrap_or_else(|| {
            self.lines.push(Line {
                name: workload.name.clone(),
                clients: workload.clients,
                command: workload.command.clone(),
                bulk: workload.bulk,
                yardstick: workload.yardstick,
                visits: Vec::new(),
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
        for failure in self.failures().iter().chain(&self.absent) {
            let _ = writeln!(text, "failed: {failure}");
        }
        for note in &self.notes {
            let _ = writeln!(text, "{note}");
        }
        text
    }

    /// Writes both files and says where they are.
    pub fn write(&self) -> Result<()> {
        let folder = workspace::root().join("bench/results");
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let when = said("date", &["-u", "+%Y-%m-%d-%H%M"]);
        let name = match self.engine {
            Engine::Postgres => when,
            Engine::Mysql => format!("{when}-mysql"),
            Engine::Mariadb => format!("{when}-mariadb"),
        };
        let json = folder.join(format!("{name}.json"));
        fs::write(&json, serde_json::to_string_pretty(&self.json())? + "\n")?;
        let markdown = folder.join(format!("{name}.md"));
        fs::write(&markdown, self.markdown())?;
        println!("written: {}, {}", shown(&json), shown(&markdown));
        Ok(())
    }

    fn tables(&self) -> Vec<(String, Table)> {
        let mut tables = Vec::new();
        for (bulk, yardstick) in self.comparisons() {
            let (what, head) = if bulk {
                ("Large results: processor time per gigabyte", &BULK[..])
            } else {
                ("Queries: processor time per query", &QUERIES[..])
            };
            let title = format!("{what}; ratio of the proxy's to {}'s", yardstick.title());
            tables.push((title, self.table(head, bulk, yardstick)));
        }
        if !self.idle.is_empty() {
            let title = "Idle clients: memory of the proxy".to_string();
            tables.push((title, self.idle_table()));
        }
        tables
    }

    /// Each kind of result with whom it is compared with, in the order of their first line.
    fn comparisons(&self) -> Vec<(bool, Kind)> {
        let mut found = Vec::new();
        for line in &self.lines {
            let comparison = (line.bulk, line.yardstick);
            if !found.contains(&comparison) {
                found.push(comparison);
            }
        }
        found
    }

    fn table(&self, head: &[&str], bulk: bool, yardstick: Kind) -> Table {
        let mut table = Table::new(3, head);
        let mut lines = self.lines.iter();
        while let Some(line) = lines.find(|line| (line.bulk, line.yardstick) == (bulk, yardstick)) {
            for kind in line.kinds() {
                table.row(line.row(kind));
            }
        }
        table
    }

    /// What failed, each reason once, on a line of its own.
    fn failures(&self) -> Vec<String> {
        let mut failures: Vec<String> = self.lines.iter().flat_map(Line::failures).collect();
        for (kind, clients, tls, bytes) in &self.idle {
            if let Err(error) = bytes {
                let tls = if *tls { ", TLS" } else { "" };
                failures.push(format!(
                    "{clients} idle clients{tls}, {}: {error:#}",
                    kind.name()
                ));
            }
        }
        let on_a_line = |text: &String| text.split_whitespace().collect::<Vec<_>>().join(" ");
        failures.iter().map(on_a_line).collect()
    }

    fn idle_table(&self) -> Table {
        let mut table = Table::new(2, &["peer", "clients", "number", "bytes each"]);
        for (kind, clients, tls, bytes) in &self.idle {
            let cell = bytes
                .as_ref()
                .map_or_else(|_| "failed".into(), |bytes| number(*bytes));
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
        for failure in self.failures() {
            let _ = write!(text, "\nFailed: {failure}\n");
        }
        for note in &self.notes {
            let _ = write!(text, "\n{note}\n");
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
            "notes": self.notes,
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
            let latency = |of: Kind| self.median(of, |found| found.median);
            let direct = latency(Kind::Direct).filter(|_| kind != Kind::Direct);
            let added = latency(kind).zip(direct).map(|(own, direct)| own - direct);
            let fine =
                |value: Option<f64>| value.map_or("–".into(), |value| format!("{value:.3}"));
            row.extend([
                fine(latency(kind)),
                fine(added),
                cell(self.median(kind, |found| found.p99)),
            ]);
        }
        let cpu = |of: Kind| self.median(of, |found| found.proxy_cpu);
        let ratio = cpu(self.yardstick)
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
