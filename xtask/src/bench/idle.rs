//! What a client costs that is connected and does nothing: growth of the proxy's memory over the number of clients.
//!
//! The clients are pgbench's: each logs in, asks once (so that whatever a session allocates at its first query is there),
//! and sleeps. The proxy's sockets tell when all are connected, the server's counter when all have asked.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::peers::{Peer, Stage};
use crate::pgbench::{self, Load};
use crate::process::{self, Running};
use crate::{procfs, psql};

/// Logging in ten thousand clients takes pgbench a minute or so: it derives a key for each.
const CONNECT_PATIENCE: Duration = Duration::from_secs(600);

/// Bytes of the proxy's memory per idle client.
pub fn measure(stage: &Stage<'_>, peer: &Peer, clients: u32, tls: bool) -> Result<f64> {
    let pid = peer.pid().context("there is no proxy to measure")?;
    let access = if tls {
        peer.access.with_tls()
    } else {
        peer.access.clone()
    };
    let server = stage.server;
    // What the proxy allocates once, for its first clients, is not a client's.
    pgbench::run(
        &server.binaries,
        &access,
        &Load::select(20, 3),
        stage.folder,
        || Ok(Vec::new()),
    )?;
    let script = stage.folder.join("idle.sql");
    // Each at its own moment of about a millisecond per client: all at once would leave the proxy with the buffers of a
    // crowd, and it is idleness that is measured.
    let spread = format!("\\set moment random(1, {clients})\n\\sleep :moment ms\n");
    fs::write(&script, spread + "SELECT 1;\n\\sleep 3600 s\n")?;
    let load = Load {
        scripts: vec![script],
        ..Load::select(clients, 3600)
    };
    let (files, asked) = (procfs::open_files(pid), transactions(stage)?);
    let before = procfs::resident_bytes(pid)?;
    let log = stage.folder.join("idle.log");
    let mut command = load.command(&server.binaries, &access)?;
    let running = Running::start(
        command
            .stdout(Stdio::null())
            .stderr(fs::File::create(&log)?),
        libc::SIGKILL,
    )?;
    let ready = process::poll(CONNECT_PATIENCE, || {
        if let Some(status) = running.ended() {
            let said = fs::read_to_string(&log).unwrap_or_default();
            bail!(
                "pgbench ended ({status}): {}",
                process::last_lines(&said, 3)
            );
        }
        std::thread::sleep(Duration::from_millis(100));
        let connected = procfs::open_files(pid) >= files + clients as usize;
        let all = connected && transactions(stage)? >= asked + i64::from(clients);
        Ok(all.then_some(()))
    })?;
    ready.with_context(|| format!("not all clients were connected within {CONNECT_PATIENCE:?}"))?;
    let after = procfs::resident_bytes(pid)?;
    #[expect(clippy::cast_precision_loss)]
    let growth = after.saturating_sub(before) as f64;
    Ok(growth / f64::from(clients))
}

fn transactions(stage: &Stage<'_>) -> Result<i64> {
    let sql = "SELECT xact_commit FROM pg_stat_database WHERE datname = 'app'";
    psql::number(&stage.server.binaries, &stage.server.superuser, sql)
}
