//! Load from sysbench with the scripts of `bench/sysbench/`, and what it took, over the steady window.
//!
//! Every event is logged with the time of its end; those that ended in the window count. sysbench takes the files of a TLS client
//! from its working folder, by names of its own; the scripts lie there, too, and write their times there.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::ROWS;
use crate::bench::kinds::Kind;
use crate::certificate::Certificate;
use crate::mysql::{Access, tools};
use crate::process::{self, Running};
use crate::sysbench::Sysbench;
use crate::window::{self, Figures, Window};

/// The scripts, by name.
const SCRIPTS: [(&str, &str); 6] = [
    (
        "logins.lua",
        include_str!("../../../../bench/sysbench/logins.lua"),
    ),
    (
        "timing.lua",
        include_str!("../../../../bench/sysbench/timing.lua"),
    ),
    (
        "select.lua",
        include_str!("../../../../bench/sysbench/select.lua"),
    ),
    (
        "rich.lua",
        include_str!("../../../../bench/sysbench/rich.lua"),
    ),
    (
        "connect.lua",
        include_str!("../../../../bench/sysbench/connect.lua"),
    ),
    (
        "idle.lua",
        include_str!("../../../../bench/sysbench/idle.lua"),
    ),
];

/// One login in a hundred or so, of many at once, fails at MySQL Router 9.7 with sharing (client error 2027, malformed packet).
const SHARED_LOGIN_TRIES: u32 = 10;

/// What the clients do.
#[derive(Clone, Debug)]
pub struct Load {
    /// One of the scripts.
    pub script: &'static str,
    /// Clients at once.
    pub clients: u32,
    /// How long, warm-up and end included; at least 3.
    pub seconds: u32,
    /// Whether statements are prepared on the server, or put together by the client.
    pub prepared: bool,
}

/// sysbench with its files.
pub struct Generator {
    sysbench: Sysbench,
    folder: PathBuf,
}

impl Generator {
    /// Finds or installs the program; `folder` takes its files.
    pub fn find(folder: &Path) -> Result<Generator> {
        let folder = folder.join("sysbench");
        fs::create_dir_all(folder.join("times"))?;
        for (name, text) in SCRIPTS {
            fs::write(folder.join(name), text)?;
        }
        // A TLS client without a certificate of its own is not among what sysbench can be.
        let own = Certificate::make(&folder)?;
        fs::rename(own.certificate, folder.join("client-cert.pem"))?;
        fs::rename(own.key, folder.join("client-key.pem"))?;
        Ok(Generator {
            sysbench: Sysbench::find(&folder)?,
            folder,
        })
    }

    /// What its clients show under TLS.
    pub fn certificate(&self) -> PathBuf {
        self.folder.join("client-cert.pem")
    }

    /// What it says of its version.
    pub fn version(&self) -> Result<String> {
        let said = process::capture(Command::new(tools::sysbench()?).arg("--version"))?;
        Ok(said.trim().into())
    }

    /// Fills the table that is read.
    pub fn fill(&self, access: &Access) -> Result<()> {
        self.sysbench.fill(access, ROWS)
    }

    /// The program with its connection by way of a peer, under TLS if `access` has somebody to check it by, and a script.
    pub fn script(&self, kind: Kind, access: &Access, script: &str) -> Result<Command> {
        let mut command = self.sysbench.command(access, Path::new(script), ROWS)?;
        command.current_dir(&self.folder);
        if let Some(authority) = &access.authority {
            fs::copy(authority, self.folder.join("cacert.pem"))?;
            command.arg("--mysql-ssl=on");
        }
        if kind == Kind::RouterSharing {
            command.arg(format!("--login-tries={SHARED_LOGIN_TRIES}"));
        }
        Ok(command)
    }

    /// The command of a load.
    pub fn command(&self, kind: Kind, access: &Access, load: &Load) -> Result<Command> {
        let mut command = self.script(kind, access, load.script)?;
        let mode = if load.prepared { "auto" } else { "disable" };
        command
            .arg(format!("--threads={}", load.clients))
            .arg(format!("--time={}", load.seconds))
            .arg(format!("--db-ps-mode={mode}"))
            .args(["--rand-type=uniform", "--report-interval=1", "run"]);
        Ok(command)
    }

    /// A command in the working folder, as one would type it there.
    pub fn shown(&self, command: &Command) -> String {
        let folder = format!("{}/", self.folder.display());
        process::line(command).replace(&folder, "")
    }

    /// Runs a load; `probe` is read at the window's two ends.
    pub fn run(
        &self,
        kind: Kind,
        access: &Access,
        load: &Load,
        probe: impl Fn() -> Result<Vec<u64>>,
    ) -> Result<Figures> {
        let mut command = self.command(kind, access, load)?;
        let window = self.watch(&mut command, load.seconds, probe);
        let figures = window.and_then(|window| window.figures(self.latencies(&window.range())?));
        let times = self.folder.join("times");
        fs::remove_dir_all(&times)?;
        fs::create_dir(&times)?;
        figures
    }

    fn watch(
        &self,
        command: &mut Command,
        seconds: u32,
        probe: impl Fn() -> Result<Vec<u64>>,
    ) -> Result<Window> {
        let log = self.folder.join("errors");
        command
            .stdout(Stdio::piped())
            .stderr(fs::File::create(&log)?);
        let mut running = Running::start(command, libc::SIGTERM)?;
        let output = running.take_stdout().context("the output of sysbench")?;
        let mut watched = window::watch(output, seconds, second, probe)?;
        let status = running.wait()?;
        if !status.success() {
            let errors = fs::read_to_string(&log).unwrap_or_default();
            watched.said.extend(errors.lines().map(String::from));
            bail!(
                "sysbench failed ({status}): {}",
                reason(&watched.said).unwrap_or("it said nothing")
            );
        }
        watched.window()
    }

    /// Milliseconds, of the events that ended in `window`.
    fn latencies(&self, window: &Range<f64>) -> Result<Vec<f64>> {
        let mut latencies = Vec::new();
        for file in fs::read_dir(self.folder.join("times"))? {
            let path = file?.path();
            let text = fs::read_to_string(&path)
                .with_context(|| format!("cannot read {}", path.display()))?;
            latencies.extend(text.lines().filter_map(|line| latency(line, window)));
        }
        Ok(latencies)
    }
}

/// Of what sysbench said in a failure, what says most.
fn reason(said: &[String]) -> Option<&str> {
    let find = |mark: &str| said.iter().find(|line| line.contains(mark));
    let line = find("FATAL: error ").or_else(|| find(" returned error "));
    let line = line.or_else(|| find("FATAL: ")).or(said.last());
    line.map(String::as_str)
}

/// How far a line (`[ 2s ] thds: …`) says it is.
fn second(line: &str) -> Option<u32> {
    let (second, rest) = line.strip_prefix("[ ")?.split_once("s ]")?;
    rest.starts_with(" thds:").then(|| second.parse().ok())?
}

/// The latency of an event that ended in the window.
fn latency(line: &str, window: &Range<f64>) -> Option<f64> {
    let (ended, took) = line.split_once(' ')?;
    let ended: f64 = ended.parse().ok()?;
    window.contains(&ended).then(|| took.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_ended_in_the_window_counts() {
        let window = 100.0..102.0;
        assert_eq!(latency("100.000000 0.2500", &window), Some(0.25));
        assert_eq!(latency("102.000000 0.2500", &window), None);
        assert_eq!(latency("99.9", &window), None);
    }

    #[test]
    fn of_a_failure_the_line_with_the_reason_is_kept() {
        let said = "FATAL: unable to connect, aborting...\nFATAL: error 2026: TLS/SSL error\nFATAL: `thread_init' function failed";
        let said: Vec<String> = said.lines().map(String::from).collect();
        assert_eq!(reason(&said), Some("FATAL: error 2026: TLS/SSL error"));
        assert_eq!(
            reason(&said[2..]),
            Some("FATAL: `thread_init' function failed")
        );
        assert_eq!(reason(&[]), None);
    }

    #[test]
    fn a_report_says_how_far_the_load_is() {
        let line = "[ 2s ] thds: 16 tps: 21403.77 qps: 21403.77 (r/w/o: 21403.77/0.00/0.00) lat (ms,95%): 1.39 err/s: 0.00";
        assert_eq!(second(line), Some(2));
        assert_eq!(second("Threads started!"), None);
    }
}
