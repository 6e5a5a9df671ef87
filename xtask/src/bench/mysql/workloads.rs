//! What MySQL and MariaDB are asked: one-row SELECTs as text and prepared, plain and under TLS, rich clients, new connections.

use std::path::PathBuf;

use anyhow::Result;

use super::Stage;
use super::load::Load;
use crate::bench::kinds::{Kind, Section};
use crate::bench::peers::Peer;
use crate::bench::workloads::{self, Measured, Workload};
use crate::mysql::{Access, Family};
use crate::procfs;

/// What is done.
pub struct Task {
    load: Load,
    tls: bool,
}

/// The workloads of some sections.
pub fn of(
    stage: &Stage,
    sections: &[Section],
    quick: bool,
    seconds: u32,
) -> Result<Vec<Workload<Task>>> {
    let mut workloads = Vec::new();
    for section in sections {
        for load in loads(*section, quick, seconds) {
            workloads.push(workload(stage, *section, load)?);
        }
    }
    Ok(workloads)
}

fn loads(section: Section, quick: bool, seconds: u32) -> Vec<Load> {
    let crowds: &[u32] = if quick { &[16] } else { &[1, 16, 64] };
    let few: &[u32] = if quick { &[16] } else { &[16, 64] };
    let of = |script, prepared, crowds: &[u32]| -> Vec<Load> {
        let load = |clients: &u32| Load {
            script,
            clients: *clients,
            seconds,
            prepared,
        };
        crowds.iter().map(load).collect()
    };
    match section {
        Section::Text => of("select.lua", false, crowds),
        Section::Prepared => of("select.lua", true, crowds),
        Section::Rich => of("rich.lua", true, few),
        Section::Connect => of("connect.lua", false, &[8]),
        Section::Tls => [
            of("select.lua", false, crowds),
            of("select.lua", true, crowds),
        ]
        .concat(),
        Section::Simple | Section::Extended | Section::Bulk | Section::Idle => Vec::new(),
    }
}

fn workload(stage: &Stage, section: Section, load: Load) -> Result<Workload<Task>> {
    let tls = section == Section::Tls;
    let name = match (tls, load.prepared) {
        (true, true) => "tls, prepared".into(),
        (true, false) => "tls, text".into(),
        (false, _) => section.name(),
    };
    let access = access(&stage.server.app, tls, stage.server.app.authority.as_ref());
    let command = stage.generator.command(Kind::Direct, &access, &load)?;
    Ok(Workload {
        section,
        name,
        clients: load.clients,
        bulk: false,
        // Under TLS, who ends it as well (and pools, where it can); otherwise what moving bytes costs.
        yardstick: if tls {
            match stage.server.programs.version.family {
                Family::MySql => Kind::RouterSharing,
                Family::MariaDb => Kind::Router,
            }
        } else {
            Kind::Haproxy
        },
        command: stage.generator.shown(&command),
        task: Task { load, tls },
    })
}

/// The same database with TLS or without.
pub fn access(access: &Access, tls: bool, authority: Option<&PathBuf>) -> Access {
    Access {
        authority: authority.filter(|_| tls).cloned(),
        ..access.clone()
    }
}

/// One visit.
pub fn visit(stage: &Stage, workload: &Workload<Task>, peer: &Peer<Access>) -> Result<Measured> {
    let Task { load, tls } = &workload.task;
    let access = access(&peer.access, *tls, peer.certificate.as_ref());
    let figures = stage.generator.run(peer.kind, &access, load, || {
        let server = procfs::process_cpu_nanoseconds(stage.server.pid())?;
        workloads::readings(server, peer)
    })?;
    Ok(Measured::of_queries(&figures))
}
