//! Questions to a server with `psql`: one answer, or one value watched while something else runs.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::thread::JoinHandle;

use anyhow::{Context, Result};

use crate::postgres::{Access, Binaries};
use crate::process::{self, Running};

/// Runs a script and gives what it answers: rows on lines, columns apart by `|`.
pub fn ask(binaries: &Binaries, access: &Access, sql: &str) -> Result<String> {
    let answer = process::capture(psql(binaries, access)?.args(["-c", sql]))?;
    Ok(answer.trim().to_string())
}

/// Runs a question whose answer is one number.
pub fn number(binaries: &Binaries, access: &Access, sql: &str) -> Result<i64> {
    let answer = ask(binaries, access, sql)?;
    answer
        .parse()
        .with_context(|| format!("not a number: `{answer}` for `{sql}`"))
}

/// `psql` with its connection, ready for more arguments.
pub fn psql(binaries: &Binaries, access: &Access) -> Result<Command> {
    let mut command = binaries.tool("psql")?;
    command.args(["-X", "-q", "-At", "-v", "ON_ERROR_STOP=1"]);
    access.set_environment(&mut command);
    Ok(command)
}

/// Often enough to see a crowd that stays for a second, rarely enough to cost nothing.
const WATCH_INTERVAL_SECONDS: f64 = 0.05;

/// The largest value that a question gave since the watch began.
pub struct Watch {
    running: Option<Running>,
    reader: Option<JoinHandle<()>>,
    largest: Arc<AtomicI64>,
}

impl Watch {
    /// Asks on one connection of its own, again and again; `folder` takes the script.
    pub fn start(binaries: &Binaries, access: &Access, sql: &str, folder: &Path) -> Result<Watch> {
        let script = folder.join("watch.sql");
        fs::write(&script, format!("{sql} \\watch {WATCH_INTERVAL_SECONDS}\n"))?;
        let mut command = psql(binaries, access)?;
        command.arg("-f").arg(script);
        command.stdout(Stdio::piped()).stderr(Stdio::null());
        // At SIGINT psql leaves `\watch` and writes what it still holds; any other signal would lose that.
        let mut running = Running::start(&mut command, libc::SIGINT)?;
        let output = running.take_stdout().context("the output of psql")?;
        let largest = Arc::new(AtomicI64::new(0));
        let seen = largest.clone();
        // `\watch` puts a heading with the time above each answer: only lines that are numbers count.
        let numbers = BufReader::new(output)
            .lines()
            .map_while(Result::ok)
            .filter_map(|line| line.trim().parse().ok());
        let reader = std::thread::spawn(move || {
            numbers.for_each(|value| {
                seen.fetch_max(value, Ordering::Relaxed);
            });
        });
        Ok(Watch {
            running: Some(running),
            reader: Some(reader),
            largest,
        })
    }

    /// Stops and gives the largest value.
    pub fn stop(mut self) -> i64 {
        self.running.take();
        if let Some(reader) = self.reader.take() {
            // A reader that panicked has still counted what it read.
            let _ = reader.join();
        }
        self.largest.load(Ordering::Relaxed)
    }
}
