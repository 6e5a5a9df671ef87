//! Load from `pgbench`, and what it took: rate, latency, processor time, all over the same steady window.
//!
//! What counts is the `window`: every transaction is logged with the time of its end, and those that ended in it are taken.
//! With a new connection per transaction `pgbench` leaves connecting out of its latency, so there the latency of a request is
//! the time since the same client's previous one ended: connect, query and disconnect.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::postgres::{Access, Binaries};
use crate::process::{self, Running};
use crate::window::{self, Figures, Window};

/// What the clients do.
#[derive(Clone)]
pub struct Load {
    /// Clients at once.
    pub clients: u32,
    /// How long, warm-up and end included; at least 3.
    pub seconds: u32,
    /// `simple`, `extended` or `prepared`.
    pub protocol: &'static str,
    /// Whether each transaction makes a connection of its own.
    pub reconnect: bool,
    /// Scripts instead of pgbench's own one-row SELECT: each transaction runs one of them.
    pub scripts: Vec<PathBuf>,
}

impl Load {
    /// One-row SELECTs over kept connections.
    pub fn select(clients: u32, seconds: u32) -> Load {
        Load {
            clients,
            seconds,
            protocol: "simple",
            reconnect: false,
            scripts: Vec::new(),
        }
    }

    /// The command, as one would type it (the connection is in the environment).
    pub fn command(&self, binaries: &Binaries, access: &Access) -> Result<Command> {
        let mut command = binaries.tool("pgbench")?;
        access.set_environment(&mut command);
        // A connecting pgbench thread waits for the server: to have N connections under way it needs N threads.
        let threads = if self.reconnect {
            self.clients
        } else {
            self.clients.min(2)
        };
        command.args(["-n", "-P", "1", "-M", self.protocol]);
        command.args([
            "-c",
            &self.clients.to_string(),
            "-j",
            &threads.to_string(),
            "-T",
            &self.seconds.to_string(),
        ]);
        if self.scripts.is_empty() {
            command.arg("-S");
        } else {
            command.arg("-Dready=0");
        }
        for script in &self.scripts {
            command.arg("-f").arg(script);
        }
        if self.reconnect {
            command.arg("-C");
        }
        Ok(command)
    }
}

/// Fills the tables that the one-row SELECT reads; `scale` hundred thousands of rows.
pub fn fill(binaries: &Binaries, access: &Access, scale: u32) -> Result<()> {
    let mut command = binaries.tool("pgbench")?;
    access.set_environment(&mut command);
    process::capture(command.args(["-i", "-q", "-s", &scale.to_string()])).map(drop)
}

/// Runs a load; `probe` is read at the window's two ends. `folder` takes the logs, which are removed.
pub fn run(
    binaries: &Binaries,
    access: &Access,
    load: &Load,
    folder: &Path,
    probe: impl Fn() -> Result<Vec<u64>>,
) -> Result<Figures> {
    let logs = folder.join("pgbench-log");
    fs::create_dir_all(&logs)?;
    let mut command = load.command(binaries, access)?;
    command
        .arg("--log")
        .arg(format!("--log-prefix={}", logs.join("log").display()));
    let window = watch(&mut command, load.seconds, probe);
    let figures = window.and_then(|window| {
        let latencies = latencies(&logs, load.reconnect, &window)?;
        window.figures(latencies)
    });
    fs::remove_dir_all(&logs)?;
    figures
}

/// Runs `command` to its end and reads the probe after its first second and before its last.
fn watch(
    command: &mut Command,
    seconds: u32,
    probe: impl Fn() -> Result<Vec<u64>>,
) -> Result<Window> {
    let mut running = Running::start(
        command.stdout(Stdio::null()).stderr(Stdio::piped()),
        libc::SIGTERM,
    )?;
    let stderr = running.take_stderr().context("the messages of pgbench")?;
    let second = |line: &str| {
        let rest = line.strip_prefix("progress: ")?;
        rest.split('.').next()?.parse().ok()
    };
    let watched = window::watch(stderr, seconds, second, probe)?;
    let status = running.wait()?;
    if !status.success() {
        let mut said = watched.said.iter();
        let said = said
            .find(|line| line.contains("error") || line.contains("FATAL"))
            .or(watched.said.last());
        bail!(
            "pgbench failed ({status}): {}",
            said.map_or("it said nothing", String::as_str)
        );
    }
    watched.window()
}

fn latencies(logs: &Path, reconnect: bool, window: &Window) -> Result<Vec<f64>> {
    let mut latencies = Vec::new();
    for file in fs::read_dir(logs)? {
        let path = file?.path();
        let text =
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        collect(&text, reconnect, window.range(), &mut latencies);
    }
    Ok(latencies)
}

/// Adds the latencies (milliseconds) of the transactions that ended in `window` (seconds since 1970).
///
/// A line is `client transaction latency_us script seconds microseconds …`.
fn collect(log: &str, reconnect: bool, window: std::ops::Range<f64>, into: &mut Vec<f64>) {
    let mut previous: HashMap<&str, f64> = HashMap::new();
    for line in log.lines() {
        let fields: Vec<&str> = line.split(' ').collect();
        let number = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok());
        // A line that was cut off by the end of the run is not counted.
        let (Some(latency), Some(seconds), Some(micros)) = (number(2), number(4), number(5)) else {
            continue;
        };
        let ended = seconds + micros / 1e6;
        let before = previous.insert(fields[0], ended);
        let latency = if reconnect {
            before.map(|before| (ended - before) * 1000.0)
        } else {
            Some(latency / 1000.0)
        };
        if let Some(latency) = latency.filter(|_| window.contains(&ended)) {
            into.push(latency);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str =
        "0 1 2000 0 100 0\n1 1 4000 0 100 500000\n0 2 3000 0 101 250000\n0 3 3000 0 109 0\n";

    #[test]
    fn only_what_ended_in_the_window_counts() {
        let mut latencies = Vec::new();
        collect(LOG, false, 100.0..102.0, &mut latencies);
        assert_eq!(latencies, [2.0, 4.0, 3.0]);
    }

    #[test]
    fn with_reconnects_a_request_lasts_from_the_end_of_the_one_before() {
        let mut latencies = Vec::new();
        collect(LOG, true, 100.0..102.0, &mut latencies);
        assert_eq!(latencies, [1250.0]);
    }
}
