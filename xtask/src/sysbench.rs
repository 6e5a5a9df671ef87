//! Load on MySQL and MariaDB from `sysbench`: one-row SELECTs, rate and latency; the sibling of `pgbench`.
//!
//! The scripts are ours: one keeps its connections, one makes a connection for each question, and its latency is that of
//! all three, to connect, to ask and to disconnect. Connections that are kept are made before the clock starts. Passwords
//! are in a file that only its owner reads.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::mysql::{Access, tools};
use crate::{place, process};

/// What both scripts begin with.
const HEAD: &str = "sysbench.cmdline.options = { table_size = {'Rows', 1} }\n\
    function ask(connection)\n\
    connection:query_row('SELECT c FROM sbtest1 WHERE id = ' .. sysbench.rand.uniform(1, sysbench.opt.table_size))\n\
    end\n";

const KEPT: &str = "function thread_init() connection = sysbench.sql.driver():connect() end\n\
    function event() ask(connection) end\n";

const RECONNECTING: &str = "function thread_init() driver = sysbench.sql.driver() end\n\
    function event()\n\
    local connection = driver:connect()\n\
    ask(connection)\n\
    connection:disconnect()\n\
    end\n";

/// The program and its files.
pub struct Sysbench {
    program: PathBuf,
    folder: PathBuf,
}

/// What the clients do.
pub struct Load {
    /// Clients at once.
    pub clients: u32,
    /// How long.
    pub seconds: u32,
    /// Rows of the table.
    pub rows: u32,
    /// Whether each question has a connection of its own.
    pub reconnect: bool,
}

/// What a load showed.
#[derive(Debug, PartialEq)]
pub struct Figures {
    /// Per second.
    pub rate: f64,
    /// Milliseconds.
    pub median: f64,
    /// Milliseconds; 99 of 100 are not slower.
    pub p99: f64,
}

impl Sysbench {
    /// Finds or installs the program; `folder` takes its files.
    pub fn find(folder: &Path) -> Result<Sysbench> {
        let sysbench = Sysbench {
            program: tools::sysbench()?,
            folder: folder.into(),
        };
        for (name, text) in [("kept", KEPT), ("reconnecting", RECONNECTING)] {
            fs::write(sysbench.script(name), format!("{HEAD}{text}"))?;
        }
        Ok(sysbench)
    }

    /// Fills the table that is read.
    pub fn fill(&self, access: &Access, rows: u32) -> Result<()> {
        let mut command = self.command(access, Path::new("oltp_point_select"), rows)?;
        process::capture(command.arg("prepare")).map(drop)
    }

    /// Runs a load.
    pub fn run(&self, access: &Access, load: &Load) -> Result<Figures> {
        let name = if load.reconnect {
            "reconnecting"
        } else {
            "kept"
        };
        let mut command = self.command(access, &self.script(name), load.rows)?;
        command
            .arg(format!("--threads={}", load.clients))
            .arg(format!("--time={}", load.seconds))
            .args(["--histogram=on", "run"]);
        let report = process::capture(&mut command)?;
        figures(&report).with_context(|| format!("sysbench reported no figures:\n{report}"))
    }

    fn script(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.lua"))
    }

    /// The program with its connection and the script, a file or one of its own by name.
    pub fn command(&self, access: &Access, script: &Path, rows: u32) -> Result<Command> {
        if access.password.contains('\n') {
            bail!("sysbench takes no password of two lines");
        }
        let login = self.folder.join("sysbench.cnf");
        let text = format!(
            "mysql-host={}\nmysql-port={}\nmysql-user={}\nmysql-password={}\nmysql-db={}\n",
            access.host, access.port, access.user, access.password, access.database
        );
        place::write_private(&login, &text)?;
        let mut command = Command::new(&self.program);
        command
            .arg(format!("--config-file={}", login.display()))
            .arg("--db-driver=mysql")
            .arg(script)
            .arg(format!("--table-size={rows}"));
        Ok(command)
    }
}

/// What the server itself said in a failure.
pub fn said(error: &str) -> &str {
    let rest = error.split("FATAL: error ").nth(1).unwrap_or(error);
    rest.lines().next().unwrap_or_default().trim()
}

/// Rate and latencies of a report.
fn figures(report: &str) -> Option<Figures> {
    let events = report.lines().find_map(|line| {
        let rest = line.trim().strip_prefix("total number of events:")?;
        rest.trim().parse::<f64>().ok()
    })?;
    let seconds = report.lines().find_map(|line| {
        let rest = line.trim().strip_prefix("total time:")?;
        rest.trim().strip_suffix('s')?.parse::<f64>().ok()
    })?;
    let histogram: Vec<(f64, u64)> = report.lines().filter_map(bucket).collect();
    Some(Figures {
        rate: events / seconds,
        median: percentile(&histogram, 50)?,
        p99: percentile(&histogram, 99)?,
    })
}

/// A line of the histogram: milliseconds, a bar, how many.
fn bucket(line: &str) -> Option<(f64, u64)> {
    let (value, rest) = line.split_once('|')?;
    let count = rest.split_whitespace().next_back()?;
    Some((value.trim().parse().ok()?, count.parse().ok()?))
}

/// The smallest value that `percent` of all do not exceed.
fn percentile(histogram: &[(f64, u64)], percent: u64) -> Option<f64> {
    let total: u64 = histogram.iter().map(|(_, count)| count).sum();
    let mut seen = 0;
    let mut reached = histogram.iter().filter(|(_, count)| {
        seen += count;
        seen * 100 >= total * percent
    });
    reached.next().map(|(value, _)| *value)
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &str = "Latency histogram (values are in milliseconds)\n       \
        value  ------------- distribution ------------- count\n       \
        0.050 |**************************************** 60\n       \
        0.060 |**************************               39\n       \
        1.500 |*                                        1\n\
        General statistics:\n    total time:                          2.5000s\n    \
        total number of events:              100\n";

    #[test]
    fn a_report_has_the_rate_and_a_histogram_of_latencies() {
        let wanted = Figures {
            rate: 40.0,
            median: 0.05,
            p99: 0.06,
        };
        assert_eq!(figures(REPORT), Some(wanted));
        assert_eq!(figures("sysbench 1.0.20"), None);
    }

    #[test]
    fn of_a_failure_the_servers_own_words_are_kept() {
        let error = "failed:\nFATAL: unable to connect, aborting...\nFATAL: error 1040: Too many connections\nFATAL: `thread_init' function failed";
        assert_eq!(said(error), "1040: Too many connections");
        assert_eq!(said("no sysbench"), "no sysbench");
    }
}
