//! What a client costs that is connected and does nothing: growth of the proxy's memory over the number of clients.
//!
//! Each client logs in, asks once (so that whatever a session allocates at its first query is there), and sleeps. The proxy's
//! sockets tell when all are connected; the engine tells when all have asked.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::peers::Peer;
use crate::process::{self, Running};
use crate::procfs;
use crate::proxy::Target;

/// Logging in ten thousand clients takes a generator a minute or so: it derives a key for each.
const CONNECT_PATIENCE: Duration = Duration::from_secs(600);
/// How often the sockets are counted.
const COUNT_INTERVAL: Duration = Duration::from_millis(100);

/// The clients of a measurement.
pub struct Crowd<'a> {
    /// What connects them, keeps them, and is killed at the end.
    pub command: Command,
    /// How many.
    pub clients: u32,
    /// Where the command's output goes.
    pub log: &'a Path,
}

impl Crowd<'_> {
    /// Bytes of the proxy's memory per client; `asked` says whether all have asked, by what the command printed.
    pub fn measure<A: Target>(
        mut self,
        peer: &Peer<A>,
        asked: impl Fn(&str) -> Result<bool>,
    ) -> Result<f64> {
        let pid = peer.pid().context("there is no proxy to measure")?;
        let before = procfs::resident_bytes(pid)?;
        let output = fs::File::create(self.log)?;
        self.command.stdout(output.try_clone()?).stderr(output);
        let running = Running::start(&mut self.command, libc::SIGKILL)?;
        let said = || fs::read_to_string(self.log).unwrap_or_default();
        let ready = process::poll(CONNECT_PATIENCE, || {
            if let Some(status) = running.ended() {
                bail!(
                    "the load generator ended ({status}): {}",
                    process::last_lines(&said(), 3)
                );
            }
            std::thread::sleep(COUNT_INTERVAL);
            // Those of its own are few, and some of them may end meanwhile.
            let connected = procfs::open_files(pid) >= self.clients as usize;
            Ok((connected && asked(&said())?).then_some(()))
        })?;
        ready.with_context(|| {
            format!("not all clients were connected within {CONNECT_PATIENCE:?}")
        })?;
        let after = procfs::resident_bytes(pid)?;
        #[expect(clippy::cast_precision_loss)]
        let growth = after.saturating_sub(before) as f64;
        Ok(growth / f64::from(self.clients))
    }
}
