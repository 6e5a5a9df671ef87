//! Idle clients of PostgreSQL: pgbench's, and the server's counter of transactions tells when all have asked.

use std::fs;

use anyhow::Result;

use super::Stage;
use crate::bench::idle::Crowd;
use crate::bench::peers::Peer;
use crate::pgbench::{self, Load};
use crate::postgres::Access;
use crate::psql;

/// Bytes of the proxy's memory per idle client.
pub fn measure(stage: &Stage, peer: &Peer<Access>, clients: u32, tls: bool) -> Result<f64> {
    let access = if tls {
        peer.access.with_tls()
    } else {
        peer.access.clone()
    };
    let binaries = &stage.server.binaries;
    // What the proxy allocates once, for its first clients, is not a client's.
    let first = Load::select(20, 3);
    pgbench::run(binaries, &access, &first, stage.folder(), || Ok(Vec::new()))?;
    let script = stage.folder().join("idle.sql");
    // Each at its own moment of about a millisecond per client: all at once would leave the proxy with the buffers of a
    // crowd, and it is idleness that is measured.
    let spread = format!("\\set moment random(1, {clients})\n\\sleep :moment ms\n");
    fs::write(&script, spread + "SELECT 1;\n\\sleep 3600 s\n")?;
    let load = Load {
        scripts: vec![script],
        ..Load::select(clients, 3600)
    };
    let asked = transactions(stage)?;
    let crowd = Crowd {
        command: load.command(binaries, &access)?,
        clients,
        log: &stage.folder().join("idle.log"),
    };
    crowd.measure(peer, |_| {
        Ok(transactions(stage)? >= asked + i64::from(clients))
    })
}

fn transactions(stage: &Stage) -> Result<i64> {
    let sql = "SELECT xact_commit FROM pg_stat_database WHERE datname = 'app'";
    psql::number(&stage.server.binaries, &stage.server.superuser, sql)
}
