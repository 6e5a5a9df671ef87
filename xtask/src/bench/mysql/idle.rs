//! Idle clients of MySQL and MariaDB: sysbench's, many on each of its threads.

use anyhow::Result;

use super::load::Load;
use super::{Stage, workloads};
use crate::bench::idle::Crowd;
use crate::bench::peers::Peer;
use crate::mysql::Access;

/// Threads that connect: with few, clients come one after the other, and the proxy is not left with the buffers of a crowd.
const THREADS: u32 = 4;

/// Bytes of the proxy's memory per idle client.
pub fn measure(stage: &Stage, peer: &Peer<Access>, clients: u32, tls: bool) -> Result<f64> {
    let access = workloads::access(&peer.access, tls, peer.certificate.as_ref());
    // What the proxy allocates once, for its first clients, is not a client's.
    let first = Load {
        script: "select.lua",
        clients: 20,
        seconds: 3,
        prepared: false,
    };
    let generator = &stage.generator;
    generator.run(peer.kind, &access, &first, || Ok(Vec::new()))?;
    let mut command = generator.script(peer.kind, &access, "idle.lua")?;
    command
        .arg(format!("--threads={THREADS}"))
        .arg(format!("--connections={clients}"))
        .args(["--time=3600", "run"]);
    let crowd = Crowd {
        command,
        clients,
        log: &stage.folder().join("idle.log"),
    };
    // Each thread says once that its clients have asked.
    let ready = THREADS as usize;
    crowd.measure(peer, |said| {
        Ok(said.matches("all have asked").count() == ready)
    })
}
