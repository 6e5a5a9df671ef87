//! One line of the results, whatever the engine: what is run, and what a visit to a peer showed.

use anyhow::Result;

use super::kinds::{Kind, Section};
use super::peers::Peer;
use crate::procfs;
use crate::proxy::Target;
use crate::window::Figures;

/// One line of the results; `T` is what the engine's load generator is to do.
pub struct Workload<T> {
    /// The part of the matrix that it belongs to.
    pub section: Section,
    /// For headings and tables.
    pub name: String,
    /// Clients at once.
    pub clients: u32,
    /// Whether the figures are megabytes per second and seconds per gigabyte.
    pub bulk: bool,
    /// Whose figures the others' are compared with.
    pub yardstick: Kind,
    /// The command of the load, as one would type it.
    pub command: String,
    /// What is done.
    pub task: T,
}

/// What one visit showed. Times of processors are per query, or per gigabyte for bulk.
#[derive(Clone, Debug)]
pub struct Measured {
    /// Queries, or megabytes for bulk, per second.
    pub rate: f64,
    /// Milliseconds; none for bulk.
    pub median: Option<f64>,
    /// Milliseconds; none for bulk.
    pub p99: Option<f64>,
    /// The proxy: microseconds per query, or seconds per gigabyte for bulk; none without a proxy.
    pub proxy_cpu: Option<f64>,
    /// The database, in the same unit.
    pub server_cpu: f64,
}

impl<T> Workload<T> {
    /// With its clients.
    pub fn label(&self) -> String {
        format!(
            "{}, {} client{}",
            self.name,
            self.clients,
            if self.clients == 1 { "" } else { "s" }
        )
    }
}

impl Measured {
    /// Of queries, when the probe read the server and then the proxy, if there is one, in nanoseconds.
    pub fn of_queries(figures: &Figures) -> Measured {
        let micros = |nanos: &f64| nanos / 1000.0;
        Measured {
            rate: figures.rate,
            median: Some(figures.median),
            p99: Some(figures.p99),
            proxy_cpu: figures.per_request.get(1).map(micros),
            server_cpu: figures.per_request.first().map_or(0.0, micros),
        }
    }
}

/// Nanoseconds of the server, then of the proxy if there is one.
pub fn readings<A: Target>(server: u64, peer: &Peer<A>) -> Result<Vec<u64>> {
    let mut values = vec![server];
    if let Some(pid) = peer.pid() {
        values.push(procfs::cpu_nanoseconds(pid)?);
    }
    Ok(values)
}
